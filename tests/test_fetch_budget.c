/* Tests of loader/fetch with little memory: files wait for each other's buffers, and all of them arrive. */
#include "tests/fetch_rig.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define LIMIT_BYTES ((uint64_t)32 << 20)
#define FILE_BYTES  3000000u

static struct fetch *open_with_budget(void **state, uint32_t depth, uint64_t budget_bytes, uint32_t timeout_ms)
{
	struct fetch_config config = rig_config(state, depth, LIMIT_BYTES, timeout_ms);

	config.budget_bytes = budget_bytes;
	return rig_open_with(config);
}

static void no_more_is_read_than_fits_until_something_comes_back(void **state)
{
	enum { FILE_COUNT = 20, BUDGET_BYTES = 10 << 20 };
	struct fetch *fetch = open_with_budget(state, FILE_COUNT, BUDGET_BYTES, RIG_PATIENCE_MS);
	struct fetch_result held[FILE_COUNT];
	uint32_t held_count = 0;
	size_t held_bytes = 0;

	rig_write("large", 1, FILE_BYTES);
	for (uintptr_t i = 0; i < FILE_COUNT; i++)
		assert_int_equal(rig_submit(fetch, "large", i), 0);
	while (fetch_collect(fetch, held_count < 3 ? RIG_PATIENCE_MS : 150, &held[held_count]) == 0)
		held_bytes += held[held_count++].buffer->capacity_bytes;
	assert_int_equal(held_count, 3);
	assert_true(held_bytes <= BUDGET_BYTES);
	for (uint32_t left = FILE_COUNT - held_count; left > 0; left--) {
		rig_expect_content(fetch, held[0], 1, FILE_BYTES);
		held[0] = rig_collect(fetch); /* its successor */
		assert_int_equal(fetch_in_flight(fetch), left - 1);
	}
	while (held_count > 0)
		rig_expect_content(fetch, held[--held_count], 1, FILE_BYTES);
	fetch_close(fetch);
}

static void files_larger_than_the_budget_go_one_by_one_among_small_ones(void **state)
{
	enum { FILE_COUNT = 60 };
	struct fetch *fetch = open_with_budget(state, 16, 1 << 20, RIG_PATIENCE_MS);
	uint32_t submitted = 0;

	rig_write("large", 1, FILE_BYTES);
	rig_write("small", 2, 30000);
	for (uint32_t collected = 0; collected < FILE_COUNT; collected++) {
		struct fetch_result result;
		uintptr_t kind;

		for (; submitted < FILE_COUNT && fetch_in_flight(fetch) < 16; submitted++)
			assert_int_equal(rig_submit(fetch, submitted % 4 ? "small" : "large", submitted % 4 ? 2 : 1), 0);
		result = rig_collect(fetch);
		kind = (uintptr_t)result.tag;
		rig_expect_content(fetch, result, kind, kind == 1 ? FILE_BYTES : 30000);
	}
	fetch_close(fetch);
}

static void waiting_for_memory_makes_no_file_late(void **state)
{
	struct fetch *fetch = open_with_budget(state, 4, 4 << 20, 500);
	struct fetch_result first, result;

	rig_write("large", 1, FILE_BYTES);
	assert_int_equal(rig_submit(fetch, "large", 1), 0);
	first = rig_collect(fetch);
	assert_int_equal(rig_submit(fetch, "large", 2), 0);
	assert_int_equal(rig_submit(fetch, "large", 3), 0);
	assert_int_equal(fetch_collect(fetch, 800, &result), -ETIMEDOUT);
	rig_expect_content(fetch, first, 1, FILE_BYTES);
	rig_expect_content(fetch, rig_collect(fetch), 1, FILE_BYTES);
	rig_expect_content(fetch, rig_collect(fetch), 1, FILE_BYTES);
	fetch_close(fetch);
}

static void *return_later(void *argument)
{
	struct fetch_buffer *buffer = ((void **)argument)[1];
	const struct timespec pause = {.tv_nsec = 30000000};

	nanosleep(&pause, NULL);
	fetch_return(((void **)argument)[0], buffer);
	return NULL;
}

static void what_another_thread_gives_back_goes_to_who_waits_for_it(void **state)
{
	struct fetch *fetch = open_with_budget(state, 4, 4 << 20, RIG_PATIENCE_MS);
	void *fetch_and_buffer[2] = {fetch, NULL};
	struct fetch_result result;
	pthread_t thread;

	rig_write("large", 1, FILE_BYTES);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(rig_submit(fetch, "large", 1), 0);
		fetch_and_buffer[1] = rig_collect(fetch).buffer;
		assert_int_equal(rig_submit(fetch, "large", 2), 0);
		assert_int_equal(pthread_create(&thread, NULL, return_later, fetch_and_buffer), 0);
		assert_int_equal(fetch_collect(fetch, -1, &result), 0);
		pthread_join(thread, NULL);
		rig_expect_content(fetch, result, 1, FILE_BYTES);
	}
	fetch_close(fetch);
}

static void append_up_to(const char *name, size_t byte_count)
{
	int fd = openat(rig_folder_fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);
	uint8_t piece[4000];

	assert_true(fd >= 0);
	for (size_t at = (size_t)lseek(fd, 0, SEEK_END); at < byte_count; at += sizeof piece) {
		rig_fill(piece, sizeof piece, 1, at);
		assert_int_equal(write(fd, piece, sizeof piece), sizeof piece);
	}
	close(fd);
}

/* Asked between the look at a file's size and the read: no part of it, thank you, but now it is larger. */
static bool make_it_grow(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                         struct file_part *part, struct file_runs **runs)
{
	(void)context;
	(void)tag;
	(void)head;
	(void)head_bytes;
	(void)stamp;
	(void)part;
	(void)runs;
	append_up_to("growing", FILE_BYTES);
	return false;
}

static void files_that_grow_get_what_they_need(void **state)
{
	struct fetch_config config = rig_config(state, 8, LIMIT_BYTES, RIG_PATIENCE_MS);
	struct fetch *fetch;

	config.budget_bytes = 1 << 20;
	config.choose_part = make_it_grow;
	fetch = rig_open_with(config);
	for (int i = 0; i < 3; i++) {
		rig_write("growing", 1, 200000);
		for (uintptr_t k = 0; k < 8; k++)
			assert_int_equal(rig_submit(fetch, "growing", k), 0);
		for (int k = 0; k < 8; k++)
			rig_expect_content(fetch, rig_collect(fetch), 1, FILE_BYTES);
	}
	fetch_close(fetch);
}

static void closing_forgets_who_waits_for_memory(void **state)
{
	rig_write("large", 1, FILE_BYTES);
	for (int i = 0; i < 4; i++) {
		struct fetch *fetch = open_with_budget(state, 8, 4 << 20, RIG_PATIENCE_MS);

		for (uintptr_t k = 0; k < 8; k++)
			assert_int_equal(rig_submit(fetch, "large", k), 0);
		for (int k = 0; k < i; k++)
			rig_expect_content(fetch, rig_collect(fetch), 1, FILE_BYTES);
		fetch_close(fetch);
	}
}

#define GROWING_TAG 9u

/* Wanted whole.  The growing one grows while it is asked: its size was known before. */
static bool choose_whole_and_grow(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                                  struct file_part *part, struct file_runs **runs)
{
	(void)context;
	(void)head;
	(void)head_bytes;
	(void)stamp;
	(void)part;
	(void)runs;
	if ((uintptr_t)tag == GROWING_TAG)
		rig_write("growing", 3, 250000);
	return false;
}

static void a_file_that_outgrows_the_budget_gives_its_memory_back_and_begins_again(void **state)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	struct fetch_result held, growing, none;
	struct fetch *fetch;

	config.budget_bytes = 600000;
	config.choose_part = choose_whole_and_grow;
	fetch = rig_open_with(config);
	rig_write("held", 1, 300000);
	rig_write("small", 2, 60000);
	rig_write("growing", 3, 150000);

	held = rig_read_one(fetch, "held");
	assert_int_equal(rig_submit(fetch, "growing", GROWING_TAG), 0);
	assert_int_equal(fetch_collect(fetch, 150, &none), -ETIMEDOUT);
	rig_expect_content(fetch, held, 1, 300000);
	growing = rig_collect(fetch);
	assert_int_equal(growing.buffer->byte_count, 250000);
	rig_expect_content(fetch, rig_read_one(fetch, "small"), 2, 60000); /* there is no room for what it had before */
	rig_expect_content(fetch, growing, 3, 250000);
	fetch_close(fetch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(no_more_is_read_than_fits_until_something_comes_back),
		ON_BOTH_AND_PAST_THE_CACHE(files_larger_than_the_budget_go_one_by_one_among_small_ones),
		ON_BOTH_AND_PAST_THE_CACHE(waiting_for_memory_makes_no_file_late),
		ON_BOTH_AND_PAST_THE_CACHE(what_another_thread_gives_back_goes_to_who_waits_for_it),
		ON_BOTH_AND_PAST_THE_CACHE(files_that_grow_get_what_they_need),
		ON_BOTH_AND_PAST_THE_CACHE(closing_forgets_who_waits_for_memory),
		ON_BOTH_AND_PAST_THE_CACHE(a_file_that_outgrows_the_budget_gives_its_memory_back_and_begins_again),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
