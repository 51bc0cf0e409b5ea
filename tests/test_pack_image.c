/* Any file into a pack: what is stored of it, what is told of it, and why it is stored as it is.  One thread. */
#include "tests/bmp_recipe.h"
#include "tests/pack_check.h"
#include "tests/png_recipe.h"

static struct packed_image pack_any(const struct pack_rules *rules, struct file source)
{
	struct pack_worker *worker = pack_worker_open(rules);
	struct packed_image packed, again;

	assert_non_null(worker);
	assert_int_equal(pack_image(worker, source.bytes, source.byte_count, true, &packed), 0);
	assert_true(packed.is_source == (packed.file.used_bytes == 0));
	assert_int_equal(packed.image.segments_bytes, packed.table.used_bytes);
	assert_true(packed.outcome == PACK_SEGMENTED || packed.outcome == PACK_SMALL || packed.is_source);
	if (packed.is_source)
		assert_int_equal(packed.table.used_bytes, 0);

	/* Verified or not, and with a worker that has seen other pictures: the same. */
	assert_int_equal(pack_image(worker, source.bytes, source.byte_count, false, &again), 0);
	if (again.outcome != packed.outcome)
		fail_msg("verified: %d, %s; not: %d, %s", packed.outcome, packed.reason, again.outcome, again.reason);
	assert_int_equal(again.file.used_bytes, packed.file.used_bytes);
	assert_true(packed.is_source || memcmp(again.file.data, packed.file.data, packed.file.used_bytes) == 0);
	assert_memory_equal(&again.image, &packed.image, sizeof packed.image);
	packed_image_close(&again);
	pack_worker_close(worker);
	return packed;
}

/* What is stored is the picture that the source is, and is described as the loader will find it. */
static void check_stored(const struct pack_rules *rules, struct file source, enum pack_outcome expected)
{
	struct decoder *decoder = open_decoder();
	struct packed_image packed = pack_any(rules, source);
	struct file stored = packed.is_source ? source : packed_file(&packed);
	struct image_info info = probe_ok(decoder, source), stored_info = probe_ok(decoder, stored);
	struct decode_want want = {{0, 0, (int32_t)info.width_px, (int32_t)info.height_px}, 3, 8, false};
	struct kept pixels;
	struct file_bytes bytes = file_whole(source);

	if (packed.outcome != expected)
		fail_msg("outcome %d instead of %d, %s", packed.outcome, expected, packed.reason);
	assert_int_equal(packed.image.format, stored_info.format);
	assert_int_equal(packed.image.width_px, info.width_px);
	assert_int_equal(packed.image.height_px, info.height_px);
	assert_int_equal(packed.image.orientation, info.orientation);
	assert_int_equal(packed.image.channels, stored_info.channels);
	assert_int_equal(packed.image.sample_bits, stored_info.sample_bits);

	kept_open(&pixels, &want);
	assert_int_equal(decode_rows(decoder, &bytes, &info, &want, &pixels.sink), ITEM_OK);
	check_region(decoder, stored, &stored_info, &want, &(struct picture){info.width_px, info.height_px, 3, pixels.region.data});
	kept_close(&pixels);
	packed_image_close(&packed);
	decoder_close(decoder);
}

static void jpegs_are_stored_in_segments(void **state)
{
	static const struct jpeg_recipe recipes[] = {
		{.stored = JCS_YCbCr, .across = 2, .down = 2, .orientation = 6},
		{.stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE},
		{.stored = JCS_GRAYSCALE, .across = 2, .down = 2},
		{.stored = JCS_CMYK, .across = 2},
		{.stored = JCS_YCCK},
		{.stored = JCS_RGB, .arithmetic = true, .orientation = 3},
		{.stored = JCS_YCbCr, .across = 2, .scans = JPEG_SCANS_COMPONENTS, .restart_mcus = 5},
	};
	struct pack_rules rules = plain_rules;

	(void)state;
	for (size_t i = 0; i < 3 * sizeof recipes / sizeof recipes[0]; i++) {
		struct jpeg_recipe recipe = recipes[i / 3];
		struct file file;

		recipe.width_px = 100 + check_below(400);
		recipe.height_px = 60 + check_below(300);
		file = jpeg_encode(&recipe);
		rules.segment_px = 16 * (1 + check_below(8));
		rules.keep_metadata = check_below(2) == 0;
		check_stored(&rules, file, PACK_SEGMENTED);
		free(file.bytes);
	}
}

static void pngs_of_every_kind_are_stored_in_segments(void **state)
{
	struct pack_rules rules = plain_rules;

	(void)state;
	rules.png_rows = 32;
	for (int i = 0; i < 2 * PNG_KINDS; i++) {
		struct file file =
			png_write_kind(40 + check_below(200), 100 + check_below(100), png_kinds[i / 2], i % 2, ALL_FILTERS);

		check_stored(&rules, file, PACK_SEGMENTED);
		free(file.bytes);
	}
}

/* Pixels of random bytes, most of them 0 or 1 then. */
static struct file encode_plain_bmp(const struct bmp_recipe *recipe, uint32_t width_px, uint32_t height_px)
{
	struct picture expected;
	struct file file = bmp_encode(recipe, width_px, height_px, &expected);
	uint32_t pixels_at;

	memcpy(&pixels_at, file.bytes + 10, sizeof pixels_at);
	for (size_t at = pixels_at; at < file.byte_count; at++) {
		if (at % 16 != 0)
			file.bytes[at] &= 1;
	}
	free(expected.data);
	return file;
}

static void bmps_stay_or_become_pngs(void **state)
{
	static const struct bmp_recipe recipes[] = {
		{.header_bytes = 40, .bits = 1},
		{.header_bytes = 40, .bits = 4, .palette_entries = 7},
		{.header_bytes = 40, .bits = 8},
		{.header_bytes = 40, .bits = 8, .palette_entries = 5, .top_row_first = true},
		{.header_bytes = 12, .bits = 24},
		{.header_bytes = 40, .bits = 24},
		{.header_bytes = 124,
	         .bits = 32,
	         .compression = BMP_RECIPE_BITFIELDS,
	         .red = 0xff,
	         .green = 0xff00,
	         .blue = 0xff0000},
	};
	struct pack_rules rules = plain_rules;

	(void)state;
	rules.png_rows = 16;
	for (size_t i = 0; i < 2 * sizeof recipes / sizeof recipes[0]; i++) {
		struct file file = encode_plain_bmp(&recipes[i / 2], 150 + check_below(100), 140 + check_below(60));

		rules.bmp_to_png = i % 2;
		check_stored(&rules, file, i % 2 ? PACK_SEGMENTED : PACK_BMP);
		rules.most_memory_bytes = 100;
		check_stored(&rules, file, PACK_BMP);
		rules.most_memory_bytes = plain_rules.most_memory_bytes;
		free(file.bytes);
	}
}

/* Every index is its own gray value. */
static void a_gray_bmp_becomes_a_gray_png(void **state)
{
	struct pack_rules rules = plain_rules;
	struct file file = encode_plain_bmp(&(struct bmp_recipe){.header_bytes = 40, .bits = 8}, 120, 90);
	struct packed_image packed;

	(void)state;
	for (uint32_t i = 0; i < 256; i++)
		memset(file.bytes + 54 + 4 * i, (int)i, 3);
	rules.bmp_to_png = true;
	check_stored(&rules, file, PACK_SEGMENTED);
	packed = pack_any(&rules, file);
	assert_int_equal(packed.file.data[25], 0); /* IHDR's colour type */
	packed_image_close(&packed);
	free(file.bytes);
}

static void a_bmp_that_would_be_a_larger_png_stays(void **state)
{
	struct pack_rules rules = plain_rules;
	struct picture noise;
	struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 24}, 100, 100, &noise);

	(void)state;
	rules.bmp_to_png = true;
	check_stored(&rules, file, PACK_BMP);
	free(noise.data);
	free(file.bytes);
}

static void check_kept(const struct pack_rules *rules, struct file file, enum pack_outcome expected, bool is_described)
{
	struct packed_image packed = pack_any(rules, file);

	if (packed.outcome != expected)
		fail_msg("outcome %d instead of %d, %s", packed.outcome, expected, packed.reason);
	assert_true(packed.is_source);
	assert_true(packed.reason[0] != '\0');
	assert_int_equal(packed.image.format != 0, is_described);
	packed_image_close(&packed);
}

static void what_is_no_picture_is_stored_as_it_is(void **state)
{
	struct file files[] = {file_copy((const uint8_t *)"", 0), file_copy((const uint8_t *)"a note", 6),
	                       file_copy((const uint8_t *)"GIF89a..........", 16),
	                       file_copy((const uint8_t *)"RIFF....WEBPVP8 ", 16)};

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct pack_worker *worker = pack_worker_open(&plain_rules);
		struct packed_image packed;

		assert_int_equal(pack_image(worker, files[i].bytes, files[i].byte_count, true, &packed), 0);
		assert_int_equal(packed.outcome, PACK_UNSUPPORTED);
		assert_true(packed.is_source);
		packed_image_close(&packed);
		pack_worker_close(worker);
		free(files[i].bytes);
	}
}

static void damaged_files_stay_the_bad_samples_that_they_are(void **state)
{
	struct file jpeg = jpeg_encode(&(struct jpeg_recipe){.width_px = 200, .height_px = 150, .stored = JCS_YCbCr});
	struct file png = png_write_kind(100, 100, (struct png_kind){8, 2}, false, ALL_FILTERS);
	struct pack_rules rules = plain_rules;

	(void)state;
	rules.png_rows = 16;
	for (int round = 0; round < 20; round++) {
		struct file *whole = round % 2 ? &jpeg : &png;
		struct file cut = file_copy(whole->bytes, 20 + check_below((uint32_t)whole->byte_count - 40));

		check_kept(&rules, cut, PACK_DAMAGED, false);
		free(cut.bytes);
	}
	free(png.bytes);

	/* The loader reads it, with all its pixels. */
	file_insert(&jpeg, jpeg.byte_count - 2, (uint8_t[40]){0}, 40);
	check_kept(&rules, jpeg, PACK_KIND, true);
	free(jpeg.bytes);
}

static void check_no_numbers(const struct packed_image *packed)
{
	assert_true(packed->reason[0] != '\0');
	for (const char *at = packed->reason; *at != '\0'; at++)
		assert_true(*at < '0' || *at > '9');
}

/* So that equal reasons can be counted. */
static void reasons_of_what_stays_as_it_is_have_no_numbers(void **state)
{
	struct file file = jpeg_encode(&(struct jpeg_recipe){.width_px = 200, .height_px = 150, .stored = JCS_YCbCr});
	struct pack_rules rules = plain_rules;
	struct packed_image packed;

	(void)state;
	rules.max_pixels = 29999;
	packed = pack_any(&rules, file);
	assert_int_equal(packed.outcome, PACK_LARGE);
	assert_string_equal(packed.reason, "N pixels, over the limit of N");
	packed_image_close(&packed);
	memset(file.bytes + file.byte_count / 2, 0xff, 1);
	file.bytes[file.byte_count / 2 + 1] = 0xd3; /* a restart marker that is not due */
	check_kept(&plain_rules, file, PACK_DAMAGED, false);
	packed = pack_any(&plain_rules, file);
	check_no_numbers(&packed);
	packed_image_close(&packed);
	free(file.bytes);

	/* What libjpeg warns of, and the loader reads: 17 bytes behind the data; 5 within the header. */
	for (uint32_t i = 0; i < 2; i++) {
		file = jpeg_encode(&(struct jpeg_recipe){.width_px = 200, .height_px = 150, .stored = JCS_YCbCr});
		file_insert(&file, i ? jpeg_find_marker(file, 0xc0) : file.byte_count - 2, (uint8_t[17]){0}, i ? 5 : 17);
		packed = pack_any(&plain_rules, file);
		assert_int_equal(packed.outcome, PACK_KIND);
		check_no_numbers(&packed);
		packed_image_close(&packed);
		free(file.bytes);
	}
}

static void small_files_are_stored_without_segments(void **state)
{
	struct file tiny = jpeg_encode(&(struct jpeg_recipe){.width_px = 20, .height_px = 8, .stored = JCS_YCbCr});
	struct packed_image packed = pack_any(&plain_rules, tiny), again;
	struct file stored = packed_file(&packed);

	(void)state;
	assert_int_equal(packed.outcome, PACK_SMALL);
	assert_false(packed.is_source);
	assert_in_range(packed.file.used_bytes, 1, tiny.byte_count - 1);
	check_same_coefficients(tiny, stored);
	again = pack_any(&plain_rules, stored);
	assert_int_equal(again.outcome, PACK_SMALL);
	assert_true(again.is_source);
	packed_image_close(&packed);
	packed_image_close(&again);
	free(tiny.bytes);
}

/* What the coefficients take; from the whole file, or from so little of it that its size is not there. */
static void memory_is_told_before_it_is_spent(void **state)
{
	struct file file = jpeg_encode(&(struct jpeg_recipe){
		.width_px = 1000, .height_px = 700, .stored = JCS_YCbCr, .across = 2, .down = 2, .orientation = 6});
	uint64_t coefficient_bytes = 63 * 44 * 6 * 128, bytes;
	struct pack_rules rules = plain_rules;

	(void)state;
	bytes = pack_image_memory_bytes(&rules, file.bytes, file.byte_count, file.byte_count);
	assert_in_range(bytes, coefficient_bytes + 3 * file.byte_count, coefficient_bytes + 3 * file.byte_count + (10 << 20));
	assert_true(pack_image_memory_bytes(&rules, file.bytes, 64, file.byte_count) > rules.most_memory_bytes);
	rules.most_memory_bytes = 1000000;
	assert_int_equal(pack_image_memory_bytes(&rules, file.bytes, file.byte_count, file.byte_count),
	                 bytes - coefficient_bytes + 1000000);

	/* Metadata that looks like the header of a larger picture. */
	rules.most_memory_bytes = UINT64_MAX;
	file_insert(&file, 2, "\xff\xfe\0\x13\xff\xc0\0\x11\x8\xff\xff\xff\xff\3\1\x22\0\2\x11\0\3", 21);
	assert_int_equal(pack_image_memory_bytes(&rules, file.bytes, file.byte_count, file.byte_count), bytes + 3 * 21);

	/* A marker without a length, behind which what is no length leads to a header in metadata. */
	file_insert(&file, 2, "\xff\x01\xff\xe0\0\x0e..\xff\xc0\0\x0b\x8\0\x8\0\x8\1", 18);
	assert_int_equal(pack_image_memory_bytes(&rules, file.bytes, file.byte_count, file.byte_count), bytes + 3 * (21 + 18));

	for (size_t byte_count = 0; byte_count < file.byte_count; byte_count += 1 + check_below(30)) {
		struct file head = file_copy(file.bytes, byte_count);

		(void)pack_image_memory_bytes(&rules, head.bytes, head.byte_count, file.byte_count);
		free(head.bytes);
	}
	free(file.bytes);
}

static void every_outcome_has_a_name(void **state)
{
	(void)state;
	for (int i = 0; i < PACK_OUTCOME_COUNT; i++) {
		assert_non_null(pack_outcome_name((enum pack_outcome)i));
		for (int k = 0; k < i; k++)
			assert_string_not_equal(pack_outcome_name((enum pack_outcome)i), pack_outcome_name((enum pack_outcome)k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jpegs_are_stored_in_segments),
		cmocka_unit_test(pngs_of_every_kind_are_stored_in_segments),
		cmocka_unit_test(bmps_stay_or_become_pngs),
		cmocka_unit_test(a_gray_bmp_becomes_a_gray_png),
		cmocka_unit_test(a_bmp_that_would_be_a_larger_png_stays),
		cmocka_unit_test(what_is_no_picture_is_stored_as_it_is),
		cmocka_unit_test(damaged_files_stay_the_bad_samples_that_they_are),
		cmocka_unit_test(reasons_of_what_stays_as_it_is_have_no_numbers),
		cmocka_unit_test(small_files_are_stored_without_segments),
		cmocka_unit_test(memory_is_told_before_it_is_spent),
		cmocka_unit_test(every_outcome_has_a_name),
	};

	check_state = seed_of_test("test_pack_image");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
