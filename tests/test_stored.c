/* test_stored.c - values as stored: what was written into a PNG, BMP or gray JPEG comes out of any region of it, and goes where it must. */
#include "tests/bmp_recipe.h"
#include "tests/jpeg_recipe.h"

#include <png.h>

#include "loader/shape/resample.h"

/* A picture of whole values, each of 1 or 2 bytes. */
static struct picture random_values(uint32_t width_px, uint32_t height_px, uint32_t bits)
{
	struct picture values = picture_make(width_px, height_px, bits == 16 ? 2 : 1);

	for (size_t i = 0; i < (size_t)width_px * height_px * values.channels; i++)
		values.data[i] = (uint8_t)(bits < 8 ? check_below(1u << bits) : check_below(256));
	return values;
}

static void keep_bytes(png_structp codec, png_bytep bytes, size_t byte_count)
{
	file_append(png_get_io_ptr(codec), bytes, byte_count);
}

static void drop_flush(png_structp codec)
{
	(void)codec;
}

/* By libpng, from values one after another. */
static struct file write_png(const struct picture *values, int bits, int color, bool interlaced)
{
	png_structp codec = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop header = png_create_info_struct(codec);
	png_bytep *rows = calloc(values->height_px, sizeof *rows);
	size_t row_bytes = (size_t)values->width_px * values->channels;
	struct file file = file_copy(NULL, 0);
	png_color palette[256] = {{0, 0, 0}};

	for (uint32_t y = 0; y < values->height_px; y++)
		rows[y] = values->data + y * row_bytes;
	png_set_write_fn(codec, &file, keep_bytes, drop_flush);
	png_set_IHDR(codec, header, values->width_px, values->height_px, bits, color,
	             interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	if (color == PNG_COLOR_TYPE_PALETTE)
		png_set_PLTE(codec, header, palette, 1 << bits);
	png_write_info(codec, header);
	png_set_packing(codec); /* a byte of ours for each value of fewer bits */
	if (bits == 16)
		png_set_swap(codec);
	png_write_image(codec, rows);
	png_write_end(codec, header);
	png_destroy_write_struct(&codec, &header);
	free(rows);
	return file;
}

static void check_values(struct decoder *decoder, struct file file, const struct picture *values, uint8_t bits)
{
	struct image_info info = probe_ok(decoder, file);

	assert_int_equal(info.channels, 1);
	assert_int_equal(info.sample_bits, bits);
	for (int i = 0; i < 12; i++) {
		struct decode_want want = {random_box(values->width_px, values->height_px), values->channels, 8, true};

		check_region(decoder, file, &info, &want, values);
	}
	free(file.bytes);
}

static void what_libpng_wrote_comes_out(void **state)
{
	static const uint8_t depths[] = {1, 2, 4, 8, 16};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int round = 0; round < 200; round++) {
		uint8_t bits = depths[round % 5];
		bool is_palette = bits < 16 && check_below(2);
		struct picture values = random_values(1 + check_below(90), 1 + check_below(70), bits);
		struct file file =
			write_png(&values, bits, is_palette ? PNG_COLOR_TYPE_PALETTE : PNG_COLOR_TYPE_GRAY, check_below(2));
		unsigned factor = is_palette ? 1 : bits == 2 ? 85 : bits == 4 ? 17 : 1; /* as Pillow's mode "L" */

		for (size_t i = 0; bits < 8 && i < (size_t)values.width_px * values.height_px; i++)
			values.data[i] = (uint8_t)(values.data[i] * factor);
		check_values(decoder, file, &values, bits);
		free(values.data);
	}
	decoder_close(decoder);
}

/* From the rows as they lie in the file; a gray palette changes nothing. */
static struct picture indexes_of(struct file file, const struct bmp_recipe *recipe, uint32_t width_px, uint32_t height_px)
{
	struct picture indexes = picture_make(width_px, height_px, 1);
	size_t stride_bytes = (width_px * recipe->bits + 31) / 32 * 4;
	const uint8_t *rows = file.bytes + file.byte_count - height_px * stride_bytes;

	for (uint32_t y = 0; y < height_px; y++) {
		const uint8_t *row = rows + (recipe->top_row_first ? y : height_px - 1 - y) * stride_bytes;

		for (uint32_t x = 0; x < width_px; x++) {
			unsigned first_bit = x * recipe->bits, value = 0;

			for (uint32_t bit = first_bit; bit < first_bit + recipe->bits; bit++)
				value = value << 1 | (row[bit / 8] >> (7 - bit % 8) & 1);
			indexes.data[(size_t)y * width_px + x] = (uint8_t)value;
		}
	}
	return indexes;
}

static void a_bmp_gives_its_indexes(void **state)
{
	static const uint8_t depths[] = {1, 4, 8};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int round = 0; round < 120; round++) {
		struct bmp_recipe recipe = {
			.header_bytes = check_below(2) ? 40 : 12, .bits = depths[round % 3], .top_row_first = check_below(2)};
		uint32_t width_px = 1 + check_below(90), height_px = 1 + check_below(70);
		struct picture colours, indexes;
		struct file file;

		if (recipe.header_bytes == 12)
			recipe.top_row_first = false;
		file = bmp_encode(&recipe, width_px, height_px, &colours);
		for (uint32_t i = 0; recipe.bits == 8 && check_below(2) && i < 256; i++)
			memset(file.bytes + 14 + recipe.header_bytes + i * (recipe.header_bytes == 12 ? 3 : 4), (int)i, 3);
		indexes = indexes_of(file, &recipe, width_px, height_px);
		check_values(decoder, file, &indexes, (uint8_t)recipe.bits);
		free(colours.data);
		free(indexes.data);
	}
	decoder_close(decoder);
}

static void runs_of_a_bmp_are_indexes_too(void **state)
{
	/* 4x2, from the bottom up: 7 7 7 9, and 1 2 3 as they are after a move by one. */
	static const uint8_t runs[] = {3, 7, 1, 9, 0, 0, 0, 2, 1, 0, 0, 3, 1, 2, 3, 0, 0, 1}, expected[] = {0, 1, 2, 3, 7, 7, 7, 9};
	struct bmp_recipe recipe = {.header_bytes = 40, .bits = 8, .compression = BMP_RECIPE_RLE8};
	struct picture values = {4, 2, 1, (uint8_t *)(uintptr_t)expected};
	struct decoder *decoder = open_decoder();
	struct file file = file_copy(NULL, 0);

	(void)state;
	bmp_append_header(&file, &recipe, 4, 2);
	for (uint32_t i = 0; i < 256; i++)
		bmp_append_number(&file, i * 0x30201, 4);
	bmp_write_number(file, 10, (uint32_t)file.byte_count);
	file_append(&file, runs, sizeof runs);
	check_values(decoder, file, &values, 8);
	decoder_close(decoder);
}

static void a_gray_jpeg_gives_its_luma(void **state)
{
	struct jpeg_recipe recipe = {.width_px = 61, .height_px = 47, .stored = JCS_GRAYSCALE};
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&recipe);
	struct image_info info = probe_ok(decoder, file);
	struct decode_want want = {{0, 0, 61, 47}, 1, 8, false};
	struct picture luma = picture_make(61, 47, 1);
	struct pixels out;

	(void)state;
	assert_int_equal(decode(decoder, file, &info, &want, &out), ITEM_OK);
	for (uint32_t y = 0; y < 47; y++)
		memcpy(luma.data + (size_t)y * 61, out.data + y * out.stride_bytes, 61);
	check_values(decoder, file, &luma, 8);
	free(luma.data);
	decoder_close(decoder);
}

static void colours_have_no_values(void **state)
{
	struct jpeg_recipe jpeg = {.width_px = 20, .height_px = 20, .stored = JCS_YCbCr};
	struct bmp_recipe bmp = {.header_bytes = 40, .bits = 24};
	struct decode_want want = {{0, 0, 20, 20}, 1, 8, true};
	struct decoder *decoder = open_decoder();
	struct picture colours;
	struct file files[] = {jpeg_encode(&jpeg), bmp_encode(&bmp, 20, 20, &colours)};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct image_info info = probe_ok(decoder, files[i]);
		struct pixels out;

		assert_int_equal(info.channels, 3);
		assert_int_equal(decode(decoder, files[i], &info, &want, &out), ITEM_UNSUPPORTED);
		info.channels = 1; /* a lie */
		assert_int_equal(decode(decoder, files[i], &info, &want, &out), ITEM_CORRUPT);
		free(files[i].bytes);
	}
	free(colours.data);
	decoder_close(decoder);
}

static void a_value_of_16_bits_is_not_a_byte(void **state)
{
	struct picture values = random_values(5, 5, 16);
	struct file file = write_png(&values, 16, PNG_COLOR_TYPE_GRAY, false);
	struct decoder *decoder = open_decoder();
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	(void)state;
	assert_int_equal(decode(decoder, file, &info, &(struct decode_want){{0, 0, 5, 5}, 1, 8, true}, &out), ITEM_UNSUPPORTED);
	assert_int_equal(decode(decoder, file, &info, &(struct decode_want){{0, 0, 5, 5}, 2, 8, true}, &out), ITEM_OK);
	free(file.bytes);
	free(values.data);
	decoder_close(decoder);
}

/* Pillow: Geometry.c, affine_transform() and nearest_filter16(). */
static uint32_t nearest_of(const struct resample_axis *axis, uint32_t output)
{
	return (uint32_t)((axis->first + output + 0.5) * ((double)axis->in_px / axis->virtual_px));
}

static struct resample_axis random_axis(void)
{
	struct resample_axis axis = {.in_px = 1 + check_below(150), .virtual_px = 1 + check_below(150)};

	axis.in1 = axis.in_px;
	axis.first = check_below(axis.virtual_px);
	axis.out_px = 1 + check_below(axis.virtual_px - axis.first);
	return axis;
}

static void nearest_moves_values_of_16_bits_whole(void **state)
{
	struct resampler *resampler = resampler_open(simd_best());

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct resample_axis x = random_axis(), y = random_axis();
		struct picture values = random_values(x.in_px, y.in_px, 16), out = picture_make(x.out_px, y.out_px, 2);
		bool mirrored = check_below(2);
		uint32_t band_rows = 1 + check_below(y.in_px);

		assert_int_equal(
			resampler_begin(resampler, RESAMPLE_NEAREST_16, &x, &y, 2, mirrored, out.data, (size_t)x.out_px * 2), 0);
		for (uint32_t row = 0; row < y.in_px; row += band_rows) {
			struct pixels band = {.data = values.data + (size_t)row * x.in_px * 2,
			                      .stride_bytes = (size_t)x.in_px * 2,
			                      .width_px = x.in_px,
			                      .height_px = band_rows < y.in_px - row ? band_rows : y.in_px - row,
			                      .channels = 2};

			resampler_take(resampler, &band, 0, row);
		}
		for (uint32_t i = 0; i < x.out_px * y.out_px; i++) {
			uint32_t column = mirrored ? x.out_px - 1 - i % x.out_px : i % x.out_px;
			size_t from = (size_t)nearest_of(&y, i / x.out_px) * x.in_px + nearest_of(&x, column);

			assert_memory_equal(out.data + 2 * (size_t)i, values.data + 2 * from, 2);
		}
		free(values.data);
		free(out.data);
	}
	resampler_close(resampler);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_libpng_wrote_comes_out),
		cmocka_unit_test(a_bmp_gives_its_indexes),
		cmocka_unit_test(runs_of_a_bmp_are_indexes_too),
		cmocka_unit_test(a_gray_jpeg_gives_its_luma),
		cmocka_unit_test(colours_have_no_values),
		cmocka_unit_test(a_value_of_16_bits_is_not_a_byte),
		cmocka_unit_test(nearest_moves_values_of_16_bits_whole),
	};

	check_state = seed_of_test("test_stored");
	return cmocka_run_group_tests_name("stored", tests, NULL, NULL);
}
