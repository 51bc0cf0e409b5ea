/* decode_check.h - what the tests of the decode stage share: files, pictures, and comparing regions with them. */
#ifndef CROPRING_TESTS_DECODE_CHECK_H
#define CROPRING_TESTS_DECODE_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/decode/decode.h"
#include "tests/seed.h"

#define TEST_MAX_PIXELS 4000000

static uint64_t check_state; /* set by seed_of_test() in main() */

static inline uint32_t check_random(void)
{
	return (uint32_t)seed_next(&check_state);
}

static inline uint32_t check_below(uint32_t bound)
{
	return (uint32_t)seed_between(&check_state, 0, bound - 1);
}

/* A compressed file in memory of exactly its size, so that a sanitizer sees each step past it. */
struct file {
	uint8_t *bytes;
	size_t byte_count;
};

static inline struct file_bytes file_whole(struct file file)
{
	return file_bytes_whole(file.bytes, file.byte_count);
}

static inline struct file file_copy(const uint8_t *bytes, size_t byte_count)
{
	struct file file = {malloc(byte_count ? byte_count : 1), byte_count};

	assert_non_null(file.bytes);
	if (byte_count)
		memcpy(file.bytes, bytes, byte_count);
	return file;
}

static inline void file_append(struct file *file, const void *bytes, size_t byte_count)
{
	file->bytes = realloc(file->bytes, file->byte_count + byte_count);
	assert_non_null(file->bytes);
	memcpy(file->bytes + file->byte_count, bytes, byte_count);
	file->byte_count += byte_count;
}

static inline void file_insert(struct file *file, size_t at, const void *bytes, size_t byte_count)
{
	struct file tail = file_copy(file->bytes + at, file->byte_count - at);

	file->byte_count = at;
	file_append(file, bytes, byte_count);
	file_append(file, tail.bytes, tail.byte_count);
	free(tail.bytes);
}

/* The whole picture as it should be: tight rows. */
struct picture {
	uint32_t width_px, height_px, channels;
	uint8_t *data;
};

static inline struct picture picture_make(uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	struct picture picture = {width_px, height_px, channels, malloc((size_t)width_px * height_px * channels)};

	assert_non_null(picture.data);
	return picture;
}

/* Waves and some noise: looks enough like a photograph for a codec to work. */
static inline struct picture picture_make_photo(uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	struct picture picture = picture_make(width_px, height_px, channels);
	uint32_t period = 5 + check_below(40);

	for (uint32_t y = 0; y < height_px; y++) {
		for (uint32_t x = 0; x < width_px; x++) {
			for (uint32_t c = 0; c < channels; c++)
				picture.data[((size_t)y * width_px + x) * channels + c] =
					(uint8_t)((x * (c + 3) + y * 2) * 255 / period + check_below(24));
		}
	}
	return picture;
}

static inline uint8_t luma_by_formula(const uint8_t *rgb)
{
	return (uint8_t)((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16);
}

/* Pillow's convert("L") of an RGB picture. */
static inline struct picture picture_make_luma(const struct picture *rgb)
{
	struct picture luma = picture_make(rgb->width_px, rgb->height_px, 1);

	for (size_t i = 0; i < (size_t)rgb->width_px * rgb->height_px; i++)
		luma.data[i] = luma_by_formula(rgb->data + 3 * i);
	return luma;
}

static inline struct box random_box(uint32_t width_px, uint32_t height_px)
{
	struct box box = {.width = 1 + (int32_t)check_below(width_px), .height = 1 + (int32_t)check_below(height_px)};

	box.x = (int32_t)check_below(width_px - (uint32_t)box.width + 1);
	box.y = (int32_t)check_below(height_px - (uint32_t)box.height + 1);
	return box;
}

static inline struct decoder *open_decoder(void)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = TEST_MAX_PIXELS});

	assert_non_null(decoder);
	return decoder;
}

static inline struct image_info probe_ok(struct decoder *decoder, struct file file)
{
	struct file_bytes bytes = file_whole(file);
	struct image_info info;
	enum item_status status = decode_probe(decoder, &bytes, &info);

	if (status != ITEM_OK)
		fail_msg("probe: status %d, %s", status, decoder_reason(decoder));
	return info;
}

/* Probing fails as it should: with a reason, and without touching *info. */
static inline void check_probe_fails(struct decoder *decoder, struct file file, enum item_status expected)
{
	struct file_bytes bytes = file_whole(file);
	struct image_info info, before;
	enum item_status status;

	memset(&info, 0x5a, sizeof info);
	before = info;
	status = decode_probe(decoder, &bytes, &info);
	if (status != expected)
		fail_msg("probe: status %d instead of %d, %s", status, expected, decoder_reason(decoder));
	assert_memory_equal(&info, &before, sizeof info);
	assert_true(decoder_reason(decoder)[0] != '\0');
}

/* A sink that keeps a region, and checks that each row comes once, in its turn. */
struct kept {
	struct decode_sink sink;
	struct pixels region;
	uint32_t row_count, band_count; /* that came, since it last began anew */
	size_t largest_band_bytes;
};

static inline void kept_take(void *context, uint32_t first_row, const struct pixels *rows)
{
	struct kept *kept = context;
	size_t band_bytes = rows->height_px * rows->stride_bytes;

	if (first_row == 0)
		kept->row_count = kept->band_count = 0;
	assert_int_equal(first_row, kept->row_count);
	assert_true(rows->height_px > 0 && rows->height_px <= kept->region.height_px - first_row);
	assert_int_equal(rows->width_px, kept->region.width_px);
	assert_int_equal(rows->channels, kept->region.channels);
	for (uint32_t y = 0; y < rows->height_px; y++)
		memcpy(kept->region.data + (first_row + y) * kept->region.stride_bytes, rows->data + y * rows->stride_bytes,
		       kept->region.stride_bytes);
	kept->row_count += rows->height_px;
	kept->band_count++;
	if (band_bytes > kept->largest_band_bytes)
		kept->largest_band_bytes = band_bytes;
}

static inline void kept_open(struct kept *kept, const struct decode_want *want)
{
	*kept = (struct kept){.sink = {.take = kept_take, .context = kept},
	                      .region = {.stride_bytes = (size_t)want->region.width * want->channels,
	                                 .width_px = (uint32_t)want->region.width,
	                                 .height_px = (uint32_t)want->region.height,
	                                 .channels = want->channels}};
	kept->region.data = calloc(kept->region.height_px, kept->region.stride_bytes);
	assert_non_null(kept->region.data);
}

static inline void kept_close(struct kept *kept)
{
	free(kept->region.data);
}

/* Decodes a region; after a failure there is a reason and nothing of the picture before. */
static inline enum item_status decode(struct decoder *decoder, struct file file, const struct image_info *info,
                                      const struct decode_want *want, struct pixels *out)
{
	struct file_bytes bytes = file_whole(file);
	static uint8_t stale[1];
	enum item_status status;

	*out = (struct pixels){.data = stale, .width_px = 1, .height_px = 1, .channels = 1, .stride_bytes = 1};
	status = decode_region(decoder, &bytes, info, want, out);
	if (status == ITEM_OK) {
		assert_int_equal(out->width_px, want->region.width);
		assert_int_equal(out->height_px, want->region.height);
		assert_int_equal(out->channels, want->channels);
		assert_string_equal(decoder_reason(decoder), "");
	} else {
		assert_null(out->data);
		assert_true(decoder_reason(decoder)[0] != '\0');
	}
	return status;
}

static inline enum item_status decode_whole(struct decoder *decoder, struct file file, const struct image_info *info)
{
	struct decode_want want = {{0, 0, (int32_t)info->width_px, (int32_t)info->height_px}, 3, 8, false};
	struct pixels out;

	return decode(decoder, file, info, &want, &out);
}

/* A region's pixels are those of `full`. */
static inline void check_pixels(const struct pixels *out, const struct decode_want *want, const struct picture *full)
{
	const struct box *region = &want->region;

	assert_int_equal(full->channels, want->channels);
	for (uint32_t y = 0; y < out->height_px; y++) {
		size_t at = ((size_t)((uint32_t)region->y + y) * full->width_px + (uint32_t)region->x) * full->channels;

		if (memcmp(out->data + y * out->stride_bytes, full->data + at, (size_t)out->width_px * full->channels) != 0)
			fail_msg("%ux%u pixels, %u channels at %u/8, region %dx%d at %d,%d: row %u differs", full->width_px,
			         full->height_px, full->channels, want->scale_eighths, region->width, region->height, region->x,
			         region->y, y);
	}
}

static inline void check_region(struct decoder *decoder, struct file file, const struct image_info *info,
                                const struct decode_want *want, const struct picture *full)
{
	struct pixels out;
	enum item_status status = decode(decoder, file, info, want, &out);

	if (status != ITEM_OK)
		fail_msg("region: status %d, %s", status, decoder_reason(decoder));
	check_pixels(&out, want, full);
}

/* The whole picture, its last pixel and `count` random boxes. */
static inline void check_regions(struct decoder *decoder, struct file file, const struct image_info *info,
                                 const struct picture *full, uint32_t scale_eighths, int count)
{
	struct decode_want want = {{0, 0, (int32_t)full->width_px, (int32_t)full->height_px}, full->channels, scale_eighths, false};

	check_region(decoder, file, info, &want, full);
	want.region = (struct box){(int32_t)full->width_px - 1, (int32_t)full->height_px - 1, 1, 1};
	check_region(decoder, file, info, &want, full);
	for (int i = 0; i < count; i++) {
		want.region = random_box(full->width_px, full->height_px);
		check_region(decoder, file, info, &want, full);
	}
}

#endif
