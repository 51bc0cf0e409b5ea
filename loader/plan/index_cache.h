/*
 * index_cache.h - part of stage 1 of 5: --index FILE keeps the index of a source, which is read again only when it has changed.
 *
 * In the order of the calls: index_cache_open(), then index_cache_take(); if that takes nothing, the source is read with
 * source->stamps = &cache.stamps, and index_cache_keep().  One thread.
 */
#ifndef CROPRING_INDEX_CACHE_H
#define CROPRING_INDEX_CACHE_H

#include "loader/plan/index/index_view.h"
#include "loader/plan/source.h"
#include "loader/plan/source_kind.h"

/* What became of it, for the log; "": there was nothing to do. */
struct index_cache_report {
	struct err text;
	bool is_warning;
};

struct index_cache {
	const char *path; /* NULL: none is wanted */
	char *name;       /* of the file, in */
	int folder_fd;
	char *asked; /* see struct index_origin */
	bool exists;
	struct index_stamps stamps;
	struct index_cache_report report;
};

/*
 * Does nothing without --index.  -EINVAL or -ENOENT where the file has no folder, or is something else than an index, which then
 * stays as it is.  *cache is to be closed in any case.
 */
int index_cache_open(struct index_cache *cache, const struct source *source, enum source_kind kind, struct err *err);
void index_cache_close(struct index_cache *cache);

/* Fills *source from the file if that is what reading would give; or leaves it as it is, and the report tells why. */
void index_cache_take(struct index_cache *cache, struct source *source);

/* What was taken turned out to be wrong: *source is as before. */
void index_cache_refuse(struct index_cache *cache, struct source *source, const struct err *fault);

/*
 * Writes what was read anew, or reports that it was taken.  -EINVAL where the file would lie in a folder whose changes count; that it
 * cannot be written is only reported.
 */
int index_cache_keep(struct index_cache *cache, const struct source *source, const struct index_view *view, struct err *err);

#endif
