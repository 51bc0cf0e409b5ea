/* python_flags.h - the flags of a command that is Python's. */
#ifndef CROPRING_PYTHON_FLAGS_H
#define CROPRING_PYTHON_FLAGS_H

#include "loader/options_internal.h"

struct python_flags {
	struct options_command command;
	struct options_flag flag[OPTIONS_FLAG_LIMIT]; /* strings point into the help, or into the table of `cropring serve` */
	char help[32768];
};

/* What `cropring NAME --help` tells of its flags; none where it tells nothing. */
const struct options_command *python_flags_read(struct python_flags *flags, const char *name);

/* The same of a help that is there already. */
const struct options_command *python_flags_of_help(struct python_flags *flags);

#endif
