/* What a JPEG may cost: pixels, memory, scans, work, time.  No file here is larger than a megabyte.  One thread. */
#include "tests/decode_check.h"
#include "tests/jpeg_bomb.h"
#include "tests/jpeg_recipe.h"

static const struct jpeg_recipe baseline = {.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .across = 2, .down = 2};
static const struct jpeg_recipe progressive = {
	.width_px = 160, .height_px = 120, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE};

static const struct decode_want corner = {{0, 0, 9, 9}, 3, 8, false};

static struct decoder *open_generous(uint32_t timeout_ms)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = UINT64_MAX, .timeout_ms = timeout_ms});

	assert_non_null(decoder);
	return decoder;
}

static enum item_status decode_corner(struct decoder *decoder, struct file file)
{
	struct image_info info = probe_ok(decoder, file);
	struct pixels out;

	return decode(decoder, file, &info, &corner, &out);
}

static void pixels_are_limited_from_the_header(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline);

	(void)state;
	jpeg_write_size(file, 0xc0, 2000, 2000);
	assert_int_equal(probe_ok(decoder, file).width_px, 2000);
	jpeg_write_size(file, 0xc0, 2000, 2001);
	check_probe_fails(decoder, file, ITEM_TOO_LARGE);
	assert_string_equal(decoder_reason(decoder), "2000x2001 pixels, over the limit of 4000000");
	free(file.bytes);
	decoder_close(decoder);
}

/* All of its coefficients are in memory at once. */
static void a_progressive_picture_has_a_largest_size(void **state)
{
	struct decoder *decoder = open_generous(0);
	struct file file = jpeg_encode(&progressive);

	(void)state;
	jpeg_write_size(file, 0xc2, 6016, 6016); /* 36.2 megapixels of 6 bytes are begun; but the first scan ends too early */
	assert_int_equal(decode_corner(decoder, file), ITEM_CORRUPT);
	jpeg_write_size(file, 0xc2, 6040, 6040);
	assert_int_equal(decode_corner(decoder, file), ITEM_TOO_LARGE);
	assert_string_equal(decoder_reason(decoder),
	                    "6040x6040 pixels in several scans (progressive), which takes over 208 MB; save it as baseline JPEG");
	jpeg_write_size(file, 0xc2, 65500, 65500);
	assert_int_equal(decode_corner(decoder, file), ITEM_TOO_LARGE);
	free(file.bytes);

	file = jpeg_encode(&baseline);
	jpeg_write_size(file, 0xc0, 65500, 65500); /* of which one row of blocks is in memory at a time */
	assert_int_equal(decode_corner(decoder, file), ITEM_TRUNCATED);
	free(file.bytes);
	decoder_close(decoder);
}

static void more_than_100_scans_are_refused(void **state)
{
	struct jpeg_recipe recipe = {.width_px = 64, .height_px = 64, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PER_COEFFICIENT};
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&recipe);

	(void)state;
	assert_int_equal(decode_corner(decoder, file), ITEM_UNSUPPORTED);
	assert_string_equal(decoder_reason(decoder), "more than 100 scans");
	free(file.bytes);
	recipe.stored = JCS_GRAYSCALE; /* 64 scans */
	file = jpeg_encode(&recipe);
	assert_int_equal(decode_corner(decoder, file), ITEM_OK);
	free(file.bytes);
	decoder_close(decoder);
}

static void check_bomb(int coefficient_scans, int refine_scans, enum item_status expected)
{
	struct decoder *decoder = open_generous(0);
	struct file file = jpeg_bomb(4000, 4000, coefficient_scans, refine_scans);
	enum item_status status = decode_corner(decoder, file);

	if (status != expected)
		fail_msg("%d and %d scans: status %d instead of %d, %s", coefficient_scans, refine_scans, status, expected,
		         decoder_reason(decoder));
	if (status != ITEM_OK)
		assert_non_null(strstr(decoder_reason(decoder), "more work than a picture is; save it as baseline JPEG"));
	free(file.bytes);
	decoder_close(decoder);
}

/* 250,000 blocks and 31 KB: 10,000,000 units are free and 375,000 paid for. */
static void scans_that_few_bytes_pay_for_are_refused(void **state)
{
	(void)state;
	check_bomb(40, 0, ITEM_OK);
	check_bomb(41, 0, ITEM_UNSUPPORTED);
	check_bomb(10, 7, ITEM_OK); /* looking at 53 coefficients of each block counts four times */
	check_bomb(10, 8, ITEM_UNSUPPORTED);
}

/* Its decoder makes up zeros where the data of a scan ends. */
static void an_arithmetic_picture_without_data_is_refused(void **state)
{
	struct jpeg_recipe recipe = baseline;
	struct decoder *decoder = open_generous(0);
	struct file file;

	(void)state;
	recipe.arithmetic = true;
	file = jpeg_encode(&recipe);
	jpeg_write_size(file, 0xc9, 65500, 65500);
	assert_int_equal(decode_corner(decoder, file), ITEM_UNSUPPORTED);
	assert_non_null(strstr(decoder_reason(decoder), "1 scans of 65500x65500 pixels"));
	free(file.bytes);
	decoder_close(decoder);
}

/* 250,000 blocks take more than a millisecond on any machine. */
static void what_takes_too_long_is_a_timeout(void **state)
{
	struct decoder *decoder = open_generous(1);
	struct file file = jpeg_bomb(4000, 4000, 30, 0), small = jpeg_encode(&baseline);

	(void)state;
	assert_int_equal(decode_corner(decoder, file), ITEM_TIMEOUT);
	assert_string_equal(decoder_reason(decoder), "4000x4000 pixels, not decoded within 1 ms of CPU time");
	assert_int_equal(decode_corner(decoder, small), ITEM_OK); /* each region has its own time */
	decoder_close(decoder);
	decoder = open_generous(60000);
	assert_int_equal(decode_corner(decoder, file), ITEM_OK);
	free(file.bytes);
	free(small.bytes);
	decoder_close(decoder);
}

/* Markers are gone through byte by byte at the most, whatever they say of themselves. */
static void a_file_of_markers_is_gone_through_once(void **state)
{
	static const uint8_t comment[] = {0xff, 0xfe, 0, 3, 'x'}, table[] = {0xff, 0xc4, 0, 20, 0x00, 1, [21] = 0};
	static const uint8_t longest[] = {0xff, 0xe2, 0xff, 0xff}, shortest[] = {0xff, 0xe1, 0, 0};
	struct decoder *decoder = open_decoder();
	struct file file = jpeg_encode(&baseline), head = file_copy(file.bytes, 2);

	(void)state;
	for (int i = 0; i < 20000; i++) {
		file_append(&head, comment, sizeof comment);
		file_append(&head, table, sizeof table);
	}
	check_probe_fails(decoder, head, ITEM_TRUNCATED);
	file_append(&head, file.bytes + 2, file.byte_count - 2);
	assert_int_equal(decode_corner(decoder, head), ITEM_OK);
	free(head.bytes);

	head = file_copy(file.bytes, 2);
	file_append(&head, longest, sizeof longest); /* swallows the picture */
	file_append(&head, file.bytes + 2, file.byte_count - 2);
	check_probe_fails(decoder, head, ITEM_TRUNCATED);
	free(head.bytes);
	head = file_copy(file.bytes, 2);
	file_append(&head, shortest, sizeof shortest); /* shorter than its own length */
	file_append(&head, file.bytes + 2, file.byte_count - 2);
	assert_int_equal(decode_corner(decoder, head), ITEM_OK);
	free(head.bytes);
	free(file.bytes);
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pixels_are_limited_from_the_header),
		cmocka_unit_test(a_progressive_picture_has_a_largest_size),
		cmocka_unit_test(more_than_100_scans_are_refused),
		cmocka_unit_test(scans_that_few_bytes_pay_for_are_refused),
		cmocka_unit_test(an_arithmetic_picture_without_data_is_refused),
		cmocka_unit_test(what_takes_too_long_is_a_timeout),
		cmocka_unit_test(a_file_of_markers_is_gone_through_once),
	};

	check_state = seed_of_test("test_decode_jpeg_limits");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
