/* info_flags.h - the command line of `cropring info`. */
#ifndef CROPRING_INFO_FLAGS_H
#define CROPRING_INFO_FLAGS_H

#include "base/err.h"
#include "loader/options.h"

/* Strings point into argv. */
struct info_flags {
	struct options worker; /* size, seed, threads, max_pixels, max_file_bytes, verbosity; the rest is not set */
	const char *path;
	uint32_t sample; /* images to look at */
	bool json, verify;
};

/* 0, or -EINVAL or -ENOMEM with a sentence.  --help and --version print and exit 0. */
int info_flags_parse(struct info_flags *flags, int argc, char **argv, struct err *err);

/* Its table of flags. */
const struct options_command *info_flags_command(void);

#endif
