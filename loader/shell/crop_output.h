/*
 * crop_output.h - crops in, in order, a file out: a contact sheet (.png) or an array (.npy).
 *
 * The file takes its name when it is whole, and has none until then: nothing is left of it, whatever ends the process.  On file
 * systems that cannot do that (NFS, FUSE) it lies beside its place under another name, which SIGKILL leaves there.  One at a time in
 * a process.
 */
#ifndef CROPRING_CROP_OUTPUT_H
#define CROPRING_CROP_OUTPUT_H

#include <stdbool.h>

#include "loader/shell/contact_sheet.h"
#include "loader/shell/crop_flags.h"

struct crop_output {
	const char *path;
	FILE *file;
	bool is_sheet;
	bool has_name; /* already, if not its own */
	uint64_t count; /* crops so far */
	struct contact_sheet sheet;
};

/* flags->path_count is how many there will be, 0: unknown.  Catches the signals that end a process. */
int crop_output_open(struct crop_output *output, const struct crop_flags *flags, struct err *err);

/* Crops that follow each other in memory. */
int crop_output_add(struct crop_output *output, const uint8_t *pixels, uint64_t count, struct err *err);

/* The file is whole. */
int crop_output_finish(struct crop_output *output, struct err *err);

/* Takes away what was not finished. */
void crop_output_close(struct crop_output *output);

#endif
