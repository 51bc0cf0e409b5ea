/* PNG regions beside the samples that were written; damaged, hostile and unusual files.  One thread. */
#include "tests/decode_check.h"

#include <png.h>

enum { SIGNATURE_BYTES = 8, IHDR_BYTES = 25 };

struct recipe {
	uint32_t width_px, height_px;
	int color_type, sample_bits;
	bool interlaced;
};

static uint32_t channels_of(int color_type)
{
	static const uint32_t channels[] = {[PNG_COLOR_TYPE_GRAY] = 1,
	                                    [PNG_COLOR_TYPE_RGB] = 3,
	                                    [PNG_COLOR_TYPE_PALETTE] = 1,
	                                    [PNG_COLOR_TYPE_GRAY_ALPHA] = 2,
	                                    [PNG_COLOR_TYPE_RGB_ALPHA] = 4};

	return channels[color_type];
}

static void append_written(png_structp codec, png_bytep bytes, size_t byte_count)
{
	file_append(png_get_io_ptr(codec), bytes, byte_count);
}

static void flush_nothing(png_structp codec)
{
	(void)codec;
}

/* Sample `i` of a packed row, most significant bits first; 16 bits are big endian. */
static unsigned sample_at(const uint8_t *row, size_t i, int sample_bits)
{
	size_t bit = i * (size_t)sample_bits;

	if (sample_bits == 16)
		return (unsigned)row[2 * i] << 8 | row[2 * i + 1];
	return (unsigned)row[bit / 8] >> (8 - (size_t)sample_bits - bit % 8) & ((1u << sample_bits) - 1);
}

/* Sample to 8 bits: short ones are stretched, long ones lose their low byte. */
static uint8_t to_8_bits(unsigned sample, int sample_bits)
{
	return (uint8_t)(sample_bits == 16 ? sample >> 8 : sample * 255 / ((1u << sample_bits) - 1));
}

static void expect_row(const struct recipe *recipe, const uint8_t *row, const png_color *palette, uint8_t *rgb)
{
	uint32_t channels = channels_of(recipe->color_type);

	for (uint32_t x = 0; x < recipe->width_px; x++, rgb += 3) {
		if (recipe->color_type == PNG_COLOR_TYPE_PALETTE) {
			const png_color *entry = &palette[sample_at(row, x, recipe->sample_bits)];

			rgb[0] = entry->red;
			rgb[1] = entry->green;
			rgb[2] = entry->blue;
			continue;
		}
		for (uint32_t c = 0; c < 3; c++) {
			size_t sample = (size_t)x * channels + (channels < 3 ? 0 : c);

			rgb[c] = to_8_bits(sample_at(row, sample, recipe->sample_bits), recipe->sample_bits);
		}
	}
}

/* Writes random samples with all filters, and everything that must not change pixels: tRNS, gAMA, tEXt. */
static struct file encode(const struct recipe *recipe, struct picture *expected)
{
	png_structp codec = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop header = png_create_info_struct(codec);
	size_t row_bytes = (recipe->width_px * channels_of(recipe->color_type) * (size_t)recipe->sample_bits + 7) / 8;
	uint8_t *samples = malloc(row_bytes * recipe->height_px);
	png_bytep *rows = malloc(recipe->height_px * sizeof *rows);
	png_color palette[256] = {{0}}; /* what is missing is black */
	uint8_t alpha[2] = {0, 100};
	struct file file = {NULL, 0};

	png_set_write_fn(codec, &file, append_written, flush_nothing);
	png_set_IHDR(codec, header, recipe->width_px, recipe->height_px, recipe->sample_bits, recipe->color_type,
	             recipe->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
	             PNG_FILTER_TYPE_DEFAULT);
	png_set_filter(codec, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
	png_set_compression_buffer_size(codec, 700); /* several IDAT chunks */
	png_set_check_for_invalid_index(codec, 0);
	png_set_gAMA(codec, header, 1.0);
	if (recipe->color_type == PNG_COLOR_TYPE_PALETTE) {
		int entry_count = 2 + (int)check_below((1u << recipe->sample_bits) - 1);

		for (int i = 0; i < entry_count; i++)
			palette[i] = (png_color){(uint8_t)check_random(), (uint8_t)check_random(), (uint8_t)check_random()};
		png_set_PLTE(codec, header, palette, entry_count);
		png_set_tRNS(codec, header, alpha, 2, NULL);
	} else if (!(recipe->color_type & PNG_COLOR_MASK_ALPHA)) {
		png_set_tRNS(codec, header, NULL, 0, &(png_color_16){.gray = 1});
	}

	*expected = picture_make(recipe->width_px, recipe->height_px, 3);
	for (uint32_t y = 0; y < recipe->height_px; y++) {
		rows[y] = samples + y * row_bytes;
		for (size_t i = 0; i < row_bytes; i++)
			rows[y][i] = (uint8_t)check_random();
		expect_row(recipe, rows[y], palette, expected->data + (size_t)y * recipe->width_px * 3);
	}
	png_write_info(codec, header);
	png_write_image(codec, rows);
	png_write_end(codec, NULL);
	png_destroy_write_struct(&codec, &header);
	free(rows);
	free(samples);
	return file;
}

/* CRC-32 as in the PNG specification, annex D, one bit at a time. */
static uint32_t crc_of(const uint8_t *bytes, size_t byte_count)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < byte_count; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

static void insert_chunk(struct file *file, size_t at, const char *type, const void *data, size_t byte_count)
{
	struct file chunk = file_copy((const uint8_t *)type, 4);
	uint8_t number[4];

	file_append(&chunk, data, byte_count);
	png_save_uint_32(number, crc_of(chunk.bytes, chunk.byte_count));
	file_append(&chunk, number, 4);
	png_save_uint_32(number, (uint32_t)byte_count);
	file_insert(&chunk, 0, number, 4);
	file_insert(file, at, chunk.bytes, chunk.byte_count);
	free(chunk.bytes);
}

/* Where the first chunk of a type begins (its length field). */
static size_t find_chunk(struct file file, const char *type)
{
	size_t at = SIGNATURE_BYTES;

	while (memcmp(file.bytes + at + 4, type, 4) != 0)
		at += png_get_uint_32(file.bytes + at) + 12;
	return at;
}

static void remove_chunk(struct file *file, const char *type)
{
	size_t at = find_chunk(*file, type), end = at + png_get_uint_32(file->bytes + at) + 12;

	memmove(file->bytes + at, file->bytes + end, file->byte_count - end);
	file->byte_count -= end - at;
}

/* Writes another size into IHDR, with the right CRC. */
static void write_size(struct file file, uint32_t width_px, uint32_t height_px)
{
	uint8_t *type = file.bytes + SIGNATURE_BYTES + 4;

	png_save_uint_32(type + 4, width_px);
	png_save_uint_32(type + 8, height_px);
	png_save_uint_32(type + 17, crc_of(type, 17));
}

static const struct recipe plain = {60, 50, PNG_COLOR_TYPE_RGB, 8, false};

static struct file encode_plain(void)
{
	struct picture expected;
	struct file file = encode(&plain, &expected);

	free(expected.data);
	return file;
}

static void a_region_equals_the_crop_of_what_was_written(void **state)
{
	static const struct {
		int color_type, least_bits, most_bits;
	} kinds[] = {
		{PNG_COLOR_TYPE_GRAY, 1, 16},       {PNG_COLOR_TYPE_RGB, 8, 16},       {PNG_COLOR_TYPE_PALETTE, 1, 8},
		{PNG_COLOR_TYPE_GRAY_ALPHA, 8, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8, 16},
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		for (int bits = kinds[i].least_bits; bits <= kinds[i].most_bits; bits *= 2) {
			for (int round = 0; round < 12; round++) {
				uint32_t most = round < 4 ? 9 : 90; /* tiny pictures lack some of Adam7's passes */
				struct recipe recipe = {1 + check_below(most), 1 + check_below(most), kinds[i].color_type, bits,
				                        round % 2};
				struct picture rgb;
				struct file file = encode(&recipe, &rgb);
				struct picture luma = picture_make_luma(&rgb);
				struct image_info info = probe_ok(decoder, file);

				assert_int_equal(info.format, IMAGE_PNG);
				assert_int_equal(info.width_px, recipe.width_px);
				assert_int_equal(info.height_px, recipe.height_px);
				check_regions(decoder, file, &info, &rgb, 8, 4);
				check_regions(decoder, file, &info, &luma, 8, 4);
				free(file.bytes);
				free(rgb.data);
				free(luma.data);
			}
		}
	}
	decoder_close(decoder);
}

static void a_file_cut_before_its_last_row_is_truncated(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int interlaced = 0; interlaced < 2; interlaced++) {
		struct recipe recipe = plain;
		struct picture expected;
		struct file file;
		struct image_info info;

		recipe.interlaced = interlaced;
		file = encode(&recipe, &expected);
		info = probe_ok(decoder, file);
		for (size_t byte_count = SIGNATURE_BYTES; byte_count < file.byte_count - 12; byte_count += 1 + check_below(60)) {
			struct file cut = file_copy(file.bytes, byte_count);

			if (byte_count < find_chunk(file, "IDAT"))
				check_probe_fails(decoder, cut, ITEM_TRUNCATED);
			assert_int_equal(decode_whole(decoder, cut, &info), ITEM_TRUNCATED);
			free(cut.bytes);
		}
		free(file.bytes);
		free(expected.data);
	}
	decoder_close(decoder);
}

static void an_end_chunk_before_the_last_row_is_truncated(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = encode_plain();
	struct image_info info = probe_ok(decoder, file);

	(void)state;
	remove_chunk(&file, "IEND");
	file.byte_count -= 712; /* the last whole IDAT of 700 bytes, or more */

	size_t at = find_chunk(file, "IDAT");

	while (file.byte_count - at >= 12 && png_get_uint_32(file.bytes + at) + 12 <= file.byte_count - at)
		at += png_get_uint_32(file.bytes + at) + 12;
	file.byte_count = at;
	insert_chunk(&file, at, "IEND", "", 0);
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	free(file.bytes);
	decoder_close(decoder);
}

static void rows_above_the_damage_are_still_read(void **state)
{
	struct decoder *decoder = open_decoder();
	struct picture expected;
	struct file file = encode(&plain, &expected);
	struct image_info info = probe_ok(decoder, file);
	struct decode_want want = {{7, 3, 40, 20}, 3, 8, false};

	(void)state;
	file.byte_count -= 1500;
	check_region(decoder, file, &info, &want, &expected);
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	file.byte_count += 1500;
	check_regions(decoder, file, &info, &expected, 8, 1); /* and the failure left nothing behind */
	free(file.bytes);
	free(expected.data);
	decoder_close(decoder);
}

static void damaged_pixels_and_headers_are_corrupt(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = encode_plain();
	struct image_info info = probe_ok(decoder, file);
	size_t idat_at = find_chunk(file, "IDAT");
	struct picture unused;

	(void)state;
	file.bytes[idat_at + 8 + 300] ^= 0x10; /* data */
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT);
	file.bytes[idat_at + 8 + 300] ^= 0x10;
	file.bytes[idat_at + 8 + 700] ^= 0x10; /* CRC of the first IDAT */
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT);
	file.bytes[idat_at + 8 + 700] ^= 0x10;
	file.bytes[idat_at + 8] = 0x77; /* zlib's header */
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT);
	file.bytes[SIGNATURE_BYTES + 8 + 3]++; /* IHDR's width */
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	free(file.bytes);

	file = encode(&(struct recipe){20, 20, PNG_COLOR_TYPE_PALETTE, 8, false}, &unused);
	remove_chunk(&file, "PLTE");
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	free(file.bytes);
	free(unused.data);
	decoder_close(decoder);
}

static void ancillary_chunks_are_skipped_whatever_they_hold(void **state)
{
	struct decoder *decoder = open_decoder();
	struct picture expected;
	struct file file = encode(&plain, &expected);
	size_t large_bytes = 9000000; /* over libpng's limit for chunks that it keeps */
	uint8_t *large = calloc(1, large_bytes);
	struct image_info info;

	(void)state;
	insert_chunk(&file, SIGNATURE_BYTES + IHDR_BYTES, "caBX", large, large_bytes);
	insert_chunk(&file, SIGNATURE_BYTES + IHDR_BYTES, "iCCP", "x\0\0not zlib", 11);
	insert_chunk(&file, SIGNATURE_BYTES + IHDR_BYTES, "zTXt", "", 0);
	insert_chunk(&file, SIGNATURE_BYTES + IHDR_BYTES, "sRGB", "\77\77\77", 3);
	file.bytes[SIGNATURE_BYTES + IHDR_BYTES + 8 + 3] ^= 1; /* and a wrong CRC */
	info = probe_ok(decoder, file);
	check_regions(decoder, file, &info, &expected, 8, 2);
	free(large);
	free(file.bytes);
	free(expected.data);
	decoder_close(decoder);
}

static void orientation_comes_from_exif_before_or_after_the_pixels(void **state)
{
	static const uint8_t exif[] = {'I', 'I', '*', 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0};
	struct decoder *decoder = open_decoder();
	struct file file = encode_plain();

	(void)state;
	assert_int_equal(probe_ok(decoder, file).orientation, 1);
	insert_chunk(&file, SIGNATURE_BYTES + IHDR_BYTES, "eXIf", exif, sizeof exif);
	assert_int_equal(probe_ok(decoder, file).orientation, 6);
	remove_chunk(&file, "eXIf");
	insert_chunk(&file, find_chunk(file, "IEND"), "eXIf", exif, sizeof exif);
	assert_int_equal(probe_ok(decoder, file).orientation, 6);
	png_save_uint_32(file.bytes + find_chunk(file, "eXIf"), 0x7fffffff); /* longer than the file */
	assert_int_equal(probe_ok(decoder, file).orientation, 1);
	free(file.bytes);
	decoder_close(decoder);
}

static void sizes_are_limited_from_the_header(void **state)
{
	struct decoder *decoder = open_decoder();
	struct decoder *generous = decoder_open(&(struct decode_limits){.max_pixels = UINT64_MAX});
	struct file file = encode_plain();
	struct image_info info = probe_ok(decoder, file), probed = info;

	(void)state;
	write_size(file, 2000, 2000);
	info = probe_ok(decoder, file);
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_TRUNCATED);
	assert_int_equal(decode_whole(decoder, file, &probed), ITEM_CORRUPT); /* not the size that was probed */
	write_size(file, 20, 20);
	assert_int_equal(decode_whole(decoder, file, &probed), ITEM_CORRUPT);
	assert_string_equal(decoder_reason(decoder), "20x20 pixels, but 60x50 when it was probed");
	write_size(file, 2000, 2001);
	check_probe_fails(decoder, file, ITEM_TOO_LARGE);
	write_size(file, 0x7fffffff, 0x7fffffff);
	check_probe_fails(decoder, file, ITEM_TOO_LARGE);
	check_probe_fails(generous, file, ITEM_TOO_LARGE);
	write_size(file, 1000001, 1);
	check_probe_fails(decoder, file, ITEM_TOO_LARGE);
	write_size(file, 0, 10);
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	write_size(file, 0x80000000, 10);
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	free(file.bytes);
	decoder_close(decoder);
	decoder_close(generous);
}

static void a_png_has_no_reduced_size(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = encode_plain();
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	(void)state;
	assert_int_equal(decode(decoder, file, &info, &(struct decode_want){{0, 0, 8, 8}, 3, 4, false}, &out), ITEM_UNSUPPORTED);
	free(file.bytes);
	decoder_close(decoder);
}

static void flipped_bits_never_crash_nor_leave_pixels(void **state)
{
	struct decoder *decoder = open_decoder();
	int failures = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		struct recipe recipe = {60, 50, round % 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_PALETTE, 8, round & 1};
		struct picture expected;
		struct file file = encode(&recipe, &expected);
		struct image_info info = probe_ok(decoder, file);

		for (int i = 0; i < 3; i++)
			file.bytes[SIGNATURE_BYTES + check_below((uint32_t)file.byte_count - SIGNATURE_BYTES)] ^=
				(uint8_t)(1u << check_below(8));
		struct file_bytes bytes = file_whole(file);

		(void)decode_probe(decoder, &bytes, &info);
		failures += decode_whole(decoder, file, &info) != ITEM_OK;
		free(file.bytes);
		free(expected.data);
	}
	assert_true(failures > 300);
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_equals_the_crop_of_what_was_written),
		cmocka_unit_test(a_file_cut_before_its_last_row_is_truncated),
		cmocka_unit_test(an_end_chunk_before_the_last_row_is_truncated),
		cmocka_unit_test(rows_above_the_damage_are_still_read),
		cmocka_unit_test(damaged_pixels_and_headers_are_corrupt),
		cmocka_unit_test(ancillary_chunks_are_skipped_whatever_they_hold),
		cmocka_unit_test(orientation_comes_from_exif_before_or_after_the_pixels),
		cmocka_unit_test(sizes_are_limited_from_the_header),
		cmocka_unit_test(a_png_has_no_reduced_size),
		cmocka_unit_test(flipped_bits_never_crash_nor_leave_pixels),
	};

	check_state = seed_of_test("test_decode_png");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
