/* Tests of loader/fetch with runs of an image. */
#include <errno.h>

#include "tests/fetch_runs_rig.h"
#include "tests/seed.h"

/* Small and large runs and gaps, as far as they fit. */
static union some_runs make_random_runs(uint64_t *seed, uint64_t image_bytes)
{
	static const uint64_t sizes[] = {1, 20, 300, 4096, 5000, 20000, 100000, 400000};
	union some_runs some = {.runs = {.count = 0}};
	uint64_t at = seed_next(seed) % 3 ? 0 : seed_next(seed) % image_bytes;
	uint64_t run_most = sizes[seed_next(seed) % 8], gap_most = sizes[seed_next(seed) % 8];
	uint32_t count = (uint32_t)seed_between(seed, 1, RUNS_MAX);

	while (some.runs.count < count && at < image_bytes) {
		uint64_t byte_count = seed_between(seed, 1, run_most);

		if (byte_count > image_bytes - at)
			byte_count = image_bytes - at;
		add_run(&some, at, byte_count);
		at += byte_count + seed_next(seed) % (gap_most + 1); /* 0: they touch */
	}
	return some;
}

static void runs_arrive_one_behind_the_other(void **state)
{
	static const struct {
		uint32_t count;
		uint64_t begin, byte_count, end;
	} shapes[] = {{1, 0, 1, 1},          {1, 0, 1500000, 1500000}, {1, 1499999, 1, 1500000}, {15, 600, 1000, 108800},
	              {30, 5, 300, 93000},   {125, 0, 3000, 995000},   {100, 0, 3585, 716915},   {100, 7, 1, 409600},
	              {3, 0, 65536, 200000}, {2, 0, 65536, 131073},    {2, 0, 1, 1500000},       {RUNS_MAX, 0, 5000, 1500000}};
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	int fd;

	write_file("pack");
	fd = open_file("pack");
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		union some_runs some = make_even_runs(shapes[i].count, shapes[i].begin, shapes[i].byte_count, shapes[i].end);

		for (int cold = 0; cold < 2; cold++) {
			if (cold)
				make_cold("pack");
			expect_runs(fetch, read_runs(fetch, "a name", fd, middle, &some), middle, &some);
		}
		expect_runs(fetch, read_runs(fetch, "pack", -1, middle, &some), middle, &some);
		expect_runs(fetch, read_runs(fetch, "a name", fd, whole_file, &some), whole_file, &some);
		expect_runs(fetch, read_runs(fetch, "pack", -1, whole_file, &some), whole_file, &some);
	}
	fetch_close(fetch);
	expect_still_open(fd, "pack");
	close(fd);
}

static void random_runs_of_many_images_arrive_at_once(void **state)
{
	enum { IMAGE_COUNT = 150, DEPTH = 32 };
	static union some_runs some[IMAGE_COUNT];
	static struct place places[IMAGE_COUNT];
	struct fetch_config config = rig_config(state, DEPTH, LIMIT_BYTES, RIG_PATIENCE_MS);
	uint64_t seed = seed_of_test("random_runs_of_many_images_arrive_at_once");
	uintptr_t submitted = 0;
	struct fetch *fetch;
	int fds[3]; /* the last one is a stranger to the fetch */

	write_file("pack");
	for (size_t i = 0; i < 3; i++)
		fds[i] = open_file("pack");
	config.open_fds = fds;
	config.open_fd_count = 2;
	fetch = rig_open_with(config);
	make_cold("pack");
	for (size_t i = 0; i < IMAGE_COUNT; i++) {
		places[i].length = seed_between(&seed, 1, 1000000);
		places[i].offset = seed_next(&seed) % (FILE_BYTES - places[i].length + 1);
		some[i] = make_random_runs(&seed, places[i].length);
	}
	for (size_t collected = 0; collected < IMAGE_COUNT; collected++) {
		struct fetch_result result;
		uintptr_t i;

		for (; submitted < IMAGE_COUNT && fetch_in_flight(fetch) < DEPTH; submitted++)
			assert_int_equal(submit_runs(fetch, "pack", submitted % 4 < 3 ? fds[submitted % 4] : -1, places[submitted],
			                             &some[submitted], submitted),
			                 0);
		result = rig_collect(fetch);
		i = (uintptr_t)result.tag;
		expect_runs(fetch, result, places[i], &some[i]);
		if (i % 40 == 0)
			make_cold("pack");
	}
	fetch_close(fetch);
	for (size_t i = 0; i < 3; i++) {
		expect_still_open(fds[i], "pack");
		close(fds[i]);
	}
}

static void runs_that_cannot_be_are_truncated_and_take_no_memory(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs bad[9] = {{.runs = {.count = 0}}};
	int fd;

	write_file("pack");
	fd = open_file("pack");
	add_run(&bad[0], 0, 1500001); /* one byte too many */
	add_run(&bad[1], 1500000, 1);
	add_run(&bad[2], UINT64_MAX, 1);
	add_run(&bad[3], 1, UINT64_MAX);
	add_run(&bad[4], 100, 0); /* empty */
	add_run(&bad[4], 200, 10);
	add_run(&bad[5], 100, 11); /* overlapping */
	add_run(&bad[5], 110, 10);
	add_run(&bad[6], 200, 10); /* out of order */
	add_run(&bad[6], 100, 10);
	add_run(&bad[7], 100, 10); /* fewer than it is said */
	bad[7].runs.total_bytes = 9;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) { /* the last one has no runs at all */
		rig_expect_failure(read_runs(fetch, "a name", fd, middle, &bad[i]), ITEM_TRUNCATED, 0);
		rig_expect_failure(read_runs(fetch, "pack", -1, middle, &bad[i]), ITEM_TRUNCATED, 0);
	}
	rig_expect_failure(read_runs(fetch, "pack", -1, whole_file, &bad[2]), ITEM_TRUNCATED, 0);
	fetch_close(fetch);
	close(fd);
}

static void an_image_over_the_limit_is_too_large_whatever_is_wanted_of_it(void **state)
{
	struct fetch *fetch = rig_open(state, 4, 1000000, RIG_PATIENCE_MS);
	union some_runs few = make_even_runs(3, 0, 100, 10000);
	int fd;

	write_file("pack");
	fd = open_file("pack");
	rig_expect_failure(read_runs(fetch, "a name", fd, (struct place){0, 1000001}, &few), ITEM_TOO_LARGE, 0);
	rig_expect_failure(read_runs(fetch, "a name", fd, whole_file, &few), ITEM_TOO_LARGE, 0);
	rig_expect_failure(read_runs(fetch, "pack", -1, whole_file, &few), ITEM_TOO_LARGE, 0);
	expect_runs(fetch, read_runs(fetch, "a name", fd, (struct place){5, 1000000}, &few), (struct place){5, 1000000}, &few);
	fetch_close(fetch);
	close(fd);
}

static void runs_take_memory_for_themselves_not_for_the_image(void **state)
{
	enum { IMAGE_COUNT = 8 };
	static const struct place large = {0, 2900000};
	struct fetch_config config = rig_config(state, IMAGE_COUNT, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs few = make_even_runs(50, 0, 100, 2900000), all = make_even_runs(RUNS_MAX, 0, 9000, 2900000);
	struct fetch_result held[IMAGE_COUNT];
	struct fetch *fetch;
	int fd;

	config.budget_bytes = 2900000; /* for one of the images */
	fetch = rig_open_with(config);
	write_file("pack");
	fd = open_file("pack");
	for (uint32_t i = 0; i < IMAGE_COUNT; i++)
		held[i] = read_runs(fetch, "a name", fd, large, &few);
	for (uint32_t i = 0; i < IMAGE_COUNT; i++)
		expect_runs(fetch, held[i], large, &few);

	/* Of these only one fits at a time; the others wait. */
	for (uintptr_t i = 0; i < IMAGE_COUNT; i++)
		assert_int_equal(submit_runs(fetch, "a name", fd, large, &all, i), 0);
	held[0] = rig_collect(fetch);
	assert_int_equal(fetch_collect(fetch, 100, &held[1]), -ETIMEDOUT);
	expect_runs(fetch, held[0], large, &all);
	for (uint32_t i = 1; i < IMAGE_COUNT; i++)
		expect_runs(fetch, rig_collect(fetch), large, &all);
	fetch_close(fetch);
	close(fd);
}

/* No room beside the runs for what lies between them. */
static void runs_that_are_nearly_all_of_the_largest_image_arrive(void **state)
{
	enum { LARGEST_BYTES = 200000 };
	static const uint64_t run_bytes[] = {1, 500, 660, 665, 666, 667};
	struct fetch *fetch = rig_open(state, 4, LARGEST_BYTES, RIG_PATIENCE_MS);
	static const struct place place = {3, LARGEST_BYTES};
	int fd;

	write_file("pack");
	fd = open_file("pack");
	for (size_t i = 0; i < sizeof run_bytes / sizeof *run_bytes; i++) {
		union some_runs some = make_even_runs(RUNS_MAX - 1, 0, run_bytes[i], LARGEST_BYTES);
		struct fetch_result result = read_runs(fetch, "a name", fd, place, &some);

		assert_int_equal(result.status, ITEM_OK);
		assert_in_range(result.buffer->capacity_bytes, some.runs.total_bytes, LARGEST_BYTES + 1);
		expect_runs(fetch, result, place, &some);
	}
	fetch_close(fetch);
	close(fd);
}

static void a_file_that_became_shorter_truncates_what_lay_behind(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs before = make_even_runs(20, 0, 1000, 300000), across = make_even_runs(20, 0, 1000, 300001);
	static const struct place place = {200000, 1000000};
	int fd;

	write_file("shrinking");
	fd = open_file("shrinking");
	expect_runs(fetch, read_runs(fetch, "a name", fd, place, &across), place, &across);
	rig_cut("shrinking", 500000);
	across.run[19].offset = 299001;
	expect_runs(fetch, read_runs(fetch, "a name", fd, place, &before), place, &before);
	rig_expect_failure(read_runs(fetch, "a name", fd, place, &across), ITEM_TRUNCATED, 0);
	rig_expect_failure(read_runs(fetch, "a name", fd, place, NULL), ITEM_TRUNCATED, 0);
	across.run[19].offset = 300000;
	rig_expect_failure(read_runs(fetch, "a name", fd, place, &across), ITEM_TRUNCATED, 0);
	rig_cut("shrinking", 0);
	rig_expect_failure(read_runs(fetch, "a name", fd, place, &before), ITEM_TRUNCATED, 0);
	expect_still_open(fd, "shrinking");
	fetch_close(fetch);
	close(fd);
}

static void whoever_chooses_may_answer_with_runs(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	uint64_t seed = seed_of_test("whoever_chooses_may_answer_with_runs");
	struct stat status;

	write_file("loose");
	assert_int_equal(utimensat(rig_folder_fd, "loose", (const struct timespec[]){{7, 8}, {1234567890, 987654321}}, 0), 0);
	assert_int_equal(fstatat(rig_folder_fd, "loose", &status, 0), 0);
	for (int i = 0; i < 40; i++) {
		const struct place place = i % 2 ? middle : (struct place){0, FILE_BYTES};
		union some_runs some = make_random_runs(&seed, place.length);

		if (i % 8 == 0)
			make_cold("loose");
		wish = (struct wish){.wants_part = true, .runs = &some.runs};
		expect_runs(fetch, read_runs(fetch, "loose", -1, i % 2 ? place : whole_file, NULL), place, &some);
		assert_int_equal(wish.question_count, 1);
		assert_int_equal(wish.head_bytes, FETCH_HEAD_BYTES);
		assert_true(wish.had_stamp);
		assert_int_equal(wish.stamp.size_bytes, FILE_BYTES);
		assert_int_equal(wish.stamp.inode, status.st_ino);
		assert_int_equal(wish.stamp.mtime_ns, status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec);
		assert_int_equal(wish.stamp.ctime_ns, status.st_ctim.tv_sec * 1000000000 + status.st_ctim.tv_nsec);
	}
	fetch_close(fetch);
}

static void chosen_runs_that_cannot_be_are_not_read_but_all_is(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	union some_runs beyond = make_even_runs(1, FILE_BYTES, 1, FILE_BYTES + 1), none = {.runs = {.count = 0}},
			fine = make_even_runs(2, 0, 10, 1000);

	write_file("loose");
	wish = (struct wish){.wants_part = true, .runs = &beyond.runs, .part = {.offset = 20000, .row_bytes = 10, .row_count = 1}};
	rig_expect_content(fetch, read_runs(fetch, "loose", -1, whole_file, NULL), 1, FILE_BYTES);
	wish.runs = &none.runs;
	rig_expect_content(fetch, read_runs(fetch, "loose", -1, whole_file, NULL), 1, FILE_BYTES);
	wish = (struct wish){.wants_part = false, .runs = &fine.runs};
	rig_expect_content(fetch, read_runs(fetch, "loose", -1, whole_file, NULL), 1, FILE_BYTES);
	fetch_close(fetch);
}

static void chosen_runs_of_a_file_that_became_shorter_are_truncated(void **state)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs before = make_even_runs(20, 0, 1000, 500000), across = make_even_runs(20, 0, 1000, FILE_BYTES);
	struct fetch *fetch;

	config.choose_part = wish_choose_and_cut;
	config.context = &wish;
	fetch = rig_open_with(config);
	wish = (struct wish){.wants_part = true, .runs = &across.runs};
	write_file("shrinking");
	rig_expect_failure(read_runs(fetch, "shrinking", -1, whole_file, NULL), ITEM_TRUNCATED, 0);
	wish = (struct wish){.wants_part = true, .runs = &before.runs};
	write_file("shrinking");
	expect_runs(fetch, read_runs(fetch, "shrinking", -1, whole_file, NULL), (struct place){0, 500000}, &before);
	fetch_close(fetch);
}

static void nobody_is_asked_who_named_runs(void **state)
{
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	union some_runs some = make_even_runs(9, 0, 40000, 1500000);

	write_file("pack");
	wish = (struct wish){.wants_part = true, .part = {.offset = 20000, .row_bytes = 10, .row_count = 1}};
	expect_runs(fetch, read_runs(fetch, "pack", -1, middle, &some), middle, &some);
	assert_int_equal(wish.question_count, 0);
	fetch_close(fetch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(runs_arrive_one_behind_the_other),
		ON_BOTH_AND_PAST_THE_CACHE(random_runs_of_many_images_arrive_at_once),
		ON_BOTH_AND_PAST_THE_CACHE(runs_that_cannot_be_are_truncated_and_take_no_memory),
		ON_BOTH_AND_PAST_THE_CACHE(an_image_over_the_limit_is_too_large_whatever_is_wanted_of_it),
		ON_BOTH_AND_PAST_THE_CACHE(runs_take_memory_for_themselves_not_for_the_image),
		ON_BOTH_AND_PAST_THE_CACHE(runs_that_are_nearly_all_of_the_largest_image_arrive),
		ON_BOTH_AND_PAST_THE_CACHE(a_file_that_became_shorter_truncates_what_lay_behind),
		ON_BOTH_AND_PAST_THE_CACHE(whoever_chooses_may_answer_with_runs),
		ON_BOTH_AND_PAST_THE_CACHE(chosen_runs_that_cannot_be_are_not_read_but_all_is),
		ON_BOTH_AND_PAST_THE_CACHE(chosen_runs_of_a_file_that_became_shorter_are_truncated),
		ON_BOTH_AND_PAST_THE_CACHE(nobody_is_asked_who_named_runs),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
