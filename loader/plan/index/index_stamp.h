/*
 * index_stamp.h - part of stage 1 of 5: what the files and folders of a source looked like when it was read, and whether they still do.
 *
 * Only an index in a file (--index) has stamps.  A folder's stamp changes when something in it is added, removed or renamed; not
 * when the bytes of an image change, which no index tells anything of.  Device numbers do not count: they change from boot to boot.
 */
#ifndef CROPRING_INDEX_STAMP_H
#define CROPRING_INDEX_STAMP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/err.h"
#include "loader/plan/link_targets.h"

/* Of everything that was looked at, in order.  All zero but for began_ns. */
struct index_stamps {
	int64_t began_ns; /* index_stamps_now() before the first look */
	struct bytes records;
};

int64_t index_stamps_now(void);

/*
 * `path` is relative to the root or absolute; *status is from before it was read.  What was changed less than two seconds before all
 * began may be changed again without a trace: it is remembered as changed.  -ENOMEM.
 */
int index_stamps_add(struct index_stamps *stamps, const char *path, const struct stat *status);

/* Adds those of `more` at the end. */
int index_stamps_join(struct index_stamps *stamps, const struct index_stamps *more);

void index_stamps_close(struct index_stamps *stamps);

/* Whether this folder is among those that were looked at. */
bool index_stamps_include(const struct index_stamps *stamps, int root_fd, const struct stat *folder);

/* What a start that does not read the source must know as well. */
struct index_origin {
	const char *asked; /* an index is of use only where the same is asked for */
	uint64_t stray_count;
};

/* All of it as the bytes at the end of an index file, appended to *bytes.  -ENOMEM. */
int index_stamps_write(const struct index_stamps *stamps, const struct index_origin *origin, const struct link_targets *links,
                       struct bytes *bytes);

/* Stamps that were read from a file. */
struct index_stamps_view {
	struct index_origin origin; /* points into the bytes, as all else */
	uint32_t link_count, stay_beneath;
	const char *links; /* link_count strings */
	const char *records;
	size_t records_bytes;
};

/* Looks at every number of byte_count hostile bytes.  NULL, or what is wrong. */
const char *index_stamps_open(struct index_stamps_view *view, const char *bytes, size_t byte_count);

/* 0: all is as it was.  -ESTALE, and in *err the first in order that is not; `root` is root_fd's name. */
int index_stamps_check(const struct index_stamps_view *view, int root_fd, const char *root, struct err *err);

/* Adds the folders that links led to.  -ENOMEM. */
int index_stamps_add_links(const struct index_stamps_view *view, struct link_targets *links);

#endif
