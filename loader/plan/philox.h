/*
 * philox.h - counter-based random numbers: the same counter and key give the same numbers on any thread and machine.
 *
 * Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
 */
#ifndef CROPRING_PHILOX_H
#define CROPRING_PHILOX_H

#include <stdint.h>

/* What a number is drawn for.  Part of the counter, so that no two uses ever share a number. */
enum philox_purpose {
	PHILOX_CROP = 1,       /* the crop box of a sample */
	PHILOX_FLIP = 2,       /* its mirror bit */
	PHILOX_ORDER = 3,      /* the rounds of an epoch's permutation */
	PHILOX_SUBSTITUTE = 4, /* which sample takes a failed one's place */
	PHILOX_WEIGHTED = 5,   /* which sample stands at a position, drawn by weight */
};

struct philox_words {
	uint32_t word[4];
};

/* The generator itself. */
struct philox_words philox(const uint32_t counter[4], const uint32_t key[2]);

/* Four words for (seed, epoch, index, purpose, draw); `draw` numbers the calls when one purpose needs several. */
struct philox_words philox_draw(uint64_t seed, uint32_t epoch, uint64_t index, enum philox_purpose purpose, uint32_t draw);

/* Uniform in [0, 1), multiples of 2^-32. */
double philox_unit(uint32_t word);

/* Uniform in [0, bound), bound >= 1, by multiplication (bias below 2^-32 * bound). */
uint32_t philox_below(uint32_t word, uint32_t bound);

#endif
