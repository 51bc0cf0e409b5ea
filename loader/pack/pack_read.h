/*
 * pack_read.h - part of `cropring pack`: where a picture lies in its source in, its bytes out.
 *
 * Whatever the file is, no path leaves its root if the source's links do not.  Each thread for itself.
 */
#ifndef CROPRING_PACK_READ_H
#define CROPRING_PACK_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/pack/pack_pictures.h"

enum { PACK_HEAD_BYTES = 1 << 20 }; /* up to where a JPEG tells its size, behind the largest profiles and thumbnails */

struct pack_read {
	int fd;          /* -1: not open */
	bool is_archive; /* the picture is a part of its file */
	bool is_borrowed;
	uint64_t offset;
	size_t byte_count;
	const char *path; /* for messages */
};

/*
 * Opens a picture's file and learns how long it is.  Negative: it cannot be read, and why: as open()'s and read()'s; -EFBIG: it is
 * over max_bytes; -ENODATA: its file ends before it does.  To be closed only after 0.
 */
int pack_read_open(struct pack_read *reading, const struct pack_pictures *pictures, uint64_t picture, uint64_t max_bytes,
                   struct err *err);
void pack_read_close(struct pack_read *reading);

/* The first byte_count of its bytes, which it has. */
int pack_read_bytes(const struct pack_read *reading, void *bytes, size_t byte_count, struct err *err);

#endif
