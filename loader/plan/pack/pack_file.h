/*
 * pack_file.h - part of stage 1 of 5: one file of a pack, the pack itself or one of its shards, opened, its header looked at, its bytes
 * mapped.
 *
 * Bytes of images and tables are hostile and may change at any time; the header is a copy.  Should somebody make the file shorter, which
 * no packer does, to look at what is mapped ends the process with SIGBUS.
 */
#ifndef CROPRING_PACK_FILE_H
#define CROPRING_PACK_FILE_H

#include "base/err.h"
#include "loader/plan/pack/pack_layout.h"

struct pack_file {
	int fd; /* -1: not open */
	struct pack_header header;
	const uint8_t *mapping; /* the whole file; NULL: not mapped */
};

/*
 * -ENOENT, -EACCES, -EMFILE, ... when the file cannot be read; -EINVAL when it is not a whole file of a pack, and what is wrong with it.
 * After an error nothing is open.
 */
int pack_file_open(struct pack_file *file, const char *path, struct err *err);
void pack_file_close(struct pack_file *file);

/*
 * Again and at the same addresses if it is mapped already, which gives the page tables back that were filled since, while others look.
 * A negative errno leaves it as it was.
 */
int pack_file_map(struct pack_file *file);

/* Where images and tables end. */
uint64_t pack_file_images_end(const struct pack_file *file);

/* Where the shards of the pack at `path` lie: train.pack has train-00000.shard and so on beside it.  From malloc; NULL: no memory. */
char *pack_file_shard_path(const char *path, uint32_t number);

/* The pack of a shard of that name, from malloc; NULL: that is no shard's name, or no memory. */
char *pack_file_pack_path(const char *shard_path);

#endif
