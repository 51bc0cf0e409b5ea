/* Tests of loader/fetch with parts of files: what is wanted arrives where it belongs, and nothing else is read. */
#include "tests/fetch_wish.h"
#include "tests/seed.h"

#include <errno.h>

#define LIMIT_BYTES ((uint64_t)8 << 20)
#define FILE_BYTES  3000000u

static struct fetch_result read_with(struct fetch *fetch, const char *name, bool wants_part, struct file_part part)
{
	wish = (struct wish){.wants_part = wants_part, .part = part};
	return rig_read_one(fetch, name);
}

/* The rows that are in the file, where file_bytes.h says that they are. */
static void expect_rows(struct fetch *fetch, struct fetch_result result, struct file_part part)
{
	struct fetch_buffer *buffer = result.buffer;
	struct file_bytes file;

	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(wish.question_count, 1);
	assert_int_equal((uintptr_t)wish.tag, 4711);
	assert_int_equal(buffer->head_bytes, FETCH_HEAD_BYTES);
	assert_int_equal(buffer->byte_count, FETCH_HEAD_BYTES + part.row_bytes * part.row_count);
	file = file_bytes_with_part(buffer->data, buffer->byte_count, buffer->head_bytes, &buffer->part);
	assert_true(rig_bytes_are(buffer->data, FETCH_HEAD_BYTES, 1, 0));
	for (uint64_t row = 0; row < part.row_count; row++) {
		const uint64_t offset = part.offset + row * part.stride_bytes;
		const uint8_t *bytes = file_bytes_at(&file, offset, part.row_bytes);

		assert_non_null(bytes);
		assert_true(rig_bytes_are(bytes, part.row_bytes, 1, offset));
	}
	fetch_return(fetch, buffer);
}

static void a_run_and_rows_of_every_shape_arrive(void **state)
{
	static const struct file_part parts[] = {
		{.offset = FETCH_HEAD_BYTES, .row_bytes = 1, .stride_bytes = 1, .row_count = 1},
		{.offset = FETCH_HEAD_BYTES, .row_bytes = FILE_BYTES - FETCH_HEAD_BYTES, .row_count = 1},
		{.offset = 1000000, .row_bytes = 300000, .row_count = 1},
		{.offset = FILE_BYTES - 1, .row_bytes = 1, .row_count = 1},
		{.offset = 20000, .row_bytes = 100, .stride_bytes = 100, .row_count = 5000},
		{.offset = 20001, .row_bytes = 880, .stride_bytes = 4000, .row_count = 700},
		{.offset = 54, .row_bytes = 880, .stride_bytes = 4000, .row_count = 749},
		{.offset = 20001, .row_bytes = 880, .stride_bytes = 4000, .row_count = 700, .last_row_first = true},
		{.offset = 30000, .row_bytes = 3, .stride_bytes = 7, .row_count = 1000, .last_row_first = true},
		{.offset = 30000, .row_bytes = 5000, .stride_bytes = 100000, .row_count = 29},
		{.offset = 30000, .row_bytes = 900, .stride_bytes = 5000, .row_count = 500, .last_row_first = true},
		{.offset = 30000, .row_bytes = 70000, .stride_bytes = 70001, .row_count = 40},
		{.offset = FILE_BYTES - 2 * 4001, .row_bytes = 4000, .stride_bytes = 4002, .row_count = 2},
	};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);

	rig_write("large", 1, FILE_BYTES);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		expect_rows(fetch, read_with(fetch, "large", true, parts[i]), parts[i]);
		make_cold("large");
		expect_rows(fetch, read_with(fetch, "large", true, parts[i]), parts[i]);
	}
	fetch_close(fetch);
}

/* Head, rows, and the piece from which rows are picked where something lies between them. */
static uint64_t room_of(struct file_part part)
{
	const bool has_gaps = part.row_count > 1 && part.stride_bytes > part.row_bytes;

	return FETCH_HEAD_BYTES + part.row_bytes * part.row_count + (has_gaps ? 65536 : 0);
}

static void random_rows_arrive(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	uint64_t seed = seed_of_test("random_rows_arrive");

	rig_write("large", 1, FILE_BYTES);
	for (int i = 0; i < 60; i++) {
		struct file_part part = {.row_count = 1 + (uint32_t)(seed_next(&seed) % 400),
		                         .last_row_first = seed_next(&seed) % 2};
		uint64_t room_bytes = (FILE_BYTES - FETCH_HEAD_BYTES) / part.row_count;

		part.stride_bytes = 1 + seed_next(&seed) % room_bytes;
		part.row_bytes = 1 + seed_next(&seed) % part.stride_bytes;
		part.offset = seed_next(&seed) % (FILE_BYTES - part.stride_bytes * part.row_count + 1);
		if (part.row_count == 1 && part.offset < FETCH_HEAD_BYTES)
			part.offset = FETCH_HEAD_BYTES;
		if (i % 8 == 0)
			make_cold("large");
		if (room_of(part) <= FILE_BYTES)
			expect_rows(fetch, read_with(fetch, "large", true, part), part);
		else
			rig_expect_content(fetch, read_with(fetch, "large", true, part), 1, FILE_BYTES);
	}
	fetch_close(fetch);
}

/* The largest file leaves no room beside it. */
static void rows_that_take_more_memory_than_the_file_are_not_picked(void **state)
{
	enum { LARGEST_BYTES = 200000, ROW_BYTES = 1000, STRIDE_BYTES = 1001 };
	static const uint32_t row_counts[] = {2, 100, 117, 118, 119, 150, 199};
	struct fetch *fetch = wish_open(state, LARGEST_BYTES);

	rig_write("large", 1, LARGEST_BYTES);
	for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
		const struct file_part part = {
			.offset = 54, .row_bytes = ROW_BYTES, .stride_bytes = STRIDE_BYTES, .row_count = row_counts[i]};
		struct fetch_result result = read_with(fetch, "large", true, part);

		assert_int_equal(result.status, ITEM_OK);
		assert_in_range(result.buffer->capacity_bytes, 1, LARGEST_BYTES + 1);
		if (room_of(part) <= LARGEST_BYTES)
			expect_rows(fetch, result, part);
		else
			rig_expect_content(fetch, result, 1, LARGEST_BYTES);
	}
	fetch_close(fetch);
}

static void the_head_may_be_enough(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	struct fetch_result result;

	rig_write("large", 1, FILE_BYTES);
	result = read_with(fetch, "large", true, (struct file_part){.row_count = 0});
	rig_expect_content(fetch, result, 1, FETCH_HEAD_BYTES);
	fetch_close(fetch);
}

static void who_wants_no_part_or_a_nonsensical_one_gets_the_whole_file(void **state)
{
	static const struct file_part nonsense[] = {
		{.offset = 1000, .row_bytes = 100, .row_count = 1},
		{.offset = 20000, .row_bytes = 0, .row_count = 1},
		{.offset = 20000, .row_bytes = 0, .stride_bytes = 0, .row_count = 7},
		{.offset = 20000, .row_bytes = 10, .stride_bytes = 9, .row_count = 7},
	};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);

	rig_write("large", 1, FILE_BYTES);
	for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
		rig_expect_content(fetch, read_with(fetch, "large", i % 2, nonsense[i]), 1, FILE_BYTES);
		assert_int_equal(wish.question_count, 1);
		rig_expect_content(fetch, read_with(fetch, "large", true, nonsense[i]), 1, FILE_BYTES);
		make_cold("large");
	}
	fetch_close(fetch);
}

static void rows_beyond_the_end_are_not_read_and_a_run_is_as_far_as_it_goes(void **state)
{
	static const struct file_part beyond[] = {
		{.offset = FILE_BYTES - 7999, .row_bytes = 4000, .stride_bytes = 4000, .row_count = 2},
		{.offset = FILE_BYTES + 1, .row_bytes = 1, .stride_bytes = 1, .row_count = 2},
		{.offset = UINT64_MAX, .row_bytes = 1, .stride_bytes = 1, .row_count = UINT32_MAX},
		{.offset = 20000, .row_bytes = UINT64_MAX, .stride_bytes = UINT64_MAX, .row_count = 2},
		{.offset = 20000, .row_bytes = 1, .stride_bytes = UINT64_MAX, .row_count = 2},
		{.offset = 20000, .row_bytes = 1, .stride_bytes = (uint64_t)1 << 63, .row_count = 3},
		{.offset = 20000, .row_bytes = 4000000, .stride_bytes = 4000000, .row_count = 2},
		{.offset = UINT64_MAX, .row_bytes = UINT64_MAX, .stride_bytes = 0, .row_count = 1},
		{.offset = FILE_BYTES, .row_bytes = 1, .stride_bytes = 0, .row_count = 1},
	};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	struct fetch_result result;

	rig_write("large", 1, FILE_BYTES);
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
		result = read_with(fetch, "large", true, beyond[i]);
		assert_int_equal(result.buffer->part.row_count, beyond[i].row_count);
		assert_true(result.buffer->capacity_bytes < 1000000); /* nor is memory spent on them */
		rig_expect_content(fetch, result, 1, FETCH_HEAD_BYTES);
	}
	result = read_with(fetch, "large", true,
	                   (struct file_part){.offset = FILE_BYTES - 1000, .row_bytes = UINT64_MAX, .row_count = 1});
	expect_rows(fetch, result, (struct file_part){.offset = FILE_BYTES - 1000, .row_bytes = 1000, .row_count = 1});
	result = read_with(fetch, "large", true, (struct file_part){.offset = 20000, .row_bytes = UINT64_MAX - 5, .row_count = 1});
	assert_true(result.buffer->capacity_bytes < 4000000);
	expect_rows(fetch, result, (struct file_part){.offset = 20000, .row_bytes = FILE_BYTES - 20000, .row_count = 1});
	fetch_close(fetch);
}

static void small_files_are_read_whole_without_a_question(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	const struct file_part part = {.offset = FETCH_HEAD_BYTES, .row_bytes = 10, .row_count = 1};

	rig_write("small", 1, FETCH_PART_MIN_BYTES);
	rig_expect_content(fetch, read_with(fetch, "small", true, part), 1, FETCH_PART_MIN_BYTES);
	assert_int_equal(wish.question_count, 0);
	rig_write("small", 1, FETCH_PART_MIN_BYTES + 1);
	expect_rows(fetch, read_with(fetch, "small", true, part), part);
	fetch_close(fetch);
}

static void a_file_is_too_large_whatever_part_of_it_is_wanted(void **state)
{
	struct fetch *fetch = wish_open(state, 1000000);

	rig_write("large", 1, 1000001);
	rig_expect_failure(read_with(fetch, "large", true, (struct file_part){.offset = 20000, .row_bytes = 1, .row_count = 1}),
	                   ITEM_TOO_LARGE, 0);
	assert_int_equal(wish.question_count, 0);
	fetch_close(fetch);
}

static void a_file_that_shrinks_meanwhile_has_all_its_rows_or_none(void **state)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	struct fetch_result result;
	struct fetch *fetch;

	config.choose_part = wish_choose_and_cut;
	config.context = &wish;
	fetch = rig_open_with(config);
	rig_write("shrinking", 1, FILE_BYTES);
	result = read_with(fetch, "shrinking", true,
	                   (struct file_part){.offset = 20000, .row_bytes = 1000, .stride_bytes = 1000, .row_count = 2000});
	rig_expect_content(fetch, result, 1, FETCH_HEAD_BYTES);
	rig_write("shrinking", 1, FILE_BYTES);
	result = read_with(fetch, "shrinking", true, (struct file_part){.offset = 400000, .row_bytes = 200000, .row_count = 1});
	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(result.buffer->byte_count, FETCH_HEAD_BYTES + 100000);
	fetch_return(fetch, result.buffer);
	rig_write("shrinking", 1, FILE_BYTES);
	rig_expect_content(fetch, read_with(fetch, "shrinking", false, (struct file_part){0}), 1, 500000);
	fetch_close(fetch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(a_run_and_rows_of_every_shape_arrive),
		ON_BOTH_AND_PAST_THE_CACHE(random_rows_arrive),
		ON_BOTH_AND_PAST_THE_CACHE(rows_that_take_more_memory_than_the_file_are_not_picked),
		ON_BOTH_AND_PAST_THE_CACHE(the_head_may_be_enough),
		ON_BOTH_AND_PAST_THE_CACHE(who_wants_no_part_or_a_nonsensical_one_gets_the_whole_file),
		ON_BOTH_AND_PAST_THE_CACHE(rows_beyond_the_end_are_not_read_and_a_run_is_as_far_as_it_goes),
		ON_BOTH_AND_PAST_THE_CACHE(small_files_are_read_whole_without_a_question),
		ON_BOTH_AND_PAST_THE_CACHE(a_file_is_too_large_whatever_part_of_it_is_wanted),
		ON_BOTH_AND_PAST_THE_CACHE(a_file_that_shrinks_meanwhile_has_all_its_rows_or_none),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
