/*
 * latency.c - how long one request takes: a worker answers it, and beside it the same rows are decoded and resized right here.
 *
 *   latency CROPRING FILE [CALLS [ROWS [SCALE [THREADS]]]]
 *       CALLS requests (2000) of ROWS rows each (1), every row a window of SCALE (1: the whole picture) of FILE in 224x224 pixels; the
 *       worker decodes with THREADS threads (1).  The file is in the page cache.
 *
 * Both sides take turns, call by call.  Prints microseconds: wall time here (median) and CPU time (mean) of decode and resize alone, the
 * file's bytes being in memory; wall time from the request to the batch (median, and what 99 % stay below), CPU time of the worker and
 * of this process, the reader.
 */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/decode/jpeg_index.h"
#include "loader/plan/request.h"
#include "loader/run/render.h"
#include "shmring/shmring.h"

enum { SIDE_PX = 224 };

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "latency: %s: %s\n", what, why);
	exit(1);
}

static uint64_t cpu_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static double quantile_us(uint64_t *times_ns, uint32_t count, double share)
{
	qsort(times_ns, count, sizeof times_ns[0], compare);
	return (double)times_ns[(uint32_t)(share * (count - 1))] / 1e3;
}

static void *allocate(size_t count, size_t item_bytes)
{
	void *memory = calloc(count, item_bytes);

	if (!memory)
		die("memory", "there is none");
	return memory;
}

/* ------------------------------------------------------------------ the worker */

static struct shmring_reader *start_worker(const char *cropring, uint32_t rows, const char *threads, pid_t *worker)
{
	char reader_fd[32], batch_size[32], thread_count[32];
	struct shmring_reader *reader;
	struct err err;
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) < 0)
		die("socketpair", "refused");
	snprintf(reader_fd, sizeof reader_fd, "--reader-fd=%d", sockets[0]);
	snprintf(batch_size, sizeof batch_size, "--batch-size=%u", rows);
	snprintf(thread_count, sizeof thread_count, "--threads=%s", threads);
	*worker = fork();
	if (*worker == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sockets[1]);
		execl(cropring, cropring, "serve", reader_fd, batch_size, thread_count, "--requests=paths", "--hflip=0", "/",
		      (char *)NULL);
		_exit(127);
	}
	close(sockets[0]);
	if (shmring_attach_fd(&reader, sockets[1], NULL, &err) < 0)
		die(cropring, err.text);
	return reader;
}

static uint8_t *make_request(const char *path, uint32_t rows, float scale, size_t *byte_count)
{
	size_t rows_end = sizeof(struct request_header) + rows * sizeof(struct request_row);
	uint8_t *bytes;
	struct request_header *header;
	struct request_row *row;

	*byte_count = rows_end + strlen(path) + 1;
	bytes = allocate(1, *byte_count);
	header = (struct request_header *)(void *)bytes;
	*header = (struct request_header){.row_count = rows, .text_bytes = strlen(path) + 1};
	memcpy(header->magic, REQUEST_MAGIC, sizeof header->magic);
	row = (struct request_row *)(header + 1);
	for (uint32_t i = 0; i < rows; i++)
		row[i] = (struct request_row){.sample = i, .rule = CROP_WINDOW, .window = {0, 0, scale}};
	strcpy((char *)bytes + rows_end, path);
	return bytes;
}

static void call(struct shmring_reader *reader, const void *request, size_t byte_count, uint8_t *image, size_t image_bytes)
{
	struct shmring_lease lease;
	int rc = shmring_request(reader, request, byte_count);

	if (rc == 0)
		rc = shmring_acquire(reader, -1, &lease);
	if (rc < 0)
		die("request", strerror(-rc));
	memcpy(image, shmring_lease_data(reader, &lease, 0), image_bytes);
	shmring_release(reader, &lease);
}

/* ------------------------------------------------------------------ the same here */

static void render(struct renderer *renderer, const struct file_bytes *file, float scale, uint32_t rows, uint8_t *images,
                   size_t image_bytes)
{
	const struct crop_ask ask = {.rule = CROP_WINDOW, .window = {0, 0, scale}};
	int32_t box[4], source_size[2];
	uint8_t flipped;
	struct render_times times;

	for (uint32_t i = 0; i < rows; i++) {
		const struct render_row row = {
			.image = images + i * image_bytes, .box = box, .source_size = source_size, .flipped = &flipped};

		if (renderer_run(renderer, file, &ask, &row, &times) != ITEM_OK)
			die("decode", renderer_reason(renderer));
	}
}

static struct file_bytes read_file(const char *path)
{
	FILE *stream = fopen(path, "rb");
	struct file_bytes file;
	uint8_t *data;
	long byte_count;

	if (!stream || fseek(stream, 0, SEEK_END) < 0 || (byte_count = ftell(stream)) <= 0)
		die(path, "cannot be read");
	data = allocate(1, (size_t)byte_count);
	rewind(stream);
	if (fread(data, 1, (size_t)byte_count, stream) != (size_t)byte_count)
		die(path, "cannot be read");
	fclose(stream);
	file = file_bytes_whole(data, (size_t)byte_count);
	file.id = 1;
	return file;
}

int main(int argc, char **argv)
{
	const struct options options = {.width_px = SIDE_PX,
	                                .height_px = SIDE_PX,
	                                .channels = 3,
	                                .resample = RESAMPLE_BILINEAR,
	                                .max_pixels = 1 << 28,
	                                .max_img_percent = 1,
	                                .item_timeout_ms = 30000,
	                                .std = {1, 1, 1}};
	uint32_t calls = argc > 3 ? (uint32_t)atoi(argv[3]) : 2000, rows = argc > 4 ? (uint32_t)atoi(argv[4]) : 1;
	float scale = argc > 5 ? (float)atof(argv[5]) : 1;
	uint64_t *here_ns, *there_ns, here_cpu_ns = 0, own_cpu_ns = 0, worker_cpu_ns;
	uint8_t *here, *there, *request;
	struct shmring_reader *reader;
	struct render_spec spec;
	struct renderer *renderer;
	size_t request_bytes;
	struct file_bytes file;
	char path[PATH_MAX];
	clockid_t worker_clock;
	pid_t worker;

	if (argc < 3 || !realpath(argv[2], path) || calls < 1 || rows < 1)
		die("usage", "latency CROPRING FILE [CALLS [ROWS [SCALE [THREADS]]]]");
	reader = start_worker(argv[1], rows, argc > 6 ? argv[6] : "1", &worker);
	if (clock_getcpuclockid(worker, &worker_clock) != 0)
		die("worker", "has no clock");
	render_spec_init(&spec, &options);
	spec.jpeg_indexes = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, JPEG_LEAST_GAIN_BYTES);
	renderer = renderer_open(&spec);
	file = read_file(path);
	request = make_request(path, rows, scale, &request_bytes);
	here_ns = allocate(calls, sizeof *here_ns);
	there_ns = allocate(calls, sizeof *there_ns);
	here = allocate(rows, spec.image_bytes);
	there = allocate(rows, spec.image_bytes);
	for (int i = 0; i < 20; i++) { /* warm */
		call(reader, request, request_bytes, there, rows * spec.image_bytes);
		render(renderer, &file, scale, rows, here, spec.image_bytes);
	}
	if (memcmp(here, there, rows * spec.image_bytes) != 0)
		die(path, "the worker's pixels are others than those made here");
	worker_cpu_ns = cpu_ns(worker_clock);
	for (uint32_t i = 0; i < calls; i++) {
		uint64_t begin_ns = clock_now_ns(), begin_cpu_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID), middle_ns, middle_cpu_ns;

		call(reader, request, request_bytes, there, 0);
		middle_ns = clock_now_ns();
		middle_cpu_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
		render(renderer, &file, scale, rows, here, spec.image_bytes);
		there_ns[i] = middle_ns - begin_ns;
		here_ns[i] = clock_now_ns() - middle_ns;
		own_cpu_ns += middle_cpu_ns - begin_cpu_ns;
		here_cpu_ns += cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - middle_cpu_ns;
	}
	worker_cpu_ns = cpu_ns(worker_clock) - worker_cpu_ns;
	printf("%.1f %.1f %.1f %.1f %.1f %.1f\n", quantile_us(here_ns, calls, 0.5), (double)here_cpu_ns / calls / 1e3,
	       quantile_us(there_ns, calls, 0.5), quantile_us(there_ns, calls, 0.99), (double)worker_cpu_ns / calls / 1e3,
	       (double)own_cpu_ns / calls / 1e3);
	shmring_detach(reader);
	(void)waitpid(worker, NULL, 0);
	return 0;
}
