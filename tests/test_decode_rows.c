/*
 * Regions that take several bands, of every kind of file: all rows come, in their turn, and are those of one small region after the
 * other, which the other tests compare with models.  One thread.
 */
#include "tests/bmp_recipe.h"
#include "tests/jpeg_recipe.h"
#include "tests/png_recipe.h"

#include <png.h>

enum { WIDTH_PX = 500, HEIGHT_PX = 700, REFERENCE_ROWS = 10 };

#define LARGEST_BAND_BYTES ((size_t)600 << 10)

static void check_bands(const char *what, struct file file, uint32_t scale_eighths)
{
	struct decoder *decoder = open_decoder();
	struct image_info info = probe_ok(decoder, file);
	uint32_t width_px = decode_scaled_px(info.width_px, scale_eighths);
	uint32_t height_px = decode_scaled_px(info.height_px, scale_eighths);
	struct file_bytes bytes = file_whole(file);

	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		struct decode_want want = {{5, 3, (int32_t)width_px - 12, (int32_t)height_px - 8}, channels, scale_eighths, false};
		struct kept kept;

		kept_open(&kept, &want);
		if (decode_rows(decoder, &bytes, &info, &want, &kept.sink) != ITEM_OK)
			fail_msg("%s: %s", what, decoder_reason(decoder));
		if (kept.row_count != kept.region.height_px || kept.band_count < 2 || kept.largest_band_bytes > LARGEST_BAND_BYTES)
			fail_msg("%s: %u of %u rows in %u bands of up to %zu bytes", what, kept.row_count, kept.region.height_px,
			         kept.band_count, kept.largest_band_bytes);
		for (uint32_t y = 0; y < kept.region.height_px; y += 223) {
			struct decode_want few = want;
			struct pixels rows;

			few.region.y += (int32_t)y;
			if (kept.region.height_px - y < REFERENCE_ROWS)
				few.region.height = (int32_t)(kept.region.height_px - y);
			else
				few.region.height = REFERENCE_ROWS;
			assert_int_equal(decode(decoder, file, &info, &few, &rows), ITEM_OK);
			for (uint32_t i = 0; i < rows.height_px; i++)
				if (memcmp(rows.data + i * rows.stride_bytes, kept.region.data + (y + i) * kept.region.stride_bytes,
				           kept.region.stride_bytes) != 0)
					fail_msg("%s, %u channels, %u/8: row %u differs", what, channels, scale_eighths, y + i);
		}
		kept_close(&kept);
	}
	free(file.bytes);
	decoder_close(decoder);
}

static void jpegs_come_in_bands(void **state)
{
	struct jpeg_recipe recipe = {.width_px = WIDTH_PX, .height_px = HEIGHT_PX, .across = 2, .down = 2};
	static const J_COLOR_SPACE spaces[] = {JCS_GRAYSCALE, JCS_YCbCr, JCS_CMYK};

	(void)state;
	for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++) {
		for (int progressive = 0; progressive < 2; progressive++) {
			recipe.stored = spaces[i];
			recipe.scans = progressive ? JPEG_SCANS_PROGRESSIVE : JPEG_SCANS_ONE;
			check_bands(progressive ? "progressive JPEG" : "JPEG", jpeg_encode(&recipe), 8);
		}
	}
	recipe.width_px = recipe.height_px = 1200;
	recipe.stored = JCS_YCbCr;
	recipe.scans = JPEG_SCANS_ONE;
	check_bands("JPEG", jpeg_encode(&recipe), 4);
}

static void own_pngs_come_in_bands(void **state)
{
	static const uint8_t colors[] = {0, 2, 3, 4, 6};

	(void)state;
	for (size_t i = 0; i < sizeof colors; i++) {
		struct png_recipe recipe = {.width_px = WIDTH_PX,
		                            .height_px = HEIGHT_PX,
		                            .color = colors[i],
		                            .filter = ALL_FILTERS,
		                            .level = 1,
		                            .window_bits = 15};
		struct picture rgb;

		check_bands("PNG", png_recipe_write(&recipe, &rgb), 8);
		free(rgb.data);
	}
}

static void append_written(png_structp codec, png_bytep bytes, size_t byte_count)
{
	file_append(png_get_io_ptr(codec), bytes, byte_count);
}

static void flush_nothing(png_structp codec)
{
	(void)codec;
}

/* RGB of random bytes. */
static struct file write_png(int sample_bits, int interlace)
{
	png_structp codec = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop header = png_create_info_struct(codec);
	struct picture samples = picture_make_photo(WIDTH_PX, HEIGHT_PX, 6);
	png_bytep rows[HEIGHT_PX];
	struct file file = {NULL, 0};

	png_set_write_fn(codec, &file, append_written, flush_nothing);
	png_set_IHDR(codec, header, WIDTH_PX, HEIGHT_PX, sample_bits, PNG_COLOR_TYPE_RGB, interlace, PNG_COMPRESSION_TYPE_DEFAULT,
	             PNG_FILTER_TYPE_DEFAULT);
	png_set_compression_level(codec, 1);
	for (uint32_t y = 0; y < HEIGHT_PX; y++)
		rows[y] = samples.data + (size_t)y * WIDTH_PX * 6;
	png_write_info(codec, header);
	png_write_image(codec, rows);
	png_write_end(codec, NULL);
	png_destroy_write_struct(&codec, &header);
	free(samples.data);
	return file;
}

static void pngs_of_libpng_come_in_bands(void **state)
{
	(void)state;
	check_bands("PNG of 16 bits", write_png(16, PNG_INTERLACE_NONE), 8);
	check_bands("interlaced PNG", write_png(8, PNG_INTERLACE_ADAM7), 8);
	check_bands("interlaced PNG of 16 bits", write_png(16, PNG_INTERLACE_ADAM7), 8);
}

static void bmps_come_in_bands(void **state)
{
	(void)state;
	for (uint32_t bits = 8; bits <= 24; bits += 16) {
		for (int top_row_first = 0; top_row_first < 2; top_row_first++) {
			struct bmp_recipe recipe = {.header_bytes = 40, .bits = bits, .top_row_first = top_row_first};
			struct picture rgb;

			check_bands("BMP", bmp_encode(&recipe, WIDTH_PX, HEIGHT_PX, &rgb), 8);
			free(rgb.data);
		}
	}
}

static struct file write_runs(void)
{
	struct bmp_recipe recipe = {.header_bytes = 40, .bits = 8, .compression = 1, .palette_entries = 256};
	struct file file = {NULL, 0};

	bmp_append_header(&file, &recipe, WIDTH_PX, HEIGHT_PX);
	for (uint32_t i = 0; i < 256; i++)
		bmp_append_number(&file, check_random(), 4);
	bmp_write_number(file, 10, (uint32_t)file.byte_count);
	for (uint32_t y = 0; y < HEIGHT_PX; y++) {
		for (uint32_t x = 0; x < WIDTH_PX; x += 100)
			file_append(&file, (uint8_t[]){100, (uint8_t)check_random()}, 2);
		file_append(&file, "\0\0", 2);
	}
	return file;
}

static void run_length_encoded_bmps_come_in_bands_though_their_last_row_comes_first(void **state)
{
	(void)state;
	check_bands("run-length encoded BMP", write_runs(), 8);
}

/* The sink keeps so much that nothing is left for those that must keep the region themselves. */
static void what_the_sink_keeps_counts(void **state)
{
	struct jpeg_recipe progressive = {
		.width_px = WIDTH_PX, .height_px = HEIGHT_PX, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE};
	struct file files[] = {write_png(8, PNG_INTERLACE_ADAM7), write_runs(), jpeg_encode(&progressive)};
	struct decode_want want = {{0, 0, WIDTH_PX, HEIGHT_PX}, 3, 8, false};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct file_bytes bytes = file_whole(files[i]);
		struct image_info info = probe_ok(decoder, files[i]);
		struct kept kept;

		kept_open(&kept, &want);
		kept.sink.kept_bytes = DECODE_MAX_BYTES - 100000;
		assert_int_equal(decode_rows(decoder, &bytes, &info, &want, &kept.sink), ITEM_TOO_LARGE);
		assert_non_null(strstr(decoder_reason(decoder), "; save "));
		assert_int_equal(kept.row_count, 0);
		kept.sink.kept_bytes = DECODE_MAX_BYTES - 8000000;
		assert_int_equal(decode_rows(decoder, &bytes, &info, &want, &kept.sink), ITEM_OK);
		kept_close(&kept);
		free(files[i].bytes);
	}
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jpegs_come_in_bands),
		cmocka_unit_test(own_pngs_come_in_bands),
		cmocka_unit_test(pngs_of_libpng_come_in_bands),
		cmocka_unit_test(bmps_come_in_bands),
		cmocka_unit_test(run_length_encoded_bmps_come_in_bands_though_their_last_row_comes_first),
		cmocka_unit_test(what_the_sink_keeps_counts),
	};

	check_state = seed_of_test("test_decode_rows");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
