/*
 * Tests of loader/fetch where io_uring is refused, as container runtimes do it: by a seccomp filter.  A filter cannot be taken
 * off again, so each test runs in a child process.
 */
#include "tests/child_rig.h"
#include "tests/fetch_rig.h"

#include <errno.h>
#include <sys/syscall.h>

#define LIMIT_BYTES ((uint64_t)1 << 20)
#define FILE_COUNT  40u

static void write_files(void)
{
	char name[16];

	for (uint32_t i = 0; i < FILE_COUNT; i++) {
		snprintf(name, sizeof name, "file-%u", i);
		rig_write(name, i, 1 + i * 9001);
	}
	rig_write("nothing", 0, 0);
}

/* Every file with its content, and the failures, as on any back end. */
static void expect_identical_results(struct fetch *fetch)
{
	struct fetch_result result;
	char name[16];

	for (uint32_t i = 0; i < FILE_COUNT; i++) {
		snprintf(name, sizeof name, "file-%u", i);
		EXPECT(rig_submit(fetch, name, i) == 0);
	}
	for (uint32_t i = 0; i < FILE_COUNT; i++) {
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_OK);
		EXPECT(result.buffer->byte_count == 1 + (uintptr_t)result.tag * 9001);
		EXPECT(rig_content_is(result.buffer, (uintptr_t)result.tag));
		fetch_return(fetch, result.buffer);
	}
	EXPECT(rig_submit(fetch, "nothing", 0) == 0);
	EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0 && result.status == ITEM_EMPTY);
	EXPECT(rig_submit(fetch, "nowhere", 0) == 0);
	EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0 && result.status == ITEM_MISSING && result.error == ENOENT);
}

static void expect_fallback(const char *reason)
{
	struct fetch_config config = {
		.backend = FETCH_AUTO, .depth = 64, .max_file_bytes = LIMIT_BYTES, .timeout_ms = RIG_PATIENCE_MS};
	struct err err = {""};
	struct fetch *fetch = rig_try_open(config, &err);

	EXPECT(fetch);
	EXPECT(strcmp(fetch_backend_name(fetch), "pread") == 0);
	EXPECT(strstr(fetch_fallback_reason(fetch), reason));
	expect_identical_results(fetch);
	fetch_close(fetch);

	config.backend = FETCH_URING;
	EXPECT(!rig_try_open(config, &err));
	EXPECT(strstr(err.text, reason) && strstr(err.text, "--io pread"));
}

static void refuse_setup_eperm(void)
{
	child_refuse_call(__NR_io_uring_setup, EPERM);
	expect_fallback("io_uring_setup: Operation not permitted");
}

static void refuse_setup_enosys(void)
{
	child_refuse_call(__NR_io_uring_setup, ENOSYS);
	expect_fallback("io_uring_setup: Function not implemented");
}

static void refuse_setup_enomem(void)
{
	child_refuse_call(__NR_io_uring_setup, ENOMEM);
	expect_fallback("io_uring_setup: Cannot allocate memory");
}

static void refuse_register(void)
{
	child_refuse_call(__NR_io_uring_register, EOPNOTSUPP);
	expect_fallback("io_uring_register, enabling the ring: Operation not supported");
}

static void refuse_enter(void)
{
	child_refuse_call(__NR_io_uring_enter, EPERM);
	expect_fallback("io_uring_enter: Operation not permitted");
}

static void refuse_enter_later(void)
{
	struct fetch *fetch = rig_try_open(
		(struct fetch_config){
			.backend = FETCH_URING, .depth = 8, .max_file_bytes = LIMIT_BYTES, .timeout_ms = RIG_PATIENCE_MS},
		NULL);
	/* /proc is not known to be local, so all its files go through the ring. */
	struct fetch_job job = {.directory_fd = open("/proc/self", O_RDONLY | O_DIRECTORY), .path = "status"};
	struct fetch_result result;

	EXPECT(fetch);
	for (uint32_t i = 0; i < 8; i++)
		EXPECT(fetch_submit(fetch, &job) == 0);
	EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0 && result.status == ITEM_OK);
	fetch_return(fetch, result.buffer);
	child_refuse_call(__NR_io_uring_enter, EPERM);
	for (uint32_t i = 1; i < 8; i++) { /* each ends, read before or refused */
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_OK || (result.status == ITEM_UNREADABLE && result.error == EPERM));
		if (result.buffer)
			fetch_return(fetch, result.buffer);
	}
	for (uint32_t i = 0; i < 8; i++) {
		EXPECT(fetch_submit(fetch, &job) == 0);
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_UNREADABLE && result.error == EPERM && !result.buffer);
	}
	EXPECT(fetch_in_flight(fetch) == 0);
	EXPECT(fetch_collect(fetch, 20, &result) == -ETIMEDOUT);
	fetch_wake(fetch);
	EXPECT(fetch_collect(fetch, -1, &result) == -EINTR);
	fetch_close(fetch);
}

static void auto_takes_threads_when_setup_is_refused(void **state)
{
	(void)state;
	child_succeeds(refuse_setup_eperm);
	child_succeeds(refuse_setup_enosys);
	child_succeeds(refuse_setup_enomem);
}

static void auto_takes_threads_when_only_registering_is_refused(void **state)
{
	(void)state;
	if (!rig_has_uring())
		skip();
	child_succeeds(refuse_register);
}

static void auto_takes_threads_when_only_entering_is_refused(void **state)
{
	(void)state;
	if (!rig_has_uring())
		skip();
	child_succeeds(refuse_enter);
}

static void auto_takes_io_uring_where_it_works(void **state)
{
	struct fetch *fetch;

	(void)state;
	if (!rig_has_uring())
		skip();
	fetch = rig_try_open(
		(struct fetch_config){
			.backend = FETCH_AUTO, .depth = 64, .max_file_bytes = LIMIT_BYTES, .timeout_ms = RIG_PATIENCE_MS},
		NULL);
	assert_non_null(fetch);
	assert_string_equal(fetch_backend_name(fetch), "uring");
	assert_string_equal(fetch_fallback_reason(fetch), "");
	expect_identical_results(fetch);
	fetch_close(fetch);
}

static void a_ring_that_breaks_later_ends_every_file(void **state)
{
	(void)state;
	if (!rig_has_uring())
		skip();
	child_succeeds(refuse_enter_later);
}

static int set_up(void **state)
{
	int error = rig_set_up(state);

	if (!error)
		write_files();
	return error;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(auto_takes_io_uring_where_it_works),
		cmocka_unit_test(auto_takes_threads_when_setup_is_refused),
		cmocka_unit_test(auto_takes_threads_when_only_registering_is_refused),
		cmocka_unit_test(auto_takes_threads_when_only_entering_is_refused),
		cmocka_unit_test(a_ring_that_breaks_later_ends_every_file),
	};

	return cmocka_run_group_tests(tests, set_up, rig_tear_down);
}
