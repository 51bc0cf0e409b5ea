/*
 * crops.c - crops of a picture on request, as a loader would make them: the file is fetched anew for every crop, the crop decoded
 * and resized.  One thread decodes; bench/crops.py holds it beside what other libraries do with the same files and boxes.
 *
 *   crops FILE CHANNELS exact|fast BOXES
 *       FILE is a picture, or a pack (NAME.pack) of one picture.  BOXES is text: "BATCHES CROPS SIZE", then for every crop of every
 *       batch a line "X Y WIDTH HEIGHT".
 *
 * Reads commands from stdin: "time BATCH" makes a batch and answers with the nanoseconds of CPU time that the whole process used
 * for it, and those of wall time; "pixels BATCH" answers with its pixels.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "loader/decode/decode.h"
#include "loader/decode/jpeg_index.h"
#include "loader/fetch/fetch.h"
#include "loader/plan/dataset.h"
#include "loader/shape/resample.h"

struct crops {
	const char *path;
	uint32_t channels;
	bool fast;
	uint32_t batch_count, crop_count, size_px;
	struct box *boxes; /* batch after batch */

	struct dataset *pack; /* NULL: FILE is the picture itself */
	struct fetch *fetch;
	struct decode_limits limits; /* and where decoders remember indexes of JPEGs */
	struct decoder *decoder;
	struct resampler *resampler;
	uint8_t *batch;
};

/* What of a picture is decoded for a box, and how it becomes the output. */
struct cut {
	struct decode_want want;
	struct resample_axis x, y;
	uint32_t left, top; /* where the decoded region begins on the axes */
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "crops: %s: %s\n", what, why);
	exit(1);
}

static void *allocate(size_t count, size_t item_bytes)
{
	void *memory = calloc(count, item_bytes);

	if (!memory)
		die("memory", "there is none");
	return memory;
}

static void open_pack(struct crops *crops)
{
	const char *ending = strrchr(crops->path, '.');
	struct err err = {{0}};

	if (!ending || strcmp(ending, ".pack") != 0)
		return;
	if (dataset_open(&crops->pack, &(struct dataset_spec){.source = crops->path, .threads = 1}, &err) < 0)
		die(crops->path, err.text);
	if (dataset_sample_count(crops->pack) != 1)
		die(crops->path, "a pack of one picture is expected");
}

static void read_boxes(struct crops *crops, const char *path)
{
	FILE *boxes = fopen(path, "r");
	size_t count;

	if (!boxes ||
	    fscanf(boxes, "%" SCNu32 "%" SCNu32 "%" SCNu32, &crops->batch_count, &crops->crop_count, &crops->size_px) != 3)
		die(path, "no boxes");
	count = (size_t)crops->batch_count * crops->crop_count;
	crops->boxes = allocate(count, sizeof *crops->boxes);
	for (struct box *box = crops->boxes; box < crops->boxes + count; box++) {
		if (fscanf(boxes, "%" SCNd32 "%" SCNd32 "%" SCNd32 "%" SCNd32, &box->x, &box->y, &box->width, &box->height) != 4)
			die(path, "boxes are missing");
	}
	fclose(boxes);
}

/* fast: the largest reduction that leaves the box at least as large as the output (render.c has the same rule). */
static uint32_t choose_scale_eighths(const struct crops *crops, const struct image_info *info, const struct box *box)
{
	uint32_t least_px = (uint32_t)(box->width < box->height ? box->width : box->height), eighths = 8;

	if (!crops->fast || info->format != IMAGE_JPEG)
		return 8;
	while (eighths > 1 && (uint64_t)least_px * (eighths / 2) >= (uint64_t)crops->size_px * 8)
		eighths /= 2;
	return eighths;
}

/* The box on one axis: alone when nothing is reduced, else a fractional part of the reduced picture, of which *begin on is read. */
static struct resample_axis make_axis(uint32_t begin_px, uint32_t box_px, uint32_t full_px, uint32_t eighths, uint32_t size_px,
                                      uint32_t *begin, uint32_t *end)
{
	struct resample_axis axis = {.in_px = box_px, .in1 = box_px, .virtual_px = size_px, .out_px = size_px};

	if (eighths < 8) {
		axis.in_px = decode_scaled_px(full_px, eighths);
		axis.in0 = begin_px * (eighths / 8.0);
		axis.in1 = (begin_px + box_px) * (eighths / 8.0);
	}
	resample_extent(RESAMPLE_BILINEAR, &axis, begin, end);
	return axis;
}

static void choose_cut(const struct crops *crops, const struct image_info *info, const struct box *box, struct cut *cut)
{
	uint32_t eighths = choose_scale_eighths(crops, info, box), right, bottom;
	int32_t origin_x = eighths == 8 ? box->x : 0, origin_y = eighths == 8 ? box->y : 0;

	cut->x = make_axis((uint32_t)box->x, (uint32_t)box->width, info->width_px, eighths, crops->size_px, &cut->left, &right);
	cut->y = make_axis((uint32_t)box->y, (uint32_t)box->height, info->height_px, eighths, crops->size_px, &cut->top, &bottom);
	cut->want = (struct decode_want){
		.region = {.x = origin_x + (int32_t)cut->left,
	                   .y = origin_y + (int32_t)cut->top,
	                   .width = (int32_t)(right - cut->left),
	                   .height = (int32_t)(bottom - cut->top)},
		.channels = crops->channels,
		.scale_eighths = eighths,
	};
}

static void make_crop(struct crops *crops, const struct file_bytes *file, const struct box *box, uint8_t *out)
{
	struct image_info info;
	struct pixels pixels;
	struct cut cut;

	if (decode_probe(crops->decoder, file, &info) != ITEM_OK)
		die(crops->path, decoder_reason(crops->decoder));
	choose_cut(crops, &info, box, &cut);
	if (decode_region(crops->decoder, file, &info, &cut.want, &pixels) != ITEM_OK)
		die(crops->path, decoder_reason(crops->decoder));
	if (resampler_run(crops->resampler, RESAMPLE_BILINEAR, &cut.x, &cut.y, &pixels, cut.left, cut.top, false, out,
	                  (size_t)crops->size_px * crops->channels) < 0)
		die("memory", "there is none");
}

/* For fetch, as the loader has it (render_part()): the rows of the file that the box needs, where its format has such rows. */
static bool choose_part(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                        struct file_part *part, struct file_runs **runs)
{
	const struct file_bytes file = file_bytes_whole(head, head_bytes);
	const struct crops *crops = context;
	struct image_info info;
	struct cut cut;

	(void)stamp;
	(void)runs;
	if (!decode_part_probe(&file, &crops->limits, &info))
		return false;
	choose_cut(crops, &info, tag, &cut);
	return decode_part(&file, &info, &cut.want, part);
}

/* Where the picture lies, and, in a pack, what of it the box needs: *runs and the *segments that they are of, as fetcher.c has it. */
static struct fetch_job make_job(const struct crops *crops, struct box *box, struct segments *segments, struct file_runs **runs)
{
	struct fetch_job job = {.directory_fd = AT_FDCWD, .path = crops->path, .tag = box};
	struct dataset_file stored;
	struct image_info info;
	struct cut cut;

	if (!crops->pack)
		return job;
	dataset_image(crops->pack, 0, &stored);
	job.is_open = true;
	job.fd = stored.fd;
	job.offset = stored.offset;
	job.length = stored.length;
	if (dataset_segments(crops->pack, &stored, segments) && segments->kind != SEGMENT_NONE) {
		decode_describe(segments, &info);
		choose_cut(crops, &info, box, &cut);
		if (decode_runs(segments, &cut.want, runs))
			job.runs = *runs;
	}
	return job;
}

/*
 * One file after the other, so that what was read is decoded while it is in the processor's caches, as it is in the loader, whose threads
 * do both at once: with all files of a batch read first, crops of 16 MB BMPs take 1.7 times as much CPU time.
 */
static void make_batch(struct crops *crops, uint32_t batch)
{
	struct box *boxes = crops->boxes + (size_t)batch * crops->crop_count;
	size_t image_bytes = (size_t)crops->size_px * crops->size_px * crops->channels;

	for (uint32_t i = 0; i < crops->crop_count; i++) {
		struct file_runs *runs = NULL;
		struct segments segments;
		const struct fetch_job job = make_job(crops, &boxes[i], &segments, &runs);
		struct fetch_result result;
		struct file_bytes file;

		if (fetch_submit(crops->fetch, &job) < 0)
			die(crops->path, "cannot be fetched");
		if (fetch_collect(crops->fetch, -1, &result) < 0 || result.status != ITEM_OK)
			die(crops->path, "cannot be read");
		if (runs)
			file = file_bytes_in_runs(result.buffer->data, runs, &segments);
		else
			file = file_bytes_with_part(result.buffer->data, result.buffer->byte_count, result.buffer->head_bytes,
			                            &result.buffer->part);
		file.id = 0; /* one file, whatever the decoder wants to remember of it */
		make_crop(crops, &file, &boxes[i], crops->batch + i * image_bytes);
		fetch_return(crops->fetch, result.buffer);
		free(runs);
	}
}

static uint64_t process_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int obey(struct crops *crops, const char *command)
{
	uint64_t begin_ns = clock_now_ns(), begin_cpu_ns = process_cpu_ns(), cpu_ns;
	uint32_t batch;

	if (sscanf(command, "time %" SCNu32, &batch) == 1 && batch < crops->batch_count) {
		make_batch(crops, batch);
		cpu_ns = process_cpu_ns() - begin_cpu_ns;
		printf("%" PRIu64 " %" PRIu64 "\n", cpu_ns, clock_now_ns() - begin_ns);
	} else if (sscanf(command, "pixels %" SCNu32, &batch) == 1 && batch < crops->batch_count) {
		make_batch(crops, batch);
		fwrite(crops->batch, (size_t)crops->size_px * crops->size_px * crops->channels, crops->crop_count, stdout);
	} else {
		fprintf(stderr, "crops: what is \"%s\"?\n", command);
		return 1;
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

int main(int argument_count, char **arguments)
{
	struct crops crops = {0};
	struct err err = {{0}};
	char command[64];
	int status = 0;

	if (argument_count != 5) {
		fprintf(stderr, "usage: %s FILE CHANNELS exact|fast BOXES <COMMANDS\n", arguments[0]);
		return 2;
	}
	crops.path = arguments[1];
	crops.channels = (uint32_t)strtoul(arguments[2], NULL, 10);
	crops.fast = strcmp(arguments[3], "fast") == 0;
	open_pack(&crops);
	read_boxes(&crops, arguments[4]);
	if (fetch_open(&crops.fetch,
	               &(struct fetch_config){.depth = 1,
	                                      .max_file_bytes = 1u << 28,
	                                      .timeout_ms = 30000,
	                                      .choose_part = choose_part,
	                                      .context = &crops},
	               &err) < 0)
		die("fetch", err.text);
	crops.limits.max_pixels = 1u << 28;
	crops.limits.jpeg_indexes = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, JPEG_LEAST_GAIN_BYTES); /* NULL does too */
	crops.decoder = decoder_open(&crops.limits);
	crops.resampler = resampler_open(simd_best());
	crops.batch = allocate(crops.crop_count, (size_t)crops.size_px * crops.size_px * crops.channels);
	if (!crops.decoder || !crops.resampler)
		die("memory", "there is none");

	while (status == 0 && fgets(command, sizeof command, stdin))
		status = obey(&crops, command);
	fetch_close(crops.fetch);
	decoder_close(crops.decoder);
	jpeg_index_store_close(crops.limits.jpeg_indexes);
	resampler_close(crops.resampler);
	dataset_close(crops.pack);
	free(crops.boxes);
	free(crops.batch);
	return status;
}
