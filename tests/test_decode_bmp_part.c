/* What decode_part() says is missing, read from a file, gives the region that the whole file gives.  One thread. */
#include "tests/bmp_recipe.h"

/* As fetch does it: the head, then the part's rows in the order that they are wanted in; nothing else, in exactly its size. */
static struct file read_part(struct file file, size_t head_bytes, const struct file_part *part, struct file_bytes *bytes)
{
	struct file read = file_copy(file.bytes, head_bytes);

	for (uint32_t i = 0; i < part->row_count; i++) {
		uint32_t row = part->last_row_first ? part->row_count - 1 - i : i;

		assert_true(part->row_count > 1 || part->offset >= head_bytes);
		assert_true(part->offset + row * part->stride_bytes + part->row_bytes <= file.byte_count);
		file_append(&read, file.bytes + part->offset + row * part->stride_bytes, part->row_bytes);
	}
	*bytes = file_bytes_with_part(read.bytes, read.byte_count, head_bytes, part);
	return read;
}

static void check_same(const struct pixels *actual, const struct picture *expected, const struct box *region)
{
	assert_int_equal(actual->width_px, region->width);
	assert_int_equal(actual->height_px, region->height);
	for (uint32_t y = 0; y < actual->height_px; y++) {
		size_t at = ((size_t)((uint32_t)region->y + y) * expected->width_px + (uint32_t)region->x) * expected->channels;

		if (memcmp(actual->data + y * actual->stride_bytes, expected->data + at,
		           (size_t)actual->width_px * expected->channels) != 0)
			fail_msg("region %dx%d at %d,%d of %ux%u: row %u differs", region->width, region->height, region->x,
			         region->y, expected->width_px, expected->height_px, y);
	}
}

/* How often each answer came, so that a test knows that it tested them. */
struct answers {
	uint32_t whole, head, run, rows, last_row_first;
};

static void check_random_part(struct decoder *decoder, struct file file, const struct picture *expected, struct answers *answers)
{
	size_t head_bytes = check_below((uint32_t)file.byte_count + 1);
	struct decode_want want = {random_box(expected->width_px, expected->height_px), expected->channels, 8, false};
	struct file head = file_copy(file.bytes, head_bytes);
	struct file_bytes head_only = file_whole(head), bytes;
	struct decode_limits limits = {.max_pixels = TEST_MAX_PIXELS};
	struct image_info info;
	struct file_part part;
	struct pixels out;

	if (!decode_part_probe(&head_only, &limits, &info) || !decode_part(&head_only, &info, &want, &part)) {
		answers->whole++;
	} else {
		struct file read = read_part(file, head_bytes, &part, &bytes);

		assert_int_equal(decode_region(decoder, &bytes, &info, &want, &out), ITEM_OK);
		check_same(&out, expected, &want.region);
		answers->head += part.row_count == 0;
		answers->run += part.row_count == 1;
		answers->rows += part.row_count > 1;
		answers->last_row_first += part.row_count > 1 && part.last_row_first;

		/* The part came short: none of it is there, and no pixel of another picture is handed out for it. */
		if (part.row_count > 0) {
			bytes.byte_count = head_bytes;
			assert_int_equal(decode_region(decoder, &bytes, &info, &want, &out), ITEM_TRUNCATED);
			assert_null(out.data);
		}
		free(read.bytes);
	}
	free(head.bytes);
}

static void the_head_and_the_part_give_the_regions_pixels(void **state)
{
	static const uint32_t depths[] = {1, 4, 8, 16, 24, 32};
	struct decoder *decoder = open_decoder();
	struct answers answers = {0};

	(void)state;
	for (int round = 0; round < 600; round++) {
		struct bmp_recipe recipe = {
			.header_bytes = 40, .bits = depths[check_below(6)], .top_row_first = check_random() & 1};
		struct picture rgb, luma;
		struct file file = bmp_encode(&recipe, 1 + check_below(90), 1 + check_below(90), &rgb);

		luma = picture_make_luma(&rgb);
		for (int i = 0; i < 4; i++) {
			check_random_part(decoder, file, &rgb, &answers);
			check_random_part(decoder, file, &luma, &answers);
		}
		free(file.bytes);
		free(rgb.data);
		free(luma.data);
	}
	assert_true(answers.whole > 100 && answers.head > 100 && answers.run > 100 && answers.rows > 100);
	assert_true(answers.last_row_first > 50 && answers.last_row_first < answers.rows);
	decoder_close(decoder);
}

static void note_rows(void *context, uint32_t first_row, const struct pixels *rows)
{
	assert_int_equal(first_row, 0);
	memcpy(context, rows, sizeof *rows);
}

/* A gray palette, as gray pictures are stored: rows are handed out where they lie. */
static void rows_that_are_gray_already_are_not_copied(void **state)
{
	struct decode_limits limits = {.max_pixels = TEST_MAX_PIXELS};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int round = 0; round < 4; round++) {
		bool top_row_first = round & 1, begins_in_head = round & 2;
		struct picture rgb, luma;
		struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 8, .top_row_first = top_row_first},
		                              300, 100, &rgb);
		struct decode_want want = {{70, !begins_in_head ? 30 : top_row_first ? 0 : 60, 100, 40}, 1, 8, false};
		const size_t head_bytes = 14 + 40 + 1024 + 100;
		struct file_bytes bytes = file_bytes_whole(file.bytes, head_bytes);
		struct image_info info;
		struct file_part part;
		struct pixels out;
		struct decode_sink sink = {.take = note_rows, .context = &out};

		for (uint32_t i = 0; i < 256; i++)
			bmp_write_number(file, 14 + 40 + 4 * i, i * 0x10101);
		luma = picture_make(300, 100, 1);
		for (uint32_t y = 0; y < 100; y++)
			memcpy(luma.data + y * 300, file.bytes + 14 + 40 + 1024 + (top_row_first ? y : 99 - y) * 300, 300);

		assert_true(decode_part_probe(&bytes, &limits, &info));
		assert_true(decode_part(&bytes, &info, &want, &part));
		assert_int_equal(part.row_count, 40);
		assert_int_equal(part.row_bytes, 100);

		struct file read = read_part(file, head_bytes, &part, &bytes);

		assert_int_equal(decode_rows(decoder, &bytes, &info, &want, &sink), ITEM_OK);
		check_same(&out, &luma, &want.region);
		assert_ptr_equal(out.data, read.bytes + head_bytes);
		free(read.bytes);
		free(file.bytes);
		free(rgb.data);
		free(luma.data);
	}
	decoder_close(decoder);
}

static void all_is_read_of_what_has_no_rows_to_pick(void **state)
{
	struct picture rgb;
	struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = 8}, 100, 100, &rgb);
	struct decode_limits limits = {.max_pixels = TEST_MAX_PIXELS};
	struct decode_want want = {{10, 10, 20, 20}, 3, 8, false};
	struct file_bytes head = file_bytes_whole(file.bytes, 2000), no_header = file_bytes_whole(file.bytes, 40),
			  short_palette = file_bytes_whole(file.bytes, 14 + 40 + 1023);
	struct image_info info;
	struct file_part part;

	(void)state;
	assert_true(decode_part_probe(&head, &limits, &info));
	assert_true(decode_part(&head, &info, &want, &part));
	assert_false(decode_part_probe(&no_header, &limits, &info));
	assert_true(decode_part_probe(&short_palette, &limits, &info));
	assert_false(decode_part(&short_palette, &info, &want, &part));

	/* From the head's end to the file's. */
	want.region = (struct box){0, 0, 100, 100};
	assert_false(decode_part(&head, &info, &want, &part));

	limits.max_pixels = 9999;
	assert_false(decode_part_probe(&head, &limits, &info));
	limits.max_pixels = TEST_MAX_PIXELS;
	bmp_write_number(file, 30, BMP_RECIPE_RLE8);
	assert_false(decode_part_probe(&head, &limits, &info) && decode_part(&head, &info, &want, &part));
	file.bytes[0] = 'X';
	assert_false(decode_part_probe(&head, &limits, &info));
	free(file.bytes);
	free(rgb.data);
}

/* Whatever the header says, nothing overflows on the way to the answer. */
static void hostile_headers_give_parts_past_the_head_or_none(void **state)
{
	struct decode_limits limits = {.max_pixels = UINT64_MAX};
	uint32_t parts = 0;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		static const uint32_t depths[] = {1, 4, 8, 16, 24, 32};
		struct picture rgb;
		struct file file = bmp_encode(&(struct bmp_recipe){.header_bytes = 40, .bits = depths[round % 6]}, 12, 5, &rgb);
		struct file_bytes head = file_whole(file);
		struct image_info info;
		struct file_part part;

		for (uint32_t i = check_below(3); i < 3; i++)
			bmp_write_number(file, (size_t[]){10, 18, 22, 46}[check_below(4)],
			                 check_random() & 1 ? 0x7fffffff : (uint32_t)check_random());
		if (decode_part_probe(&head, &limits, &info)) {
			struct decode_want want = {.channels = 3, .scale_eighths = 8};

			want.region = random_box(info.width_px < INT32_MAX ? info.width_px : INT32_MAX,
			                         info.height_px < INT32_MAX ? info.height_px : INT32_MAX);
			if (decode_part(&head, &info, &want, &part) && part.row_count > 0) {
				uint64_t hull = part.row_bytes + (part.row_count - 1) * part.stride_bytes;

				assert_true(part.row_bytes > 0 && part.row_bytes <= part.stride_bytes);
				assert_true(hull <= UINT64_MAX - part.offset && part.offset + hull > head.byte_count);
				assert_true(part.row_count > 1 || part.offset >= head.byte_count);
				parts++;
			}
		}
		free(file.bytes);
		free(rgb.data);
	}
	assert_true(parts > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_head_and_the_part_give_the_regions_pixels),
		cmocka_unit_test(rows_that_are_gray_already_are_not_copied),
		cmocka_unit_test(all_is_read_of_what_has_no_rows_to_pick),
		cmocka_unit_test(hostile_headers_give_parts_past_the_head_or_none),
	};

	check_state = seed_of_test("test_decode_bmp_part");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
