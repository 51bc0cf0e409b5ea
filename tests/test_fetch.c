/*
 * Tests of loader/fetch/fetch.c, fetch_slot.c, fetch_uring.c and fetch_pread.c: every test runs over both back ends.  Long, because
 * what one file may do to us is a long list and belongs in one place.
 */
#include "tests/fetch_rig.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#define LIMIT_BYTES ((uint64_t)8 << 20)
#define LONG_MS     60000 /* a deadline that no test reaches */

static void sleep_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static void open_refuses_what_makes_no_sense(void **state)
{
	enum fetch_backend backend = *(enum fetch_backend *)*state;
	struct err err;

	assert_null(
		rig_try_open((struct fetch_config){.backend = backend, .depth = 0, .max_file_bytes = 1, .timeout_ms = 1}, &err));
	assert_null(
		rig_try_open((struct fetch_config){.backend = backend, .depth = 1, .max_file_bytes = 0, .timeout_ms = 1}, &err));
	assert_null(
		rig_try_open((struct fetch_config){.backend = backend, .depth = 1, .max_file_bytes = 1, .timeout_ms = 0}, &err));
	assert_non_null(strstr(err.text, "--item-timeout-ms"));
}

static void files_of_every_size_arrive_whole(void **state)
{
	/* Around pages, around the capacity of the first buffers, and what makes them grow several times. */
	static const size_t sizes_bytes[] = {1,      2,      511,     4095,    4096,    4097,   65535,  65536,
	                                     65537,  131071, 131072,  131073,  196607,  196608, 196609, 393215,
	                                     393216, 393217, 1000000, 1 << 20, 5000000, 3};
	const size_t count = sizeof sizes_bytes / sizeof *sizes_bytes;
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, LONG_MS);
	char name[32];

	for (size_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "size-%zu", i);
		rig_write(name, i, sizes_bytes[i]);
		rig_expect_content(fetch, rig_read_one(fetch, name), i, sizes_bytes[i]);
	}
	for (size_t i = count; i-- > 0;) { /* again, with what was learnt */
		snprintf(name, sizeof name, "size-%zu", i);
		rig_expect_content(fetch, rig_read_one(fetch, name), i, sizes_bytes[i]);
	}
	fetch_close(fetch);
}

static void hundreds_of_files_at_any_depth(void **state)
{
	enum { FILE_COUNT = 300 };
	static const uint32_t depths[] = {1, 4, 64, 1000};
	char names[FILE_COUNT][16];

	for (uint32_t i = 0; i < FILE_COUNT; i++) {
		snprintf(names[i], sizeof names[i], "many-%u", i);
		rig_write(names[i], i, 1 + i * 997 % 50000);
	}
	for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
		struct fetch *fetch = rig_open(state, depths[d], LIMIT_BYTES, LONG_MS);
		uint8_t seen[FILE_COUNT] = {0};
		uint32_t submitted = 0;

		for (uint32_t collected = 0; collected < FILE_COUNT; collected++) {
			struct fetch_result result;
			uintptr_t i;

			while (submitted < FILE_COUNT && fetch_in_flight(fetch) < depths[d]) {
				assert_int_equal(rig_submit(fetch, names[submitted], submitted), 0);
				submitted++;
			}
			if (fetch_in_flight(fetch) == depths[d])
				assert_int_equal(rig_submit(fetch, names[0], 0), -EAGAIN);
			assert_int_equal(fetch_in_flight(fetch), submitted - collected);
			result = rig_collect(fetch);
			i = (uintptr_t)result.tag;
			assert_true(i < FILE_COUNT);
			assert_int_equal(seen[i]++, 0);
			rig_expect_content(fetch, result, i, 1 + i * 997 % 50000);
		}
		assert_int_equal(fetch_in_flight(fetch), 0);
		fetch_close(fetch);
	}
}

static void the_path_may_change_once_the_job_is_collected_and_buffers_stay(void **state)
{
	struct fetch *fetch = rig_open(state, 8, LIMIT_BYTES, LONG_MS);
	struct fetch_result held[5];
	char name[16];

	for (uint32_t i = 0; i < 5; i++) {
		snprintf(name, sizeof name, "held-%u", i);
		rig_write(name, i, 30000 + i);
		held[i] = rig_read_one(fetch, name);
	}
	for (uint32_t i = 0; i < 5; i++) /* nothing was read over them meanwhile */
		rig_expect_content(fetch, held[i], i, 30000 + i);
	fetch_close(fetch);
}

static void what_is_not_a_readable_file_has_its_status(void **state)
{
	struct fetch *fetch = rig_open(state, 4, 1 << 20, LONG_MS);
	char long_name[5000];

	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = 0;
	rig_write("empty", 0, 0);
	rig_write("plain", 0, 10);
	(void)mkdirat(rig_folder_fd, "folder", 0700);
	(void)symlinkat("loop", rig_folder_fd, "loop");

	rig_expect_failure(rig_read_one(fetch, "missing"), ITEM_MISSING, ENOENT);
	rig_expect_failure(rig_read_one(fetch, "plain/below"), ITEM_MISSING, ENOTDIR);
	rig_expect_failure(rig_read_one(fetch, ""), ITEM_MISSING, ENOENT);
	rig_expect_failure(rig_read_one(fetch, "folder"), ITEM_UNREADABLE, EISDIR);
	rig_expect_failure(rig_read_one(fetch, "loop"), ITEM_UNREADABLE, ELOOP);
	rig_expect_failure(rig_read_one(fetch, long_name), ITEM_UNREADABLE, ENAMETOOLONG);
	rig_expect_failure(rig_read_one(fetch, "empty"), ITEM_EMPTY, 0);
	rig_expect_failure(rig_read_one(fetch, "/dev/null"), ITEM_UNREADABLE, FETCH_NOT_REGULAR);
	rig_expect_failure(rig_read_one(fetch, "/dev/zero"), ITEM_UNREADABLE, FETCH_NOT_REGULAR);
	rig_expect_failure(rig_read_from(fetch, "/dev", "null"), ITEM_UNREADABLE, FETCH_NOT_REGULAR);
	rig_expect_failure(rig_read_from(fetch, "/dev", "zero"), ITEM_UNREADABLE, FETCH_NOT_REGULAR);
	rig_expect_content(fetch, rig_read_one(fetch, "plain"), 0, 10);
	fetch_close(fetch);
}

static void the_limit_is_the_largest_file(void **state)
{
	static const size_t limits_bytes[] = {1, 4096, 100000, 1 << 20};

	for (size_t i = 0; i < sizeof limits_bytes / sizeof *limits_bytes; i++) {
		struct fetch *fetch = rig_open(state, 4, limits_bytes[i], LONG_MS);

		rig_write("just", i, limits_bytes[i]);
		rig_write("over", i, limits_bytes[i] + 1);
		rig_write("far-over", i, limits_bytes[i] * 3);
		rig_expect_content(fetch, rig_read_one(fetch, "just"), i, limits_bytes[i]);
		rig_expect_failure(rig_read_one(fetch, "over"), ITEM_TOO_LARGE, 0);
		rig_expect_failure(rig_read_one(fetch, "far-over"), ITEM_TOO_LARGE, 0);
		rig_expect_content(fetch, rig_read_one(fetch, "just"), i, limits_bytes[i]);
		fetch_close(fetch);
	}
}

static void files_without_a_size_are_read_to_their_end(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, LONG_MS);
	struct fetch_result result = rig_read_from(fetch, "/proc/self", "maps"); /* stat says 0 bytes, reads are short */
	size_t line_count = 0;

	assert_int_equal(result.status, ITEM_OK);
	for (size_t i = 0; i < result.buffer->byte_count; i++)
		line_count += result.buffer->data[i] == '\n';
	assert_true(line_count > 20);
	assert_int_equal(result.buffer->data[result.buffer->byte_count - 1], '\n');
	fetch_return(fetch, result.buffer);
	fetch_close(fetch);
}

static atomic_bool stop_growing;

static void *append_without_end(void *argument)
{
	int fd = openat(rig_folder_fd, "growing", O_WRONLY | O_APPEND);
	uint8_t piece[1000];
	uint64_t position = 0;

	while (!atomic_load(&stop_growing) && position < 1500000) {
		rig_fill(piece, sizeof piece, 99, position);
		if (write(fd, piece, sizeof piece) != sizeof piece)
			return NULL;
		position += sizeof piece;
	}
	close(fd);
	return argument;
}

static void a_growing_file_is_read_up_to_some_end(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, LONG_MS);
	pthread_t writer;
	void *success;

	rig_write("growing", 99, 0);
	atomic_store(&stop_growing, false);
	assert_int_equal(pthread_create(&writer, NULL, append_without_end, fetch), 0);
	for (int i = 0; i < 60; i++) {
		struct fetch_result result = rig_read_one(fetch, "growing");

		if (result.status == ITEM_EMPTY)
			continue;
		assert_int_equal(result.status, ITEM_OK);
		rig_expect_content(fetch, result, 99, result.buffer->byte_count);
	}
	atomic_store(&stop_growing, true);
	pthread_join(writer, &success);
	assert_non_null(success);
	fetch_close(fetch);
}

static void symlinks_lead_to_other_file_systems(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, LONG_MS);
	struct fetch_result result;

	(void)symlinkat("/proc/self/status", rig_folder_fd, "elsewhere");
	rig_write("here", 2, 100);
	for (int i = 0; i < 20; i++) {
		result = rig_read_one(fetch, "elsewhere");
		assert_int_equal(result.status, ITEM_OK);
		assert_memory_equal(result.buffer->data, "Name:", 5);
		fetch_return(fetch, result.buffer);
		rig_expect_content(fetch, rig_read_one(fetch, "here"), 2, 100);
	}
	fetch_close(fetch);
}

/*
 * While somebody holds a write lease, opening says EAGAIN and asks the holder to let go: the tests' way to keep a file from being
 * read for as long as they like.  Skips where the file system has no leases.
 */
static int write_leased(struct fetch *fetch, const char *name, uint64_t seed, size_t byte_count)
{
	int holder_fd;

	rig_write(name, seed, byte_count);
	holder_fd = openat(rig_folder_fd, name, O_RDWR | O_CLOEXEC);
	(void)signal(SIGIO, SIG_IGN);
	if (fcntl(holder_fd, F_SETLEASE, F_WRLCK) != 0) {
		fetch_close(fetch);
		close(holder_fd);
		skip();
	}
	return holder_fd;
}

static void a_file_that_cannot_be_had_ends_at_the_deadline_and_others_pass_it(void **state)
{
	struct fetch *fetch = rig_open(state, 3, LIMIT_BYTES, 400);
	int holder_fd = write_leased(fetch, "silent", 4, 100);

	rig_write("lively", 5, 5000);
	assert_int_equal(rig_submit(fetch, "silent", 1), 0);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(rig_submit(fetch, "lively", 2), 0);
		rig_expect_content(fetch, rig_collect(fetch), 5, 5000);
	}
	rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	assert_int_equal(fetch_in_flight(fetch), 0);
	for (int i = 0; i < 50; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "lively"), 5, 5000);
	close(holder_fd);
	fetch_close(fetch);
}

static void a_pause_of_the_collector_makes_no_file_late(void **state)
{
	struct fetch *fetch = rig_open(state, 16, LIMIT_BYTES, 300);

	rig_write("early", 3, 400000);
	for (uintptr_t i = 0; i < 16; i++)
		assert_int_equal(rig_submit(fetch, "early", i), 0);
	rig_expect_content(fetch, rig_collect(fetch), 3, 400000);
	sleep_ms(600);
	for (int i = 1; i < 16; i++)
		rig_expect_content(fetch, rig_collect(fetch), 3, 400000);
	fetch_close(fetch);
}

static void neither_do_short_pauses_nor_one_after_waiting_in_vain(void **state)
{
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, 400);
	int holder_fd = write_leased(fetch, "patient", 4, 100);
	struct fetch_result result;

	rig_write("between", 3, 1000);
	assert_int_equal(rig_submit(fetch, "patient", 1), 0);
	assert_int_equal(fetch_collect(fetch, 20, &result), -ETIMEDOUT);
	for (int i = 0; i < 8; i++) {
		rig_expect_content(fetch, rig_read_one(fetch, "between"), 3, 1000);
		sleep_ms(80);
	}
	assert_int_equal(fetch_collect(fetch, 20, &result), -ETIMEDOUT);
	sleep_ms(800);
	close(holder_fd);
	rig_expect_content(fetch, rig_collect(fetch), 4, 100);
	fetch_close(fetch);
}

static void a_leased_file_is_opened_when_the_lease_ends(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	int holder_fd = write_leased(fetch, "leased", 8, 1234);

	assert_int_equal(rig_submit(fetch, "leased", 1), 0);
	assert_int_equal(fetch_collect(fetch, 50, &(struct fetch_result){0}), -ETIMEDOUT);
	assert_int_equal(fcntl(holder_fd, F_SETLEASE, F_UNLCK), 0);
	rig_expect_content(fetch, rig_collect(fetch), 8, 1234);
	close(holder_fd);
	fetch_close(fetch);
}

static void too_many_open_files_is_waited_out(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	struct rlimit before, none;
	struct fetch_result result;
	int error;

	rig_write("waits", 4, 1234);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(rig_submit(fetch, "waits", 1), 0);
	error = fetch_collect(fetch, 60, &result);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(error, -ETIMEDOUT);
	rig_expect_content(fetch, rig_collect(fetch), 4, 1234);
	fetch_close(fetch);
}

static void collecting_nothing_times_out(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	struct fetch_result result;

	assert_int_equal(fetch_collect(fetch, 0, &result), -ETIMEDOUT);
	assert_int_equal(fetch_collect(fetch, 20, &result), -ETIMEDOUT);
	fetch_close(fetch);
}

static void polling_gets_there_too(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	struct fetch_result result;

	rig_write("polled", 6, 300000);
	assert_int_equal(rig_submit(fetch, "polled", 1), 0);
	while (fetch_collect(fetch, 0, &result) == -ETIMEDOUT)
		;
	rig_expect_content(fetch, result, 6, 300000);
	fetch_close(fetch);
}

static void a_wake_up_before_waiting_is_not_lost_and_counts_once(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	struct fetch_result result;

	for (int i = 0; i < 3; i++) {
		fetch_wake(fetch);
		fetch_wake(fetch);
		assert_int_equal(fetch_collect(fetch, -1, &result), -EINTR);
		assert_int_equal(fetch_collect(fetch, 20, &result), -ETIMEDOUT);
	}
	fetch_close(fetch);
}

static void *wake_now_and_then(void *argument)
{
	for (int i = 0; i < 20; i++) {
		sleep_ms(3);
		fetch_wake(argument);
	}
	return NULL;
}

static void another_thread_wakes_the_collector(void **state)
{
	struct fetch *fetch = rig_open(state, 2, LIMIT_BYTES, LONG_MS);
	struct fetch_result result;
	pthread_t waker;
	int woken = 0;

	assert_int_equal(pthread_create(&waker, NULL, wake_now_and_then, fetch), 0);
	assert_int_equal(fetch_collect(fetch, -1, &result), -EINTR); /* would wait for ever */
	pthread_join(waker, NULL);
	while (fetch_collect(fetch, 0, &result) == -EINTR)
		woken++;
	assert_in_range(woken, 0, 1);
	fetch_close(fetch);
}

struct returner {
	struct fetch *fetch;
	_Atomic(struct fetch_buffer *) mailbox;
	atomic_bool stop;
};

static void *return_what_comes(void *argument)
{
	struct returner *returner = argument;

	for (;;) {
		bool stop = atomic_load(&returner->stop);
		struct fetch_buffer *buffer = atomic_exchange(&returner->mailbox, NULL);

		if (buffer) {
			buffer->data[0] ^= 1; /* as a decoder would touch it */
			fetch_return(returner->fetch, buffer);
			fetch_wake(returner->fetch);
		} else if (stop) {
			return NULL;
		}
	}
}

static void other_threads_give_buffers_back_and_wake(void **state)
{
	struct fetch *fetch = rig_open(state, 8, LIMIT_BYTES, LONG_MS);
	struct returner returners[3] = {{.fetch = fetch}, {.fetch = fetch}, {.fetch = fetch}};
	struct fetch_result result;
	pthread_t threads[3];
	int collected = 0, submitted = 0;

	rig_write("shared", 9, 20000);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, return_what_comes, &returners[i]), 0);
	while (collected < 600) {
		struct fetch_buffer *none = NULL;

		while (submitted < 600 && rig_submit(fetch, "shared", 0) == 0)
			submitted++;
		if (fetch_collect(fetch, RIG_PATIENCE_MS, &result) == -EINTR)
			continue;
		assert_int_equal(result.status, ITEM_OK);
		assert_true(rig_content_is(result.buffer, 9));
		if (!atomic_compare_exchange_strong(&returners[collected % 3].mailbox, &none, result.buffer))
			fetch_return(fetch, result.buffer);
		collected++;
	}
	for (size_t i = 0; i < 3; i++) {
		atomic_store(&returners[i].stop, true);
		pthread_join(threads[i], NULL);
	}
	fetch_close(fetch);
}

static void closing_abandons_what_is_in_flight(void **state)
{
	rig_write("unread", 1, 1 << 20);
	for (int i = 0; i < 10; i++) {
		struct fetch *fetch = rig_open(state, 32, LIMIT_BYTES, LONG_MS);
		int holder_fd = write_leased(fetch, "mute", 2, 100);

		for (uintptr_t k = 0; k < 32; k++)
			assert_int_equal(rig_submit(fetch, k % 8 == 7 ? "mute" : "unread", k), 0);
		for (int k = 0; k < i; k++)
			rig_expect_content(fetch, rig_collect(fetch), 1, 1 << 20);
		if (i % 3 == 2)
			fetch_wake(fetch);
		fetch_close(fetch);
		close(holder_fd);
	}
}

static void every_descriptor_is_closed_again(void **state)
{
	const uint32_t before_count = rig_count("/proc/self/fd");
	struct fetch *fetch = rig_open(state, 8, 1000000, LONG_MS);

	rig_write("large", 1, 1000001);
	rig_write("plain", 1, 400000);
	rig_write("none", 1, 0);
	(void)mkfifoat(rig_folder_fd, "odd", 0600);
	for (int i = 0; i < 40; i++) {
		(void)rig_read_one(fetch, i % 4 == 0 ? "large" : i % 4 == 1 ? "none" : i % 4 == 2 ? "odd" : "missing");
		rig_expect_content(fetch, rig_read_one(fetch, "plain"), 1, 400000);
	}
	fetch_close(fetch);
	assert_int_equal(rig_count("/proc/self/fd"), before_count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(open_refuses_what_makes_no_sense),
		ON_BOTH_AND_PAST_THE_CACHE(files_of_every_size_arrive_whole),
		ON_BOTH_AND_PAST_THE_CACHE(hundreds_of_files_at_any_depth),
		ON_BOTH_AND_PAST_THE_CACHE(the_path_may_change_once_the_job_is_collected_and_buffers_stay),
		ON_BOTH_AND_PAST_THE_CACHE(what_is_not_a_readable_file_has_its_status),
		ON_BOTH_AND_PAST_THE_CACHE(the_limit_is_the_largest_file),
		ON_BOTH_AND_PAST_THE_CACHE(files_without_a_size_are_read_to_their_end),
		ON_BOTH_AND_PAST_THE_CACHE(a_growing_file_is_read_up_to_some_end),
		ON_BOTH_AND_PAST_THE_CACHE(symlinks_lead_to_other_file_systems),
		ON_BOTH(a_file_that_cannot_be_had_ends_at_the_deadline_and_others_pass_it),
		ON_BOTH(a_pause_of_the_collector_makes_no_file_late),
		ON_BOTH(neither_do_short_pauses_nor_one_after_waiting_in_vain),
		ON_BOTH_AND_PAST_THE_CACHE(a_leased_file_is_opened_when_the_lease_ends),
		ON_BOTH_AND_PAST_THE_CACHE(too_many_open_files_is_waited_out),
		ON_BOTH_AND_PAST_THE_CACHE(every_descriptor_is_closed_again),
		ON_BOTH(collecting_nothing_times_out),
		ON_BOTH_AND_PAST_THE_CACHE(polling_gets_there_too),
		ON_BOTH(a_wake_up_before_waiting_is_not_lost_and_counts_once),
		ON_BOTH(another_thread_wakes_the_collector),
		ON_BOTH_AND_PAST_THE_CACHE(other_threads_give_buffers_back_and_wake),
		ON_BOTH_AND_PAST_THE_CACHE(closing_abandons_what_is_in_flight),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
