/*
 * philox.c - part of stage 1 of 5: counters in, random words out.  Pure functions, any thread.
 *
 * How philox_draw() lays out the 128-bit counter; the key is the seed, low word first:
 *
 *   word 0   index, low half
 *   word 1   index, high half
 *   word 2   epoch
 *   word 3   purpose in the top 8 bits, draw in the lower 24
 *
 * Different arguments are different counters, so no two uses ever share a number.  Changing this layout changes every crop and
 * every order that a seed stands for.
 */
#include "loader/plan/philox.h"

#include <assert.h>

/* Multipliers, key increments and the number of rounds: Salmon et al., SC 2011, section 3.3 and table 2. */
#define MULTIPLIER_0    0xd2511f53u
#define MULTIPLIER_1    0xcd9e8d57u
#define KEY_INCREMENT_0 0x9e3779b9u
#define KEY_INCREMENT_1 0xbb67ae85u
#define ROUNDS          10

struct philox_words philox(const uint32_t counter[4], const uint32_t key[2])
{
	uint32_t word0 = counter[0], word1 = counter[1], word2 = counter[2], word3 = counter[3];
	uint32_t key0 = key[0], key1 = key[1];

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t product0 = (uint64_t)MULTIPLIER_0 * word0;
		uint64_t product1 = (uint64_t)MULTIPLIER_1 * word2;

		word0 = (uint32_t)(product1 >> 32) ^ word1 ^ key0;
		word1 = (uint32_t)product1;
		word2 = (uint32_t)(product0 >> 32) ^ word3 ^ key1;
		word3 = (uint32_t)product0;
		key0 += KEY_INCREMENT_0;
		key1 += KEY_INCREMENT_1;
	}
	return (struct philox_words){{word0, word1, word2, word3}};
}

struct philox_words philox_draw(uint64_t seed, uint32_t epoch, uint64_t index, enum philox_purpose purpose, uint32_t draw)
{
	assert(draw < 1u << 24);

	const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), epoch, (uint32_t)purpose << 24 | draw};
	const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

	return philox(counter, key);
}

double philox_unit(uint32_t word)
{
	return word * (1.0 / 4294967296.0);
}

uint32_t philox_below(uint32_t word, uint32_t bound)
{
	assert(bound >= 1);
	return (uint32_t)((uint64_t)word * bound >> 32);
}
