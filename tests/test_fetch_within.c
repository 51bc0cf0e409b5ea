/* Tests of loader/fetch with images that lie within larger files: each is read as if it were a file of its own. */
#include "tests/fetch_wish.h"
#include "tests/seed.h"

#define LIMIT_BYTES ((uint64_t)4 << 20)
#define FILE_BYTES  3000000u

struct place {
	uint64_t offset, length;
};

static int submit_place(struct fetch *fetch, const char *name, struct place place, uintptr_t tag)
{
	struct fetch_job job = {
		.directory_fd = rig_folder_fd, .path = name, .offset = place.offset, .length = place.length, .tag = (void *)tag};

	return fetch_submit(fetch, &job);
}

static struct fetch_result read_place(struct fetch *fetch, const char *name, struct place place)
{
	wish.image_offset = place.offset;
	assert_int_equal(submit_place(fetch, name, place, 0), 0);
	return rig_collect(fetch);
}

static void expect_image(struct fetch *fetch, struct fetch_result result, struct place place)
{
	struct fetch_buffer *buffer = result.buffer;

	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(buffer->byte_count, place.length);
	assert_int_equal(buffer->head_bytes, place.length);
	assert_int_equal(buffer->part.row_count, 0);
	assert_true(rig_bytes_are(buffer->data, buffer->byte_count, 1, place.offset));
	fetch_return(fetch, buffer);
}

static void images_arrive_whole_wherever_they_begin_and_end(void **state)
{
	static const struct place places[] = {
		{0, 1},      {0, FILE_BYTES}, {1, FILE_BYTES - 1}, {FILE_BYTES - 1, 1},      {512, 65536},
		{513, 4095}, {4096, 4096},    {1, 131072},         {100000, 131073},         {0, 131073},
		{7, 196608}, {7, 196609},     {3, 1000000},        {FILE_BYTES / 2, 1 << 20}};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES), *plain = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);

	rig_write("shard", 1, FILE_BYTES);
	wish = (struct wish){.wants_part = false};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		if (i % 3 == 0)
			make_cold("shard");
		expect_image(fetch, read_place(fetch, "shard", places[i]), places[i]);
		expect_image(plain, read_place(plain, "shard", places[i]), places[i]);
	}
	rig_expect_content(plain, read_place(plain, "shard", (struct place){0, 0}), 1, FILE_BYTES);
	fetch_close(fetch);
	fetch_close(plain);
}

static void many_images_of_one_file_arrive_at_once(void **state)
{
	enum { IMAGE_COUNT = 400, DEPTH = 32 };
	struct fetch *fetch = rig_open(state, DEPTH, LIMIT_BYTES, RIG_PATIENCE_MS);
	uint64_t seed = seed_of_test("many_images_of_one_file_arrive_at_once");
	struct place places[IMAGE_COUNT];
	uintptr_t submitted = 0;

	rig_write("shard", 1, FILE_BYTES);
	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		places[i].length = 1 + seed_next(&seed) % 50000;
		places[i].offset = seed_next(&seed) % (FILE_BYTES - places[i].length + 1);
	}
	for (size_t collected = 0; collected < IMAGE_COUNT; collected++) {
		struct fetch_result result;

		for (; submitted < IMAGE_COUNT && fetch_in_flight(fetch) < DEPTH; submitted++)
			assert_int_equal(submit_place(fetch, "shard", places[submitted], submitted), 0);
		result = rig_collect(fetch);
		expect_image(fetch, result, places[(uintptr_t)result.tag]);
	}
	fetch_close(fetch);
}

static void parts_are_those_of_the_image(void **state)
{
	static const struct place place = {700001, 1500000};
	static const struct file_part parts[] = {
		{.offset = FETCH_HEAD_BYTES, .row_bytes = 1000000, .row_count = 1},
		{.offset = 1499999, .row_bytes = 1, .row_count = 1},
		{.offset = 1400000, .row_bytes = 100000, .row_count = 1},
		{.offset = 54, .row_bytes = 880, .stride_bytes = 4000, .row_count = 300},
		{.offset = 20000, .row_bytes = 100, .stride_bytes = 100, .row_count = 5000, .last_row_first = true},
		{.offset = 30000, .row_bytes = 900, .stride_bytes = 9000, .row_count = 160},
	};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);

	rig_write("shard", 1, FILE_BYTES);
	for (size_t i = 0; i < 2 * sizeof parts / sizeof *parts; i++) {
		const struct file_part *part = &parts[i / 2];
		struct fetch_result result;
		struct file_bytes file;

		if (i % 2 == 1)
			make_cold("shard");
		wish = (struct wish){.wants_part = true, .part = *part};
		result = read_place(fetch, "shard", place);
		assert_int_equal(result.status, ITEM_OK);
		assert_int_equal(wish.question_count, 1);
		assert_int_equal(result.buffer->byte_count, FETCH_HEAD_BYTES + part->row_bytes * part->row_count);
		file = file_bytes_with_part(result.buffer->data, result.buffer->byte_count, result.buffer->head_bytes,
		                            &result.buffer->part);
		for (uint64_t row = 0; row < part->row_count; row++) {
			uint64_t offset = part->offset + row * part->stride_bytes;
			const uint8_t *bytes = file_bytes_at(&file, offset, part->row_bytes);

			assert_non_null(bytes);
			assert_true(rig_bytes_are(bytes, part->row_bytes, 1, place.offset + offset));
		}
		fetch_return(fetch, result.buffer);
	}
	fetch_close(fetch);
}

/* What follows the image in its file is another's. */
static void parts_end_where_the_image_ends(void **state)
{
	static const struct place place = {1000, 200000};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	struct fetch_result result;

	rig_write("shard", 1, FILE_BYTES);
	wish = (struct wish){.wants_part = true, .part = {.offset = 150000, .row_bytes = 100000, .row_count = 1}};
	result = read_place(fetch, "shard", place);
	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(result.buffer->byte_count, FETCH_HEAD_BYTES + 50000);
	fetch_return(fetch, result.buffer);

	wish.part = (struct file_part){.offset = 150000, .row_bytes = 100, .stride_bytes = 1000, .row_count = 51};
	result = read_place(fetch, "shard", place);
	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(result.buffer->byte_count, FETCH_HEAD_BYTES);
	fetch_return(fetch, result.buffer);

	wish = (struct wish){.wants_part = true};
	/* Images up to this size are read whole, however large their file is. */
	expect_image(fetch, read_place(fetch, "shard", (struct place){5, FETCH_PART_MIN_BYTES}),
	             (struct place){5, FETCH_PART_MIN_BYTES});
	assert_int_equal(wish.question_count, 0);
	fetch_close(fetch);
}

static void an_image_that_ends_beyond_its_file_is_truncated(void **state)
{
	static const struct place beyond[] = {
		{FILE_BYTES, 1}, {FILE_BYTES - 1, 2},      {0, FILE_BYTES + 1}, {1, FILE_BYTES},          {INT64_MAX, 1},
		{1, INT64_MAX},  {UINT64_MAX, UINT64_MAX}, {UINT64_MAX, 1},     {(uint64_t)1 << 63, 100}, {1, UINT64_MAX - 1},
	};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);

	rig_write("shard", 1, FILE_BYTES);
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
		rig_expect_failure(read_place(fetch, "shard", beyond[i]), ITEM_TRUNCATED, 0);
	fetch_close(fetch);
}

static void an_image_of_no_bytes_is_empty(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);

	rig_write("shard", 1, 10000);
	rig_expect_failure(read_place(fetch, "shard", (struct place){512, 0}), ITEM_EMPTY, 0);
	rig_expect_failure(read_place(fetch, "shard", (struct place){10000, 0}), ITEM_EMPTY, 0);
	fetch_close(fetch);
}

static void limits_and_memory_are_the_images_not_the_files(void **state)
{
	enum { LARGEST_BYTES = 140000 };
	struct fetch_config config = rig_config(state, 4, LARGEST_BYTES, RIG_PATIENCE_MS);
	struct fetch_result results[4];
	struct fetch *fetch;

	config.budget_bytes = 4 * (LARGEST_BYTES + 1); /* the file alone has five times as many */
	fetch = rig_open_with(config);
	rig_write("shard", 1, FILE_BYTES);
	rig_expect_failure(read_place(fetch, "shard", (struct place){512, LARGEST_BYTES + 1}), ITEM_TOO_LARGE, 0);
	rig_expect_failure(rig_read_one(fetch, "shard"), ITEM_TOO_LARGE, 0);
	for (uint32_t i = 0; i < 4; i++) {
		results[i] = read_place(fetch, "shard", (struct place){i * 1000, LARGEST_BYTES});
		assert_true(results[i].buffer->capacity_bytes <= LARGEST_BYTES + 1);
	}
	for (uint32_t i = 0; i < 4; i++)
		expect_image(fetch, results[i], (struct place){i * 1000, LARGEST_BYTES});
	fetch_close(fetch);
}

static void an_image_of_which_a_part_is_gone_is_truncated(void **state)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	struct fetch *fetch;

	config.choose_part = wish_choose_and_cut;
	config.context = &wish;
	fetch = rig_open_with(config);
	wish = (struct wish){.wants_part = false};
	rig_write("shrinking", 1, FILE_BYTES);
	rig_expect_failure(read_place(fetch, "shrinking", (struct place){300000, 300000}), ITEM_TRUNCATED, 0);
	rig_write("shrinking", 1, FILE_BYTES);
	expect_image(fetch, read_place(fetch, "shrinking", (struct place){300000, 200000}), (struct place){300000, 200000});
	fetch_close(fetch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(images_arrive_whole_wherever_they_begin_and_end),
		ON_BOTH_AND_PAST_THE_CACHE(many_images_of_one_file_arrive_at_once),
		ON_BOTH_AND_PAST_THE_CACHE(parts_are_those_of_the_image),
		ON_BOTH_AND_PAST_THE_CACHE(parts_end_where_the_image_ends),
		ON_BOTH_AND_PAST_THE_CACHE(an_image_that_ends_beyond_its_file_is_truncated),
		ON_BOTH_AND_PAST_THE_CACHE(an_image_of_no_bytes_is_empty),
		ON_BOTH_AND_PAST_THE_CACHE(limits_and_memory_are_the_images_not_the_files),
		ON_BOTH_AND_PAST_THE_CACHE(an_image_of_which_a_part_is_gone_is_truncated),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
