/*
 * replay_main.c - drives a fuzz target whose inputs are files, without libFuzzer: every seed as it is, then edited seeds, so that
 * every compiler runs it.
 *
 *   fuzz_NAME [RUNS] PATH...      files, or folders of files; 0 edits unless RUNS is given; seed: CROPRING_TEST_SEED
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/seed.h"

enum { MOST_FILES = 4096, MOST_EDITS = 5, LONGEST_RUN = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

struct input {
	uint8_t *bytes; /* of exactly this size, for the sanitizers */
	size_t byte_count;
};

static struct input seeds[MOST_FILES];
static size_t seed_count;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "replay: %s\n", what);
	exit(2);
}

static struct input make_input(const uint8_t *bytes, size_t byte_count)
{
	struct input input = {malloc(byte_count ? byte_count : 1), byte_count};

	if (!input.bytes)
		give_up("no memory");
	memcpy(input.bytes, bytes, byte_count);
	return input;
}

static void take_file(const char *path)
{
	static uint8_t buffer[1 << 20];
	FILE *file = fopen(path, "rb");

	if (!file || seed_count == MOST_FILES)
		give_up(path);
	seeds[seed_count++] = make_input(buffer, fread(buffer, 1, sizeof buffer, file));
	fclose(file);
}

static int is_not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* In the order of their names, so that a seed of edits means the same everywhere. */
static void take(const char *path)
{
	struct dirent **entries;
	int entry_count = scandir(path, &entries, is_not_hidden, alphasort);
	char name[4096];

	if (entry_count < 0) {
		take_file(path);
		return;
	}
	for (int i = 0; i < entry_count; i++) {
		snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
		take_file(name);
		free(entries[i]);
	}
	free(entries);
}

/* Half of the edits are near the begin, where headers are. */
static size_t random_place(const struct input *input, uint64_t *random)
{
	size_t limit = seed_next(random) % 2 && input->byte_count > 100 ? 100 : input->byte_count;

	return (size_t)(seed_next(random) % limit);
}

static void edit(struct input *input, uint64_t *random)
{
	static const uint8_t telling[] = {0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xc0, 0xd9, 0xda, 0xfe, 0xff};
	const struct input *other = &seeds[seed_next(random) % seed_count];
	size_t at, run_bytes = (size_t)seed_between(random, 1, LONGEST_RUN);

	if (input->byte_count == 0)
		return;
	at = random_place(input, random);
	if (run_bytes > input->byte_count - at)
		run_bytes = input->byte_count - at;
	switch (seed_next(random) % 8) {
	case 0:
	case 1:
		input->bytes[at] ^= (uint8_t)(1u << seed_next(random) % 8);
		break;
	case 2:
		input->bytes[at] = (uint8_t)seed_next(random);
		break;
	case 3:
		input->bytes[at] = telling[seed_next(random) % sizeof telling];
		break;
	case 4: /* as large as a number can be, or negative */
		memset(input->bytes + at, seed_next(random) % 2 ? 0xff : 0, run_bytes < 4 ? run_bytes : 4);
		break;
	case 5: /* a piece of another file */
		if (run_bytes < other->byte_count)
			memcpy(input->bytes + at, other->bytes + seed_next(random) % (other->byte_count - run_bytes), run_bytes);
		break;
	case 6: /* a piece is missing */
		memmove(input->bytes + at, input->bytes + at + run_bytes, input->byte_count - at - run_bytes);
		input->byte_count -= run_bytes;
		break;
	default: /* what chooses the region */
		input->bytes[input->byte_count - 1 - seed_next(random) % (input->byte_count < 5 ? input->byte_count : 5)] =
			(uint8_t)seed_next(random);
		break;
	}
	if (seed_next(random) % 16 == 0)
		input->byte_count = (size_t)(seed_next(random) % (input->byte_count + 1));
}

static void run_edited(uint64_t *random)
{
	const struct input *seed = &seeds[seed_next(random) % seed_count];
	struct input edited = make_input(seed->bytes, seed->byte_count), input;
	uint64_t edits = seed_between(random, 1, MOST_EDITS);

	while (edits-- > 0)
		edit(&edited, random);
	input = make_input(edited.bytes, edited.byte_count);
	LLVMFuzzerTestOneInput(input.bytes, input.byte_count);
	free(edited.bytes);
	free(input.bytes);
}

int main(int argc, char **argv)
{
	uint64_t random = seed_of_test(argv[0]), run_count = 0;
	char *rest;
	int i = 1;

	if (argc > 1) {
		run_count = strtoull(argv[1], &rest, 10);
		if (*rest == '\0')
			i++;
		else
			run_count = 0;
	}
	for (; i < argc; i++)
		take(argv[i]);
	if (seed_count == 0)
		give_up("usage: fuzz_NAME [RUNS] PATH...");
	for (size_t k = 0; k < seed_count; k++)
		LLVMFuzzerTestOneInput(seeds[k].bytes, seeds[k].byte_count);
	for (uint64_t run = 0; run < run_count; run++)
		run_edited(&random);
	printf("%zu files and %llu edited ones, nothing found\n", seed_count, (unsigned long long)run_count);
	for (size_t k = 0; k < seed_count; k++)
		free(seeds[k].bytes);
	return 0;
}
