/*
 * tar_walk.h - part of stage 1 of 5: a tar archive in, where each of its files begins and ends out.
 *
 * Headers are read, data is skipped.  Whatever the bytes are: a file that was given out lies within the archive, and memory is at
 * most TAR_EXTRA_MAX_BYTES.  One thread for each walk.
 */
#ifndef CROPRING_TAR_WALK_H
#define CROPRING_TAR_WALK_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/plan/tar/tar_header.h"

/*
 * At a time.  Labels are small and lie between images: their headers, their data and the header of what follows come together.
 * 100 shards of 500 images and 500 labels in the page cache took 99 ms of CPU time to become an index, 1.0 million members a
 * second; with windows of 512, 1024 or 16384 bytes 112 ms.
 */
#define TAR_WINDOW_BYTES 4096u

struct tar_walk {
	int fd;           /* the caller's */
	const char *name; /* of the archive, for messages; the caller's */
	uint64_t file_bytes, next_at;
	struct tar_pax global;
	char *extra; /* of the header that was read last, NUL-terminated */
	size_t extra_capacity_bytes;
	uint64_t window_at;
	size_t window_bytes;
	uint8_t window[TAR_WINDOW_BYTES];
};

/* A regular file in it; its name leads nowhere out of it. */
struct tar_member {
	uint64_t header_at; /* of the first of its headers, for messages */
	uint64_t offset, length;
	char name[TAR_NAME_MAX_CHARS + 1];
};

/* fd is a regular file.  -EINVAL when it is empty or begins like a compressed one; *err then says so. */
int tar_walk_open(struct tar_walk *walk, int fd, const char *name, struct err *err);
void tar_walk_close(struct tar_walk *walk);

/* The next file: 1; 0: there is none; -EINVAL when the archive cannot be right, or another negative errno. */
int tar_walk_next(struct tar_walk *walk, struct tar_member *member, struct err *err);

/* `count` bytes from `offset` on, which lie within the archive; after the members that were there at the time. */
int tar_walk_read(struct tar_walk *walk, uint64_t offset, void *bytes, size_t count, struct err *err);

#endif
