/* BMP regions beside the pixels that were written, by hand; damaged, hostile and unusual files.  One thread. */
#include "tests/bmp_recipe.h"

static void check_recipe(struct decoder *decoder, const struct bmp_recipe *recipe)
{
	struct picture rgb, luma;
	struct file file = bmp_encode(recipe, 1 + check_below(70), 1 + check_below(70), &rgb);
	struct image_info info = probe_ok(decoder, file);

	luma = picture_make_luma(&rgb);
	assert_int_equal(info.format, IMAGE_BMP);
	assert_int_equal(info.width_px, rgb.width_px);
	assert_int_equal(info.height_px, rgb.height_px);
	assert_int_equal(info.orientation, 1);
	check_regions(decoder, file, &info, &rgb, 8, 4);
	check_regions(decoder, file, &info, &luma, 8, 4);
	free(file.bytes);
	free(rgb.data);
	free(luma.data);
}

static void a_region_equals_the_crop_of_what_was_written(void **state)
{
	static const uint32_t headers[] = {12, 40, 52, 56, 64, 108, 124}, depths[] = {1, 4, 8, 16, 24, 32};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
		for (size_t d = 0; d < sizeof depths / sizeof depths[0]; d++) {
			for (int top_row_first = 0; top_row_first < (headers[h] == 12 ? 1 : 2); top_row_first++)
				check_recipe(decoder, &(struct bmp_recipe){.header_bytes = headers[h],
				                                       .bits = depths[d],
				                                       .top_row_first = top_row_first});
		}
	}
	decoder_close(decoder);
}

static void masks_tell_where_the_colours_are(void **state)
{
	static const struct {
		uint32_t bits, red, green, blue;
	} kinds[] = {
		{16, 0xf800, 0x7e0, 0x1f},      {16, 0x7c00, 0x3e0, 0x1f},    {24, 0xff0000, 0xff00, 0xff},
		{32, 0xff0000, 0xff00, 0xff},   {32, 0xff, 0xff00, 0xff0000}, {32, 0xff000000, 0xff0000, 0xff00},
		{32, 0xff000000, 0xff00, 0xff},
	};
	static const uint32_t headers[] = {40, 52, 56, 108, 124};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t h = 0; h < sizeof headers / sizeof headers[0]; h++) {
		for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
			check_recipe(decoder, &(struct bmp_recipe){.header_bytes = headers[h],
			                                       .bits = kinds[k].bits,
			                                       .compression = BMP_RECIPE_BITFIELDS,
			                                       .red = kinds[k].red,
			                                       .green = kinds[k].green,
			                                       .blue = kinds[k].blue,
			                                       .top_row_first = check_random() & 1});
	}
	decoder_close(decoder);
}

static void colours_that_a_short_palette_lacks_are_black(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	check_recipe(decoder, &(struct bmp_recipe){.header_bytes = 40, .bits = 8, .palette_entries = 3});
	check_recipe(decoder, &(struct bmp_recipe){.header_bytes = 40, .bits = 8, .palette_entries = 200});
	check_recipe(decoder, &(struct bmp_recipe){.header_bytes = 40, .bits = 4, .palette_entries = 5});
	check_recipe(decoder, &(struct bmp_recipe){.header_bytes = 40, .bits = 1, .palette_entries = 1});
	decoder_close(decoder);
}

static void a_pixel_offset_that_is_missing_or_forgets_the_palette_is_mended(void **state)
{
	static const struct bmp_recipe recipes[] = {
		{.header_bytes = 40, .bits = 8},
		{.header_bytes = 40, .bits = 24},
		{.header_bytes = 40, .bits = 32, .compression = BMP_RECIPE_BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
		{.header_bytes = 124, .bits = 32, .compression = BMP_RECIPE_BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
		struct picture rgb;
		struct file file = bmp_encode(&recipes[i], 20, 20, &rgb);
		struct image_info info = probe_ok(decoder, file);

		bmp_write_number(file, 10, 0);
		check_regions(decoder, file, &info, &rgb, 8, 2);
		if (recipes[i].bits == 8) {
			bmp_write_number(file, 10, 14 + 40);
			check_regions(decoder, file, &info, &rgb, 8, 2);
		}
		free(file.bytes);
		free(rgb.data);
	}
	decoder_close(decoder);
}

static void the_palette_of_gray_pictures_may_be_short(void **state)
{
	struct decoder *decoder = open_decoder();
	struct picture rgb;
	struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 8, .palette_entries = 100}, 30, 30, &rgb);
	struct image_info info = probe_ok(decoder, file);
	size_t pixels_at = 14 + 40 + 400;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		bmp_write_number(file, 14 + 40 + 4 * i, i * 0x10101);
	for (uint32_t y = 0; y < 30; y++) {
		for (uint32_t x = 0; x < 30; x++)
			memset(rgb.data + ((29 - y) * 30 + x) * 3, file.bytes[pixels_at + y * 32 + x], 3);
	}
	check_regions(decoder, file, &info, &rgb, 8, 2);
	free(file.bytes);
	free(rgb.data);
	decoder_close(decoder);
}

static void only_the_rows_of_the_region_need_be_there(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int top_row_first = 0; top_row_first < 2; top_row_first++) {
		struct picture rgb;
		struct file file =
			bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 24, .top_row_first = top_row_first}, 30, 20, &rgb);
		struct image_info info = probe_ok(decoder, file);
		struct decode_want want = {{0, top_row_first ? 0 : 10, 30, 10}, 3, 8, false};
		struct file half = file_copy(file.bytes, file.byte_count - 92 * 10 - 2); /* ten rows and the eleventh's padding */

		check_region(decoder, half, &info, &want, &rgb);
		assert_int_equal(decode_whole(decoder, half, &info), ITEM_TRUNCATED);

		/* One byte less is one pixel less. */
		struct file less = file_copy(half.bytes, half.byte_count - 1);
		struct pixels out;

		assert_int_equal(decode(decoder, less, &info, &want, &out), ITEM_TRUNCATED);
		want.region.width = 29;
		check_region(decoder, less, &info, &want, &rgb);
		free(less.bytes);
		free(half.bytes);
		free(file.bytes);
		free(rgb.data);
	}
	decoder_close(decoder);
}

static void a_file_cut_in_its_header_is_truncated(void **state)
{
	struct decoder *decoder = open_decoder();
	struct picture rgb;
	struct file file = bmp_encode(
		&(struct bmp_recipe){
			.header_bytes = 40, .bits = 32, .compression = BMP_RECIPE_BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
		10, 10, &rgb);

	(void)state;
	for (size_t byte_count = 2; byte_count < 14 + 40 + 12; byte_count++) {
		struct file cut = file_copy(file.bytes, byte_count);

		check_probe_fails(decoder, cut, ITEM_TRUNCATED);
		free(cut.bytes);
	}
	free(file.bytes);
	free(rgb.data);
	decoder_close(decoder);
}

static void hostile_headers_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
		enum item_status expected;
	} changes[] = {
		{14, 41, ITEM_UNSUPPORTED}, /* size of the info header */
		{18, 0, ITEM_CORRUPT},      /* width */
		{18, 0xffffffff, ITEM_CORRUPT},
		{18, 0x80000000, ITEM_CORRUPT},
		{18, 0x7fffffff, ITEM_TOO_LARGE},
		{22, 0, ITEM_CORRUPT},            /* height */
		{22, 0x80000000, ITEM_TOO_LARGE}, /* INT32_MIN */
		{22, 0x7fffffff, ITEM_TOO_LARGE},
		{28, 2, ITEM_UNSUPPORTED}, /* bits */
		{28, 0, ITEM_UNSUPPORTED},
		{28, 64, ITEM_UNSUPPORTED},
		{30, BMP_RECIPE_RLE8, ITEM_UNSUPPORTED}, /* compression */
		{30, BMP_RECIPE_RLE4, ITEM_UNSUPPORTED},
		{30, 4, ITEM_UNSUPPORTED},
		{30, 0xffffffff, ITEM_UNSUPPORTED},
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct picture rgb;
		struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 24}, 10, 10, &rgb);

		if (changes[i].at == 28)
			file.bytes[28] = (uint8_t)changes[i].value;
		else
			bmp_write_number(file, changes[i].at, changes[i].value);
		check_probe_fails(decoder, file, changes[i].expected);
		free(file.bytes);
		free(rgb.data);
	}
	decoder_close(decoder);
}

static void masks_that_are_no_bytes_are_unsupported(void **state)
{
	static const uint32_t masks[][4] = {
		{16, 0xf00, 0xf0, 0xf}, {32, 0x3ff00000, 0xffc00, 0x3ff}, {24, 0xff000000, 0xff00, 0xff}};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++) {
		struct picture rgb;
		struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 56,
		                                           .bits = masks[i][0],
		                                           .compression = BMP_RECIPE_BITFIELDS,
		                                           .red = masks[i][1],
		                                           .green = masks[i][2],
		                                           .blue = masks[i][3]},
		                          10, 10, &rgb);

		check_probe_fails(decoder, file, ITEM_UNSUPPORTED);
		free(file.bytes);
		free(rgb.data);
	}
	decoder_close(decoder);
}

static void offsets_past_the_end_are_truncated(void **state)
{
	static const uint32_t offsets[] = {10000, 0x7fffffff, 0xfffffff0, 0xffffffff};
	struct decoder *decoder = open_decoder();
	struct decoder *generous = decoder_open(&(struct decode_limits){.max_pixels = UINT64_MAX});
	struct picture rgb;
	struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 8}, 10, 10, &rgb);
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	(void)state;
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		bmp_write_number(file, 10, offsets[i]);
		assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	}
	bmp_write_number(file, 10, 0);
	bmp_write_number(file, 46, 65536); /* palette entries */
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	bmp_write_number(file, 46, 65537);
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	bmp_write_number(file, 46, 65536);

	/* The largest sizes that a header can name: nothing overflows on the way to the answer. */
	bmp_write_number(file, 18, 0x7fffffff);
	bmp_write_number(file, 22, 0x80000000);
	info = probe_ok(generous, file);
	assert_int_equal(info.height_px, 0x80000000);
	assert_int_equal(decode(generous, file, &info, &(struct decode_want){{0x7ffffffe, 0x7fffffff, 1, 1}, 3, 8, false}, &out),
	                 ITEM_TRUNCATED);
	assert_int_equal(decode(generous, file, &info, &(struct decode_want){{0, 0, 1, 1}, 3, 8, false}, &out), ITEM_TRUNCATED);
	free(file.bytes);
	free(rgb.data);
	decoder_close(decoder);
	decoder_close(generous);
}

static void random_headers_never_crash_nor_leave_pixels(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int round = 0; round < 20000; round++) {
		static const uint32_t depths[] = {1, 4, 8, 16, 24, 32};
		struct picture rgb;
		struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = depths[round % 6]}, 12, 5, &rgb);
		struct image_info info;

		for (uint32_t i = check_below(4); i < 4; i++)
			file.bytes[2 + check_below(52)] = (uint8_t)(check_random() & 1 ? 255 : check_random());

		struct file cut =
			file_copy(file.bytes, file.byte_count - (check_below(3) ? 0 : check_below((uint32_t)file.byte_count)));
		struct file_bytes bytes = file_whole(cut);

		if (decode_probe(decoder, &bytes, &info) == ITEM_OK)
			(void)decode_whole(decoder, cut, &info);
		free(cut.bytes);
		free(file.bytes);
		free(rgb.data);
	}
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_equals_the_crop_of_what_was_written),
		cmocka_unit_test(masks_tell_where_the_colours_are),
		cmocka_unit_test(colours_that_a_short_palette_lacks_are_black),
		cmocka_unit_test(a_pixel_offset_that_is_missing_or_forgets_the_palette_is_mended),
		cmocka_unit_test(the_palette_of_gray_pictures_may_be_short),
		cmocka_unit_test(only_the_rows_of_the_region_need_be_there),
		cmocka_unit_test(a_file_cut_in_its_header_is_truncated),
		cmocka_unit_test(hostile_headers_are_refused),
		cmocka_unit_test(masks_that_are_no_bytes_are_unsupported),
		cmocka_unit_test(offsets_past_the_end_are_truncated),
		cmocka_unit_test(random_headers_never_crash_nor_leave_pixels),
	};

	check_state = seed_of_test("test_decode_bmp");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
