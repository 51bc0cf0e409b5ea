/*
 * pack_written.h - part of `cropring pack`: what the journal says of a picture, and what writing and going on have in common.
 */
#ifndef CROPRING_PACK_WRITTEN_H
#define CROPRING_PACK_WRITTEN_H

#include "loader/pack/pack_writer.h"

/* A record of the journal; behind it name and reason, without NULs. */
struct pack_written {
	uint64_t picture, shard, at, length, source_bytes, table_checksum;
	struct index_image image; /* with checksum and segments_bytes */
	uint16_t outcome, name_bytes, reason_bytes, zero;
};

_Static_assert(sizeof(struct pack_written) == 80, "no padding");

/* Where a picture lies, and where its file ends then. */
struct pack_spot {
	uint64_t shard, at, end;
};

/* Of the next picture. */
struct pack_spot pack_writer_spot(const struct pack_writer *writer, uint64_t picture, uint64_t byte_count, uint64_t table_bytes);

/* Opens the pack, or one of its shards, in place of the file that is open; `flags` of open(). */
int pack_writer_open_file(struct pack_writer *writer, uint64_t shard, int flags);

/* Remembers a picture that was written.  -ENOMEM. */
int pack_writer_keep(struct pack_writer *writer, const struct pack_written *written, const char *name, const char *reason);

#endif
