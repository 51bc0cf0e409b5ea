/* test_orient.c - EXIF orientation: where the stored corner goes, and that boxes and pixels agree about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "loader/shape/orient.h"

/*
 * EXIF 2.32, 4.6.4 A, tag 0x0112 says for each value where the stored row 0 and column 0 are seen: 1 top and left, 2 top and right,
 * 3 bottom and right, 4 bottom and left, 5 left and top, 6 right and top, 7 right and bottom, 8 left and bottom.
 */
static void upright_place(uint8_t orientation, uint32_t stored_x, uint32_t stored_y, uint32_t width_px, uint32_t height_px,
                          uint32_t *x, uint32_t *y)
{
	static const char row_0[] = " TTBBLRRL", column_0[] = " LRRLTTBB";
	char row = orientation >= 1 && orientation <= 8 ? row_0[orientation] : 'T';
	char column = orientation >= 1 && orientation <= 8 ? column_0[orientation] : 'L';

	*x = *y = 0;
	switch (row) {
	case 'T':
		*y = stored_y;
		break;
	case 'B':
		*y = height_px - 1 - stored_y;
		break;
	case 'L':
		*x = stored_y;
		break;
	case 'R':
		*x = height_px - 1 - stored_y;
		break;
	}
	switch (column) {
	case 'L':
		*x = stored_x;
		break;
	case 'R':
		*x = width_px - 1 - stored_x;
		break;
	case 'T':
		*y = stored_x;
		break;
	case 'B':
		*y = width_px - 1 - stored_x;
		break;
	}
}

static struct pixels make_pixels(uint32_t width_px, uint32_t height_px, uint32_t channels, size_t padding_bytes)
{
	size_t stride_bytes = (size_t)width_px * channels + padding_bytes, bytes = stride_bytes * height_px - padding_bytes;
	struct pixels pixels = {.data = malloc(bytes),
	                        .stride_bytes = stride_bytes,
	                        .width_px = width_px,
	                        .height_px = height_px,
	                        .channels = channels};

	assert_non_null(pixels.data);
	for (size_t i = 0; i < bytes; i++)
		pixels.data[i] = (uint8_t)(i * 37 + i / 241);
	return pixels;
}

static const uint8_t *pixel_at(const struct pixels *pixels, uint32_t x, uint32_t y)
{
	return pixels->data + y * pixels->stride_bytes + (size_t)x * pixels->channels;
}

static void check_turned(uint8_t orientation, uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	bool swap = orient_swaps_axes(orientation);
	struct pixels stored = make_pixels(width_px, height_px, channels, 5);
	struct pixels out = make_pixels(swap ? height_px : width_px, swap ? width_px : height_px, channels, 3);
	uint8_t padding[3];

	memcpy(padding, out.data + (size_t)out.width_px * channels, out.height_px > 1 ? 3 : 0);
	orient_pixels(orientation, &stored, &out);
	for (uint32_t y = 0; y < height_px; y++) {
		for (uint32_t x = 0; x < width_px; x++) {
			uint32_t upright_x, upright_y;

			upright_place(orientation, x, y, width_px, height_px, &upright_x, &upright_y);
			assert_memory_equal(pixel_at(&out, upright_x, upright_y), pixel_at(&stored, x, y), channels);
		}
	}
	assert_memory_equal(padding, out.data + (size_t)out.width_px * channels, out.height_px > 1 ? 3 : 0);
	free(stored.data);
	free(out.data);
}

static void each_pixel_goes_where_the_standard_puts_its_row_and_column(void **state)
{
	static const uint32_t sizes[][2] = {{1, 1}, {1, 7}, {7, 1}, {3, 2}, {5, 33}, {16, 16}, {17, 31}, {32, 48}, {61, 40}, {130, 70}};

	(void)state;
	for (unsigned orientation = 0; orientation <= 9; orientation++)
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			for (uint32_t channels = 1; channels <= 3; channels++)
				check_turned((uint8_t)orientation, sizes[i][0], sizes[i][1], channels);
}

static void a_phone_held_upright_is_turned_clockwise(void **state)
{
	uint8_t stored_bytes[] = {1, 2, 3, 4, 5, 6}, turned[6]; /* 3 x 2 */
	struct pixels stored = {.data = stored_bytes, .stride_bytes = 3, .width_px = 3, .height_px = 2, .channels = 1};
	struct pixels out = {.data = turned, .stride_bytes = 2, .width_px = 2, .height_px = 3, .channels = 1};

	(void)state;
	orient_pixels(6, &stored, &out);
	assert_memory_equal(turned, ((uint8_t[]){4, 1, 5, 2, 6, 3}), 6);
	orient_pixels(8, &stored, &out);
	assert_memory_equal(turned, ((uint8_t[]){3, 6, 2, 5, 1, 4}), 6);
}

static void only_5_to_8_swap_the_axes(void **state)
{
	(void)state;
	for (unsigned orientation = 0; orientation < 256; orientation++)
		assert_int_equal(orient_swaps_axes((uint8_t)orientation), orientation >= 5 && orientation <= 8);
}

/* Decoding the stored box and turning it gives the same as turning everything and cutting out the upright box. */
static void a_box_finds_its_pixels_in_the_stored_picture(void **state)
{
	static const uint32_t width_px = 23, height_px = 14;

	(void)state;
	for (unsigned value = 0; value <= 9; value++) {
		uint8_t orientation = (uint8_t)value;
		bool swap = orient_swaps_axes(orientation);
		struct pixels stored = make_pixels(width_px, height_px, 3, 0);
		struct pixels upright = make_pixels(swap ? height_px : width_px, swap ? width_px : height_px, 3, 0);
		static const struct box boxes[] = {{0, 0, 1, 1}, {3, 2, 9, 5}, {0, 0, 14, 14}, {13, 13, 1, 1}, {5, 0, 2, 14}};

		orient_pixels(orientation, &stored, &upright);
		for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
			struct box box = orient_box_to_stored(orientation, boxes[i], width_px, height_px);
			struct pixels region = {.data = stored.data + (size_t)box.y * stored.stride_bytes + (size_t)box.x * 3,
			                        .stride_bytes = stored.stride_bytes,
			                        .width_px = (uint32_t)box.width,
			                        .height_px = (uint32_t)box.height,
			                        .channels = 3};
			struct pixels out = make_pixels((uint32_t)boxes[i].width, (uint32_t)boxes[i].height, 3, 0);

			assert_true(box.x >= 0 && box.x + box.width <= (int32_t)width_px);
			assert_true(box.y >= 0 && box.y + box.height <= (int32_t)height_px);
			orient_pixels(orientation, &region, &out);
			for (uint32_t y = 0; y < out.height_px; y++)
				assert_memory_equal(pixel_at(&out, 0, y),
				                    pixel_at(&upright, (uint32_t)boxes[i].x, (uint32_t)boxes[i].y + y),
				                    out.stride_bytes);
			free(out.data);
		}
		free(stored.data);
		free(upright.data);
	}
}

static void boxes_come_back_from_the_stored_picture(void **state)
{
	struct box box = {3, 11, 20, 30};

	(void)state;
	for (uint8_t orientation = 0; orientation <= 8; orientation++) {
		bool swap = orient_swaps_axes(orientation);
		struct box stored = orient_box_to_stored(orientation, box, swap ? 60 : 50, swap ? 50 : 60);
		struct box back = orient_box_to_upright(orientation, stored, 50, 60);

		assert_memory_equal(&back, &box, sizeof box);
	}
}

/* As a decoder hands out the stored rows. */
static void a_picture_that_is_turned_band_by_band_is_the_one_that_is_turned_at_once(void **state)
{
	(void)state;
	for (uint8_t orientation = 0; orientation <= 8; orientation++) {
		bool swap = orient_swaps_axes(orientation);
		struct pixels stored = make_pixels(70, 50, 3, 0);
		struct pixels whole = make_pixels(swap ? 50 : 70, swap ? 70 : 50, 3, 0);
		struct pixels banded = make_pixels(swap ? 50 : 70, swap ? 70 : 50, 3, 0);

		for (size_t i = 0; i < 70 * 50 * 3; i++)
			stored.data[i] = (uint8_t)(i * 41 >> 3);
		orient_pixels(orientation, &stored, &whole);
		for (uint32_t y = 0; y < 50; y += 17) {
			struct pixels rows = stored, part = banded;
			struct box box;

			rows.data += y * rows.stride_bytes;
			rows.height_px = 50 - y < 17 ? 50 - y : 17;
			box = orient_box_to_upright(orientation, (struct box){0, (int32_t)y, 70, (int32_t)rows.height_px},
			                            banded.width_px, banded.height_px);
			part.data += (size_t)box.y * part.stride_bytes + (size_t)box.x * 3;
			part.width_px = (uint32_t)box.width;
			part.height_px = (uint32_t)box.height;
			orient_pixels(orientation, &rows, &part);
		}
		assert_memory_equal(banded.data, whole.data, 70 * 50 * 3);
		free(stored.data);
		free(whole.data);
		free(banded.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_pixel_goes_where_the_standard_puts_its_row_and_column),
		cmocka_unit_test(a_phone_held_upright_is_turned_clockwise),
		cmocka_unit_test(only_5_to_8_swap_the_axes),
		cmocka_unit_test(a_box_finds_its_pixels_in_the_stored_picture),
		cmocka_unit_test(boxes_come_back_from_the_stored_picture),
		cmocka_unit_test(a_picture_that_is_turned_band_by_band_is_the_one_that_is_turned_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
