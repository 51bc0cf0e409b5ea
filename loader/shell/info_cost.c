/* info_cost.c - part of `cropring info`: a picture in; what crops of it read and decode, as the loader does it, out.  Any thread. */
#include "loader/shell/info_cost.h"

#include <stdlib.h>

#include "loader/fetch/fetch.h"
#include "loader/run/cut.h"

const char *info_rule_name(enum info_rule rule)
{
	static const char *const names[] = {"random", "center", "random-resized"};

	return names[rule];
}

/* With the defaults of `cropring serve`. */
static struct crop_spec spec_of(const struct info_crops *crops, enum info_rule rule)
{
	static const enum crop_rule rules[] = {CROP_RANDOM, CROP_CENTER, CROP_RANDOM_RESIZED};
	uint32_t larger_px = crops->height_px > crops->width_px ? crops->height_px : crops->width_px;

	return (struct crop_spec){.rule = rules[rule],
	                          .out_width_px = crops->width_px,
	                          .out_height_px = crops->height_px,
	                          .scale_min = 0.08,
	                          .scale_max = 1,
	                          .ratio_min = 0.75,
	                          .ratio_max = 1.3333,
	                          .short_side_px = (larger_px * 8 + 3) / 7,
	                          .max_img_percent = 1,
	                          .seed = crops->seed};
}

/* ---------------------------------------------------------------- segments */

/* The first segment that does not begin before that byte of the file. */
static uint32_t first_segment_from(const struct segments *segments, uint64_t offset)
{
	uint32_t low = 0, high = segments->header.segment_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct file_run run;

		if (segment_table_run(segments, middle, middle + 1, &run) && run.offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* MCUs of a JPEG, rows of a PNG. */
static uint64_t unit_count(const struct segments *segments)
{
	const struct segment_table_header *header = &segments->header;

	if (segments->kind == SEGMENT_PNG)
		return segments->height_px;
	return ((uint64_t)segments->width_px + header->mcu_width_px - 1) / header->mcu_width_px *
	       (((uint64_t)segments->height_px + header->mcu_height_px - 1) / header->mcu_height_px);
}

static double share_in_runs(const struct segments *segments, const struct file_runs *runs)
{
	uint64_t all = unit_count(segments), units = 0, unit = segments->header.unit;

	for (uint32_t i = 0; i < runs->count; i++) {
		uint64_t begin = unit * first_segment_from(segments, runs->run[i].offset);
		uint64_t end = unit * first_segment_from(segments, runs->run[i].offset + runs->run[i].byte_count);

		units += (end < all ? end : all) - (begin < all ? begin : all);
	}
	return all ? (double)units / (double)all : 0;
}

/* ---------------------------------------------------------------- one crop */

struct crop_cost {
	uint64_t read_bytes;
	double decoded_share;
};

/* Of a BMP only the region is looked at, and of a large one only that is read.  False: it is no such file. */
static bool cost_of_part(const struct info_picture *picture, const struct decode_want *want, struct crop_cost *cost)
{
	struct file_bytes head = file_bytes_whole(picture->head, picture->head_bytes);
	struct file_part part;

	if (picture->info.format != IMAGE_BMP || !picture->head || !decode_part(&head, &picture->info, want, &part))
		return false;
	if (picture->file_bytes > FETCH_PART_MIN_BYTES)
		cost->read_bytes = picture->head_bytes + part.row_count * part.row_bytes;
	cost->decoded_share =
		(double)want->region.width * want->region.height / ((double)picture->info.width_px * picture->info.height_px);
	return true;
}

static struct crop_cost cost_of(const struct info_picture *picture, const struct decode_want *want)
{
	struct crop_cost cost = {.read_bytes = picture->file_bytes, .decoded_share = 1};
	struct file_runs *runs;

	if (picture->segments.kind != SEGMENT_NONE && decode_runs(&picture->segments, want, &runs)) {
		cost.read_bytes = runs->total_bytes;
		cost.decoded_share = share_in_runs(&picture->segments, runs);
		free(runs);
	} else if (!cost_of_part(picture, want, &cost) && !picture->in_one_piece) {
		/* Rows above the region are gone through, those below are not. */
		cost.decoded_share = (double)(want->region.y + want->region.height) / picture->info.height_px;
	}
	return cost;
}

void info_cost_add(struct info_cost costs[INFO_RULE_COUNT], const struct info_picture *picture, const struct info_crops *crops,
                   uint64_t key)
{
	const struct cut_rule cut_rule = {.filter = RESAMPLE_BILINEAR, .fidelity = FIDELITY_EXACT, .orientation = ORIENTATION_RAW};

	for (uint32_t i = 0; i < INFO_RULE_COUNT * INFO_BOXES; i++) {
		enum info_rule rule = (enum info_rule)(i / INFO_BOXES);
		struct crop_spec spec = spec_of(crops, rule);
		struct crop_ask ask = crop_usual_ask(&spec, i % INFO_BOXES, key); /* an epoch for each box */
		struct cut cut = {.info = picture->info};
		struct info_cost *sum = &costs[rule];
		struct decode_want want;
		struct crop_cost cost;

		if (!cut_choose(&spec, &cut_rule, &ask, &cut))
			continue;
		want = cut_want(&cut, 3);
		cost = cost_of(picture, &want);
		sum->crops++;
		sum->read_bytes += (double)cost.read_bytes;
		sum->read_share += picture->file_bytes ? (double)cost.read_bytes / (double)picture->file_bytes : 0;
		sum->decoded_share += cost.decoded_share;
		sum->decoded_px += cost.decoded_share * picture->info.width_px * picture->info.height_px;
	}
}
