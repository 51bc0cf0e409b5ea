/*
 * pack_speed.c - CPU time of packing pictures: taken apart and put together, and what verifying adds.  bench/pack_sizes.py shows it.
 *
 *   pack_speed ROUNDS FILE...      writes: pictures, bytes, ns of packing, ns of packing and verifying; the least of the rounds
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "loader/pack/pack_image.h"

struct picture {
	uint8_t *bytes;
	size_t byte_count;
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "pack_speed: %s: %s\n", what, why);
	exit(1);
}

static void read_file(const char *path, struct picture *picture)
{
	FILE *file = fopen(path, "rb");
	long length;

	if (!file || fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) <= 0)
		die(path, "cannot be read");
	rewind(file);
	picture->byte_count = (size_t)length;
	picture->bytes = malloc(picture->byte_count);
	if (!picture->bytes || fread(picture->bytes, 1, picture->byte_count, file) != picture->byte_count)
		die(path, "cannot be read");
	fclose(file);
}

static uint64_t pack_all(struct pack_worker *worker, const struct picture *pictures, int count, bool verify)
{
	uint64_t begin_ns = clock_thread_cpu_ns();

	for (int i = 0; i < count; i++) {
		struct packed_image packed;

		if (pack_image(worker, pictures[i].bytes, pictures[i].byte_count, verify, &packed) != 0 ||
		    packed.outcome == PACK_DIFFERENT)
			die("a picture", packed.reason);
		packed_image_close(&packed);
	}
	return clock_thread_cpu_ns() - begin_ns;
}

int main(int argc, char **argv)
{
	struct pack_rules rules = {.png_level = 6, .max_pixels = UINT64_MAX, .most_memory_bytes = (uint64_t)4 << 30};
	struct pack_worker *worker = pack_worker_open(&rules);
	struct picture *pictures = calloc((size_t)argc, sizeof *pictures);
	uint64_t best_ns[2] = {UINT64_MAX, UINT64_MAX}, total_bytes = 0;
	int count = argc - 2;

	if (argc < 3 || !worker || !pictures)
		die("usage", "pack_speed ROUNDS FILE...");
	for (int i = 0; i < count; i++) {
		read_file(argv[2 + i], &pictures[i]);
		total_bytes += pictures[i].byte_count;
	}
	for (long round = strtol(argv[1], NULL, 10); round > 0; round--) {
		for (int verify = 0; verify < 2; verify++) {
			uint64_t took_ns = pack_all(worker, pictures, count, verify);

			if (took_ns < best_ns[verify])
				best_ns[verify] = took_ns;
		}
	}
	printf("%d %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", count, total_bytes, best_ns[0], best_ns[1]);
	for (int i = 0; i < count; i++)
		free(pictures[i].bytes);
	free(pictures);
	pack_worker_close(worker);
	return 0;
}
