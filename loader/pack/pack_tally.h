/* pack_tally.h - part of `cropring pack`: what became of each picture in, how many went which way, and the first of each, out.  One thread. */
#ifndef CROPRING_PACK_TALLY_H
#define CROPRING_PACK_TALLY_H

#include <stdint.h>

#include "loader/pack/image/pack_image.h"

enum { PACK_TALLY_KINDS = 64, PACK_TALLY_NAMED = 3 };

/* Pictures of one outcome and one reason. */
struct pack_tally_kind {
	enum pack_outcome outcome;
	char reason[160];
	uint64_t count;
	uint64_t first[PACK_TALLY_NAMED]; /* pictures, as far as there are */
};

/* All zero before the first. */
struct pack_tally {
	struct pack_tally_kind kind[PACK_TALLY_KINDS]; /* in the order in which they came */
	uint32_t kind_count;
};

/* Where hostile files bring more reasons than there are places, the last ones are counted as "other reasons". */
void pack_tally_add(struct pack_tally *tally, uint64_t picture, enum pack_outcome outcome, const char *reason);

uint64_t pack_tally_count(const struct pack_tally *tally, enum pack_outcome outcome);

#endif
