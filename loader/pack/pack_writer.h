/*
 * pack_writer.h - part of `cropring pack`: packed pictures in, in order, the pack's files out, which can be gone on with after any end.
 *
 * Everything lies in a folder of its own (pack_place.h): the journal, and the file or the shards, whose headers are zeros until the
 * end.  Where a picture lies follows from the pictures before it and nothing else.  One thread.
 */
#ifndef CROPRING_PACK_WRITER_H
#define CROPRING_PACK_WRITER_H

#include "base/bytes.h"
#include "base/err.h"
#include "loader/pack/image/pack_image.h"
#include "loader/pack/pack_journal.h"
#include "loader/pack/pack_pictures.h"
#include "loader/pack/pack_tally.h"
#include "loader/pack/pack_terms.h"

/* Where a picture lies, in memory until the index is written. */
struct pack_row {
	uint64_t at, length;
	struct index_image image;
	uint64_t shard;
	uint64_t name_at; /* in the writer's names; PACK_NAME_OF_SOURCE: it has the name of its file */
};

#define PACK_NAME_OF_SOURCE UINT64_MAX

/* A picture to write: `bytes` are stored. */
struct pack_picture {
	const void *bytes;
	size_t byte_count;
	const struct packed_image *packed; /* its table, outcome and reason; its image with the checksum of `bytes` */
	uint64_t table_checksum;           /* XXH3-64 */
	uint64_t source_bytes;
	const char *name; /* of a member of an archive; NULL: that of its file */
};

struct pack_writer {
	const struct pack_pictures *pictures;
	struct pack_terms terms;
	const char *folder; /* for messages */
	int folder_fd;
	struct pack_journal journal;

	int file_fd; /* the file that is written: the pack, or the last shard */
	uint64_t shard, end_bytes, unsynced_bytes;

	struct bytes rows, names; /* struct pack_row of each picture that is written */
	struct pack_tally tally;
	uint64_t original_bytes, stored_bytes; /* stored_bytes: images and tables */

	bool is_whole;  /* the journal says that only names are left to change */
	uint8_t id[16]; /* then */
};

/*
 * Begins in the empty folder, whose name is for messages, or goes on with what is there; pack_writer_count() says where.  -EBUSY: another process is at it;
 * -EINVAL: what is there was begun otherwise, or is damaged.  To be closed in any case.
 */
int pack_writer_open(struct pack_writer *writer, const char *folder, int folder_fd, const struct pack_pictures *pictures,
                     const struct pack_terms *terms, struct err *err);
void pack_writer_close(struct pack_writer *writer);

static inline uint64_t pack_writer_count(const struct pack_writer *writer)
{
	return writer->rows.used_bytes / sizeof(struct pack_row);
}

static inline const struct pack_row *pack_writer_row(const struct pack_writer *writer, uint64_t picture)
{
	return (const struct pack_row *)(const void *)writer->rows.data + picture;
}

/* Shards so far; 0: the pack is one file. */
static inline uint64_t pack_writer_shard_count(const struct pack_writer *writer)
{
	return writer->terms.shard_bytes ? writer->shard + 1 : 0;
}

/* The next picture.  After an error all that was written before counts, and this one does not. */
int pack_writer_add(struct pack_writer *writer, const struct pack_picture *picture, struct err *err);

/* All that was written is on the disk: before a pause, and by itself every so often. */
int pack_writer_sync(struct pack_writer *writer, struct err *err);

#endif
