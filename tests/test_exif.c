/* Orientation from EXIF blocks, well-formed and hostile.  One thread. */
#include "loader/decode/exif.h"
#include "tests/decode_check.h"

enum { SHORT = 3, LONG = 4, RATIONAL = 5 };

struct entry {
	uint16_t tag, type;
	uint32_t count, value;
};

static void append_number(struct file *file, uint32_t value, int byte_count, bool big_endian)
{
	for (int i = 0; i < byte_count; i++) {
		int shift = 8 * (big_endian ? byte_count - 1 - i : i);

		file_append(file, &(uint8_t){(uint8_t)(value >> shift)}, 1);
	}
}

/* A TIFF structure of one directory, as in TIFF 6.0 section 2. */
static struct file make_block(bool big_endian, const struct entry *entries, uint32_t entry_count)
{
	struct file block = file_copy((const uint8_t *)(big_endian ? "MM\0*" : "II*\0"), 4);

	append_number(&block, 8, 4, big_endian);
	append_number(&block, entry_count, 2, big_endian);
	for (uint32_t i = 0; i < entry_count; i++) {
		append_number(&block, entries[i].tag, 2, big_endian);
		append_number(&block, entries[i].type, 2, big_endian);
		append_number(&block, entries[i].count, 4, big_endian);
		append_number(&block, entries[i].value, entries[i].type == SHORT ? 2 : 4, big_endian);
		if (entries[i].type == SHORT)
			append_number(&block, 0, 2, big_endian); /* short values lie to the left */
	}
	append_number(&block, 0, 4, big_endian);
	return block;
}

static void check_entries(const struct entry *entries, uint32_t entry_count, uint8_t expected)
{
	for (int big_endian = 0; big_endian < 2; big_endian++) {
		struct file block = make_block(big_endian, entries, entry_count);

		assert_int_equal(exif_orientation(block.bytes, block.byte_count), expected);
		file_insert(&block, 0, "Exif\0", 6);
		assert_true(exif_marks(block.bytes, block.byte_count));
		assert_int_equal(exif_orientation(block.bytes, block.byte_count), expected);
		free(block.bytes);
	}
}

static void orientation_is_read_in_both_byte_orders(void **state)
{
	(void)state;
	for (uint8_t value = 1; value <= 8; value++) {
		check_entries((struct entry[]){{0x010f, 2, 4, 0x41424300}, {0x0112, SHORT, 1, value}}, 2, value);
		check_entries((struct entry[]){{0x0112, LONG, 1, value}}, 1, value);
	}
}

static void anything_but_1_to_8_is_1(void **state)
{
	static const uint32_t values[] = {0, 9, 255, 256 + 6, 65535};

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
		check_entries((struct entry[]){{0x0112, SHORT, 1, values[i]}}, 1, 1);
	check_entries((struct entry[]){{0x0112, LONG, 1, 0x10006}}, 1, 1);
	check_entries((struct entry[]){{0x0112, RATIONAL, 1, 6}}, 1, 1);
	check_entries((struct entry[]){{0x0112, SHORT, 2, 6}}, 1, 1);
	check_entries((struct entry[]){{0x0113, SHORT, 1, 6}}, 1, 1);
	check_entries(NULL, 0, 1);
}

static void the_last_of_several_entries_counts(void **state)
{
	(void)state;
	check_entries((struct entry[]){{0x0112, SHORT, 1, 3}, {0x0112, SHORT, 1, 8}}, 2, 8);
	check_entries((struct entry[]){{0x0112, SHORT, 1, 3}, {0x0112, SHORT, 1, 77}}, 2, 1);
}

static void a_block_cut_short_gives_what_it_still_has(void **state)
{
	struct file block = make_block(true, (struct entry[]){{0x0112, SHORT, 1, 6}, {0x011a, SHORT, 1, 72}}, 2);

	(void)state;
	for (size_t byte_count = 0; byte_count <= block.byte_count; byte_count++) {
		struct file cut = file_copy(block.bytes, byte_count);

		assert_int_equal(exif_orientation(cut.bytes, byte_count), byte_count >= 8 + 2 + 12 ? 6 : 1);
		free(cut.bytes);
	}
	free(block.bytes);
}

static void hostile_offsets_and_counts_stay_inside(void **state)
{
	static const uint32_t offsets[] = {0, 1, 7, 24, 25, 26, 27, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};

	(void)state;
	for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
		struct file block = make_block(true, (struct entry[]){{0x0112, SHORT, 1, 6}}, 1);

		for (int k = 0; k < 4; k++)
			block.bytes[4 + k] = (uint8_t)(offsets[i] >> (24 - 8 * k));
		assert_int_equal(exif_orientation(block.bytes, block.byte_count), 1);
		free(block.bytes);
	}

	struct file block = make_block(true, (struct entry[]){{0x0112, SHORT, 1, 6}}, 1);

	memset(block.bytes + 8, 0xff, 2); /* 65535 entries */
	assert_int_equal(exif_orientation(block.bytes, block.byte_count), 6);
	free(block.bytes);
}

static void random_bytes_give_1_to_8(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct file block = make_block(check_random() & 1, (struct entry[]){{0x0112, SHORT, 1, 6}, {1, LONG, 1, 2}}, 2);
		uint32_t changes = 1 + check_below(6);
		uint8_t orientation;

		for (uint32_t i = 0; i < changes; i++)
			block.bytes[check_below((uint32_t)block.byte_count)] = (uint8_t)check_random();
		orientation = exif_orientation(block.bytes, block.byte_count);
		assert_in_range(orientation, 1, 8);
		free(block.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(orientation_is_read_in_both_byte_orders),
		cmocka_unit_test(anything_but_1_to_8_is_1),
		cmocka_unit_test(the_last_of_several_entries_counts),
		cmocka_unit_test(a_block_cut_short_gives_what_it_still_has),
		cmocka_unit_test(hostile_offsets_and_counts_stay_inside),
		cmocka_unit_test(random_bytes_give_1_to_8),
	};

	check_state = seed_of_test("test_exif");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
