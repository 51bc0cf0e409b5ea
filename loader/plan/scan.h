/*
 * scan.h - the walk through a folder of images: finds classes and samples in ImageFolder's order.
 *
 * Names are bytes: anything but NUL and '/', sorted bytewise.  For names in UTF-8 that is the order of Python's sorted().
 */
#ifndef CROPRING_SCAN_H
#define CROPRING_SCAN_H

#include <stdint.h>

#include "base/err.h"
#include "loader/plan/link_targets.h"

struct scan_class {
	char *name;
	uint64_t sample_count;
};

struct scan {
	struct scan_class *classes; /* in order of class number; class_count is 0 for a flat folder */
	uint32_t class_count;
	uint64_t sample_count, stray_count;
	uint64_t paths_bytes; /* of all paths, each with its NUL */
	struct scan_block *first_block, *last_block;
	struct link_targets link_targets; /* of the links that were met */
};

/*
 * Walks the folder behind root_fd (O_PATH is enough) and fills *scan, which is to be closed also after an error; `folder` is its
 * name for messages.  Holds no more than paths_bytes and one directory's names in memory, and one file descriptor.
 */
int scan_open(struct scan *scan, int root_fd, const char *folder, struct err *err);
void scan_close(struct scan *scan);

/* Moves the paths, in order of sample number, to paths_bytes bytes at `to`; frees their memory as it goes. */
void scan_take_paths(struct scan *scan, char *to);

#endif
