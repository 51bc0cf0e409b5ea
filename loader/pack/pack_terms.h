/*
 * pack_terms.h - part of `cropring pack`: all that decides the bytes of a pack, so that what was interrupted goes on as it began.
 *
 * As it stands here it is written into the journal.  Not among it is what changes no byte: threads, and what becomes of files that
 * cannot be read, since those end the packing and may be passed over when it goes on.
 */
#ifndef CROPRING_PACK_TERMS_H
#define CROPRING_PACK_TERMS_H

#include <stdint.h>

#include "base/err.h"
#include "loader/pack/image/pack_image.h"

struct pack_terms {
	char made_by[96];        /* this program and its codecs */
	uint8_t fingerprint[16]; /* of the source's samples: struct index_header */
	uint64_t sample_count, picture_count;
	uint64_t shard_bytes; /* 0: one file */
	uint64_t max_pixels, most_memory_bytes;
	uint32_t segment_px, png_rows, png_level, verify; /* struct pack_rules, enum pack_verify */
	uint32_t keep_metadata, bmp_to_png;
};

_Static_assert(sizeof(struct pack_terms) == 176, "no padding");

/* Sets made_by and what the rules say; the rest is the caller's. */
void pack_terms_set(struct pack_terms *terms, const struct pack_rules *rules, enum pack_verify verify);

/* -EINVAL and the first difference, in the words of the command line, unless both are the same. */
int pack_terms_compare(const struct pack_terms *before, const struct pack_terms *now, struct err *err);

#endif
