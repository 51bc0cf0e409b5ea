/*
 * source_pack.c - part of stage 1 of 5: a pack in, its index in sealed memory and its open files out.  One thread.
 *
 * The index is copied although it lies in a file that could be mapped: Python maps it too, and must not die of a file that somebody
 * makes shorter.
 */
#include "loader/plan/source_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/index/index_file.h"
#include "loader/plan/pack/pack_set.h"

int source_pack_read(struct source *source, struct err *err)
{
	const struct pack_file *head;
	struct index_file file;
	int rc = pack_set_open(&source->pack, source->path, err);

	if (rc < 0)
		return rc;
	source->link_targets.stay_beneath = true; /* no path of it is ever followed */
	head = pack_set_head(source->pack);
	rc = index_file_open_within(&file, head->fd, head->header.index_at, head->header.index_bytes, source->path, err);
	if (rc == 0)
		rc = source->index_fd = index_file_load(&file, source->path, source->root, err);
	index_file_close(&file);
	if (rc >= 0 && *pack_set_obstacle(source->pack))
		source->warning = strdup(pack_set_obstacle(source->pack)); /* NULL: one warning less */
	return rc < 0 ? rc : 0;
}

int source_pack_check(const struct source *source, const struct index_view *view, struct err *err)
{
	uint64_t shard_count = pack_set_head(source->pack)->header.shard_count;
	const uint64_t *shards = view->column[INDEX_SHARD];

	if (!view->column[INDEX_IMAGE])
		return err_fail(err, -EINVAL, "%s: not a pack that can be used: its index does not tell of images", source->path);
	if (!shards != (shard_count == 0))
		return err_fail(err, -EINVAL, "%s: not a pack that can be used: its index %s shards, its header %s", source->path,
		                shards ? "has" : "has no", shards ? "none" : "has");
	for (uint64_t i = 0; shards && i < view->header->sample_count; i++) {
		if (shards[i] >= shard_count)
			return err_fail(
				err, -EINVAL,
				"%s: not a pack that can be used: sample %llu is said to be in shard %llu, and there are %llu",
				source->path, (unsigned long long)i, (unsigned long long)shards[i],
				(unsigned long long)shard_count);
	}
	return 0;
}
