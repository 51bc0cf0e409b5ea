/*
 * crop_flags.h - the command line of `cropring crop`.
 *
 * Flags that `cropring serve` has too are those of its table (options_table.h), and handed on to the worker as they are.
 */
#ifndef CROPRING_CROP_FLAGS_H
#define CROPRING_CROP_FLAGS_H

#include "base/err.h"
#include "loader/options.h"

enum { CROP_WORD_LIMIT = 16 }; /* flags that are handed on */

/* One number for all paths, or one for each. */
struct crop_shares {
	float *value;
	size_t count;
};

/* Strings point into argv. */
struct crop_flags {
	struct options worker; /* what the flags say that are the worker's as well; the rest is not set */
	const char *output;
	uint32_t columns; /* of the sheet; 0: as many as make it nearly square */
	bool ends_in_nul; /* and not in a newline, on standard input */
	char **paths;     /* none: they come from standard input */
	size_t path_count;
	const char *x_text, *y_text, *scale_text;
	struct crop_shares x, y, scale;
	char *word[CROP_WORD_LIMIT]; /* "--NAME=VALUE" for the worker */
	uint32_t word_count;
};

/* 0, or -EINVAL or -ENOMEM with a sentence; to be closed either way.  --help and --version print and exit 0. */
int crop_flags_parse(struct crop_flags *flags, int argc, char **argv, struct err *err);
void crop_flags_close(struct crop_flags *flags);

/* Its table of flags. */
const struct options_command *crop_flags_command(void);

/* The number from 0 to 1 that `text` is; `origin` names who said it.  -EINVAL with a sentence. */
int crop_flags_read_share(const char *origin, const char *text, float *share, struct err *err);

#endif
