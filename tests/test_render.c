/* test_render.c - one file's bytes become one row: box, pixels, mirror, dtype; a bad file has a status, and its row is blanked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/run/render.h"
#include "tests/jpeg_bomb.h"

enum { WIDTH = 8, HEIGHT = 6, HEADER_BYTES = 54, ROW_BYTES = 24, FILE_BYTES = HEADER_BYTES + HEIGHT * ROW_BYTES };

static void put_u32(uint8_t *to, uint32_t value)
{
	memcpy(to, &value, sizeof value);
}

/* A 24-bit bottom-up BMP whose pixel (x, y) is R = 10 x, G = 20 y, B = x + y. */
static void make_bmp(uint8_t bytes[FILE_BYTES])
{
	memset(bytes, 0, FILE_BYTES);
	memcpy(bytes, "BM", 2);
	put_u32(bytes + 2, FILE_BYTES);
	put_u32(bytes + 10, HEADER_BYTES);
	put_u32(bytes + 14, 40);
	put_u32(bytes + 18, WIDTH);
	put_u32(bytes + 22, HEIGHT);
	bytes[26] = 1;
	bytes[28] = 24;
	for (int y = 0; y < HEIGHT; y++) {
		for (int x = 0; x < WIDTH; x++) {
			uint8_t *pixel = bytes + HEADER_BYTES + (HEIGHT - 1 - y) * ROW_BYTES + 3 * x;

			pixel[0] = (uint8_t)(x + y);
			pixel[1] = (uint8_t)(20 * y);
			pixel[2] = (uint8_t)(10 * x);
		}
	}
}

static struct options small_options(void)
{
	return (struct options){.batch_size = 1,
	                        .width_px = WIDTH,
	                        .height_px = HEIGHT,
	                        .crop = CROP_RESIZE,
	                        .scale_min = 0.08,
	                        .scale_max = 1,
	                        .ratio_min = 0.75,
	                        .ratio_max = 4.0 / 3,
	                        .short_side_px = WIDTH,
	                        .resample = RESAMPLE_BILINEAR,
	                        .channels = 3,
	                        .max_pixels = 1 << 20};
}

struct result {
	_Alignas(4) uint8_t image[HEIGHT * WIDTH * 3 * 4];
	int32_t box[4], source_size[2];
	uint8_t flipped;
	enum item_status status;
	char reason[128];
};

static void render_file(const struct options *options, const struct file_bytes *file, struct result *result)
{
	struct render_row row = {
		.image = result->image, .box = result->box, .source_size = result->source_size, .flipped = &result->flipped};
	struct render_times times;
	struct render_spec spec;
	struct renderer *renderer;
	struct crop_ask ask;

	memset(result, 0xee, sizeof *result);
	render_spec_init(&spec, options);
	renderer = renderer_open(&spec);
	assert_non_null(renderer);
	ask = crop_usual_ask(&spec.crop, 0, 0);
	result->status = renderer_run(renderer, file, &ask, &row, &times);
	strncpy(result->reason, renderer_reason(renderer), sizeof result->reason - 1);
	renderer_close(renderer);
}

static void render(const struct options *options, const uint8_t *bytes, size_t byte_count, struct result *result)
{
	struct file_bytes file = file_bytes_whole(bytes, byte_count);

	render_file(options, &file, result);
}

static void an_unchanged_size_gives_the_pictures_own_pixels(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES];
	struct result result;

	(void)state;
	make_bmp(bytes);
	render(&options, bytes, sizeof bytes, &result);
	assert_int_equal(result.status, ITEM_OK);
	assert_memory_equal(result.box, ((int32_t[]){0, 0, WIDTH, HEIGHT}), sizeof result.box);
	assert_memory_equal(result.source_size, ((int32_t[]){HEIGHT, WIDTH}), sizeof result.source_size);
	assert_int_equal(result.flipped, 0);
	for (int y = 0; y < HEIGHT; y++) {
		for (int x = 0; x < WIDTH; x++) {
			const uint8_t *pixel = result.image + (y * WIDTH + x) * 3;

			assert_int_equal(pixel[0], 10 * x);
			assert_int_equal(pixel[1], 20 * y);
			assert_int_equal(pixel[2], x + y);
		}
	}
}

static void a_mirrored_row_says_so(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES];
	struct result result;

	(void)state;
	options.hflip = 1;
	make_bmp(bytes);
	render(&options, bytes, sizeof bytes, &result);
	assert_int_equal(result.flipped, 1);
	assert_int_equal(result.image[0], 10 * (WIDTH - 1));
	assert_int_equal(result.image[(WIDTH - 1) * 3], 0);
}

static void float_values_are_normalised(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES];
	struct result result;
	const float *values = (const float *)(const void *)result.image;

	(void)state;
	options.dtype = CONVERT_FLOAT32;
	options.layout = CONVERT_NCHW;
	options.normalise = true;
	for (int i = 0; i < 3; i++) {
		options.mean[i] = 0.5f;
		options.std[i] = 0.25f;
	}
	make_bmp(bytes);
	render(&options, bytes, sizeof bytes, &result);
	assert_true(values[3] == ((float)30 / 255.0f - 0.5f) / 0.25f);                      /* R of (3, 0) */
	assert_true(values[HEIGHT * WIDTH + WIDTH] == ((float)20 / 255.0f - 0.5f) / 0.25f); /* G of (0, 1) */
}

static void a_random_box_equals_the_same_box_of_the_whole(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES];
	struct result result;

	(void)state;
	options.crop = CROP_RANDOM;
	options.width_px = 3;
	options.height_px = 2;
	options.short_side_px = 3;
	for (uint64_t seed = 0; seed < 50; seed++) {
		options.seed = seed;
		make_bmp(bytes);
		render(&options, bytes, sizeof bytes, &result);
		assert_int_equal(result.box[2], 3);
		assert_int_equal(result.box[3], 2);
		assert_int_equal(result.image[0], 10 * result.box[0]);
		assert_int_equal(result.image[1], 20 * result.box[1]);
		assert_int_equal(result.image[(3 + 2) * 3], 10 * (result.box[0] + 2));
		assert_int_equal(result.image[(3 + 2) * 3 + 1], 20 * (result.box[1] + 1));
	}
}

static void the_part_that_a_sample_needs_gives_the_row_of_the_whole_file(void **state)
{
	struct options options = small_options();
	struct result expected, actual;
	uint8_t bytes[FILE_BYTES], read[2 * FILE_BYTES]; /* rows may lie in the head too */
	int part_count = 0;

	(void)state;
	make_bmp(bytes);
	options.crop = CROP_RANDOM_RESIZED;
	options.hflip = 0.5;
	for (uint64_t seed = 0; seed < 200; seed++) {
		size_t head_bytes = HEADER_BYTES + seed % 60, byte_count = head_bytes;
		struct render_spec spec;
		struct file_part part;
		struct file_bytes file;
		struct crop_ask ask;

		options.seed = seed;
		render_spec_init(&spec, &options);
		ask = crop_usual_ask(&spec.crop, 0, 0);
		if (!render_part(&spec, RENDER_IMAGE, &ask, bytes, head_bytes, &part))
			continue;
		memcpy(read, bytes, head_bytes);
		for (uint32_t i = 0; i < part.row_count; i++, byte_count += part.row_bytes) {
			uint32_t row = part.last_row_first ? part.row_count - 1 - i : i;

			memcpy(read + byte_count, bytes + part.offset + row * part.stride_bytes, part.row_bytes);
		}
		file = file_bytes_with_part(read, byte_count, head_bytes, &part);
		render_file(&options, &file, &actual);
		render(&options, bytes, sizeof bytes, &expected);
		assert_int_equal(actual.status, ITEM_OK);
		assert_memory_equal(&actual, &expected, sizeof expected);
		part_count++;
	}
	assert_true(part_count > 50);
}

static void bad_files_have_a_status_and_their_header_touches_no_pixel(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES], untouched[sizeof((struct result *)NULL)->image];
	struct result result;

	(void)state;
	memset(untouched, 0xee, sizeof untouched);
	make_bmp(bytes);
	render(&options, bytes, FILE_BYTES - 30, &result);
	assert_int_equal(result.status, ITEM_TRUNCATED);
	assert_memory_equal(result.image, untouched, sizeof untouched);
	render(&options, (const uint8_t *)"hello, world", 12, &result);
	assert_int_equal(result.status, ITEM_NOT_AN_IMAGE);
	assert_memory_equal(result.image, untouched, sizeof untouched);
	options.max_pixels = WIDTH * HEIGHT - 1;
	render(&options, bytes, sizeof bytes, &result);
	assert_int_equal(result.status, ITEM_TOO_LARGE);
	assert_non_null(strstr(result.reason, "8x6"));
}

/* Whose weights would take gigabytes: before any is spent. */
static void a_side_of_over_a_million_pixels_is_refused(void **state)
{
	struct options options = small_options();
	uint8_t bytes[FILE_BYTES];
	struct result result;

	(void)state;
	options.max_pixels = UINT64_MAX;
	make_bmp(bytes);
	put_u32(bytes + 18, 1000001);
	render(&options, bytes, sizeof bytes, &result);
	assert_int_equal(result.status, ITEM_TOO_LARGE);
	put_u32(bytes + 18, 1000000);
	render(&options, bytes, sizeof bytes, &result);
	assert_int_equal(result.status, ITEM_TRUNCATED);
}

static void a_row_that_takes_too_long_is_a_timeout(void **state)
{
	struct options options = small_options();
	struct file bomb = jpeg_bomb(4000, 4000, 20, 0); /* tens of milliseconds */
	struct result result;

	(void)state;
	options.max_pixels = 16000000;
	options.item_timeout_ms = 1;
	render(&options, bomb.bytes, bomb.byte_count, &result);
	assert_int_equal(result.status, ITEM_TIMEOUT);
	options.item_timeout_ms = 60000;
	render(&options, bomb.bytes, bomb.byte_count, &result);
	assert_int_equal(result.status, ITEM_OK);
	free(bomb.bytes);
}

static void a_blank_row_is_zeros(void **state)
{
	struct options options = small_options();
	struct result result;
	struct render_row row = {
		.image = result.image, .box = result.box, .source_size = result.source_size, .flipped = &result.flipped};
	struct render_spec spec;

	(void)state;
	memset(&result, 0xee, sizeof result);
	render_spec_init(&spec, &options);
	render_blank(&spec, &row);
	for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
		assert_int_equal(result.image[i], 0);
	assert_int_equal(result.image[WIDTH * HEIGHT * 3], 0xee);
	assert_int_equal(result.box[3], 0);
	assert_int_equal(result.source_size[1], 0);
	assert_int_equal(result.flipped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unchanged_size_gives_the_pictures_own_pixels),
		cmocka_unit_test(a_mirrored_row_says_so),
		cmocka_unit_test(float_values_are_normalised),
		cmocka_unit_test(a_random_box_equals_the_same_box_of_the_whole),
		cmocka_unit_test(the_part_that_a_sample_needs_gives_the_row_of_the_whole_file),
		cmocka_unit_test(bad_files_have_a_status_and_their_header_touches_no_pixel),
		cmocka_unit_test(a_side_of_over_a_million_pixels_is_refused),
		cmocka_unit_test(a_row_that_takes_too_long_is_a_timeout),
		cmocka_unit_test(a_blank_row_is_zeros),
	};

	return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
