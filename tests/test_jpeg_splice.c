/*
 * Regions of JPEGs that are spliced out of the file, beside a plain libjpeg decode of the whole: every sampling and restart interval,
 * first and later visits, damaged and changed files.  One thread.
 * Long, because what can be wrong with a splice is one list.
 *
 * An argument is how many pictures to try; the seed is CROPRING_TEST_SEED.
 */
#include "loader/decode/jpeg_splice.h"
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"

static int pictures = 60;

/* A decoder that splices, and whatever its splices share. */
struct rig {
	struct jpeg_index_store *store;
	struct decoder *splicing, *plain;
	struct workspace workspace; /* to splice without decoding */
	uint64_t id;
};

static struct rig open_rig(void)
{
	struct rig rig = {.store = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, 0)};

	assert_non_null(rig.store);
	rig.splicing = decoder_open(&(struct decode_limits){.max_pixels = TEST_MAX_PIXELS, .jpeg_indexes = rig.store});
	rig.plain = open_decoder();
	rig.workspace = (struct workspace){.max_pixels = TEST_MAX_PIXELS, .jpeg_indexes = rig.store};
	assert_non_null(rig.splicing);
	return rig;
}

static void close_rig(struct rig *rig)
{
	decoder_close(rig->splicing);
	decoder_close(rig->plain);
	free(rig->workspace.splice.data);
	jpeg_index_store_close(rig->store);
}

static struct file_bytes numbered(struct rig *rig, struct file file)
{
	struct file_bytes bytes = file_whole(file);

	bytes.id = rig->id;
	return bytes;
}

static bool is_spliced(struct rig *rig, struct file file, const struct image_info *info, const struct decode_want *want)
{
	struct file_bytes bytes = numbered(rig, file);
	struct jpeg_splice splice;

	return jpeg_splice(&rig->workspace, &bytes, info, want, &splice);
}

/* A picture has flat parts and noisy ones, so that its MCUs have few bits and many. */
static struct jpeg_recipe random_recipe(void)
{
	static const struct {
		int across, down;
	} samplings[] = {{1, 1}, {2, 2}, {2, 1}, {1, 2}, {4, 1}, {1, 4}, {3, 2}};
	static const J_COLOR_SPACE spaces[] = {JCS_YCbCr, JCS_YCbCr, JCS_YCbCr, JCS_GRAYSCALE, JCS_RGB, JCS_CMYK};
	uint32_t sampling = check_below(check_below(2) ? 2 : sizeof samplings / sizeof samplings[0]);
	struct jpeg_recipe recipe = {
		.width_px = 1 + check_below(check_below(3) ? 700 : 100),
		.height_px = 1 + check_below(check_below(3) ? 200 : 40),
		.stored = spaces[check_below(sizeof spaces / sizeof spaces[0])],
		.across = samplings[sampling].across,
		.down = samplings[sampling].down,
		.optimized = check_below(2),
		.quality = 10 + (int)check_below(91),
		.orientation = (uint8_t)check_below(9),
	};

	if (recipe.stored == JCS_GRAYSCALE)
		recipe.across = recipe.down = 1;
	return recipe;
}

static uint32_t mcus_across(const struct jpeg_recipe *recipe)
{
	return (recipe->width_px + 8 * (uint32_t)recipe->across - 1) / (8 * (uint32_t)recipe->across);
}

/* Of all sizes, but mostly narrow: those are spliced. */
static struct box random_region(uint32_t width_px, uint32_t height_px)
{
	struct box region = random_box(width_px, height_px);

	if (check_below(4))
		region.width = (region.width + 7) / 8;
	if (check_below(2))
		region.height = (region.height + 3) / 4;
	return region;
}

/* The file's regions are right on the first visit of each part and on later ones; returns how many were spliced. */
static int check_file(struct rig *rig, struct file file, uint32_t eighths, int region_count)
{
	struct image_info info = probe_ok(rig->plain, file);
	int spliced_count = 0;

	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		struct picture full = jpeg_reference(file, channels, eighths);

		rig->id++;
		for (int i = 0; i < region_count; i++) {
			struct decode_want want = {random_region(full.width_px, full.height_px), channels, eighths, false};
			struct file_bytes bytes = numbered(rig, file);
			struct jpeg_splice splice;
			struct pixels out;

			assert_int_equal(decode_region(rig->splicing, &bytes, &info, &want, &out), ITEM_OK);
			check_pixels(&out, &want, &full);

			/* It was not decoded by the way out that a bad splice leaves. */
			if (jpeg_splice(&rig->workspace, &bytes, &info, &want, &splice)) {
				if (decode_region(rig->plain, &splice.file, &splice.info, &splice.want, &out) != ITEM_OK)
					fail_msg("a splice cannot be decoded: %s", decoder_reason(rig->plain));
				check_pixels(&out, &want, &full);
				spliced_count++;
			}
		}
		free(full.data);
	}
	return spliced_count;
}

static const uint32_t reductions[] = {8, 8, 4, 2, 1, 3, 5, 6, 7};

static uint32_t random_eighths(void)
{
	return reductions[check_below(sizeof reductions / sizeof reductions[0])];
}

static void regions_of_files_without_restart_markers_are_those_of_a_plain_decode(void **state)
{
	struct rig rig = open_rig();
	int spliced_count = 0;

	(void)state;
	for (int i = 0; i < pictures; i++) {
		struct jpeg_recipe recipe = random_recipe();
		struct file file = jpeg_encode(&recipe);

		spliced_count += check_file(&rig, file, random_eighths(), 8);
		free(file.bytes);
	}
	assert_true(spliced_count >= 3 * pictures);
	close_rig(&rig);
}

static void regions_of_files_with_restart_markers_are_those_of_a_plain_decode(void **state)
{
	struct rig rig = open_rig();
	int spliced_count = 0;

	(void)state;
	for (int i = 0; i < pictures; i++) {
		struct jpeg_recipe recipe = random_recipe();
		uint32_t across = mcus_across(&recipe), divisor = 1 + check_below(across);
		struct file file;

		while (across % divisor)
			divisor--;
		switch (check_below(4)) {
		case 0:
			recipe.restart_mcus = divisor;
			break;
		case 1:
			recipe.restart_mcus = across * (1 + check_below(3));
			break;
		case 2:
			recipe.restart_mcus = 1;
			break;
		default: /* which mostly neither divides a row nor is whole rows */
			recipe.restart_mcus = 1 + check_below(check_below(2) ? across : 4 * across);
		}
		file = jpeg_encode(&recipe);
		spliced_count += check_file(&rig, file, random_eighths(), 8);
		free(file.bytes);
	}
	assert_true(spliced_count >= 8 * pictures);
	close_rig(&rig);
}

static void intervals_that_no_row_begins_with_are_cut(void **state)
{
	struct rig rig = open_rig();

	(void)state;
	for (uint32_t restart_mcus = 1; restart_mcus < 90; restart_mcus += 2 + check_below(6)) {
		struct file file = jpeg_encode(&(struct jpeg_recipe){.width_px = 300,
		                                                     .height_px = 600,
		                                                     .stored = JCS_YCbCr,
		                                                     .across = 1 + (int)check_below(2),
		                                                     .down = 1 + (int)check_below(2),
		                                                     .optimized = true,
		                                                     .restart_mcus = restart_mcus});
		struct image_info info = probe_ok(rig.plain, file);

		assert_true(is_spliced(&rig, file, &info, &(struct decode_want){{200, 590, 20, 10}, 3, 8, false}));
		(void)check_file(&rig, file, 8, 6);
		free(file.bytes);
	}
	close_rig(&rig);
}

/* Codes for DC differences that the file itself has no use for: left and right of a seam all is flat, and far apart. */
static void a_dc_difference_that_the_files_own_table_lacks_gets_a_code(void **state)
{
	struct rig rig = open_rig();

	(void)state;
	for (int quality = 30; quality <= 100; quality += 10) {
		struct file file = jpeg_encode(&(struct jpeg_recipe){.width_px = 900,
		                                                     .height_px = 100,
		                                                     .stored = JCS_YCbCr,
		                                                     .motif = JPEG_MOTIF_RAMP,
		                                                     .optimized = true,
		                                                     .quality = quality});

		assert_true(check_file(&rig, file, 8, 20) > 0);
		free(file.bytes);
	}
	close_rig(&rig);
}

/* One block in a row, next to nothing like the one before: the longest differences have the shortest codes. */
static void the_largest_dc_differences_are_followed(void **state)
{
	struct rig rig = open_rig();

	(void)state;
	for (int i = 0; i < 10; i++) {
		struct file file = jpeg_encode(&(struct jpeg_recipe){.width_px = 8,
		                                                     .height_px = 400,
		                                                     .stored = JCS_GRAYSCALE,
		                                                     .optimized = true,
		                                                     .quality = 100,
		                                                     .motif = JPEG_MOTIF_STRIPES});

		assert_true(check_file(&rig, file, 8, 20) > 0);
		free(file.bytes);
	}
	close_rig(&rig);
}

static void other_kinds_of_jpeg_are_decoded_as_they_are(void **state)
{
	const struct jpeg_recipe recipes[] = {
		{.width_px = 300, .height_px = 300, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE},
		{.width_px = 300, .height_px = 300, .stored = JCS_YCbCr, .scans = JPEG_SCANS_COMPONENTS},
		{.width_px = 300, .height_px = 300, .stored = JCS_YCbCr, .arithmetic = true},
		{.width_px = 300, .height_px = 300, .stored = JCS_GRAYSCALE, .across = 2, .down = 2},
	};
	struct rig rig = open_rig();

	(void)state;
	for (size_t i = 0; i < sizeof recipes / sizeof recipes[0]; i++) {
		struct file file = jpeg_encode(&recipes[i]);

		assert_int_equal(check_file(&rig, file, 8, 4), 0);
		free(file.bytes);
	}
	close_rig(&rig);
}

/* Both decoders say the same of the region, first and again; returns how often it was read by splicing. */
static int check_same(struct rig *rig, struct file file, const struct image_info *info, struct box region)
{
	int spliced_count = 0;

	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		struct decode_want want = {region, channels, 8, false};
		struct file_bytes bytes = numbered(rig, file);
		struct pixels expected, out;
		enum item_status status = decode_region(rig->plain, &bytes, info, &want, &expected);

		for (int visit = 0; visit < 2; visit++) {
			assert_int_equal(decode_region(rig->splicing, &bytes, info, &want, &out), status);
			assert_string_equal(decoder_reason(rig->splicing), decoder_reason(rig->plain));
			for (uint32_t y = 0; status == ITEM_OK && y < expected.height_px; y++)
				assert_memory_equal(out.data + y * out.stride_bytes, expected.data + y * expected.stride_bytes,
				                    (size_t)expected.width_px * channels);
		}
		spliced_count += status == ITEM_OK && is_spliced(rig, file, info, &want);
	}
	return spliced_count;
}

/* Whatever happened to a file without restart markers, and whatever was remembered of it before. */
static void damage_gives_what_it_gives_without_splicing(void **state)
{
	struct rig rig = open_rig();
	int spliced_count = 0;

	(void)state;
	for (int i = 0; i < 4 * pictures; i++) {
		struct jpeg_recipe recipe = random_recipe();
		struct file file = jpeg_encode(&recipe);
		struct image_info info = probe_ok(rig.plain, file), damaged_info;
		struct file_bytes bytes = file_whole(file);

		rig.id++;
		(void)check_same(&rig, file, &info, random_region(info.width_px, info.height_px));
		for (uint32_t flips = 1 + check_below(3); flips > 0; flips--)
			file.bytes[check_below((uint32_t)file.byte_count)] ^= (uint8_t)(1u << check_below(8));
		if (check_below(4) == 0)
			file.byte_count -= check_below((uint32_t)file.byte_count / 2);
		bytes.byte_count = bytes.gap_at = file.byte_count;
		if (decode_probe(rig.plain, &bytes, &damaged_info) == ITEM_OK) {
			for (int region = 0; region < 5; region++)
				spliced_count += check_same(&rig, file, &damaged_info,
				                            random_region(damaged_info.width_px, damaged_info.height_px));
		}
		free(file.bytes);
	}
	assert_true(spliced_count > pictures);
	close_rig(&rig);
}

/* libjpeg reads ahead, and a file that ends too early for that is truncated, although nothing that is wanted is missing. */
static void a_file_cut_anywhere_gives_what_it_gives_without_splicing(void **state)
{
	struct rig rig = open_rig();
	struct file file =
		jpeg_encode(&(struct jpeg_recipe){.width_px = 600, .height_px = 80, .stored = JCS_YCbCr, .across = 2, .down = 2});
	struct image_info info = probe_ok(rig.plain, file);
	int spliced_count = 0;

	(void)state;
	for (size_t least = file.byte_count - 300; file.byte_count > least; file.byte_count--) {
		rig.id++;
		spliced_count += check_same(&rig, file, &info, (struct box){40, 60, 4, 4});
	}
	assert_true(spliced_count > 0);
	free(file.bytes);
	close_rig(&rig);
}

/* The same number, the same size, other bytes. */
static void an_index_is_not_used_for_a_file_that_changed(void **state)
{
	const struct jpeg_recipe recipe = {.width_px = 400, .height_px = 100, .stored = JCS_GRAYSCALE, .across = 1, .down = 1};
	struct rig rig = open_rig();
	struct file files[2] = {jpeg_encode(&recipe), jpeg_encode(&recipe)};
	size_t longer = files[0].byte_count > files[1].byte_count ? files[0].byte_count : files[1].byte_count;

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint8_t *zeros = calloc(1, longer);

		file_append(&files[i], zeros, longer - files[i].byte_count);
		free(zeros);
	}
	for (int visit = 0; visit < 8; visit++) {
		struct image_info info = probe_ok(rig.plain, files[visit % 2]);

		assert_true(check_same(&rig, files[visit % 2], &info, (struct box){300 - 5 * visit, 70, 20, 5 + visit}));
	}
	free(files[0].bytes);
	free(files[1].bytes);
	close_rig(&rig);
}

/*
 * As if another file had its checksum, which can be arranged: checkpoints anywhere, in any order, in stuffed bytes and markers, with any
 * predictors.  No splice, or one that stays in its memory.
 */
static void an_index_that_lies_does_no_harm(void **state)
{
	const struct jpeg_recipe recipe = {
		.width_px = 600, .height_px = 100, .stored = JCS_YCbCr, .across = 1, .down = 1, .quality = 100};
	struct rig rig = open_rig();
	struct file file = jpeg_encode(&recipe);
	struct image_info info = probe_ok(rig.plain, file);
	struct jpeg_header header;

	(void)state;
	assert_true(jpeg_header_read(file.bytes, file.byte_count, &header));

	uint32_t scan_bytes = (uint32_t)(file.byte_count - header.scan_at);

	for (uint32_t at = 0; at + 1 < scan_bytes; at += 1 + check_below(60)) {
		file.bytes[header.scan_at + at] = 0xff;
		file.bytes[header.scan_at + at + 1] = (uint8_t)check_below(256);
	}
	for (int round = 0; round < 500; round++) {
		const struct decode_want want = {random_region(600, 100), 3, 8, false};
		struct file_bytes bytes = numbered(&rig, file);
		struct jpeg_index *index = jpeg_index_make(&bytes, &header, header.grid.mcu_rows, NULL);
		struct jpeg_splice splice;
		size_t count;
		uint32_t position = 0;

		assert_non_null(index);
		count = (size_t)header.grid.mcu_rows * index->checkpoints_per_row + 1;
		for (size_t i = 0; i < count; i++) {
			struct jpeg_checkpoint *checkpoint = &index->checkpoints[i];

			if (round % 2) /* in order */
				position += check_below(2 * (8 * scan_bytes - position) / (uint32_t)(count - i) + 1);
			else
				position = check_below(8 * scan_bytes);
			checkpoint->position = position < 8 * scan_bytes ? position : 8 * scan_bytes - 1;
			for (int c = 0; c < JPEG_MOST_COMPONENTS; c++)
				checkpoint->predictors[c] = (int16_t)check_below(65536);
		}
		for (uint32_t row = 0; row < header.grid.mcu_rows; row++) {
			index->row_count = row;
			if (jpeg_index_row(index, row + 1)->position < jpeg_index_row(index, row)->position)
				jpeg_index_row(index, row + 1)->position = jpeg_index_row(index, row)->position;
			jpeg_index_end_row(index, file.bytes);
		}
		jpeg_index_release(rig.store, jpeg_index_keep(rig.store, index));
		(void)jpeg_splice(&rig.workspace, &bytes, &info, &want, &splice);
	}
	free(file.bytes);
	close_rig(&rig);
}

static void damage_before_the_region_is_not_looked_at_if_there_are_restart_markers(void **state)
{
	struct rig rig = open_rig();
	struct file file = jpeg_encode(&(struct jpeg_recipe){
		.width_px = 320, .height_px = 320, .stored = JCS_YCbCr, .restart_mcus = 40, .across = 1, .down = 1});
	struct image_info info = probe_ok(rig.plain, file);
	struct decode_want below = {{40, 200, 50, 50}, 3, 8, false}, above = {{40, 0, 50, 50}, 3, 8, false};
	struct picture full = jpeg_reference(file, 3, 8);
	struct file_bytes bytes = file_whole(file);
	struct pixels out;

	(void)state;
	for (size_t at = 1000; at < 1200; at++) { /* in the first row, which has over 4000 bytes */
		if (file.bytes[at] != 0xff && file.bytes[at - 1] != 0xff)
			file.bytes[at] = 0xfe; /* the start of codes that no table has */
	}
	assert_int_equal(decode_region(rig.splicing, &bytes, &info, &below, &out), ITEM_OK);
	check_pixels(&out, &below, &full);
	assert_int_equal(decode_region(rig.splicing, &bytes, &info, &above, &out), ITEM_CORRUPT);
	assert_int_equal(decode_region(rig.plain, &bytes, &info, &below, &out), ITEM_CORRUPT);
	free(full.data);
	free(file.bytes);
	close_rig(&rig);
}

/* Any change of the markers up to the region's end. */
static void restart_markers_that_are_missing_or_out_of_order_are_left_to_libjpeg(void **state)
{
	struct rig rig = open_rig();
	struct file file = jpeg_encode(&(struct jpeg_recipe){
		.width_px = 320, .height_px = 160, .stored = JCS_YCbCr, .restart_mcus = 20, .across = 1, .down = 1});
	struct image_info info = probe_ok(rig.plain, file);
	struct decode_want want = {{0, 80, 8, 8}, 3, 8, false}; /* the first 20 columns of row 10, and no other */
	size_t changed_count = 0;

	(void)state;
	assert_true(is_spliced(&rig, file, &info, &want));
	assert_true(is_spliced(&rig, file, &info, &(struct decode_want){{312, 152, 8, 8}, 3, 8, false})); /* the last MCU */
	for (size_t at = 0; at + 1 < file.byte_count; at++) {
		uint8_t marker = file.bytes[at + 1];

		if (file.bytes[at] != 0xff || marker < 0xd0 || marker > 0xd7)
			continue;
		file.bytes[at + 1] = (uint8_t)(0xd0 + (marker + 1) % 8);
		assert_int_equal(is_spliced(&rig, file, &info, &want), changed_count >= 21);
		file.bytes[at + 1] = marker;
		for (size_t more = 0; more <= 2; more++) { /* it ends before the marker, in it, and after it */
			struct file cut = file_copy(file.bytes, at + more);

			assert_int_equal(is_spliced(&rig, cut, &info, &want), changed_count + (more == 2) >= 21);
			if (more == 1) { /* or in the fill bytes before it */
				file_append(&cut, "\xff", 1);
				assert_int_equal(is_spliced(&rig, cut, &info, &want), changed_count >= 21);
			}
			free(cut.bytes);
		}
		changed_count++;
	}
	assert_int_equal(changed_count, 39);
	free(file.bytes);
	close_rig(&rig);
}

static void little_gain_is_no_reason_to_splice(void **state)
{
	struct rig rig = open_rig();
	struct file file = jpeg_encode(&(struct jpeg_recipe){.width_px = 400, .height_px = 400, .stored = JCS_YCbCr});
	struct image_info info = probe_ok(rig.plain, file);

	(void)state;
	jpeg_index_store_close(rig.store);
	rig.workspace.jpeg_indexes = rig.store = jpeg_index_store_open(1 << 20, file.byte_count / 2);
	assert_false(is_spliced(&rig, file, &info, &(struct decode_want){{10, 10, 50, 50}, 3, 8, false}));   /* near the top */
	assert_false(is_spliced(&rig, file, &info, &(struct decode_want){{10, 10, 300, 380}, 3, 8, false})); /* nearly all */
	assert_true(is_spliced(&rig, file, &info, &(struct decode_want){{10, 330, 50, 50}, 3, 8, false}));
	rig.workspace.jpeg_indexes = NULL;
	assert_false(is_spliced(&rig, file, &info, &(struct decode_want){{10, 330, 50, 50}, 3, 8, false}));
	free(file.bytes);
	decoder_close(rig.splicing);
	rig.splicing = open_decoder();
	close_rig(&rig);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_of_files_without_restart_markers_are_those_of_a_plain_decode),
		cmocka_unit_test(regions_of_files_with_restart_markers_are_those_of_a_plain_decode),
		cmocka_unit_test(intervals_that_no_row_begins_with_are_cut),
		cmocka_unit_test(a_dc_difference_that_the_files_own_table_lacks_gets_a_code),
		cmocka_unit_test(the_largest_dc_differences_are_followed),
		cmocka_unit_test(other_kinds_of_jpeg_are_decoded_as_they_are),
		cmocka_unit_test(damage_gives_what_it_gives_without_splicing),
		cmocka_unit_test(a_file_cut_anywhere_gives_what_it_gives_without_splicing),
		cmocka_unit_test(an_index_is_not_used_for_a_file_that_changed),
		cmocka_unit_test(an_index_that_lies_does_no_harm),
		cmocka_unit_test(damage_before_the_region_is_not_looked_at_if_there_are_restart_markers),
		cmocka_unit_test(restart_markers_that_are_missing_or_out_of_order_are_left_to_libjpeg),
		cmocka_unit_test(little_gain_is_no_reason_to_splice),
	};

	if (argc > 1)
		pictures = atoi(argv[1]);
	check_state = seed_of_test("test_jpeg_splice");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
