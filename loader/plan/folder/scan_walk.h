/*
 * scan_walk.h - part of stage 1 of 5: one class folder in, the paths of all images below it out, in their order.
 *
 * A walk is one thread's and goes from class to class; what several walks share is only read.
 */
#ifndef CROPRING_SCAN_WALK_H
#define CROPRING_SCAN_WALK_H

#include "loader/plan/folder/listing.h"
#include "loader/plan/folder/scan.h"

struct scan_place;

struct scan_walk {
	int root_fd;
	const char *folder;      /* its name, for messages */
	struct scan_place *root; /* the folder itself, once it was visited */
	bool with_stamps;
	int64_t began_ns; /* for stamps */
	struct err *err;

	/* The walk's own. */
	struct scan_class *class; /* what is filled */
	struct link_targets links;
	struct listing listing;    /* of the directory that was read last */
	struct scan_place *newest; /* all known directories of this class */
	struct scan_place **heap;  /* those that were not visited yet; heap[0] is the least */
	size_t heap_count, heap_capacity;
};

/* Visits the folder itself: walk->root and walk->listing are filled, and stamps and links of *class. */
int scan_walk_root(struct scan_walk *walk, struct scan_class *class);

/* Makes samples of the images in walk->listing, which must be the root's. */
int scan_walk_flat(struct scan_walk *walk, struct scan_class *class);

/* Another walk through the same folder, for another thread. */
void scan_walk_open(struct scan_walk *walk, const struct scan_walk *of_root, struct err *err);

/* Fills *class, which has its name.  -ENODATA when it holds no image. */
int scan_walk_class(struct scan_walk *walk, struct scan_class *class);

void scan_walk_close(struct scan_walk *walk);

/* Of the root, when all walks are over. */
void scan_walk_free_root(struct scan_walk *walk);

#endif
