/* Segment tables: what was written is found again; what was damaged is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/segment_table.h"

enum { COUNT = 100, DATA_AT = 700 };

static struct bytes make_table(uint64_t step_bytes, uint64_t ends[COUNT])
{
	const struct segment_table_header header = {.kind = SEGMENT_JPEG,
	                                            .head_bytes = 20,
	                                            .second_head_at = 500,
	                                            .second_head_bytes = 200,
	                                            .data_at = DATA_AT,
	                                            .unit = 10,
	                                            .mcu_width_px = 16,
	                                            .mcu_height_px = 8};
	struct bytes table = {0};

	for (uint64_t i = 0, end = 0; i < COUNT; i++)
		ends[i] = end += step_bytes + i;
	assert_int_equal(segment_table_write(&header, ends, COUNT, &table), 0);
	return table;
}

static struct segments opened(const struct bytes *table, const uint64_t ends[COUNT])
{
	struct segments segments = {.width_px = 1, .height_px = 1, .file_bytes = DATA_AT + ends[COUNT - 1]};

	assert_true(segment_table_open(&segments, (const uint8_t *)table->data, table->used_bytes));
	return segments;
}

static void check_every_run(uint64_t step_bytes, uint32_t length_bytes)
{
	uint64_t ends[COUNT];
	struct bytes table = make_table(step_bytes, ends);
	struct segments segments = opened(&table, ends);
	struct file_run run;

	assert_int_equal(segments.header.length_bytes, length_bytes);
	for (uint32_t begin = 0; begin < COUNT; begin++) {
		for (uint32_t end = begin + 1; end <= COUNT; end++) {
			uint64_t from = begin > 0 ? ends[begin - 1] : 0;

			assert_true(segment_table_run(&segments, begin, end, &run));
			assert_int_equal(run.offset, DATA_AT + from);
			assert_int_equal(run.byte_count, ends[end - 1] - from);
		}
	}
	assert_false(segment_table_run(&segments, 0, COUNT + 1, &run));
	assert_false(segment_table_run(&segments, 5, 5, &run));
	bytes_free(&table);
}

static void runs_of_short_and_of_long_segments_are_found(void **state)
{
	(void)state;
	check_every_run(300, 2);
	check_every_run(70000, 4);
}

/* Each byte of the table, changed: no run is another one than before. */
static void a_changed_byte_is_noticed(void **state)
{
	uint64_t ends[COUNT];
	struct bytes table = make_table(300, ends);
	uint32_t noticed_count = 0;

	(void)state;
	for (size_t at = 0; at < table.used_bytes; at++) {
		struct segments segments = {.file_bytes = DATA_AT + ends[COUNT - 1]};
		bool is_open;

		table.data[at] ^= 0x10;
		is_open = segment_table_open(&segments, (const uint8_t *)table.data, table.used_bytes);
		noticed_count += !is_open;
		for (uint32_t i = 0; is_open && i < COUNT; i++) {
			struct file_run run;

			if (!segment_table_run(&segments, i, i + 1, &run)) {
				noticed_count++;
				break;
			}
			assert_int_equal(run.offset, DATA_AT + (i > 0 ? ends[i - 1] : 0));
		}
		table.data[at] ^= 0x10;
	}
	assert_int_equal(noticed_count, table.used_bytes);
	bytes_free(&table);
}

static void a_table_for_a_longer_file_gives_no_run_beyond_the_file(void **state)
{
	uint64_t ends[COUNT];
	struct bytes table = make_table(300, ends);
	struct segments segments = {.file_bytes = DATA_AT + ends[COUNT - 1] - 1};
	struct file_run run;

	(void)state;
	assert_true(segment_table_open(&segments, (const uint8_t *)table.data, table.used_bytes));
	assert_true(segment_table_run(&segments, COUNT - 2, COUNT - 1, &run));
	assert_false(segment_table_run(&segments, COUNT - 1, COUNT, &run));
	assert_false(segment_table_open(&segments, (const uint8_t *)table.data, table.used_bytes - 1));
	bytes_free(&table);
}

static void segments_beyond_four_gigabytes_are_refused(void **state)
{
	const struct segment_table_header header = {.kind = SEGMENT_PNG, .head_bytes = 33, .data_at = 33, .unit = 64};
	const uint64_t end = UINT32_MAX;
	struct bytes table = {0};

	(void)state;
	assert_int_equal(segment_table_write(&header, &end, 1, &table), -EFBIG);
	bytes_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_of_short_and_of_long_segments_are_found),
		cmocka_unit_test(a_changed_byte_is_noticed),
		cmocka_unit_test(a_table_for_a_longer_file_gives_no_run_beyond_the_file),
		cmocka_unit_test(segments_beyond_four_gigabytes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
