/*
 * resample_timer.c - resizes pictures as the worker does, and tells what it took; bench/resample.py has Pillow do the same.
 *
 *   resample_timer PIXELS OUT
 *
 * First prints the highest level that this processor has.
 * PIXELS: a file of 8-bit pictures, rows and pictures tightly one after another.  OUT: where the results go.  Standard input has a job
 * per line: LEVEL FILTER CHANNELS OUT_WIDTH OUT_HEIGHT DTYPE MIRRORED ROUNDS COUNT and then COUNT times WIDTH HEIGHT.  Levels, filters
 * and dtypes are the numbers of enum simd_level, resample_filter and convert_dtype; floats are normalised planes.  Each job resizes all
 * pictures ROUNDS times, writes the last results to OUT and prints the CPU time in nanoseconds per picture.  The clock stands while a
 * picture is copied to where the last one was: a decoder leaves its pixels in the caches too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/shape/convert.h"
#include "loader/shape/resample.h"

enum { MOST_PICTURES = 1000 };

struct job {
	unsigned level, filter, channels, out_width_px, out_height_px, dtype, mirrored, rounds, count;
	unsigned sizes[MOST_PICTURES][2];
};

static bool read_job(struct job *job)
{
	if (scanf("%u %u %u %u %u %u %u %u %u", &job->level, &job->filter, &job->channels, &job->out_width_px, &job->out_height_px,
	          &job->dtype, &job->mirrored, &job->rounds, &job->count) != 9)
		return false;
	if (job->level > (unsigned)simd_best() || job->filter > RESAMPLE_LANCZOS || job->dtype > CONVERT_FLOAT16 ||
	    (job->channels != 1 && job->channels != 3) || job->count > MOST_PICTURES)
		return false;
	for (unsigned i = 0; i < job->count; i++)
		if (scanf("%u %u", &job->sizes[i][0], &job->sizes[i][1]) != 2)
			return false;
	return true;
}

static struct resample_axis whole_axis(uint32_t in_px, uint32_t out_px)
{
	return (struct resample_axis){.in_px = in_px, .in1 = in_px, .virtual_px = out_px, .out_px = out_px};
}

struct bench {
	const struct job *job;
	struct resampler *resampler;
	struct converter converter;
	uint8_t *decoded, *resampled, *out;
	size_t out_bytes; /* of one result */
	uint64_t cpu_ns;
};

/* Like shape_cut() of the worker: bytes straight into their place, other values by way of `resampled`. */
static int shape(struct bench *bench, const struct pixels *picture, uint8_t *out)
{
	const struct job *job = bench->job;
	struct resample_axis x = whole_axis(picture->width_px, job->out_width_px);
	struct resample_axis y = whole_axis(picture->height_px, job->out_height_px);
	bool straight = converter_is_identity(&bench->converter);
	uint64_t begin_ns = clock_thread_cpu_ns();
	int rc = resampler_run(bench->resampler, (enum resample_filter)job->filter, &x, &y, picture, 0, 0, job->mirrored,
	                       straight ? out : bench->resampled, (size_t)job->out_width_px * job->channels);

	if (rc == 0 && !straight)
		converter_run(&bench->converter, bench->resampled, out);
	bench->cpu_ns += clock_thread_cpu_ns() - begin_ns;
	return rc;
}

static int shape_all(struct bench *bench, const uint8_t *pixels, size_t pixels_bytes)
{
	const struct job *job = bench->job;
	size_t at = 0;

	for (unsigned i = 0; i < job->count; i++) {
		struct pixels picture = {.data = bench->decoded,
		                         .stride_bytes = (size_t)job->sizes[i][0] * job->channels,
		                         .width_px = job->sizes[i][0],
		                         .height_px = job->sizes[i][1],
		                         .channels = job->channels};
		size_t bytes = picture.stride_bytes * picture.height_px;

		if (bytes > pixels_bytes - at)
			return -1;
		memcpy(bench->decoded, pixels + at, bytes);
		at += bytes;
		if (shape(bench, &picture, bench->out + i * bench->out_bytes) < 0)
			return -1;
	}
	return 0;
}

static int write_results(const struct bench *bench, const char *path)
{
	ssize_t bytes = (ssize_t)(bench->out_bytes * bench->job->count), written;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0)
		return -1;
	written = write(fd, bench->out, (size_t)bytes);
	close(fd);
	return written == bytes ? 0 : -1;
}

static int run(const struct job *job, const uint8_t *pixels, size_t pixels_bytes, const char *out_path)
{
	struct convert_spec spec = {.dtype = (enum convert_dtype)job->dtype,
	                            .layout = job->dtype == CONVERT_UINT8 ? CONVERT_NHWC : CONVERT_NCHW,
	                            .width_px = job->out_width_px,
	                            .height_px = job->out_height_px,
	                            .channels = job->channels,
	                            .normalise = true,
	                            .mean = {0.485f, 0.456f, 0.406f},
	                            .std = {0.229f, 0.224f, 0.225f}};
	static struct bench bench;
	size_t all_bytes;

	bench = (struct bench){.job = job, .resampler = resampler_open((enum simd_level)job->level)};
	bench.out_bytes = (size_t)spec.width_px * spec.height_px * spec.channels * convert_dtype_bytes(spec.dtype);
	all_bytes = (bench.out_bytes * job->count + 4095) / 4096 * 4096;
	bench.decoded = malloc(pixels_bytes);
	bench.resampled = malloc(bench.out_bytes);
	bench.out = aligned_alloc(4096, all_bytes);
	if (!bench.resampler || !bench.decoded || !bench.resampled || !bench.out)
		return -1;
	memset(bench.out, 0, all_bytes); /* slots are touched before they are used, too */
	converter_init(&bench.converter, &spec, (enum simd_level)job->level);
	for (unsigned round = 0; round < job->rounds; round++)
		if (shape_all(&bench, pixels, pixels_bytes) < 0)
			return -1;
	printf("%" PRIu64 "\n", bench.cpu_ns / job->rounds / job->count);
	if (write_results(&bench, out_path) < 0)
		return -1;
	resampler_close(bench.resampler);
	free(bench.decoded);
	free(bench.resampled);
	free(bench.out);
	return 0;
}

int main(int argument_count, char **arguments)
{
	static struct job job;
	struct stat status;
	const uint8_t *pixels;
	int fd;

	if (argument_count != 3) {
		fprintf(stderr, "usage: %s PIXELS OUT < JOBS\n", arguments[0]);
		return 2;
	}
	fd = open(arguments[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &status) < 0) {
		perror(arguments[1]);
		return 1;
	}
	pixels = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (pixels == MAP_FAILED) {
		perror(arguments[1]);
		return 1;
	}
	printf("%u\n", (unsigned)simd_best());
	fflush(stdout);
	while (read_job(&job)) {
		if (run(&job, pixels, (size_t)status.st_size, arguments[2]) < 0) {
			fprintf(stderr, "%s: no memory, too few pixels, or no place for the results\n", arguments[0]);
			return 1;
		}
		fflush(stdout);
	}
	return 0;
}
