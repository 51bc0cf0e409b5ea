/* seed.h - the seed of a randomised test: CROPRING_TEST_SEED, or a fixed one; printed, so that a failure can be repeated. */
#ifndef CROPRING_TESTS_SEED_H
#define CROPRING_TESTS_SEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline uint64_t seed_of_test(const char *test)
{
	const char *given = getenv("CROPRING_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 20240229;

	printf("%s: CROPRING_TEST_SEED=%llu\n", test, (unsigned long long)seed);
	return seed;
}

/* The next of a sequence of 64-bit numbers (splitmix64, public domain by Vigna); *state is its seed at first. */
static inline uint64_t seed_next(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	return mixed ^ mixed >> 31;
}

/* Uniform enough in [least, most]. */
static inline uint64_t seed_between(uint64_t *state, uint64_t least, uint64_t most)
{
	return least + seed_next(state) % (most - least + 1);
}

#endif
