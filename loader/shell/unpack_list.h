/*
 * unpack_list.h - part of `cropring unpack`: a pack in; which images are to become files, and under which names, out.  One thread.
 *
 * Names in a pack are hostile.  These here are safe below a folder, as long as no link of it is followed: relative, without ".." and
 * empty parts, no two alike, none a folder of another.
 */
#ifndef CROPRING_UNPACK_LIST_H
#define CROPRING_UNPACK_LIST_H

#include "loader/plan/dataset.h"

struct unpack_item {
	struct dataset_file file;
	uint64_t sample; /* the first of those that it belongs to */
	bool is_target;
	const char *name;
	char *tidy_name, *new_name; /* what is to be freed, if the pack has another one */
};

struct unpack_list {
	struct unpack_item *items; /* in the order of the pack's bytes */
	uint64_t count, byte_count;
	uint64_t renamed; /* because another file has the name */
};

/* What is wanted. */
struct unpack_wish {
	const char *only; /* a shell's pattern for names, in the pack or of files, where * matches slashes as well; NULL: all */
	uint64_t sample;  /* UINT64_MAX: all */
};

/*
 * Images that several samples share, and those of one name and the same bytes, are there once.  -ENOMEM; -ENODATA: nothing is wanted;
 * -ERANGE: there is no such sample.
 */
int unpack_list_make(struct unpack_list *list, const struct dataset *dataset, const struct unpack_wish *wish, struct err *err);
void unpack_list_close(struct unpack_list *list);

#endif
