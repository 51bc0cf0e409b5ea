/*
 * scan.h - the walk through a folder of images: finds classes and samples in ImageFolder's order.
 *
 * Names are bytes: anything but NUL and '/', sorted bytewise.  For names in UTF-8 that is the order of Python's sorted().
 */
#ifndef CROPRING_SCAN_H
#define CROPRING_SCAN_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "loader/plan/index/index_stamp.h"
#include "loader/plan/link_targets.h"

/* A class folder with all below it. */
struct scan_class {
	char *name; /* NULL: the folder itself */
	uint64_t sample_count;
	struct bytes paths;         /* relative to the folder, in order, one NUL-terminated string behind the other */
	struct index_stamps stamps; /* of the folders that were visited, in that order */
	struct link_targets *links; /* NULL: no links were met */
};

struct scan {
	struct scan_class top;      /* the folder itself; its images are samples if it is flat, that is, without classes */
	struct scan_class *classes; /* in order of class number */
	uint32_t class_count;
	uint64_t sample_count, stray_count;
	struct link_targets link_targets; /* of all links that were met */
};

/*
 * Walks the folder behind root_fd (O_PATH is enough) by up to `threads` threads and fills *scan, which is to be closed also after an
 * error; `folder` is its name for messages.  What it finds, also wrong, does not depend on threads.  Notes each visited folder in
 * *stamps unless that is NULL.  Holds no more than the paths and, for each thread, one directory's names in memory, and one file
 * descriptor for each thread.
 */
int scan_open(struct scan *scan, int root_fd, const char *folder, uint32_t threads, struct index_stamps *stamps, struct err *err);
void scan_close(struct scan *scan);

#endif
