/*
 * floor.c - what a loader's work costs when nothing but the work is done: one thread, the files' bytes in memory, libjpeg-turbo's
 * partial decoding, our resampler.  bench/floor.py holds the whole loader against it.
 *
 *   floor PLAN      PLAN is text: "SAMPLES EPOCHS IMAGES BATCH SIZE", a line with the path of each sample, then for every image of
 *                   every epoch a line "SAMPLE X Y WIDTH HEIGHT FLIPPED".
 *
 * Reads commands from stdin: "time EPOCH" makes an epoch and answers "CPU_NS DECODE_NS SHAPE_NS"; "pixels EPOCH" answers with its
 * pixels, batch after batch.  The decoding is a loop of its own, not the loader's: it trusts its files, and dies of bad ones.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include "base/clock.h"
#include "loader/pixels.h"
#include "loader/shape/resample.h"

enum { CHANNELS = 3 };

struct file {
	unsigned char *data;
	unsigned long byte_count;
};

struct job {
	uint32_t sample, flipped;
	struct box box;
};

struct floor {
	struct file *files;
	struct job *jobs; /* epoch after epoch */
	uint32_t sample_count, epoch_count, image_count, batch_size, size_px;

	struct jpeg_decompress_struct codec; /* one for all images: its memory pools are made once */
	struct jpeg_error_mgr errors;
	uint8_t *rows; /* what libjpeg writes: the wanted rows, with some columns too many */
	size_t rows_capacity_bytes;
	struct resampler *resampler;
	uint8_t *batch;
	uint64_t decode_ns, shape_ns;
};

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *allocate(size_t count, size_t item_bytes)
{
	void *memory = calloc(count, item_bytes);

	if (!memory)
		die("floor: memory");
	return memory;
}

static struct file read_file(const char *path)
{
	FILE *stream = fopen(path, "rb");
	struct file file;
	long byte_count;

	if (!stream || fseek(stream, 0, SEEK_END) < 0 || (byte_count = ftell(stream)) < 0)
		die(path);
	rewind(stream);
	file.byte_count = (unsigned long)byte_count;
	file.data = allocate(file.byte_count + 1, 1);
	if (fread(file.data, 1, file.byte_count, stream) != file.byte_count)
		die(path);
	fclose(stream);
	return file;
}

static void read_plan(struct floor *floor, const char *path)
{
	FILE *plan = fopen(path, "r");
	char sample_path[4096];

	if (!plan || fscanf(plan, "%" SCNu32 "%" SCNu32 "%" SCNu32 "%" SCNu32 "%" SCNu32 " ", &floor->sample_count,
	                    &floor->epoch_count, &floor->image_count, &floor->batch_size, &floor->size_px) != 5)
		die(path);
	floor->files = allocate(floor->sample_count, sizeof *floor->files);
	for (uint32_t i = 0; i < floor->sample_count; i++) {
		if (!fgets(sample_path, sizeof sample_path, plan))
			die(path);
		sample_path[strcspn(sample_path, "\n")] = '\0';
		floor->files[i] = read_file(sample_path);
	}
	floor->jobs = allocate((size_t)floor->epoch_count * floor->image_count, sizeof *floor->jobs);
	for (size_t i = 0; i < (size_t)floor->epoch_count * floor->image_count; i++) {
		struct job *job = &floor->jobs[i];

		if (fscanf(plan, "%" SCNu32 "%" SCNd32 "%" SCNd32 "%" SCNd32 "%" SCNd32 "%" SCNu32, &job->sample, &job->box.x,
		           &job->box.y, &job->box.width, &job->box.height, &job->flipped) != 6 ||
		    job->sample >= floor->sample_count)
			die(path);
	}
	fclose(plan);
}

/*
 * Rows above the box are entropy-decoded and no more, those below are not looked at, columns that share no block with the box are
 * not transformed.  Where colour is subsampled, libjpeg-turbo takes the edge of what it decodes for the edge of the picture: one
 * column more on each side keeps that away from the box.
 */
static struct pixels decode(struct floor *floor, const struct file *file, const struct box *box)
{
	struct jpeg_decompress_struct *codec = &floor->codec;
	struct pixels pixels = {.width_px = (uint32_t)box->width, .height_px = (uint32_t)box->height, .channels = CHANNELS};
	JDIMENSION left = (JDIMENSION)(box->x > 0 ? box->x - 1 : 0), right = (JDIMENSION)(box->x + box->width + 1), width;

	jpeg_mem_src(codec, file->data, file->byte_count);
	jpeg_read_header(codec, TRUE);
	codec->out_color_space = JCS_RGB;
	jpeg_start_decompress(codec);
	width = (right < codec->output_width ? right : codec->output_width) - left;
	jpeg_crop_scanline(codec, &left, &width);

	pixels.stride_bytes = ((size_t)width * CHANNELS + 31) / 32 * 32; /* 0.6 % of all the time */
	if (pixels.stride_bytes * pixels.height_px > floor->rows_capacity_bytes) {
		free(floor->rows);
		floor->rows_capacity_bytes = pixels.stride_bytes * pixels.height_px;
		floor->rows = allocate(floor->rows_capacity_bytes, 1);
	}
	pixels.data = floor->rows + ((size_t)box->x - left) * CHANNELS;

	if (box->y > 0)
		jpeg_skip_scanlines(codec, (JDIMENSION)box->y);
	for (uint32_t row = 0; row < pixels.height_px;) {
		JSAMPROW rows[16];
		uint32_t count = 0;

		for (; count < 16 && row + count < pixels.height_px; count++)
			rows[count] = floor->rows + (row + count) * pixels.stride_bytes;
		row += jpeg_read_scanlines(codec, rows, count);
	}
	if (codec->err->num_warnings > 0)
		die("floor: libjpeg warns");
	jpeg_abort_decompress(codec);
	return pixels;
}

static void shape(struct floor *floor, const struct job *job, const struct pixels *pixels, uint8_t *image)
{
	uint32_t width = pixels->width_px, height = pixels->height_px, size = floor->size_px;
	const struct resample_axis x = {.in_px = width, .in1 = width, .virtual_px = size, .out_px = size};
	const struct resample_axis y = {.in_px = height, .in1 = height, .virtual_px = size, .out_px = size};

	if (resampler_run(floor->resampler, RESAMPLE_BILINEAR, &x, &y, pixels, 0, 0, job->flipped, image, (size_t)size * CHANNELS) <
	    0)
		die("floor: resampler");
}

static void make_epoch(struct floor *floor, uint32_t epoch, FILE *pixels_to)
{
	size_t image_bytes = (size_t)floor->size_px * floor->size_px * CHANNELS;
	const struct job *job = &floor->jobs[(size_t)epoch * floor->image_count];

	floor->decode_ns = floor->shape_ns = 0;
	for (uint32_t begin = 0; begin < floor->image_count; begin += floor->batch_size) {
		uint32_t rest = floor->image_count - begin, rows = rest < floor->batch_size ? rest : floor->batch_size;

		for (uint32_t row = 0; row < rows; row++, job++) {
			uint64_t begin_ns = clock_thread_cpu_ns(), decoded_ns;
			struct pixels pixels = decode(floor, &floor->files[job->sample], &job->box);

			decoded_ns = clock_thread_cpu_ns();
			shape(floor, job, &pixels, floor->batch + row * image_bytes);
			floor->decode_ns += decoded_ns - begin_ns;
			floor->shape_ns += clock_thread_cpu_ns() - decoded_ns;
		}
		if (pixels_to && fwrite(floor->batch, image_bytes, rows, pixels_to) != rows)
			die("floor: stdout");
	}
}

static int obey(struct floor *floor, const char *command)
{
	uint64_t begin_ns = clock_thread_cpu_ns();
	uint32_t epoch;

	if (sscanf(command, "time %" SCNu32, &epoch) == 1 && epoch < floor->epoch_count) {
		make_epoch(floor, epoch, NULL);
		printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", clock_thread_cpu_ns() - begin_ns, floor->decode_ns,
		       floor->shape_ns);
	} else if (sscanf(command, "pixels %" SCNu32, &epoch) == 1 && epoch < floor->epoch_count) {
		make_epoch(floor, epoch, stdout);
	} else {
		fprintf(stderr, "floor: what is \"%s\"?\n", command);
		return 1;
	}
	fflush(stdout);
	return 0;
}

int main(int argument_count, char **arguments)
{
	static struct floor floor;
	size_t image_bytes;
	char command[64];
	int status = 0;

	if (argument_count != 2) {
		fprintf(stderr, "usage: %s PLAN <COMMANDS\n", arguments[0]);
		return 2;
	}
	read_plan(&floor, arguments[1]);
	image_bytes = (size_t)floor.size_px * floor.size_px * CHANNELS;
	floor.codec.err = jpeg_std_error(&floor.errors);
	jpeg_create_decompress(&floor.codec);
	floor.resampler = resampler_open(simd_best());
	if (!floor.resampler)
		die("floor: resampler");
	floor.batch = allocate(floor.batch_size, image_bytes);

	while (status == 0 && fgets(command, sizeof command, stdin))
		status = obey(&floor, command);
	return status;
}
