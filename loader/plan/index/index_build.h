/*
 * index_build.h - part of stage 1 of 5: samples in, one after the other, an index (index_layout.h) in a sealed memfd out.
 *
 * What a folder's scan, a manifest's and a tar's reader have in common.  One thread.
 */
#ifndef CROPRING_INDEX_BUILD_H
#define CROPRING_INDEX_BUILD_H

#include "base/bytes.h"
#include "loader/plan/crop.h"
#include "loader/plan/index/index_layout.h"

struct index_build;

/* One sample; what belongs to a column that the index does not have is not looked at. */
struct index_row {
	const char *path; /* relative to the root; the same pointer or text as the row's before costs no memory */
	int64_t label;
	uint64_t offset, length;
	struct box box;
	struct crop_window window;
	const char *target;
	uint64_t target_offset, target_length;
	double weight;
	struct index_image image, target_image;
	uint64_t shard;
};

/* `columns` as in the header; INDEX_PATH and INDEX_LABEL need not be named.  NULL: no memory. */
struct index_build *index_build_open(uint32_t columns);
void index_build_close(struct index_build *build);

/* The next class; its number is the count of those before.  -ENOMEM. */
int index_build_class(struct index_build *build, const char *name);

/* The next sample.  -ENOMEM. */
int index_build_add(struct index_build *build, const struct index_row *row);

/* Samples of one label that have a path and nothing else, for an index without further columns: whole strings, one behind the other. */
int index_build_add_paths(struct index_build *build, const struct bytes *paths, int64_t label);

uint64_t index_build_sample_count(const struct index_build *build);

/* Path (INDEX_PATH) or target (INDEX_TARGET) of a sample that was added before; valid until the next one.  NULL: no such column. */
const char *index_build_path(const struct index_build *build, enum index_column column, uint64_t sample);

/* Labels of samples that were added before, for a reader that learns the classes only at the end. */
int64_t *index_build_labels(struct index_build *build);

/* A descriptor of the index, sealed against every change, or a negative errno.  The build may only be closed afterwards. */
int index_build_finish(struct index_build *build, const char *root);

#endif
