/* JPEGs in segments: the same coefficients, colours and metadata, and a table that is true.  One thread. */
#include "tests/jpeg_bomb.h"
#include "tests/pack_check.h"

#include "loader/decode/exif.h"

static const struct jpeg_recipe recipes[] = {
	{.stored = JCS_GRAYSCALE},
	{.stored = JCS_GRAYSCALE, .across = 2, .down = 2},
	{.stored = JCS_YCbCr},
	{.stored = JCS_YCbCr, .across = 2},
	{.stored = JCS_YCbCr, .across = 2, .down = 2},
	{.stored = JCS_YCbCr, .down = 2},
	{.stored = JCS_YCbCr, .across = 4},
	{.stored = JCS_YCbCr, .across = 4, .down = 2},
	{.stored = JCS_YCbCr, .down = 4},
	{.stored = JCS_YCbCr, .across = 2, .down = 2, .other_across = {2, 1}, .other_down = {1, 2}},
	{.stored = JCS_YCbCr, .other_across = {2, 1}},
	{.stored = JCS_RGB},
	{.stored = JCS_CMYK},
	{.stored = JCS_YCCK, .across = 2, .down = 2, .other_across = {1, 1, 2}, .other_down = {1, 1, 2}},
	{.stored = JCS_YCbCr, .optimized = true, .wide_quantizers = true},
	{.stored = JCS_YCbCr, .across = 2, .down = 2, .scans = JPEG_SCANS_PROGRESSIVE, .orientation = 6},
	{.stored = JCS_GRAYSCALE, .scans = JPEG_SCANS_PROGRESSIVE},
	{.stored = JCS_YCCK, .scans = JPEG_SCANS_PROGRESSIVE},
	{.stored = JCS_YCbCr, .across = 2, .down = 2, .scans = JPEG_SCANS_COMPONENTS},
	{.stored = JCS_YCbCr, .across = 2, .down = 2, .arithmetic = true, .orientation = 3},
	{.stored = JCS_YCbCr, .across = 2, .arithmetic = true, .scans = JPEG_SCANS_PROGRESSIVE},
	{.stored = JCS_YCbCr, .across = 2, .down = 2, .restart_mcus = 3},
	{.stored = JCS_YCbCr, .restart_mcus = 7, .scans = JPEG_SCANS_PROGRESSIVE},
	{.stored = JCS_YCbCr, .quality = 100, .motif = JPEG_MOTIF_RAMP},
	{.stored = JCS_YCbCr, .quality = 5, .motif = JPEG_MOTIF_STRIPES},
};

enum { RECIPE_COUNT = sizeof recipes / sizeof recipes[0] };

static struct file encode_at(const struct jpeg_recipe *recipe, uint32_t width_px, uint32_t height_px)
{
	struct jpeg_recipe sized = *recipe;

	sized.width_px = width_px;
	sized.height_px = height_px;
	return jpeg_encode(&sized);
}

static struct file encode_any(const struct jpeg_recipe *recipe)
{
	return encode_at(recipe, 33 + check_below(300), 33 + check_below(200));
}

static void every_kind_keeps_its_coefficients_and_pixels(void **state)
{
	static const uint32_t widths_px[] = {8, 16, 24, 80, 100, 1000, 100000};

	(void)state;
	for (int i = 0; i < 4 * RECIPE_COUNT; i++) {
		struct file source = encode_any(&recipes[i % RECIPE_COUNT]);
		struct pack_rules rules = plain_rules;
		struct packed_image packed, again;

		rules.segment_px = widths_px[check_below(7)];
		rules.keep_metadata = check_below(2) == 0;
		packed = pack_file_into_segments(&rules, source);
		check_same_coefficients(source, packed_file(&packed));
		check_same_pixels(source, packed_file(&packed));
		check_segments(&packed);

		again = pack_file_into_segments(&rules, source);
		assert_int_equal(packed.file.used_bytes, again.file.used_bytes);
		assert_memory_equal(packed.file.data, again.file.data, packed.file.used_bytes);
		assert_int_equal(packed.table.used_bytes, again.table.used_bytes);
		assert_memory_equal(packed.table.data, again.table.data, packed.table.used_bytes);
		drop_packed(&packed);
		drop_packed(&again);
		free(source.bytes);
	}
}

static void a_packed_file_is_packed_into_itself(void **state)
{
	(void)state;
	for (int i = 0; i < RECIPE_COUNT; i++) {
		struct file source = encode_any(&recipes[i]);
		struct packed_image packed = pack_file_into_segments(&plain_rules, source);
		struct packed_image again = pack_file_into_segments(&plain_rules, packed_file(&packed));

		assert_int_equal(packed.file.used_bytes, again.file.used_bytes);
		assert_memory_equal(packed.file.data, again.file.data, packed.file.used_bytes);
		drop_packed(&packed);
		drop_packed(&again);
		free(source.bytes);
	}
}

/* The interval is in the table, and is what the file says. */
static void segments_are_about_as_wide_as_asked_for(void **state)
{
	/* 320 px are 20 MCUs of 16: divisors are taken from 3/4 to 4/3 of what was asked for. */
	static const uint32_t asked_px[] = {1, 16, 32, 48, 64, 80, 112, 160, 224, 320, 5000},
			      mcus[] = {1, 1, 2, 4, 4, 5, 7, 10, 14, 20, 20};
	struct file source = encode_at(&recipes[4], 320, 128);
	struct pack_rules rules = plain_rules;

	(void)state;
	for (int i = 0; i < 11; i++) {
		struct segment_table_header header;
		struct packed_image packed;

		rules.segment_px = asked_px[i];
		packed = pack_file_into_segments(&rules, source);
		memcpy(&header, packed.table.data, sizeof header);
		assert_int_equal(header.unit, mcus[i]);
		assert_int_equal(header.segment_count, (20 * 8 + mcus[i] - 1) / mcus[i]);
		assert_int_equal(header.mcu_width_px, 16);
		assert_int_equal(header.mcu_height_px, 16);
		drop_packed(&packed);
	}
	free(source.bytes);
}

static void without_segments_a_file_is_stored_if_it_is_smaller(void **state)
{
	struct pack_rules rules = plain_rules;
	struct file loose = encode_at(&recipes[4], 300, 200);
	struct packed_image packed, again;

	(void)state;
	rules.segment_px = PACK_NO_SEGMENTS;
	packed = pack_file(&rules, loose);
	assert_int_equal(packed.outcome, PACK_SMALL);
	assert_in_range(packed.file.used_bytes, 1, loose.byte_count - 1);
	check_same_coefficients(loose, packed_file(&packed));
	again = pack_file(&rules, packed_file(&packed));
	assert_int_equal(again.outcome, PACK_SMALL);
	assert_int_equal(again.file.used_bytes, 0);
	drop_packed(&packed);
	drop_packed(&again);
	free(loose.bytes);
}

struct segment_list {
	uint8_t markers[64];
	const uint8_t *data[64];
	size_t data_bytes[64];
	int count;
};

/* Those of APPn and COM, up to the first scan. */
static struct segment_list list_metadata(struct file file)
{
	struct segment_list list = {.count = 0};

	for (size_t at = 2; file.bytes[at + 1] != 0xda;) {
		size_t length = (size_t)file.bytes[at + 2] << 8 | file.bytes[at + 3];

		assert_int_equal(file.bytes[at], 0xff);
		if ((file.bytes[at + 1] & 0xf0) == 0xe0 || file.bytes[at + 1] == 0xfe) {
			list.markers[list.count] = file.bytes[at + 1];
			list.data[list.count] = file.bytes + at + 4;
			list.data_bytes[list.count++] = length - 2;
		}
		at += 2 + length;
	}
	return list;
}

static void insert_segment(struct file *file, size_t at, uint8_t marker, const void *data, size_t data_bytes)
{
	const uint8_t head[] = {0xff, marker, (uint8_t)((data_bytes + 2) >> 8), (uint8_t)(data_bytes + 2)};

	file_insert(file, at, data, data_bytes);
	file_insert(file, at, head, sizeof head);
}

/* ICC profiles in parts, XMP, comments, a thumbnail: in front of the frame, or behind the first segment. */
static struct file with_metadata(const struct jpeg_recipe *recipe)
{
	struct file file = encode_any(recipe);
	uint8_t *noise = malloc(65533);

	for (int i = 0; i < 65533; i++)
		noise[i] = (uint8_t)check_random();
	for (int i = 0; i < 8; i++) {
		static const uint8_t markers[] = {0xe1, 0xe2, 0xe2, 0xed, 0xee, 0xe0, 0xfe, 0xfe};
		size_t frame_at = 2;

		while (file.bytes[frame_at + 1] != 0xdb && check_below(4) > 0)
			frame_at += 2 + ((size_t)file.bytes[frame_at + 2] << 8 | file.bytes[frame_at + 3]);
		memcpy(noise, i < 3 ? "ICC_PROFILE" : "http://ns.", 10);
		insert_segment(&file, frame_at, markers[i], noise, i == 4 ? 65533 : check_below(3) * 500);
	}
	free(noise);
	return file;
}

static bool is_about_colours(const struct segment_list *list, int i)
{
	return (list->markers[i] == 0xe0 && memcmp(list->data[i], "JFIF", 5) == 0) ||
	       (list->markers[i] == 0xee && list->data_bytes[i] == 12);
}

static void kept_metadata_is_there_byte_for_byte_and_in_order(void **state)
{
	struct pack_rules rules = plain_rules;

	(void)state;
	rules.keep_metadata = true;
	for (int i = 0; i < RECIPE_COUNT; i++) {
		struct file source = with_metadata(&recipes[i]), shorter;
		struct packed_image packed;
		struct segment_list before = list_metadata(source), after;
		int at = 0;

		file_append(&source, "behind the end", 15);
		packed = pack_file_into_segments(&rules, source);
		before = list_metadata(source);
		after = list_metadata(packed_file(&packed));
		assert_int_equal(before.count, after.count);
		for (int pass = 0; pass < 2; pass++) {
			for (int k = 0; k < before.count; k++) {
				if (is_about_colours(&before, k) != (pass == 0))
					continue;
				assert_int_equal(before.markers[k], after.markers[at]);
				assert_int_equal(before.data_bytes[k], after.data_bytes[at]);
				assert_memory_equal(before.data[k], after.data[at], before.data_bytes[k]);
				at++;
			}
		}
		assert_memory_equal(packed.file.data + packed.file.used_bytes - 17,
		                    "\xff\xd9"
		                    "behind the end",
		                    17);
		check_same_coefficients(source, packed_file(&packed));
		check_segments(&packed);

		/* Crops do not read it. */
		shorter = without_metadata(&packed);
		check_same_coefficients(source, shorter);
		after = list_metadata(shorter);
		for (int k = 0; k < after.count; k++)
			assert_true(is_about_colours(&after, k));
		free(shorter.bytes);
		drop_packed(&packed);
		free(source.bytes);
	}
}

static void of_metadata_only_the_orientation_stays(void **state)
{
	(void)state;
	for (uint8_t orientation = 0; orientation <= 9; orientation++) {
		struct jpeg_recipe recipe = recipes[check_below(RECIPE_COUNT)];
		struct segment_table_header header;
		struct segment_list list;
		struct packed_image packed;
		struct file source;
		int exif_count = 0;

		recipe.orientation = orientation;
		source = with_metadata(&recipe);
		file_append(&source, "behind the end", 15);
		packed = pack_file_into_segments(&plain_rules, source);
		list = list_metadata(packed_file(&packed));
		for (int i = 0; i < list.count; i++) {
			if (is_about_colours(&list, i))
				continue;
			exif_count++;
			assert_int_equal(list.markers[i], 0xe1);
			assert_true(exif_marks(list.data[i], list.data_bytes[i]));
			assert_int_equal(exif_orientation(list.data[i], list.data_bytes[i]), orientation);
			assert_int_equal(list.data_bytes[i], 32);
		}
		assert_int_equal(exif_count, orientation >= 2 && orientation <= 8);
		assert_memory_equal(packed.file.data + packed.file.used_bytes - 2, "\xff\xd9", 2);
		memcpy(&header, packed.table.data, sizeof header);
		assert_int_equal(header.head_bytes, header.data_at);
		assert_int_equal(header.second_head_bytes, 0);
		check_same_coefficients(source, packed_file(&packed));
		drop_packed(&packed);
		free(source.bytes);
	}
}

static void a_thumbnail_of_jfif_goes_with_the_metadata(void **state)
{
	struct file source = encode_any(&recipes[4]);
	struct pack_rules rules = plain_rules;
	uint8_t thumbnail[3 * 6 * 5];
	struct packed_image packed;

	(void)state;
	memset(thumbnail, 77, sizeof thumbnail);
	file_insert(&source, 2 + 2 + 16, thumbnail, sizeof thumbnail);
	source.bytes[5] = (uint8_t)(16 + sizeof thumbnail);
	source.bytes[18] = 6;
	source.bytes[19] = 5;
	packed = pack_file_into_segments(&rules, source);
	assert_int_equal(packed.file.data[5], 16);
	assert_int_equal(packed.file.data[18], 0);
	check_same_coefficients(source, packed_file(&packed));
	drop_packed(&packed);
	rules.keep_metadata = true;
	packed = pack_file_into_segments(&rules, source);
	assert_memory_equal(packed.file.data, source.bytes, 2 + 2 + 16 + sizeof thumbnail);
	drop_packed(&packed);
	free(source.bytes);
}

/* By plain marks of Adobe's, and without any: what libjpeg takes the colours for stays. */
static void colours_are_marked_as_they_were(void **state)
{
	static const J_COLOR_SPACE spaces[] = {JCS_YCbCr, JCS_RGB, JCS_CMYK, JCS_YCCK, JCS_GRAYSCALE};

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct jpeg_recipe recipe = {.width_px = 100, .height_px = 60, .stored = spaces[i]};
		struct file source = jpeg_encode(&recipe);
		size_t length = 2 + ((size_t)source.bytes[4] << 8 | source.bytes[5]);
		struct packed_image packed = pack_file_into_segments(&plain_rules, source);

		assert_memory_equal(packed.file.data, source.bytes, 2 + length);
		check_same_coefficients(source, packed_file(&packed));
		drop_packed(&packed);

		memmove(source.bytes + 2, source.bytes + 2 + length, source.byte_count - 2 - length);
		source.byte_count -= length;
		packed = pack_file_into_segments(&plain_rules, source);
		assert_int_equal(list_metadata(packed_file(&packed)).count, 0);
		check_same_coefficients(source, packed_file(&packed));
		drop_packed(&packed);
		free(source.bytes);
	}
}

static void check_outcome(const struct pack_rules *rules, struct file file, enum pack_outcome expected)
{
	struct packed_image packed = pack_file(rules, file);

	if (packed.outcome != expected)
		fail_msg("outcome %d instead of %d, %s", packed.outcome, expected, packed.reason);
	assert_true(packed.reason[0] != '\0');
	drop_packed(&packed);
}

static void what_cannot_be_converted_says_why(void **state)
{
	struct jpeg_recipe recipe = {.width_px = 100, .height_px = 60, .stored = JCS_YCbCr, .scans = JPEG_SCANS_FIRST};
	struct file file = jpeg_encode(&recipe);
	struct pack_rules rules = plain_rules;

	(void)state;
	check_outcome(&rules, file, PACK_KIND); /* a decoder smooths it while its last scans are missing */
	free(file.bytes);

	recipe = (struct jpeg_recipe){.width_px = 100, .height_px = 60, .stored = JCS_YCbCr, .scans = JPEG_SCANS_COMPONENTS};
	recipe.across = recipe.down = recipe.other_across[0] = recipe.other_down[0] = 2;
	recipe.other_across[1] = recipe.other_down[1] = 2;
	file = jpeg_encode(&recipe);
	check_outcome(&rules, file, PACK_KIND); /* 12 blocks */
	free(file.bytes);

	file = jpeg_encode(&(struct jpeg_recipe){.width_px = 100, .height_px = 60, .stored = JCS_YCbCr});
	file.bytes[jpeg_find_marker(file, 0xc0) + 4] = 12; /* bits */
	check_outcome(&rules, file, PACK_KIND);
	file.bytes[jpeg_find_marker(file, 0xc0) + 4] = 8;
	file.bytes[jpeg_find_marker(file, 0xc0) + 1] = 0xc3; /* lossless */
	check_outcome(&rules, file, PACK_KIND);
	file.bytes[jpeg_find_marker(file, 0xc3) + 1] = 0xc0;
	jpeg_write_size(file, 0xc0, 100, 0); /* its height comes in a DNL marker */
	check_outcome(&rules, file, PACK_KIND);
	free(file.bytes);

	file = jpeg_encode(
		&(struct jpeg_recipe){.width_px = 100, .height_px = 60, .stored = JCS_YCbCr, .scans = JPEG_SCANS_PROGRESSIVE});
	insert_segment(&file, jpeg_find_marker(file, 0xda), 0xfe, "a comment", 9);
	rules.keep_metadata = true;
	check_outcome(&rules, file, PACK_KIND);
	rules.keep_metadata = false;
	drop_packed(&(struct packed_image[]){pack_file_into_segments(&rules, file)}[0]);
	free(file.bytes);
}

static void damage_anywhere_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < RECIPE_COUNT; i++) {
		struct file file = encode_any(&recipes[i]);

		for (int round = 0; round < 10; round++) {
			struct file cut = file_copy(file.bytes, 2 + check_below((uint32_t)file.byte_count - 2));

			check_outcome(&plain_rules, cut, PACK_DAMAGED);
			free(cut.bytes);
		}
		free(file.bytes);
	}
}

/* Whatever libjpeg makes of a file with flipped bits: if it is converted, the coefficients are the same. */
static void flipped_bits_never_crash_nor_change_what_is_read(void **state)
{
	int converted = 0;

	(void)state;
	for (int round = 0; round < 1000; round++) {
		struct file file = encode_at(&recipes[check_below(RECIPE_COUNT)], 17 + check_below(60), 9 + check_below(60));
		struct packed_image packed;

		for (uint32_t flips = 1 + check_below(3); flips > 0; flips--)
			file.bytes[2 + check_below((uint32_t)file.byte_count - 2)] ^= (uint8_t)(1u << check_below(8));
		packed = pack_file(&plain_rules, file);
		if (packed.file.used_bytes > 0) {
			converted++;
			check_same_coefficients(file, packed_file(&packed));
		}
		drop_packed(&packed);
		free(file.bytes);
	}
	assert_in_range(converted, 50, 950);
}

/* A decoder gets along with it, but whose bytes they are nobody knows. */
static void bytes_that_nobody_asked_for_are_not_dropped(void **state)
{
	static const uint8_t zeros[40];
	struct file file = encode_any(&recipes[4]);

	(void)state;
	file_insert(&file, file.byte_count - 2, zeros, sizeof zeros); /* before the end marker */
	check_outcome(&plain_rules, file, PACK_DAMAGED);
	free(file.bytes);
	file = encode_any(&recipes[4]);
	file_insert(&file, jpeg_find_marker(file, 0xdb), zeros, sizeof zeros);
	check_outcome(&plain_rules, file, PACK_KIND);
	free(file.bytes);
}

static void memory_and_work_are_bounded(void **state)
{
	struct file file = encode_at(&recipes[2], 500, 400);
	struct pack_rules rules = plain_rules;

	(void)state;
	rules.most_memory_bytes = 500 * 400 * 6;
	check_outcome(&rules, file, PACK_LARGE);
	rules.most_memory_bytes *= 2;
	drop_packed(&(struct packed_image[]){pack_file_into_segments(&rules, file)}[0]);
	free(file.bytes);

	/* What the loader refuses to decode is not taken apart either. */
	rules.most_memory_bytes = UINT64_MAX;
	file = jpeg_bomb(12000, 12000, 0, 0);
	check_outcome(&rules, file, PACK_LARGE);
	free(file.bytes);
	file = jpeg_bomb(3000, 3000, 60, 13);
	check_outcome(&rules, file, PACK_KIND);
	free(file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_keeps_its_coefficients_and_pixels),
		cmocka_unit_test(a_packed_file_is_packed_into_itself),
		cmocka_unit_test(segments_are_about_as_wide_as_asked_for),
		cmocka_unit_test(without_segments_a_file_is_stored_if_it_is_smaller),
		cmocka_unit_test(kept_metadata_is_there_byte_for_byte_and_in_order),
		cmocka_unit_test(of_metadata_only_the_orientation_stays),
		cmocka_unit_test(a_thumbnail_of_jfif_goes_with_the_metadata),
		cmocka_unit_test(colours_are_marked_as_they_were),
		cmocka_unit_test(what_cannot_be_converted_says_why),
		cmocka_unit_test(damage_anywhere_is_found),
		cmocka_unit_test(flipped_bits_never_crash_nor_change_what_is_read),
		cmocka_unit_test(bytes_that_nobody_asked_for_are_not_dropped),
		cmocka_unit_test(memory_and_work_are_bounded),
	};

	check_state = seed_of_test("test_pack_jpeg");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
