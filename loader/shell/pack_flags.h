/* pack_flags.h - the command line of `cropring pack`. */
#ifndef CROPRING_PACK_FLAGS_H
#define CROPRING_PACK_FLAGS_H

#include "base/err.h"
#include "loader/options.h"
#include "loader/pack/image/pack_image.h"

/* Strings point into argv. */
struct pack_flags {
	struct options like; /* what is as in `cropring serve`: source, threads, limits, report; the rest is not set */
	const char *out;

	const char *segment_text, *rows_text;
	uint32_t segment_px, png_rows, png_level; /* as struct pack_rules has them */
	bool keep_metadata, bmp_to_png;
	enum pack_verify verify;
	uint64_t shard_bytes; /* 0: one file */

	bool resume, skip_unreadable;
	uint64_t memory_bytes;
};

/* 0, or -EINVAL or -ENOMEM with a sentence.  --help and --version print and exit 0. */
int pack_flags_parse(struct pack_flags *flags, int argc, char **argv, struct err *err);

/* Its table of flags. */
const struct options_command *pack_flags_command(void);

#endif
