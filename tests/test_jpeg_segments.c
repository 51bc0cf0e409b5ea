/*
 * JPEGs in segments: regions of every sampling and segment length beside a plain libjpeg decode of the whole; damaged tables, headers,
 * markers and runs.  One thread.
 *
 * An argument is how many regions to try of each file; the seed is CROPRING_TEST_SEED.
 */
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"
#include "tests/segments_recipe.h"

static int regions = 4;

static const struct kind {
	J_COLOR_SPACE stored;
	int across, down;
} kinds[] = {
	{JCS_YCbCr, 1, 1}, {JCS_YCbCr, 2, 1}, {JCS_YCbCr, 2, 2}, {JCS_YCbCr, 1, 2},     {JCS_YCbCr, 4, 1},
	{JCS_YCbCr, 3, 2}, {JCS_RGB, 1, 1},   {JCS_CMYK, 1, 1},  {JCS_GRAYSCALE, 1, 1}, {JCS_YCCK, 2, 2},
};

/* Restart intervals: of these MCUs, and of so many more than so many rows. */
static const struct {
	uint32_t rows;
	int mcus;
} lengths[] = {{0, 1}, {0, 3}, {0, 7}, {0, 10}, {0, 23}, {1, 0}, {2, 0}, {1, 3}, {3, -1}, {1, -1}};

static struct segmented make(const struct kind *kind, uint32_t width_px, uint32_t height_px, uint32_t rows, int mcus,
                             bool optimized)
{
	uint32_t across = (width_px + 8 * (uint32_t)kind->across - 1) / (8 * (uint32_t)kind->across);
	int restart_mcus = (int)(rows * across) + mcus;
	const struct jpeg_recipe recipe = {.width_px = width_px,
	                                   .height_px = height_px,
	                                   .stored = kind->stored,
	                                   .across = kind->across,
	                                   .down = kind->down,
	                                   .optimized = optimized,
	                                   .quality = 30 + (int)check_below(70),
	                                   .restart_mcus = restart_mcus > 0 ? (unsigned)restart_mcus : 1};
	static const uint8_t comment[] = {0xff, 0xfe, 0, 200};
	uint8_t metadata[202] = {0};
	struct file file = jpeg_encode(&recipe);

	memcpy(metadata, comment, sizeof comment);
	assert_true(file.byte_count > 2);
	file_insert(&file, 2, metadata, sizeof metadata);
	return check_below(2) ? segmented_jpeg(file, 2, sizeof metadata) : segmented_jpeg(file, 0, 0);
}

/* decode_runs() and what it names of the file; false: all of it. */
static bool read_region(const struct segmented *made, const struct decode_want *want, struct file_runs **runs, uint8_t **bytes)
{
	if (!decode_runs(&made->segments, want, runs))
		return false;
	*bytes = runs_read(made->file, *runs);
	return true;
}

/* Returns whether runs were enough. */
static bool check_in_runs(struct decoder *decoder, const struct segmented *made, const struct decode_want *want,
                          const struct picture *full)
{
	struct image_info info;
	struct file_runs *runs;
	struct file_bytes file;
	struct pixels out;
	uint8_t *bytes;

	if (!read_region(made, want, &runs, &bytes))
		return false;
	file = file_bytes_in_runs(bytes, runs, &made->segments);
	assert_int_equal(decode_probe(decoder, &file, &info), ITEM_OK);
	if (decode_region(decoder, &file, &info, want, &out) != ITEM_OK)
		fail_msg("%ux%u, segments of %u: %s", info.width_px, info.height_px, made->segments.header.unit,
		         decoder_reason(decoder));
	check_pixels(&out, want, full);
	free(bytes);
	free(runs);
	return true;
}

static struct box small_region(uint32_t width_px, uint32_t height_px)
{
	struct box region = random_box(width_px, height_px);

	region.width = (region.width + 3) / 4;
	region.height = (region.height + 3) / 4;
	return region;
}

static void regions_are_those_of_a_plain_decode(void **state)
{
	struct decoder *decoder = open_decoder();
	int read_count = 0, region_count = 0;

	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
			struct segmented made = make(&kinds[k], 1 + check_below(400), 1 + check_below(300), lengths[l].rows,
			                             lengths[l].mcus, check_below(2));
			uint32_t eighths = check_below(2) ? 8 : 1 + check_below(8);

			for (uint32_t channels = 1; channels <= 3; channels += 2) {
				struct picture full = jpeg_reference(made.file, channels, eighths);

				for (int i = 0; i < regions; i++, region_count++) {
					const struct decode_want want = {small_region(full.width_px, full.height_px), channels,
					                                 eighths, false};

					read_count += check_in_runs(decoder, &made, &want, &full);
				}
				free(full.data);
			}
			segmented_free(&made);
		}
	}
	assert_true(read_count > region_count / 3);
	decoder_close(decoder);
}

/* Each row in itself, so that gaps lie between all of them. */
static void runs_are_only_those_of_the_head_and_of_the_rows(void **state)
{
	struct segmented made = make(&kinds[0], 400, 300, 0, 10, true);
	const struct decode_want want = {{100, 100, 50, 60}, 3, 8, false}; /* columns 12 to 18 of rows 12 to 19: a segment each */
	const struct decode_want all = {{0, 0, 400, 300}, 3, 8, false}, half = {{0, 0, 400, 140}, 3, 8, false};
	struct file_runs *runs;
	struct file_run run;
	uint8_t *bytes;

	(void)state;
	assert_true(read_region(&made, &want, &runs, &bytes));
	assert_int_equal(runs->count, (made.segments.header.second_head_bytes > 0 ? 2 : 1) + 8);
	free(bytes);
	free(runs);
	assert_true(read_region(&made, &half, &runs, &bytes));
	assert_in_range(runs->count, 1, 3); /* from the first segment to the last one */
	free(bytes);
	free(runs);
	assert_false(decode_runs(&made.segments, &all, &runs));
	assert_null(runs);
	assert_false(decode_runs(&made.segments, &(struct decode_want){{390, 0, 11, 10}, 3, 8, false}, &runs));
	assert_false(decode_runs(&made.segments, &(struct decode_want){{0, 0, 10, 10}, 3, 0, false}, &runs));
	made.segments.height_px += 8; /* another number of segments */
	assert_false(decode_runs(&made.segments, &want, &runs));
	segmented_free(&made);

	made = make(&kinds[0], 400, 300, 0, 10, true);
	assert_true(segment_table_run(&made.segments, 189, 190, &run));
	made.segments.file_bytes = run.offset + run.byte_count - 1; /* of which the table makes more */
	assert_false(segment_table_run(&made.segments, 189, 190, &run));
	assert_true(segment_table_run(&made.segments, 188, 189, &run));
	segmented_free(&made);

	made = make(&kinds[0], 400, 300, 0, 7, true); /* a row ends where the first segment of the next one has begun */
	assert_true(read_region(&made, &half, &runs, &bytes));
	assert_in_range(runs->count, 1, 3);
	free(bytes);
	free(runs);
	segmented_free(&made);
}

static void a_picture_over_the_limit_is_refused_by_its_numbers_alone(void **state)
{
	struct segmented made = make(&kinds[0], 400, 300, 0, 10, true);
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = 400 * 300 - 1});
	const struct decode_want want = {{0, 0, 10, 10}, 3, 8, false};
	struct image_info info;
	struct file_runs *runs;
	struct file_bytes file;
	uint8_t *bytes;

	(void)state;
	assert_true(read_region(&made, &want, &runs, &bytes));
	file = file_bytes_in_runs(bytes, runs, &made.segments);
	assert_int_equal(decode_probe(decoder, &file, &info), ITEM_TOO_LARGE);
	free(bytes);
	free(runs);
	segmented_free(&made);
	decoder_close(decoder);
}

/* What a region of a damaged file in memory gives, and a word that the reason has. */
static void check_damage(const struct segmented *made, const struct decode_want *want, const uint8_t *bytes,
                         const struct file_runs *runs, const char *words)
{
	struct file_bytes file = file_bytes_in_runs(bytes, runs, &made->segments);
	struct decoder *decoder = open_decoder();
	struct image_info info;
	struct pixels out;

	assert_int_equal(decode_probe(decoder, &file, &info), ITEM_OK);
	assert_int_equal(decode_region(decoder, &file, &info, want, &out), ITEM_CORRUPT);
	if (!strstr(decoder_reason(decoder), words))
		fail_msg("\"%s\", but expected \"%s\"", decoder_reason(decoder), words);
	decoder_close(decoder);
}

static void what_does_not_fit_the_table_is_corrupt(void **state)
{
	static const int cuts_and_copies[] = {10, 7};

	(void)state;
	for (int i = 0; i < 2; i++) { /* 50 MCUs across: 10 divides them, 7 does not */
		struct segmented made = make(&kinds[0], 400, 300, 0, cuts_and_copies[i], true);
		const struct decode_want want = {{100, 100, 50, 60}, 3, 8, false};
		struct segments *segments = &made.segments;
		const struct segments right = *segments;
		struct file_runs *runs;
		struct file_run run;
		uint8_t *bytes;
		size_t head_bytes = right.header.head_bytes + right.header.second_head_bytes;

		assert_true(read_region(&made, &want, &runs, &bytes));

		/* The table. */
		segments->channels = 1;
		check_damage(&made, &want, bytes, runs, "channels");
		*segments = right;
		segments->header.mcu_height_px = 16;
		segments->header.segment_count = right.header.segment_count / 2;
		check_damage(&made, &want, bytes, runs, "MCUs of");
		*segments = right;
		segments->header.head_bytes--;
		check_damage(&made, &want, bytes, runs, "header");
		segments->header.head_bytes += 2;
		check_damage(&made, &want, bytes, runs, "header of");
		*segments = right;
		for (size_t at = sizeof right.header; at < made.table.used_bytes; at++)
			made.table.data[at] ^= 1;
		check_damage(&made, &want, bytes, runs, "segment table is damaged");
		for (size_t at = sizeof right.header; at < made.table.used_bytes; at++)
			made.table.data[at] ^= 1;

		/* What was read. */
		runs->run[runs->count - 1].byte_count--;
		runs->total_bytes--;
		check_damage(&made, &want, bytes, runs, "was not read");
		runs->run[runs->count - 1].byte_count++;
		runs->total_bytes++;
		runs->run[runs->count - 1].offset++;
		check_damage(&made, &want, bytes, runs, "was not read");
		runs->run[runs->count - 1].offset--;
		bytes[1]++;
		check_damage(&made, &want, bytes, runs, "header");
		bytes[1]--;

		/* The last segment's marker, and then a segment that is another one's. */
		bytes[runs->total_bytes - 1] ^= 1;
		check_damage(&made, &want, bytes, runs, "marker");
		bytes[runs->total_bytes - 1] ^= 1;
		assert_true(segment_table_run(segments, 1, 2, &run));
		memset(bytes + head_bytes, 0xff, (size_t)runs->total_bytes - head_bytes);
		check_damage(&made, &want, bytes, runs, "marker");

		free(bytes);
		free(runs);
		segmented_free(&made);
	}
}

static void another_byte_anywhere_in_a_table_is_noticed(void **state)
{
	struct segmented made = make(&kinds[0], 400, 300, 0, 10, true);
	size_t begin = sizeof made.segments.header, group_bytes = (made.table.used_bytes - begin) / 6; /* 190 segments */
	struct file_run run;

	(void)state;
	for (size_t at = begin; at < made.table.used_bytes; at++) {
		uint32_t first = (uint32_t)((at - begin) / group_bytes) * SEGMENTS_OF_GROUP;

		made.table.data[at] ^= 1;
		assert_false(segment_table_run(&made.segments, first, first + 1, &run));
		made.table.data[at] ^= 1;
		assert_true(segment_table_run(&made.segments, first, first + 1, &run));
	}
	segmented_free(&made);
}

/* Their places are in order, and the table's checks are right. */
static void segments_without_room_for_a_marker_are_corrupt(void **state)
{
	struct segmented made = make(&kinds[0], 400, 300, 0, 10, true);
	const struct decode_want want = {{80, 100, 160, 60}, 3, 8, false};
	uint32_t count = made.segments.header.segment_count;
	uint64_t *ends = calloc(count, sizeof *ends);
	struct file_runs *runs;
	uint8_t *bytes;

	(void)state;
	for (uint32_t i = 0; i < count; i++) {
		struct file_run run;

		assert_true(segment_table_run(&made.segments, i, i + 1, &run));
		ends[i] = run.offset + run.byte_count - made.segments.header.data_at;
	}
	ends[62] = ends[61] + 1; /* in row 12 */
	made.table.used_bytes = 0;
	assert_int_equal(segment_table_write(&made.segments.header, ends, count, &made.table), 0);
	assert_true(segment_table_open(&made.segments, (const uint8_t *)made.table.data, made.table.used_bytes));
	assert_true(read_region(&made, &want, &runs, &bytes));
	check_damage(&made, &want, bytes, runs, "segment 62 is too short");
	free(bytes);
	free(runs);
	free(ends);
	segmented_free(&made);
}

/* As libjpeg has it, whether a segment is copied or cut. */
static void bytes_that_no_code_takes_are_corrupt(void **state)
{
	static const int cuts_and_copies[] = {10, 7};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct segmented made = make(&kinds[0], 400, 300, 0, cuts_and_copies[i], false);
		const struct decode_want want = {{0, 100, 300, 60}, 3, 8, false};
		uint32_t segment = 15 * 50 / (uint32_t)cuts_and_copies[i] + 1;
		struct file file = file_copy(made.file.bytes, made.file.byte_count);
		struct file_runs *runs;
		struct file_run run;
		uint8_t *bytes;

		assert_true(segment_table_run(&made.segments, segment, segment + 1, &run));
		segmented_free(&made);
		/* More than libjpeg looks ahead: fewer it may take for a part of the last code's bytes. */
		file_insert(&file, (size_t)(run.offset + run.byte_count) - 2, "0123456789abcdef", 16);
		made = segmented_jpeg(file, 0, 0);
		assert_true(read_region(&made, &want, &runs, &bytes));
		check_damage(&made, &want, bytes, runs, i == 0 ? "extraneous" : "more bytes than its codes take");
		free(bytes);
		free(runs);
		segmented_free(&made);
	}
}

static void fill_bytes_before_a_marker_are_no_data(void **state)
{
	static const int cuts_and_copies[] = {10, 7};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct segmented made = make(&kinds[0], 400, 300, 0, cuts_and_copies[i], false);
		const struct decode_want want = {{0, 100, 300, 60}, 3, 8, false};
		struct file file = file_copy(made.file.bytes, made.file.byte_count);
		struct picture full = jpeg_reference(file, 3, 8);
		struct file_run run;

		assert_true(segment_table_run(&made.segments, 110, 111, &run));
		segmented_free(&made);
		file_insert(&file, (size_t)(run.offset + run.byte_count) - 2, "\xff\xff", 2);
		made = segmented_jpeg(file, 0, 0);
		assert_true(check_in_runs(decoder, &made, &want, &full));
		free(full.data);
		segmented_free(&made);
	}
	decoder_close(decoder);
}

/* Anything at all, anywhere in what was read: pixels or a failure with words, in bounds. */
static void damaged_bytes_do_no_harm(void **state)
{
	struct decoder *decoder = open_decoder();
	int failed_count = 0;

	(void)state;
	for (int round = 0; round < 100 * regions; round++) {
		const struct kind *kind = &kinds[check_below(sizeof kinds / sizeof kinds[0])];
		struct segmented made =
			make(kind, 100 + check_below(200), 100 + check_below(100), 0, 1 + (int)check_below(40), check_below(2));
		const struct decode_want want = {small_region(made.segments.width_px, made.segments.height_px), 3, 8, false};
		struct image_info info;
		struct file_runs *runs;
		struct pixels out;
		uint8_t *bytes;

		if (read_region(&made, &want, &runs, &bytes)) {
			struct file_bytes file = file_bytes_in_runs(bytes, runs, &made.segments);

			for (uint32_t flips = 1 + check_below(3); flips > 0; flips--)
				bytes[check_below((uint32_t)file.byte_count)] ^= (uint8_t)(1u << check_below(8));
			assert_int_equal(decode_probe(decoder, &file, &info), ITEM_OK);
			if (decode_region(decoder, &file, &info, &want, &out) != ITEM_OK) {
				assert_true(decoder_reason(decoder)[0] != '\0');
				failed_count++;
			}
			free(bytes);
			free(runs);
		}
		segmented_free(&made);
	}
	assert_true(failed_count > 10 * regions);
	decoder_close(decoder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_are_those_of_a_plain_decode),
		cmocka_unit_test(runs_are_only_those_of_the_head_and_of_the_rows),
		cmocka_unit_test(a_picture_over_the_limit_is_refused_by_its_numbers_alone),
		cmocka_unit_test(what_does_not_fit_the_table_is_corrupt),
		cmocka_unit_test(another_byte_anywhere_in_a_table_is_noticed),
		cmocka_unit_test(segments_without_room_for_a_marker_are_corrupt),
		cmocka_unit_test(bytes_that_no_code_takes_are_corrupt),
		cmocka_unit_test(fill_bytes_before_a_marker_are_no_data),
		cmocka_unit_test(damaged_bytes_do_no_harm),
	};

	if (argc > 1)
		regions = atoi(argv[1]);
	check_state = seed_of_test("test_jpeg_segments");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
