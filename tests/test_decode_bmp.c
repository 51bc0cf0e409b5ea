/* BMP regions beside the pixels that were written, by hand; damaged, hostile and unusual files.  One thread. */
#include "tests/decode_check.h"

enum { RGB = 0, RLE8 = 1, RLE4 = 2, BITFIELDS = 3 };

struct recipe {
	uint32_t header_bytes, bits, compression;
	uint32_t red, green, blue; /* masks */
	uint32_t palette_entries;  /* in the header; 0: all */
	bool top_row_first;
};

static void append_number(struct file *file, uint32_t value, int byte_count)
{
	for (int i = 0; i < byte_count; i++)
		file_append(file, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static void write_number(struct file file, size_t at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		file.bytes[at + (size_t)i] = (uint8_t)(value >> 8 * i);
}

static void append_header(struct file *file, const struct recipe *recipe, uint32_t width_px, uint32_t height_px)
{
	uint32_t size_bytes = recipe->header_bytes == 12 ? 2 : 4;

	file_append(file, "BM\0\0\0\0\0\0\0\0\0\0\0\0", 14); /* the pixels' offset is written at the end */
	append_number(file, recipe->header_bytes, 4);
	append_number(file, width_px, (int)size_bytes);
	append_number(file, recipe->top_row_first ? 0 - height_px : height_px, (int)size_bytes);
	append_number(file, 1, 2);
	append_number(file, recipe->bits, 2);
	if (recipe->header_bytes > 12) {
		append_number(file, recipe->compression, 4);
		append_number(file, 0, 4);
		append_number(file, 2835, 4);
		append_number(file, 2835, 4);
		append_number(file, recipe->palette_entries, 4);
		append_number(file, 0, 4);
	}
	if (recipe->compression == BITFIELDS) {
		append_number(file, recipe->red, 4);
		append_number(file, recipe->green, 4);
		append_number(file, recipe->blue, 4);
	}
	while (file->byte_count < 14 + recipe->header_bytes)
		append_number(file, 0, 1);
}

/* A field of a pixel in 255 parts, rounded down. */
static uint8_t field(uint32_t pixel, uint32_t mask)
{
	uint32_t shift = 0;

	while (!(mask >> shift & 1))
		shift++;
	return (uint8_t)(((pixel & mask) >> shift) * 255 / (mask >> shift));
}

static void expect_pixel(const struct recipe *recipe, uint32_t pixel, uint8_t palette[256][3], uint8_t *rgb)
{
	if (recipe->bits <= 8) {
		memcpy(rgb, palette[pixel], 3);
	} else {
		bool short_pixel = recipe->bits == 16;

		rgb[0] = field(pixel, recipe->compression == BITFIELDS ? recipe->red : short_pixel ? 0x7c00 : 0xff0000);
		rgb[1] = field(pixel, recipe->compression == BITFIELDS ? recipe->green : short_pixel ? 0x3e0 : 0xff00);
		rgb[2] = field(pixel, recipe->compression == BITFIELDS ? recipe->blue : short_pixel ? 0x1f : 0xff);
	}
}

/* Random pixels; *expected is what they look like. */
static struct file encode(const struct recipe *recipe, uint32_t width_px, uint32_t height_px, struct picture *expected)
{
	struct file file = file_copy(NULL, 0);
	size_t stride_bytes = (width_px * recipe->bits + 31) / 32 * 4;
	uint8_t *row = calloc(1, stride_bytes), palette[256][3] = {{0}};

	append_header(&file, recipe, width_px, height_px);
	if (recipe->bits <= 8) {
		uint32_t entry_count = recipe->palette_entries ? recipe->palette_entries : 1u << recipe->bits;

		for (uint32_t i = 0; i < entry_count; i++) {
			for (int c = 0; c < 3; c++)
				palette[i][c] = (uint8_t)check_random();
			append_number(&file, (uint32_t)palette[i][2] | (uint32_t)palette[i][1] << 8 | (uint32_t)palette[i][0] << 16,
			              3);
			if (recipe->header_bytes > 12)
				append_number(&file, 0xee, 1);
		}
	}
	write_number(file, 10, (uint32_t)file.byte_count);

	*expected = picture_make(width_px, height_px, 3);
	for (uint32_t stored = 0; stored < height_px; stored++) {
		uint32_t y = recipe->top_row_first ? stored : height_px - 1 - stored;

		for (size_t i = 0; i < stride_bytes; i++)
			row[i] = (uint8_t)check_random();
		for (uint32_t x = 0; x < width_px; x++) {
			uint32_t pixel = 0;

			if (recipe->bits < 8) {
				size_t bit = (size_t)x * recipe->bits;

				pixel = (uint32_t)row[bit / 8] >> (8 - recipe->bits - bit % 8) & ((1u << recipe->bits) - 1);
			} else {
				for (uint32_t i = 0; i < recipe->bits / 8; i++)
					pixel |= (uint32_t)row[x * (recipe->bits / 8) + i] << 8 * i;
			}
			expect_pixel(recipe, pixel, palette, expected->data + ((size_t)y * width_px + x) * 3);
		}
		file_append(&file, row, stride_bytes);
	}
	free(row);
	return file;
}

static void check_recipe(struct decoder *decoder, const struct recipe *recipe)
{
	struct picture rgb, luma;
	struct file file = encode(recipe, 1 + check_below(70), 1 + check_below(70), &rgb);
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
				check_recipe(decoder, &(struct recipe){.header_bytes = headers[h],
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
			check_recipe(decoder, &(struct recipe){.header_bytes = headers[h],
			                                       .bits = kinds[k].bits,
			                                       .compression = BITFIELDS,
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
	check_recipe(decoder, &(struct recipe){.header_bytes = 40, .bits = 8, .palette_entries = 3});
	check_recipe(decoder, &(struct recipe){.header_bytes = 40, .bits = 8, .palette_entries = 200});
	check_recipe(decoder, &(struct recipe){.header_bytes = 40, .bits = 4, .palette_entries = 5});
	check_recipe(decoder, &(struct recipe){.header_bytes = 40, .bits = 1, .palette_entries = 1});
	decoder_close(decoder);
}

static void a_pixel_offset_that_is_missing_or_forgets_the_palette_is_mended(void **state)
{
	static const struct recipe recipes[] = {
		{.header_bytes = 40, .bits = 8},
		{.header_bytes = 40, .bits = 24},
		{.header_bytes = 40, .bits = 32, .compression = BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
		{.header_bytes = 124, .bits = 32, .compression = BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
		struct picture rgb;
		struct file file = encode(&recipes[i], 20, 20, &rgb);
		struct image_info info = probe_ok(decoder, file);

		write_number(file, 10, 0);
		check_regions(decoder, file, &info, &rgb, 8, 2);
		if (recipes[i].bits == 8) {
			write_number(file, 10, 14 + 40);
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
	struct file file = encode(&(struct recipe){.header_bytes = 40, .bits = 8, .palette_entries = 100}, 30, 30, &rgb);
	struct image_info info = probe_ok(decoder, file);
	size_t pixels_at = 14 + 40 + 400;

	(void)state;
	for (uint32_t i = 0; i < 100; i++)
		write_number(file, 14 + 40 + 4 * i, i * 0x10101);
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
			encode(&(struct recipe){.header_bytes = 40, .bits = 24, .top_row_first = top_row_first}, 30, 20, &rgb);
		struct image_info info = probe_ok(decoder, file);
		struct decode_want want = {{0, top_row_first ? 0 : 10, 30, 10}, 3, 8};
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
	struct file file = encode(
		&(struct recipe){
			.header_bytes = 40, .bits = 32, .compression = BITFIELDS, .red = 0xff, .green = 0xff00, .blue = 0xff0000},
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
		{30, RLE8, ITEM_UNSUPPORTED}, /* compression */
		{30, RLE4, ITEM_UNSUPPORTED},
		{30, 4, ITEM_UNSUPPORTED},
		{30, 0xffffffff, ITEM_UNSUPPORTED},
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		struct picture rgb;
		struct file file = encode(&(struct recipe){.header_bytes = 40, .bits = 24}, 10, 10, &rgb);

		if (changes[i].at == 28)
			file.bytes[28] = (uint8_t)changes[i].value;
		else
			write_number(file, changes[i].at, changes[i].value);
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
		struct file file = encode(&(struct recipe){.header_bytes = 56,
		                                           .bits = masks[i][0],
		                                           .compression = BITFIELDS,
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
	struct file file = encode(&(struct recipe){.header_bytes = 40, .bits = 8}, 10, 10, &rgb);
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	(void)state;
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		write_number(file, 10, offsets[i]);
		assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	}
	write_number(file, 10, 0);
	write_number(file, 46, 0xffffffff); /* palette entries: the pixels would begin 16 GB further on */
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);

	/* The largest sizes that a header can name: nothing overflows on the way to the answer. */
	write_number(file, 18, 0x7fffffff);
	write_number(file, 22, 0x80000000);
	info = probe_ok(generous, file);
	assert_int_equal(info.height_px, 0x80000000);
	assert_int_equal(decode(generous, file, &info, &(struct decode_want){{0x7ffffffe, 0x7fffffff, 1, 1}, 3, 8}, &out),
	                 ITEM_TRUNCATED);
	assert_int_equal(decode(generous, file, &info, &(struct decode_want){{0, 0, 1, 1}, 3, 8}, &out), ITEM_TRUNCATED);
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
		struct file file = encode(&(struct recipe){.header_bytes = 40, .bits = depths[round % 6]}, 12, 5, &rgb);
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
