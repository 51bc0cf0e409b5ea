/*
 * pack_set.h - part of stage 1 of 5: all files of a pack, open, and the segment tables in them.
 *
 * Opened by one thread; then any may look.
 */
#ifndef CROPRING_PACK_SET_H
#define CROPRING_PACK_SET_H

#include "loader/plan/index/index_layout.h"
#include "loader/plan/pack/pack_file.h"
#include "loader/segment_table.h"

struct pack_set;

/* As pack_file_open(), of the pack and of each of its shards; -EINVAL also when `path` is a shard, or one belongs to another pack. */
int pack_set_open(struct pack_set **set, const char *path, struct err *err);
void pack_set_close(struct pack_set *set);

/* The file that `path` named, in which the index is. */
const struct pack_file *pack_set_head(const struct pack_set *set);

/* The open file that images of a shard lie in; `shard` is less than head's shard_count, or 0 when that is 0. */
int pack_set_fd(const struct pack_set *set, uint64_t shard);

/* Of all shards, in order. */
const int *pack_set_fds(const struct pack_set *set, uint32_t *count);

/*
 * The picture of the image that lies there, and its table; kind is SEGMENT_NONE if it has none, if anything about it cannot be, or if
 * the file is not mapped.
 */
void pack_set_segments(struct pack_set *set, uint64_t shard, uint64_t offset, uint64_t length, const struct index_image *image,
                       struct segments *segments);

/* That image's segments will be asked for soon: its table may be read from the disk meanwhile. */
void pack_set_announce(const struct pack_set *set, uint64_t shard, uint64_t offset, uint64_t length,
                       const struct index_image *image);

/* Why tables cannot be looked at, a sentence; "": they can. */
const char *pack_set_obstacle(const struct pack_set *set);

#endif
