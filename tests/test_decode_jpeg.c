/* Damaged and unusual JPEG files.  One thread. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"

static const struct jpeg_recipe baseline = {.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .across = 2, .down = 2};
static const struct jpeg_recipe progressive = {
	.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE};

static const struct jpeg_recipe arithmetic = {
	.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .arithmetic = true, .orientation = 6};
static const struct jpeg_recipe by_component = {
	.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .across = 2, .down = 1, .scans = JPEG_SCANS_COMPONENTS};

static void a_file_cut_anywhere_is_truncated(void **state)
{
	const struct jpeg_recipe *recipes[] = {&baseline, &progressive, &arithmetic, &by_component};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int r = 0; r < 4; r++) {
		struct jpeg_recipe small = *recipes[r];

		small.width_px = 90;
		small.height_px = 70;

		struct file file = jpeg_encode(&small);
		struct image_info info = probe_ok(decoder, file);
		size_t first_scan_at = 0;

		while (file.bytes[first_scan_at] != 0xff || file.bytes[first_scan_at + 1] != 0xda)
			first_scan_at++;
		for (size_t byte_count = 3; byte_count < file.byte_count;
		     byte_count += byte_count < 100 ? 1 : 1 + check_below(40)) {
			struct file cut = file_copy(file.bytes, byte_count);

			if (byte_count < first_scan_at)
				check_probe_fails(decoder, cut, ITEM_TRUNCATED);
			/* Without its end marker a file is cut as well: Pillow says so, too. */
			assert_int_equal(decode_whole(decoder, cut, &info), ITEM_TRUNCATED);
			free(cut.bytes);
		}
		free(file.bytes);
	}
	decoder_close(decoder);
}

static void an_end_marker_before_the_last_row_is_no_end(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);

	(void)state;
	for (int round = 0; round < 40; round++) {
		struct file cut = file_copy(file.bytes, file.byte_count - 40 - check_below((uint32_t)file.byte_count / 2));

		while (cut.bytes[cut.byte_count - 1] == 0xff)
			cut.byte_count--;
		file_append(&cut, "\xff\xd9", 2);
		assert_int_equal(decode_whole(decoder, cut, &info), ITEM_TRUNCATED);
		free(cut.bytes);
	}
	free(file.bytes);
	decoder_close(decoder);
}

static void rows_above_the_damage_are_still_read(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);
	struct picture full = jpeg_reference(file, 3, 8);
	struct file cut = file_copy(file.bytes, file.byte_count - 200);
	struct decode_want want = {{10, 5, 100, 30}, 3, 8, false};

	(void)state;
	check_region(decoder, cut, &info, &want, &full);
	assert_int_equal(decode_whole(decoder, cut, &info), ITEM_TRUNCATED);
	check_regions(decoder, file, &info, &full, 8, 1); /* and the failure left nothing behind */
	free(cut.bytes);
	free(file.bytes);
	free(full.data);
	decoder_close(decoder);
}

/* Skipped rows are gone through, and nothing after them can be right if that fails. */
static void damage_above_the_region_is_found(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);
	struct decode_want last_row = {{0, 119, 160, 1}, 3, 8, false}, first_row = {{0, 0, 160, 1}, 3, 8, false};
	struct file cut = file_copy(file.bytes, file.byte_count - 800);
	struct pixels out;

	(void)state;
	while (cut.bytes[cut.byte_count - 1] == 0xff)
		cut.byte_count--;
	file_append(&cut, "\xff\xd9", 2);
	assert_int_equal(decode(decoder, cut, &info, &last_row, &out), ITEM_TRUNCATED);
	assert_int_equal(decode(decoder, cut, &info, &first_row, &out), ITEM_OK);
	cut.bytes[cut.byte_count - 1] = 0xd7; /* a restart marker that is not due */
	file_append(&cut, file.bytes + file.byte_count - 800, 800);
	assert_int_equal(decode(decoder, cut, &info, &last_row, &out), ITEM_CORRUPT);
	assert_int_equal(decode(decoder, cut, &info, &first_row, &out), ITEM_OK);
	free(cut.bytes);
	free(file.bytes);
	decoder_close(decoder);
}

/* All scans are needed for any row. */
static void damage_anywhere_in_a_progressive_file_is_found(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&progressive);
	struct image_info info = probe_ok(decoder, file);
	struct decode_want first_row = {{0, 0, 160, 1}, 3, 8, false};
	struct pixels out;

	(void)state;
	assert_int_equal(decode(decoder, file, &info, &first_row, &out), ITEM_OK);
	file.byte_count -= 2; /* the end marker */
	assert_int_equal(decode(decoder, file, &info, &first_row, &out), ITEM_TRUNCATED);
	free(file.bytes);
	decoder_close(decoder);
}

/* It cannot hold itself; libjpeg takes it for an empty one, and goes on to the next marker. */
static void a_segment_that_says_to_be_shorter_than_its_length_holds_no_exif(void **state)
{
	static const char segment[] = "\xff\xe1\0\2Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0";
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);

	(void)state;
	file_insert(&file, 2, segment, sizeof segment - 1);
	for (uint8_t length = 0; length <= 2; length++) {
		file.bytes[5] = length;
		assert_int_equal(probe_ok(decoder, file).orientation, 1);
	}
	file.bytes[5] = sizeof segment - 1 - 2;
	assert_int_equal(probe_ok(decoder, file).orientation, 6);
	free(file.bytes);
	decoder_close(decoder);
}

static void two_starts_are_corrupt(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);

	(void)state;
	file_insert(&file, 2, "\xff\xd8", 2);
	check_probe_fails(decoder, file, ITEM_CORRUPT);
	free(file.bytes);
	decoder_close(decoder);
}

static void what_lies_behind_a_gap_is_not_there(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);
	struct file_bytes bytes = file_whole(file);
	struct decode_want first_row = {{0, 0, 160, 1}, 3, 8, false}, last_row = {{0, 119, 160, 1}, 3, 8, false};
	struct pixels out;

	(void)state;
	bytes.gap_at = file.byte_count - 400;
	bytes.gap_bytes = 1000;
	assert_int_equal(decode_region(decoder, &bytes, &info, &first_row, &out), ITEM_OK);
	assert_int_equal(decode_region(decoder, &bytes, &info, &last_row, &out), ITEM_TRUNCATED);
	free(file.bytes);
	decoder_close(decoder);
}

static void a_wrong_restart_marker_is_corrupt(void **state)
{
	struct jpeg_recipe recipe = baseline;
	struct decoder *decoder = open_decoder();

	(void)state;
	recipe.restart_mcus = 10; /* one row of MCUs: eight segments, seven markers */

	struct file file = jpeg_encode(&recipe);
	struct image_info info = probe_ok(decoder, file);

	file.bytes[jpeg_find_marker(file, 0xd2) + 1] = 0xd6;
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT);
	free(file.bytes);
	decoder_close(decoder);
}

static void junk_that_harms_no_pixel_is_no_failure(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&progressive);
	struct image_info info = probe_ok(decoder, file);
	struct picture full = jpeg_reference(file, 3, 8);

	(void)state;
	file_insert(&file, jpeg_find_marker(file, 0xd9), "\0\0\0\0", 4);
	file_insert(&file, 2, "\x11\x22", 2); /* libjpeg warns of both */
	file_append(&file, "trailing", 8);
	check_regions(decoder, file, &info, &full, 8, 2);
	free(file.bytes);
	free(full.data);
	decoder_close(decoder);
}

static void flipped_bits_never_crash_nor_leave_pixels(void **state)
{
	const struct jpeg_recipe *recipes[] = {&baseline, &progressive};
	struct decoder *decoder = open_decoder();
	struct file files[2];
	int failures = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		if (round % 40 < 2) {
			if (round >= 2)
				free(files[round & 1].bytes);
			files[round & 1] = jpeg_encode(recipes[round & 1]);
		}

		struct file file = file_copy(files[round & 1].bytes, files[round & 1].byte_count);
		struct image_info info = probe_ok(decoder, file);

		for (int i = 0; i < 3; i++)
			file.bytes[check_below((uint32_t)file.byte_count)] ^= (uint8_t)(1u << check_below(8));
		struct file_bytes bytes = file_whole(file);

		(void)decode_probe(decoder, &bytes, &info);
		failures += decode_whole(decoder, file, &info) != ITEM_OK;
		free(file.bytes);
	}
	assert_true(failures > 100);
	free(files[0].bytes);
	free(files[1].bytes);
	decoder_close(decoder);
}

static void tables_of_the_last_picture_are_not_lent_to_the_next(void **state)
{
	struct jpeg_recipe bare = baseline;
	struct decoder *decoder = open_decoder();
	struct file whole = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, whole);

	(void)state;
	bare.without_tables = true;

	struct file file = jpeg_encode(&bare);

	assert_int_equal(decode_whole(decoder, whole, &info), ITEM_OK);
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT); /* no quantization table */
	free(file.bytes);
	free(whole.bytes);
	decoder_close(decoder);
}

static void kinds_that_are_not_read_are_unsupported(void **state)
{
	static const uint8_t frames[] = {0xc3, 0xc5, 0xc6, 0xc7, 0xcb, 0xcd, 0xce, 0xcf}; /* lossless, hierarchical and both */
	struct decoder *decoder = open_decoder();
	struct file two_components = jpeg_encode(&(struct jpeg_recipe){.width_px = 20, .height_px = 20, .stored = JCS_UNKNOWN});
	struct file file = jpeg_encode(&baseline);
	size_t frame_at = jpeg_find_marker(file, 0xc0);

	(void)state;
	check_probe_fails(decoder, two_components, ITEM_UNSUPPORTED);
	assert_string_equal(decoder_reason(decoder), "a JPEG of 2 components");
	for (size_t i = 0; i < sizeof frames; i++) {
		file.bytes[frame_at + 1] = frames[i];
		check_probe_fails(decoder, file, ITEM_UNSUPPORTED);
		assert_non_null(strstr(decoder_reason(decoder), "Unsupported JPEG process: SOF type"));
	}
	file.bytes[frame_at + 1] = 0xc0;
	file.bytes[frame_at + 4] = 12;
	check_probe_fails(decoder, file, ITEM_UNSUPPORTED);
	assert_string_equal(decoder_reason(decoder), "Unsupported JPEG data precision 12");
	file.bytes[frame_at + 4] = 8;
	jpeg_write_size(file, 0xc0, 160, 0); /* a DNL marker will tell */
	check_probe_fails(decoder, file, ITEM_UNSUPPORTED);
	free(two_components.bytes);
	free(file.bytes);
	decoder_close(decoder);
}

static void a_file_that_changed_since_the_probe_is_corrupt(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);

	(void)state;
	jpeg_write_size(file, 0xc0, 64, 64);
	assert_int_equal(decode_whole(decoder, file, &info), ITEM_CORRUPT);
	free(file.bytes);
	decoder_close(decoder);
}

static void regions_outside_of_the_picture_are_refused(void **state)
{
	static const struct decode_want wants[] = {
		{{0, 0, 161, 120}, 3, 8, false}, {{0, 0, 160, 121}, 3, 8, false},
		{{160, 0, 1, 1}, 3, 8, false},   {{-1, 0, 10, 10}, 3, 8, false},
		{{0, -1, 10, 10}, 3, 8, false},  {{0, 0, 0, 10}, 3, 8, false},
		{{0, 0, 10, -10}, 3, 8, false},  {{INT32_MAX, INT32_MAX, INT32_MAX, INT32_MAX}, 3, 8, false},
		{{0, 0, 81, 60}, 3, 4, false},   {{0, 0, 10, 10}, 2, 8, false},
		{{0, 0, 10, 10}, 3, 0, false},   {{0, 0, 10, 10}, 3, 9, false},
		{{0, 0, 10, 10}, 1, 8, true},
	};
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	(void)state;
	for (size_t i = 0; i < sizeof wants / sizeof wants[0]; i++)
		assert_int_equal(decode(decoder, file, &info, &wants[i], &out), ITEM_UNSUPPORTED);
	free(file.bytes);
	decoder_close(decoder);
}

static void nothing_is_ever_printed(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);
	struct image_info info = probe_ok(decoder, file);
	int ends[2], kept = dup(STDERR_FILENO);
	char printed;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	fflush(stderr);
	dup2(ends[1], STDERR_FILENO);
	file.byte_count -= 300;
	(void)decode_whole(decoder, file, &info);
	file.bytes[file.byte_count / 2] = 0xff;
	(void)decode_whole(decoder, file, &info);
	fflush(stderr);
	dup2(kept, STDERR_FILENO);
	assert_int_equal(read(ends[0], &printed, 1), -1);
	close(kept);
	close(ends[0]);
	close(ends[1]);
	free(file.bytes);
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_cut_anywhere_is_truncated),
		cmocka_unit_test(an_end_marker_before_the_last_row_is_no_end),
		cmocka_unit_test(rows_above_the_damage_are_still_read),
		cmocka_unit_test(damage_above_the_region_is_found),
		cmocka_unit_test(damage_anywhere_in_a_progressive_file_is_found),
		cmocka_unit_test(a_segment_that_says_to_be_shorter_than_its_length_holds_no_exif),
		cmocka_unit_test(two_starts_are_corrupt),
		cmocka_unit_test(what_lies_behind_a_gap_is_not_there),
		cmocka_unit_test(a_wrong_restart_marker_is_corrupt),
		cmocka_unit_test(junk_that_harms_no_pixel_is_no_failure),
		cmocka_unit_test(flipped_bits_never_crash_nor_leave_pixels),
		cmocka_unit_test(tables_of_the_last_picture_are_not_lent_to_the_next),
		cmocka_unit_test(kinds_that_are_not_read_are_unsupported),
		cmocka_unit_test(a_file_that_changed_since_the_probe_is_corrupt),
		cmocka_unit_test(regions_outside_of_the_picture_are_refused),
		cmocka_unit_test(nothing_is_ever_printed),
	};

	check_state = seed_of_test("test_decode_jpeg");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
