/*
 * fetch_loop.c - what bench/fetch.py measures with: our fetch, and the loops that it is measured by, over the same files in turn.
 *
 * fetch_loop warm|cold ROUNDS [--runs COUNT,BYTES,GAP] SIDE... < PATHS    (relative to the working directory, one per line)
 * With --runs the first of the paths is a pack of IMAGES images, of each of which so many runs are read, from the file that is open.
 * Prints "side,round,files,bytes,wall_s,cpu_s" for each round of each side; the CPU time is that of the whole process, with the
 * kernel's worker threads.  cold: the page cache of the machine is dropped before each round, for which it takes root.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loader/fetch/fetch.h"

enum { PATHS_MAX = 100000, DEPTH = 64, AHEAD = 64, THREADS = 16, BUFFER_BYTES = 64 << 20, IMAGES = 500, RUNS_MAX = 1000 };

static char *paths[PATHS_MAX];
static size_t path_count;
static bool cold;

static struct file_runs *pack_runs; /* NULL: whole files */
static uint64_t image_bytes;        /* from the first to the last of them */
static int pack_fd;
static uint64_t pack_bytes;

static void fail(const char *what)
{
	fprintf(stderr, "fetch_loop: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void read_paths(void)
{
	char *line = NULL;
	size_t capacity_bytes = 0;

	while (path_count < PATHS_MAX && getline(&line, &capacity_bytes, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		paths[path_count++] = strdup(line);
	}
	free(line);
}

static double seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ the loops */

static int open_path(size_t index)
{
	int fd = open(paths[index], O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(paths[index]);
	return fd;
}

/* Reads to the end and closes. */
static size_t read_all(int fd, uint8_t *buffer)
{
	size_t byte_count = 0;
	ssize_t got_bytes;

	while ((got_bytes = read(fd, buffer + byte_count, BUFFER_BYTES - byte_count)) > 0)
		byte_count += (size_t)got_bytes;
	if (got_bytes < 0)
		fail("read");
	close(fd);
	return byte_count;
}

/* --runs COUNT,BYTES,GAP */
static void set_runs(const char *text)
{
	unsigned count, run_bytes, gap_bytes;

	if (sscanf(text, "%u,%u,%u", &count, &run_bytes, &gap_bytes) != 3 || count < 1 || count > RUNS_MAX) {
		fprintf(stderr, "fetch_loop: %s are no runs\n", text);
		exit(2);
	}
	pack_runs = malloc(sizeof *pack_runs + count * sizeof *pack_runs->run);
	if (!pack_runs)
		fail("malloc");
	*pack_runs = (struct file_runs){.count = count, .total_bytes = (uint64_t)count * run_bytes};
	for (uint32_t i = 0; i < count; i++)
		pack_runs->run[i] = (struct file_run){.offset = (uint64_t)i * (run_bytes + gap_bytes), .byte_count = run_bytes};
	image_bytes = pack_runs->run[count - 1].offset + run_bytes;
}

static void open_pack(void)
{
	pack_fd = open(paths[0], O_RDONLY | O_CLOEXEC);
	if (pack_fd < 0)
		fail(paths[0]);
	pack_bytes = (uint64_t)lseek(pack_fd, 0, SEEK_END);
	path_count = IMAGES;
}

/* Where an image begins; neighbours in order are none on the disk. */
static uint64_t image_offset(size_t index)
{
	return (pack_bytes - image_bytes) / IMAGES * (index * 211 % IMAGES);
}

static uint8_t *new_buffer(void)
{
	uint8_t *buffer = malloc(BUFFER_BYTES);

	if (!buffer)
		fail("malloc");
	return buffer;
}

static size_t run_plain_runs(uint8_t *buffer)
{
	for (size_t i = 0; i < path_count; i++) {
		uint8_t *at = buffer;

		for (uint32_t k = 0; k < pack_runs->count; at += pack_runs->run[k++].byte_count)
			if (pread(pack_fd, at, pack_runs->run[k].byte_count, (off_t)(image_offset(i) + pack_runs->run[k].offset)) <
			    0)
				fail("pread");
	}
	return path_count * pack_runs->total_bytes;
}

static size_t run_plain(uint8_t *buffer)
{
	size_t byte_count = 0;

	for (size_t i = 0; i < path_count; i++)
		byte_count += read_all(open_path(i), buffer);
	return byte_count;
}

/* Opens AHEAD files ahead and asks for them. */
static size_t run_ahead(uint8_t *buffer)
{
	int fds[AHEAD];
	size_t byte_count = 0;

	for (size_t i = 0; i < path_count + AHEAD; i++) {
		if (i >= AHEAD)
			byte_count += read_all(fds[i % AHEAD], buffer);
		if (i < path_count) {
			fds[i % AHEAD] = open_path(i);
			(void)posix_fadvise(fds[i % AHEAD], 0, 0, POSIX_FADV_WILLNEED);
		}
	}
	return byte_count;
}

static atomic_size_t next_path, threads_bytes;

static void *read_some(void *argument)
{
	uint8_t *buffer = new_buffer();
	size_t i;

	while ((i = atomic_fetch_add(&next_path, 1)) < path_count)
		atomic_fetch_add(&threads_bytes, read_all(open_path(i), buffer));
	free(buffer);
	return argument;
}

static size_t run_threads(void)
{
	pthread_t threads[THREADS];

	atomic_store(&next_path, 0);
	atomic_store(&threads_bytes, 0);
	for (size_t i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, read_some, NULL) != 0)
			fail("pthread_create");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return atomic_load(&threads_bytes);
}

/* ------------------------------------------------------------------ ours */

/* 880 of the 4000 columns of 880 of the 4000 rows of a gray picture: the crop of bench/crops.py at its largest. */
static bool choose_rows(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                        struct file_part *part, struct file_runs **runs)
{
	uint64_t number = (uintptr_t)tag * 2654435761u;

	(void)context;
	(void)head;
	(void)stamp;
	(void)runs;
	*part = (struct file_part){.offset = head_bytes + number % 3000 * 4000 + number / 4096 % 3000,
	                           .row_bytes = 880,
	                           .stride_bytes = 4000,
	                           .row_count = 880,
	                           .last_row_first = true};
	return true;
}

static struct fetch *open_fetch(enum fetch_backend backend, bool in_parts)
{
	struct fetch_config config = {.backend = backend,
	                              .depth = DEPTH,
	                              .max_file_bytes = BUFFER_BYTES,
	                              .timeout_ms = 60000,
	                              .open_fds = &pack_fd,
	                              .open_fd_count = pack_runs ? 1 : 0,
	                              .choose_part = in_parts ? choose_rows : NULL};
	struct fetch *fetch;
	struct err err;

	if (fetch_open(&fetch, &config, &err) != 0) {
		fprintf(stderr, "fetch_loop: %s\n", err.text);
		exit(1);
	}
	return fetch;
}

static size_t run_fetch(struct fetch *fetch)
{
	size_t submitted = 0, byte_count = 0;

	for (size_t collected = 0; collected < path_count; collected++) {
		struct fetch_result result;

		while (submitted < path_count && fetch_in_flight(fetch) < DEPTH) {
			struct fetch_job job = {.directory_fd = AT_FDCWD, .path = paths[submitted], .tag = (void *)submitted};

			if (pack_runs)
				job = (struct fetch_job){.path = "image",
				                         .is_open = true,
				                         .fd = pack_fd,
				                         .offset = image_offset(submitted),
				                         .length = image_bytes,
				                         .runs = pack_runs};
			if (fetch_submit(fetch, &job) != 0)
				fail("fetch_submit");
			submitted++;
		}
		if (fetch_collect(fetch, -1, &result) != 0 || result.status != ITEM_OK)
			fail("fetch_collect");
		byte_count += result.buffer->byte_count;
		fetch_return(fetch, result.buffer);
	}
	return byte_count;
}

/* ------------------------------------------------------------------ sides */

enum side { PLAIN, AHEAD_64, THREADS_16, URING, PREAD, URING_PART, PREAD_PART, SIDE_COUNT };

static const char *const side_names[SIDE_COUNT] = {"plain", "ahead64", "threads16", "uring", "pread", "uring-part", "pread-part"};

static void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	if (fd < 0 || write(fd, "3", 1) != 1)
		fail("/proc/sys/vm/drop_caches");
	close(fd);
}

static void measure(enum side side, int round, struct fetch *fetch, uint8_t *buffer)
{
	double wall_s, cpu_s;
	size_t byte_count;

	if (cold)
		drop_caches();
	wall_s = seconds(CLOCK_MONOTONIC);
	cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID);
	switch (side) {
	case PLAIN:
		byte_count = pack_runs ? run_plain_runs(buffer) : run_plain(buffer);
		break;
	case AHEAD_64:
		byte_count = run_ahead(buffer);
		break;
	case THREADS_16:
		byte_count = run_threads();
		break;
	default:
		byte_count = run_fetch(fetch);
		break;
	}
	cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
	wall_s = seconds(CLOCK_MONOTONIC) - wall_s;
	if (round >= 0) /* the first one warms up */
		printf("%s,%d,%zu,%zu,%.6f,%.6f\n", side_names[side], round, path_count, byte_count, wall_s, cpu_s);
}

static enum side side_called(const char *name)
{
	for (int side = 0; side < SIDE_COUNT; side++)
		if (strcmp(name, side_names[side]) == 0)
			return (enum side)side;
	fprintf(stderr, "fetch_loop: no side is called %s\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct fetch *fetches[SIDE_COUNT] = {NULL};
	uint8_t *buffer = new_buffer();
	int round_count, first_side = 3;

	if (argc < 4) {
		fprintf(stderr, "usage: fetch_loop warm|cold ROUNDS [--runs COUNT,BYTES,GAP] SIDE... < PATHS\n");
		return 2;
	}
	cold = strcmp(argv[1], "cold") == 0;
	round_count = atoi(argv[2]);
	read_paths();
	if (argc > 5 && strcmp(argv[3], "--runs") == 0) {
		set_runs(argv[4]);
		open_pack();
		first_side = 5;
	}
	fetches[URING] = open_fetch(FETCH_URING, false);
	fetches[PREAD] = open_fetch(FETCH_PREAD, false);
	fetches[URING_PART] = open_fetch(FETCH_URING, true);
	fetches[PREAD_PART] = open_fetch(FETCH_PREAD, true);
	for (int round = cold ? 0 : -1; round < round_count; round++)
		for (int i = first_side; i < argc; i++) { /* every second round runs backwards */
			enum side side = side_called(argv[round % 2 ? argc - 1 + first_side - i : i]);

			measure(side, round, fetches[side], buffer);
		}
	for (int side = 0; side < SIDE_COUNT; side++)
		fetch_close(fetches[side]);
	free(buffer);
	return 0;
}
