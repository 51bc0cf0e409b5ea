/*
 * index_file.h - part of stage 1 of 5: an index that lies in a file, which somebody else may have written and may change at any time.
 *
 * Nothing is mapped: all bytes are read once, into memory of our own, and looked at there.
 */
#ifndef CROPRING_INDEX_FILE_H
#define CROPRING_INDEX_FILE_H

#include "base/bytes.h"
#include "base/err.h"
#include "loader/plan/index/index_view.h"

struct index_file {
	int fd;      /* -1: not open */
	uint64_t at; /* where in the file the index begins */
	struct index_header header;
	char *tail; /* the root folder, and behind its NUL the stamps */
};

/* Reads header and tail.  *file is to be closed also after an error; -EINVAL: what is wrong with it. */
int index_file_open(struct index_file *file, const char *path, struct err *err);

/* The same for an index within the file behind fd, which stays the caller's; `path` is for messages. */
int index_file_open_within(struct index_file *file, int fd, uint64_t at, uint64_t byte_count, const char *path, struct err *err);

void index_file_close(struct index_file *file);

/* header.stamp_bytes bytes. */
const char *index_file_stamps(const struct index_file *file);

/*
 * The rest, without stamps and with `root` for its root folder, in a sealed memfd: a descriptor for index_view_open() to look at, or
 * a negative errno and why.
 */
int index_file_load(const struct index_file *file, const char *path, const char *root, struct err *err);

/*
 * What is at a place: 1: an index, or an empty file, which may be written over; 0: nothing; -EEXIST: anything else, and be it a link;
 * or why nobody can tell.
 */
int index_file_look(int folder_fd, const char *name);

/*
 * Writes the index, with another root folder and these stamps, beside the file `name` in the folder behind folder_fd (O_PATH is enough),
 * and puts it in its place when all of it is on the disk: whoever reads finds the old file or the new one.  0, -EEXIST if
 * index_file_look() says so, or another negative errno.
 */
int index_file_write(const struct index_view *view, const char *root, const struct bytes *stamps, int folder_fd, const char *name);

#endif
