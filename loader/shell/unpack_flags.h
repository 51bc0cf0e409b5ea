/* unpack_flags.h - the command line of `cropring unpack`. */
#ifndef CROPRING_UNPACK_FLAGS_H
#define CROPRING_UNPACK_FLAGS_H

#include "base/err.h"
#include "loader/shell/unpack_list.h"

/* Strings point into argv. */
struct unpack_flags {
	const char *pack, *folder; /* folder "-": standard output */
	struct unpack_wish wish;
	bool replaces;
	uint32_t threads; /* 0: auto */
	int verbosity;
};

/* 0, or -EINVAL or -ENOMEM with a sentence.  --help and --version print and exit 0. */
int unpack_flags_parse(struct unpack_flags *flags, int argc, char **argv, struct err *err);

/* Its table of flags. */
const struct options_command *unpack_flags_command(void);

#endif
