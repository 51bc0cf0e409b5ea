/*
 * resample_timer.c - resizes pictures as the worker does, and tells what it took; bench/resample.py has Pillow do the same.
 *
 *   resample_timer PIXELS OUT
 *
 * First prints the highest level that this processor has.
 * PIXELS: a file of 8-bit pictures, rows and pictures tightly one after another.  OUT: where the results go.  Standard input has a job
 * per line: LEVEL FILTER CHANNELS OUT_WIDTH OUT_HEIGHT DTYPE MIRRORED ROUNDS COUNT and then COUNT times WIDTH HEIGHT.  Levels, filters
 * and dtypes are the numbers of enum simd_level, resample_filter and convert_dtype; floats are normalised planes.  Each job resizes all
 * pictures ROUNDS times, writes the last results to OUT and prints the CPU time in nanoseconds per picture.
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

/* Like shape_cut() of the worker: bytes straight into their place, other values by way of `resampled`. */
static int shape(const struct job *job, struct resampler *resampler, const struct converter *converter, const struct pixels *picture,
                 uint8_t *resampled, uint8_t *out)
{
	struct resample_axis x = whole_axis(picture->width_px, job->out_width_px);
	struct resample_axis y = whole_axis(picture->height_px, job->out_height_px);
	bool straight = converter_is_identity(converter);
	int rc = resampler_run(resampler, (enum resample_filter)job->filter, &x, &y, picture, 0, 0, job->mirrored,
	                       straight ? out : resampled, (size_t)job->out_width_px * job->channels);

	if (rc == 0 && !straight)
		converter_run(converter, resampled, out);
	return rc;
}

static int run(const struct job *job, uint8_t *pixels, size_t pixels_bytes, const char *out_path)
{
	struct convert_spec spec = {.dtype = (enum convert_dtype)job->dtype,
	                            .layout = job->dtype == CONVERT_UINT8 ? CONVERT_NHWC : CONVERT_NCHW,
	                            .width_px = job->out_width_px,
	                            .height_px = job->out_height_px,
	                            .channels = job->channels,
	                            .normalise = true,
	                            .mean = {0.485f, 0.456f, 0.406f},
	                            .std = {0.229f, 0.224f, 0.225f}};
	size_t out_bytes = (size_t)spec.width_px * spec.height_px * spec.channels * convert_dtype_bytes(spec.dtype);
	struct resampler *resampler = resampler_open((enum simd_level)job->level);
	uint8_t *out = aligned_alloc(4096, (out_bytes * job->count + 4095) / 4096 * 4096), *resampled = malloc(out_bytes);
	static struct converter converter;
	uint64_t begin_ns;
	int rc = -1, fd;

	if (!resampler || !out || !resampled)
		return -1;
	converter_init(&converter, &spec, (enum simd_level)job->level);
	memset(out, 0, out_bytes * job->count); /* touched before the clock runs, as slots are */
	begin_ns = clock_thread_cpu_ns();
	for (unsigned round = 0; round < job->rounds; round++) {
		size_t at = 0;

		for (unsigned i = 0; i < job->count; i++) {
			struct pixels picture = {.data = pixels + at,
			                         .stride_bytes = (size_t)job->sizes[i][0] * job->channels,
			                         .width_px = job->sizes[i][0],
			                         .height_px = job->sizes[i][1],
			                         .channels = job->channels};

			at += picture.stride_bytes * picture.height_px;
			if (at > pixels_bytes || shape(job, resampler, &converter, &picture, resampled, out + i * out_bytes) < 0)
				return -1;
		}
	}
	printf("%" PRIu64 "\n", (clock_thread_cpu_ns() - begin_ns) / job->rounds / job->count);
	fd = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0 && write(fd, out, out_bytes * job->count) == (ssize_t)(out_bytes * job->count))
		rc = 0;
	if (fd >= 0)
		close(fd);
	resampler_close(resampler);
	free(out);
	free(resampled);
	return rc;
}

int main(int argument_count, char **arguments)
{
	static struct job job;
	struct stat status;
	uint8_t *pixels;
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
	/* private and writable, because struct pixels is: nobody writes */
	pixels = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, fd, 0);
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
