/*
 * fuzz_main.c - drives a fuzz target without libFuzzer: seeded edits of an empty input, so that every compiler runs it.
 *
 *   fuzz_NAME_main [RUNS]      200,000 unless given; seed: CROPRING_TEST_SEED
 *
 * The target's inputs are differences to something valid: zero bytes change nothing, and a few bytes that are not zero are a lie.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/seed.h"

enum { INPUT_BYTES = 4096, MOST_EDITS = 6, HOT_BYTES = 320, LONGEST_RUN = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

/* Single bits, small numbers, all ones, whole words: what overflows, or is one too many. */
static void edit(uint8_t *input, uint64_t *random)
{
	static const uint32_t words[] = {1, 2, 3, 0x7f, 0xff, 0x100, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
	uint32_t limit = seed_next(random) % 2 ? HOT_BYTES : INPUT_BYTES; /* the fixed part has most of what can be wrong */
	uint32_t position = (uint32_t)(seed_next(random) % (limit - LONGEST_RUN));
	uint32_t word = words[seed_next(random) % (sizeof words / sizeof words[0])];

	switch (seed_next(random) % 4) {
	case 0:
		input[position] ^= (uint8_t)(1u << seed_next(random) % 8);
		break;
	case 1:
		input[position] = (uint8_t)seed_next(random);
		break;
	case 2: /* a name that does not end */
		memset(&input[position], 'x', seed_between(random, 1, LONGEST_RUN));
		break;
	default:
		memcpy(&input[position + (9 - position % 4) % 4], &word, sizeof word); /* byte 9 is the header's first */
		break;
	}
}

int main(int argc, char **argv)
{
	uint64_t run_count = argc > 1 ? strtoull(argv[1], NULL, 0) : 200000;
	uint64_t random = seed_of_test(argv[0]);
	uint8_t *input = malloc(INPUT_BYTES); /* of exactly this size, for the sanitizers */

	if (!input)
		return 2;
	for (uint64_t run = 0; run < run_count; run++) {
		uint64_t edits = seed_between(&random, 0, MOST_EDITS);

		memset(input, 0, INPUT_BYTES);
		input[0] = (uint8_t)seed_next(&random);
		while (edits-- > 0)
			edit(input, &random);
		LLVMFuzzerTestOneInput(input, INPUT_BYTES);
	}
	free(input);
	printf("%llu runs, nothing found\n", (unsigned long long)run_count);
	return 0;
}
