/*
 * decode_sweep.h - what the fuzzers of whole pictures share: the input is a file, and its last bytes choose what is wanted of it.
 *
 * Three decoders see every input.  One is new.  One has seen all inputs before, was left with poisoned pixels, and is told when a
 * file comes again; it has to say and give the same as the new one, so nothing of an earlier picture ever shows.  One is told that
 * all files are the same file, as if it were rewritten between two reads; it only has to survive.  Where a part of the file is
 * enough, a fourth one gets no more than that.
 */
#ifndef CROPRING_FUZZ_DECODE_SWEEP_H
#define CROPRING_FUZZ_DECODE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/decode/decode.h"

#define POISON 0xa5

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

struct sweep_limits {
	uint64_t max_pixels;
	uint32_t max_region_px; /* a side */
};

/* What the last bytes of the input say; a picture's own end is as good as any. */
struct sweep_choice {
	uint8_t x, y, width, height, bits;
};

struct sweep_result {
	enum item_status probed, decoded;
	char reason[256];
	struct image_info info;
	struct decode_want want;
	struct pixels out;
};

static volatile uint64_t sweep_sum; /* so that every byte is looked at */

static inline void sweep_must(bool truth, const char *what)
{
	if (!truth) {
		fprintf(stderr, "broken promise: %s\n", what);
		abort();
	}
}

static inline struct sweep_choice sweep_choose(const uint8_t *data, size_t byte_count)
{
	struct sweep_choice choice = {.bits = 0};

	if (byte_count >= sizeof choice)
		memcpy(&choice, data + byte_count - sizeof choice, sizeof choice);
	return choice;
}

/* A part of the axis: its begin and its length in 256ths of what there is; all of it now and then. */
static inline void sweep_choose_axis(uint32_t full_px, uint32_t max_px, uint8_t begin, uint8_t length, int32_t *at, int32_t *extent)
{
	uint32_t from = (uint32_t)((uint64_t)full_px * begin / 256), left_px = full_px - from;
	uint32_t px = length >= 240 ? left_px : 1 + (uint32_t)((uint64_t)(left_px - 1) * length / 240);

	*at = (int32_t)from;
	*extent = (int32_t)(px < max_px ? px : max_px);
}

static inline struct decode_want sweep_want(const struct image_info *info, const struct sweep_choice *choice,
                                            const struct sweep_limits *limits)
{
	struct decode_want want = {.channels = choice->bits & 1 ? 1 : 3, .scale_eighths = 8};

	want.as_stored = info->channels == 1 && choice->bits & 0x20;
	if (want.as_stored)
		want.channels = info->sample_bits == 16 ? 2 : 1;
	else if (info->format == IMAGE_JPEG && choice->bits & 2)
		want.scale_eighths = 1 + (uint32_t)(choice->bits >> 2 & 7);
	sweep_choose_axis(decode_scaled_px(info->width_px, want.scale_eighths), limits->max_region_px, choice->x, choice->width,
	                  &want.region.x, &want.region.width);
	sweep_choose_axis(decode_scaled_px(info->height_px, want.scale_eighths), limits->max_region_px, choice->y, choice->height,
	                  &want.region.y, &want.region.height);
	return want;
}

static inline void sweep_check_pixels(const struct sweep_result *result)
{
	const struct pixels *out = &result->out;
	size_t row_bytes = (size_t)out->width_px * out->channels;
	uint64_t sum = 0;

	if (result->decoded != ITEM_OK) {
		sweep_must(!out->data, "pixels of a picture that failed");
		sweep_must(result->reason[0] != '\0', "failed without a reason");
		return;
	}
	sweep_must(out->data && out->width_px == (uint32_t)result->want.region.width &&
	                   out->height_px == (uint32_t)result->want.region.height && out->channels == result->want.channels &&
	                   out->stride_bytes >= row_bytes,
	           "the region has another size");
	for (uint32_t y = 0; y < out->height_px; y++) {
		for (size_t i = 0; i < row_bytes; i++)
			sum = sum * 31 + out->data[y * out->stride_bytes + i];
	}
	sweep_sum = sum;
}

static inline void sweep_run(struct decoder *decoder, const struct file_bytes *file, const struct sweep_choice *choice,
                             const struct sweep_limits *limits, struct sweep_result *result)
{
	memset(result, 0, sizeof *result);
	result->probed = decode_probe(decoder, file, &result->info);
	if (result->probed == ITEM_OK) {
		sweep_must(result->info.width_px > 0 && result->info.height_px > 0 &&
		                   (uint64_t)result->info.width_px * result->info.height_px <= limits->max_pixels,
		           "a size over the limit");
		sweep_must(result->info.orientation >= 1 && result->info.orientation <= 8, "an orientation that there is not");
		result->want = sweep_want(&result->info, choice, limits);
		result->decoded = decode_region(decoder, file, &result->info, &result->want, &result->out);
	} else {
		result->decoded = result->probed;
		sweep_must(file->byte_count == 0 || decoder_reason(decoder)[0] != '\0', "refused without a reason");
	}
	snprintf(result->reason, sizeof result->reason, "%s", decoder_reason(decoder));
	if (result->probed == ITEM_OK)
		sweep_check_pixels(result);
}

static inline void sweep_check_same(const struct sweep_result *fresh, const struct sweep_result *used)
{
	const struct pixels *a = &fresh->out, *b = &used->out;

	sweep_must(fresh->probed == used->probed && fresh->decoded == used->decoded, "another status in a used decoder");
	sweep_must(strcmp(fresh->reason, used->reason) == 0, "another reason in a used decoder");
	if (fresh->decoded != ITEM_OK)
		return;
	for (uint32_t y = 0; y < a->height_px; y++)
		sweep_must(memcmp(a->data + y * a->stride_bytes, b->data + y * b->stride_bytes,
		                  (size_t)a->width_px * a->channels) == 0,
		           "other pixels in a used decoder");
}

/* After an answer the pixels are the decoder's scratch again, and what it holds must never be seen; or they are the file's own. */
static inline void sweep_poison(struct sweep_result *result, const struct file_bytes *file)
{
	if (result->out.data >= file->data && result->out.data < file->data + file->byte_count)
		return;
	for (uint32_t y = 0; y < result->out.height_px; y++)
		memset(result->out.data + y * result->out.stride_bytes, POISON,
		       (size_t)result->out.width_px * result->out.channels);
}

/* FNV-1a: as good a number of a file as its path. */
static inline uint64_t sweep_file_id(const uint8_t *data, size_t byte_count)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < byte_count; i++)
		hash = (hash ^ data[i]) * 0x100000001b3u;
	return hash == FILE_BYTES_NO_ID ? 0 : hash;
}

static inline struct decoder *sweep_open(const struct sweep_limits *limits)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = limits->max_pixels});

	sweep_must(decoder != NULL, "no decoder");
	return decoder;
}

/* The file's head and what decode_part() asks for, as fetch would read them.  False: the rest is not all there. */
static inline bool sweep_read_part(const struct file_bytes *file, size_t head_bytes, const struct file_part *part,
                                   struct file_bytes *read)
{
	size_t part_bytes = (size_t)(part->row_bytes * part->row_count);
	uint64_t last_row = part->row_count > 0 ? (part->row_count - 1) * part->stride_bytes : 0;
	bool there = part->row_count == 0 || (part->offset <= file->byte_count && last_row <= file->byte_count - part->offset &&
	                                      part->row_bytes <= file->byte_count - part->offset - last_row);
	uint8_t *bytes = malloc(head_bytes + (there ? part_bytes : 0) + 1);

	sweep_must(bytes != NULL, "no memory for a part of a small region");
	memcpy(bytes, file->data, head_bytes);
	if (!there)
		part_bytes = 0;
	for (uint32_t row = 0; there && row < part->row_count; row++) {
		uint32_t line = part->last_row_first ? part->row_count - 1 - row : row;

		memcpy(bytes + head_bytes + line * part->row_bytes, file->data + part->offset + row * part->stride_bytes,
		       part->row_bytes);
	}
	*read = file_bytes_with_part(bytes, head_bytes + part_bytes, head_bytes, part);
	return there;
}

/* What a decoder makes of a part of the file is what it makes of all of it. */
static inline void sweep_decode_part(const struct file_bytes *file, const struct sweep_choice *choice,
                                     const struct sweep_limits *limits, const struct sweep_result *whole)
{
	struct decode_limits decode_limits = {.max_pixels = limits->max_pixels};
	size_t head_bytes = choice->bits & 0x20 ? file->byte_count * choice->x / 256 : 64u + choice->x;
	struct file_bytes head, read;
	struct sweep_result result;
	struct decoder *decoder;
	struct decode_want want;
	struct image_info info;
	struct file_part part;
	bool there;

	head = file_bytes_whole(file->data, head_bytes < file->byte_count ? head_bytes : file->byte_count);
	if (!decode_part_probe(&head, &decode_limits, &info))
		return;
	want = sweep_want(&info, choice, limits);
	if (!decode_part(&head, &info, &want, &part))
		return;
	sweep_must(part.row_count != 1 || part.offset >= head.byte_count, "a part that lies in the head");
	sweep_must(part.row_count <= (uint32_t)want.region.height, "a part of more rows than the region");
	sweep_must(part.row_count <= 1 || part.row_bytes <= part.stride_bytes, "rows that overlap");
	if (part.row_count == 1 && part.row_bytes > 1 << 20) /* whole rows of a huge picture: fetch has a limit for that */
		return;
	there = sweep_read_part(file, head.byte_count, &part, &read);
	decoder = sweep_open(limits);
	sweep_run(decoder, &read, choice, limits, &result);
	if (there)
		sweep_check_same(whole, &result);
	decoder_close(decoder);
	free((void *)read.data);
}

static inline void sweep_decode(const uint8_t *data, size_t byte_count, const struct sweep_limits *limits)
{
	static struct decoder *used, *confused;
	struct sweep_choice choice = sweep_choose(data, byte_count);
	struct file_bytes file = file_bytes_whole(data, byte_count);
	struct sweep_result fresh_result, used_result, confused_result;
	struct decoder *fresh = sweep_open(limits);

	if (!used) {
		used = sweep_open(limits);
		confused = sweep_open(limits);
	}
	sweep_run(fresh, &file, &choice, limits, &fresh_result);
	file.id = sweep_file_id(data, byte_count);
	sweep_run(used, &file, &choice, limits, &used_result);
	sweep_check_same(&fresh_result, &used_result);
	sweep_decode_part(&file, &choice, limits, &fresh_result);
	sweep_poison(&used_result, &file);
	if (choice.bits & 0x40) { /* once more, with whatever the decoder remembers of it */
		sweep_run(used, &file, &choice, limits, &used_result);
		sweep_check_same(&fresh_result, &used_result);
		sweep_poison(&used_result, &file);
	}
	file.id = 1;
	sweep_run(confused, &file, &choice, limits, &confused_result);
	decoder_close(fresh);
}

#endif
