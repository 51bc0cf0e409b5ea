/* crop_list.h - what `cropring crop` is to cut: paths and windows, from the command line or line by line from standard input. */
#ifndef CROPRING_CROP_LIST_H
#define CROPRING_CROP_LIST_H

#include <stdio.h>

#include "loader/plan/crop.h"
#include "loader/shell/crop_flags.h"

enum { CROP_LINE_BYTES = 8192 }; /* of the longest, with its end */

struct crop_list {
	const struct crop_flags *flags;
	FILE *lines;       /* NULL: the paths of `flags` */
	uint64_t position; /* items given so far */
	uint64_t line;     /* lines read so far */
	char text[CROP_LINE_BYTES];
};

/* The path is valid until the next call. */
struct crop_item {
	const char *path;
	struct crop_window window;
};

void crop_list_open(struct crop_list *list, const struct crop_flags *flags);

/* The next item; 0 when there is none, 1 when there is, or a negative errno with a sentence that names the line. */
int crop_list_next(struct crop_list *list, struct crop_item *item, struct err *err);

#endif
