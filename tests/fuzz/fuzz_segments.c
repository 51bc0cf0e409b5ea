/*
 * fuzz_segments.c - hostile images in segments: a table and a file of any bytes.  What decode_runs() asks for lies in the file, and what
 * comes of it is pixels or a reason.
 *
 * The input: struct choices, struct segment_table_header without what segment_table_write() finds itself, a count of segments and their
 * lengths (uint16), the file.  The choices may damage the table, before or after it was asked, and give it the right checks again.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "loader/decode/decode.h"

enum { MOST_PIXELS = 1 << 16, MOST_REGION_PX = 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

struct choices {
	uint8_t x, y, width, height; /* of the region, in 256ths */
	uint8_t bits;                /* 1: one channel, 2: reduced, to the next three bits + 1; 32: as stored */
	uint8_t channels, sample_bits;
	uint8_t damage; /* 0: none; bit 7: once decode_runs() has seen the table; bit 6: its checks are right again */
	uint8_t damaged_at, damaged_by;
	uint16_t width_px, height_px;
};

_Static_assert(sizeof(struct choices) == 14, "no padding");

static volatile uint64_t sum; /* so that every byte is looked at */

static void must(bool truth, const char *what)
{
	if (!truth) {
		fprintf(stderr, "broken promise: %s\n", what);
		abort();
	}
}

/* The next bytes of the input; false: there are not as many. */
static bool take(const uint8_t **data, size_t *left_bytes, void *out, size_t byte_count)
{
	if (*left_bytes < byte_count)
		return false;
	if (byte_count > 0)
		memcpy(out, *data, byte_count);
	*data += byte_count;
	*left_bytes -= byte_count;
	return true;
}

static bool make_table(const uint8_t **data, size_t *left_bytes, struct bytes *table)
{
	struct segment_table_header header;
	uint64_t ends[UINT8_MAX + 1], end = 0;
	uint8_t count;

	if (!take(data, left_bytes, &header, sizeof header) || !take(data, left_bytes, &count, 1))
		return false;
	for (uint32_t i = 0; i <= count; i++) {
		uint16_t length;

		if (!take(data, left_bytes, &length, sizeof length))
			return false;
		ends[i] = end += length;
	}
	return segment_table_write(&header, ends, count + 1u, table) == 0;
}

static void choose_axis(uint32_t bound, uint8_t begin, uint8_t length, int32_t *at, int32_t *extent)
{
	uint32_t from = (uint32_t)((uint64_t)bound * begin / 256), px = 1 + (uint32_t)((uint64_t)(bound - 1 - from) * length / 255);

	*at = (int32_t)from;
	*extent = (int32_t)(px < MOST_REGION_PX ? px : MOST_REGION_PX);
}

static struct decode_want choose_want(const struct choices *choices, const struct segments *segments)
{
	struct decode_want want = {.channels = choices->bits & 1 ? 1 : 3, .scale_eighths = 8};

	want.as_stored = segments->channels == 1 && choices->bits & 32;
	if (want.as_stored)
		want.channels = segments->sample_bits == 16 ? 2 : 1;
	else if (segments->kind == SEGMENT_JPEG && choices->bits & 2)
		want.scale_eighths = 1 + (uint32_t)(choices->bits >> 2 & 7);
	choose_axis(decode_scaled_px(segments->width_px, want.scale_eighths), choices->x, choices->width, &want.region.x,
	            &want.region.width);
	choose_axis(decode_scaled_px(segments->height_px, want.scale_eighths), choices->y, choices->height, &want.region.y,
	            &want.region.height);
	return want;
}

/* As segment_table_write() has it: the low 16 bits of XXH3-64 of the group's bytes before, seeded with its number. */
static void repair_checks(const struct segment_table_header *header, struct bytes *table)
{
	size_t data_bytes = 4 + (size_t)header->length_bytes * SEGMENTS_OF_GROUP, at = sizeof *header;

	for (uint32_t number = 0; at < table->used_bytes; number++, at += data_bytes + 2) {
		uint16_t check = (uint16_t)XXH3_64bits_withSeed(table->data + at, data_bytes, number);

		memcpy(table->data + at + data_bytes, &check, sizeof check);
	}
}

static void damage(const struct choices *choices, const struct segments *segments, struct bytes *table)
{
	size_t at = sizeof segments->header + choices->damaged_at;

	if (at < table->used_bytes)
		table->data[at] ^= (char)choices->damaged_by;
	if (choices->damage & 64)
		repair_checks(&segments->header, table);
}

/* As fetch does it. */
static uint8_t *read_runs(const uint8_t *data, size_t byte_count, const struct file_runs *runs)
{
	uint8_t *bytes = malloc((size_t)runs->total_bytes), *out = bytes;
	uint64_t end = 0;

	must(bytes != NULL && runs->count > 0, "no runs");
	for (uint32_t i = 0; i < runs->count; i++) {
		const struct file_run *run = &runs->run[i];

		must(run->byte_count > 0 && run->offset >= end && run->offset <= byte_count &&
		             run->byte_count <= byte_count - run->offset,
		     "a run that is none of the file");
		memcpy(out, data + run->offset, (size_t)run->byte_count);
		out += run->byte_count;
		end = run->offset + run->byte_count;
	}
	must((uint64_t)(out - bytes) == runs->total_bytes, "runs of another length");
	return bytes;
}

static void decode(const struct file_bytes *file, const struct decode_want *want)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = MOST_PIXELS});
	struct image_info info;
	struct pixels out;

	must(decoder != NULL, "no decoder");
	if (decode_probe(decoder, file, &info) == ITEM_OK) {
		enum item_status status = decode_region(decoder, file, &info, want, &out);

		must(status == ITEM_OK || decoder_reason(decoder)[0] != '\0', "failed without a reason");
		must(info.width_px == file->segments->width_px && info.height_px == file->segments->height_px, "another size");
		for (uint32_t y = 0; status == ITEM_OK && y < out.height_px; y++)
			for (size_t i = 0; i < (size_t)out.width_px * out.channels; i++)
				sum = sum * 31 + out.data[y * out.stride_bytes + i];
	} else {
		must(decoder_reason(decoder)[0] != '\0', "refused without a reason");
	}
	decoder_close(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	struct file_runs *runs = NULL;
	struct choices choices;
	struct bytes table = {0};

	if (take(&data, &byte_count, &choices, sizeof choices) && make_table(&data, &byte_count, &table) && byte_count > 0) {
		struct segments segments = {.width_px = 1u + choices.width_px,
		                            .height_px = 1u + choices.height_px,
		                            .orientation = 1,
		                            .channels = choices.channels,
		                            .sample_bits = choices.sample_bits,
		                            .file_bytes = byte_count};
		struct decode_want want;

		if (segment_table_open(&segments, (const uint8_t *)table.data, table.used_bytes)) {
			if (choices.damage > 0 && choices.damage < 128)
				damage(&choices, &segments, &table);
			want = choose_want(&choices, &segments);
			if (decode_runs(&segments, &want, &runs)) {
				uint8_t *bytes = read_runs(data, byte_count, runs);
				struct file_bytes file = file_bytes_in_runs(bytes, runs, &segments);

				if (choices.damage >= 128)
					damage(&choices, &segments, &table);
				decode(&file, &want);
				free(bytes);
			}
		}
	}
	free(runs);
	bytes_free(&table);
	return 0;
}
