/* Headers of JPEGs and their Huffman tables, as they are taken apart to splice: what is refused, and what is written.  One thread. */
#include "loader/decode/jpeg_huffman.h"
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"

static const struct jpeg_recipe usual = {
	.width_px = 100, .height_px = 60, .stored = JCS_YCbCr, .across = 2, .down = 2, .optimized = true, .orientation = 3};

/* In memory of their own size, for the sanitizers. */
static bool is_read(const uint8_t *bytes, size_t byte_count, struct jpeg_header *header)
{
	struct file copy = file_copy(bytes, byte_count);
	bool read = jpeg_header_read(copy.bytes, copy.byte_count, header);

	free(copy.bytes);
	return read;
}

static size_t find_segment(struct file file, uint8_t marker)
{
	for (size_t at = 2; at + 4 < file.byte_count; at += 2 + ((size_t)file.bytes[at + 2] << 8) + file.bytes[at + 3]) {
		if (file.bytes[at + 1] == marker)
			return at;
	}
	fail_msg("no segment %02x", marker);
	return 0;
}

/* Reads the file with other bytes in a segment's payload. */
static bool is_read_with(struct file file, uint8_t marker, size_t at, const void *bytes, size_t byte_count)
{
	struct file changed = file_copy(file.bytes, file.byte_count);
	struct jpeg_header header;
	bool read;

	memcpy(changed.bytes + find_segment(file, marker) + 4 + at, bytes, byte_count);
	read = is_read(changed.bytes, changed.byte_count, &header);
	free(changed.bytes);
	return read;
}

/* And so with one more segment at its start. */
static bool is_read_after(struct file file, const void *segment, size_t byte_count)
{
	struct file changed = file_copy(file.bytes, 2);
	struct jpeg_header header;
	bool read;

	file_append(&changed, segment, byte_count);
	file_append(&changed, file.bytes + 2, file.byte_count - 2);
	read = is_read(changed.bytes, changed.byte_count, &header);
	free(changed.bytes);
	return read;
}

static void a_header_is_read_to_its_first_scan(void **state)
{
	struct file file = jpeg_encode(&usual);
	struct jpeg_header header;

	(void)state;
	assert_true(is_read(file.bytes, file.byte_count, &header));
	assert_int_equal(header.grid.width_px, 100);
	assert_int_equal(header.grid.height_px, 60);
	assert_int_equal(header.component_count, 3);
	assert_int_equal(header.grid.mcu_width_px, 16);
	assert_int_equal(header.grid.mcus_across, 7);
	assert_int_equal(header.grid.mcu_rows, 4);
	assert_int_equal(header.scan_at, find_segment(file, 0xda) + 14);
	for (size_t cut = header.scan_at; cut-- > 0;) {
		struct jpeg_header unused;

		assert_false(is_read(file.bytes, cut, &unused));
		assert_false(jpeg_header_read(file.bytes, cut, &unused)); /* nor with the rest behind it */
	}
	free(file.bytes);
}

static void frames_of_other_kinds_are_refused(void **state)
{
	struct file file = jpeg_encode(&usual);
	const struct {
		size_t at;
		uint8_t bytes[7];
		size_t byte_count;
	} faults[] = {
		{0, {12}, 1},                           /* bits */
		{1, {0, 0}, 2},                         /* height */
		{3, {0, 0}, 2},                         /* width */
		{5, {2}, 1},                            /* components, of which there are three */
		{5, {5}, 1},                            /* more than four */
		{7, {0x02}, 1},                         /* factors of 0, and over 4 */
		{7, {0x20}, 1},                         /* */
		{7, {0x51}, 1},                         /* */
		{9, {1}, 1},                            /* the first one's number again */
		{7, {0x44}, 1},                         /* 18 blocks in an MCU */
		{7, {0x22, 0, 2, 0x22, 1, 3, 0x22}, 7}, /* 12 */
	};

	(void)state;
	assert_true(is_read_with(file, 0xc0, 7, "\x21", 1));
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		assert_false(is_read_with(file, 0xc0, faults[i].at, faults[i].bytes, faults[i].byte_count));
	assert_false(is_read_with(file, 0xda, 0, "\2", 1));       /* the scan of two of the components */
	assert_false(is_read_with(file, 0xda, 1, "\2\x00\1", 3)); /* in another order */
	assert_false(is_read_with(file, 0xda, 2, "\x40", 1));     /* with tables that there are not */
	assert_false(is_read_with(file, 0xda, 2, "\x03", 1));
	assert_false(is_read_with(file, 0xda, 7, "\1", 1)); /* not of all coefficients */
	assert_false(is_read_with(file, 0xda, 8, "\x3e", 1));
	assert_false(is_read_with(file, 0xda, 9, "\x10", 1)); /* nor of all their bits */
	free(file.bytes);
}

static void tables_of_more_than_256_symbols_are_refused(void **state)
{
	struct file file = jpeg_encode(&usual);
	uint8_t segment[4 + 17 + 16 * 255] = {0xff, 0xc4, 0, 0, 0x13};

	(void)state;
	for (size_t count = 250; count < 16 * 255; count += count < 260 ? 1 : 500) {
		size_t left = count, length = 2 + 17 + count;

		for (int i = 0; i < 16; i++) {
			segment[5 + i] = (uint8_t)(left < 255 ? left : 255);
			left -= segment[5 + i];
		}
		segment[2] = (uint8_t)(length >> 8);
		segment[3] = (uint8_t)length;
		assert_int_equal(is_read_after(file, segment, 2 + length), count <= 256);
		segment[3]--; /* the last symbol is missing */
		assert_false(is_read_after(file, segment, 1 + length));
	}
	segment[4] = 4; /* there are tables 0 to 3 */
	assert_false(is_read_after(file, segment, sizeof segment));
	free(file.bytes);
}

static struct jpeg_table table_of(const uint8_t *counts, uint32_t length_count, const uint8_t *symbols)
{
	struct jpeg_table table = {.is_defined = true};

	for (uint32_t length = 1; length <= length_count; length++) {
		table.counts[length] = counts[length - 1];
		table.symbol_count += counts[length - 1];
	}
	memcpy(table.symbols, symbols, table.symbol_count);
	return table;
}

static bool is_table(const char *counts, const char *symbols, bool is_dc)
{
	struct jpeg_table table = table_of((const uint8_t *)counts, (uint32_t)strlen(counts), (const uint8_t *)symbols);
	struct jpeg_codes codes;

	return jpeg_huffman_read_table(&table, is_dc, &codes);
}

static void codes_that_no_8_bit_picture_has_are_refused(void **state)
{
	(void)state;
	assert_true(is_table("\1\1", "\0\1", true));
	assert_false(is_table("\2", "\0\1", true));         /* the code of all ones */
	assert_false(is_table("\1\2", "\0\1\2", true));     /* again */
	assert_false(is_table("\1\1\2", "\0\1\2\3", true)); /* again */
	assert_false(is_table("\3", "\0\1\2", true));       /* more codes than there are */
	assert_true(is_table("\1", "\x0b", true));
	assert_false(is_table("\1", "\x0c", true)); /* a difference of 12 bits */
	assert_true(is_table("\1", "\xfa", false));
	assert_false(is_table("\1", "\xfb", false)); /* a coefficient of 11 bits */
	assert_true(is_table("\1", "\xf0", false));
	assert_false(is_table("\1", "\x50", false)); /* neither 16 zeros nor the end */
}

/* All that can be written is in a completed table, and whatever had a code keeps it. */
static void dc_tables_are_completed_unless_they_are_too_full(void **state)
{
	static const uint8_t three[] = {1, 1, 1}, nearly_full[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	static const uint8_t symbols[] = {5, 0, 9, 1, 2, 3, 4, 6, 7, 8, 20, 21, 22};
	struct jpeg_header header = {.dc_tables[2] = table_of(three, 3, symbols)};
	struct jpeg_dc_writer before, after;
	struct jpeg_codes codes;

	(void)state;
	jpeg_huffman_make_dc_writer(&header.dc_tables[2], &before);
	assert_true(jpeg_header_complete_dc(&header));
	assert_int_equal(header.dc_tables[2].symbol_count, 12);
	assert_true(jpeg_huffman_read_table(&header.dc_tables[2], true, &codes));
	jpeg_huffman_make_dc_writer(&header.dc_tables[2], &after);
	for (int category = 0; category < JPEG_DC_CATEGORIES; category++) {
		assert_int_not_equal(after.lengths[category], 0);
		if (before.lengths[category] != 0) {
			assert_int_equal(after.lengths[category], before.lengths[category]);
			assert_int_equal(after.codes[category], before.codes[category]);
		}
	}
	header.dc_tables[2] = table_of(nearly_full, 13, symbols); /* leaves 7 codes of 16 bits, and 2 are missing */
	assert_true(jpeg_header_complete_dc(&header));
	header.dc_tables[2] = table_of(nearly_full, 13, symbols);
	header.dc_tables[2].counts[14] = 1;
	header.dc_tables[2].counts[15] = 1;
	header.dc_tables[2].symbols[13] = header.dc_tables[2].symbols[14] = 23;
	header.dc_tables[2].symbol_count = 15; /* leaves 1 */
	assert_false(jpeg_header_complete_dc(&header));
}

static void a_written_header_is_the_same_but_for_its_size(void **state)
{
	struct file file = jpeg_encode(&usual);
	struct jpeg_header header, again;
	struct file out;

	(void)state;
	assert_true(jpeg_header_read(file.bytes, file.byte_count, &header));
	assert_true(jpeg_header_complete_dc(&header));
	for (int with_tables = 0; with_tables < 2; with_tables++) {
		size_t most_bytes = jpeg_header_most_bytes(&header);

		out = (struct file){malloc(most_bytes), 0};
		assert_non_null(out.bytes);
		out.byte_count = jpeg_header_write(&header, file.bytes, 48, 33, with_tables, out.bytes);
		assert_true(out.byte_count <= most_bytes);
		assert_true(jpeg_header_read(out.bytes, out.byte_count, &again));
		assert_int_equal(again.scan_at, out.byte_count);
		assert_int_equal(again.grid.width_px, 48);
		assert_int_equal(again.grid.height_px, 33);
		assert_memory_equal(again.components, header.components, sizeof header.components);
		assert_memory_equal(again.ac_tables, header.ac_tables, sizeof header.ac_tables);
		if (with_tables)
			assert_memory_equal(again.dc_tables, header.dc_tables, sizeof header.dc_tables);
		free(out.bytes);
	}
	free(file.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_is_read_to_its_first_scan),
		cmocka_unit_test(frames_of_other_kinds_are_refused),
		cmocka_unit_test(tables_of_more_than_256_symbols_are_refused),
		cmocka_unit_test(codes_that_no_8_bit_picture_has_are_refused),
		cmocka_unit_test(dc_tables_are_completed_unless_they_are_too_full),
		cmocka_unit_test(a_written_header_is_the_same_but_for_its_size),
	};

	check_state = seed_of_test("test_jpeg_header");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
