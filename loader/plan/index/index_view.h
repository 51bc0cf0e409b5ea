/*
 * index_view.h - part of stage 1 of 5: the bytes of an index in, its columns and strings out.
 *
 * An index that came from a file is hostile until index_view_open() has looked at every number in it.
 */
#ifndef CROPRING_INDEX_VIEW_H
#define CROPRING_INDEX_VIEW_H

#include <stddef.h>

#include "base/err.h"
#include "loader/plan/index/index_layout.h"

/* An index in memory that stays as it is. */
struct index_view {
	const struct index_header *header;
	const void *column[INDEX_COLUMN_COUNT]; /* NULL: not there */
	const uint64_t *class_offsets;
	const char *text;
	const char *stamps;
};

/* Bytes of a whole index with this header, which the caller made himself. */
size_t index_view_bytes(const struct index_header *header);

/* NULL, or why no index of byte_count bytes begins with this header, of which there are 128 bytes. */
const char *index_view_check_header(const struct index_header *header, uint64_t byte_count);

/* Of a whole index whose header needs no check. */
void index_view_fingerprint(const void *index, uint8_t fingerprint[16]);

/*
 * Looks at every number of an index of byte_count bytes, which begin at a multiple of 8, and finds its parts.  -EINVAL and what is
 * wrong with `name`.  Then every offset of a string is good, and every path stays in the root folder, if links do not lead out of it.
 */
int index_view_open(struct index_view *view, const void *index, size_t byte_count, const char *name, struct err *err);

#endif
