/*
 * Tests of loader/fetch where io_uring is refused, as container runtimes do it: by a seccomp filter.  A filter cannot be taken
 * off again, so each test runs in a child process.
 */
#include "tests/fetch_rig.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILD_OK    42
#define LIMIT_BYTES ((uint64_t)1 << 20)
#define FILE_COUNT  40u

/* From now on, this system call of this process fails with `error`. */
static bool refuse_system_call(uint32_t number, uint32_t error)
{
	struct sock_filter instructions[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof instructions / sizeof *instructions, .filter = instructions};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Prints what went wrong and ends the child: cmocka's asserts belong to the parent. */
#define EXPECT(condition) expect((condition), #condition, __LINE__)
static void expect(bool condition, const char *text, int line)
{
	if (condition)
		return;
	fprintf(stderr, "test_fetch_refused.c:%d: not so: %s\n", line, text);
	_exit(1);
}

static void run_in_child(void (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		alarm(RIG_WATCHDOG_S);
		body();
		_exit(CHILD_OK);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

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
	struct fetch_config config = {FETCH_AUTO, 64, LIMIT_BYTES, RIG_PATIENCE_MS};
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
	EXPECT(refuse_system_call(__NR_io_uring_setup, EPERM));
	expect_fallback("io_uring_setup: Operation not permitted");
}

static void refuse_setup_enosys(void)
{
	EXPECT(refuse_system_call(__NR_io_uring_setup, ENOSYS));
	expect_fallback("io_uring_setup: Function not implemented");
}

static void refuse_setup_enomem(void)
{
	EXPECT(refuse_system_call(__NR_io_uring_setup, ENOMEM));
	expect_fallback("io_uring_setup: Cannot allocate memory");
}

static void refuse_register(void)
{
	EXPECT(refuse_system_call(__NR_io_uring_register, EOPNOTSUPP));
	expect_fallback("io_uring_register, 72 files: Operation not supported");
}

static void refuse_enter(void)
{
	EXPECT(refuse_system_call(__NR_io_uring_enter, EPERM));
	expect_fallback("io_uring_enter: Operation not permitted");
}

static void refuse_enter_later(void)
{
	struct fetch *fetch = rig_try_open((struct fetch_config){FETCH_URING, 8, LIMIT_BYTES, RIG_PATIENCE_MS}, NULL);
	struct fetch_result result;
	char name[16];

	EXPECT(fetch);
	for (uint32_t i = 0; i < 8; i++) {
		snprintf(name, sizeof name, "file-%u", i);
		EXPECT(rig_submit(fetch, name, i) == 0);
	}
	EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0 && result.status == ITEM_OK);
	fetch_return(fetch, result.buffer);
	EXPECT(refuse_system_call(__NR_io_uring_enter, EPERM));
	for (uint32_t i = 1; i < 8; i++) { /* each ends, read before or refused */
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_OK || (result.status == ITEM_UNREADABLE && result.error == EPERM));
		if (result.buffer)
			fetch_return(fetch, result.buffer);
	}
	for (uint32_t i = 0; i < 8; i++) {
		EXPECT(rig_submit(fetch, "file-0", 0) == 0);
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_UNREADABLE && result.error == EPERM && !result.buffer);
	}
	EXPECT(fetch_in_flight(fetch) == 0);
	EXPECT(fetch_collect(fetch, 20, &result) == -ETIMEDOUT);
	fetch_wake(fetch);
	EXPECT(fetch_collect(fetch, -1, &result) == -EINTR);
	fetch_close(fetch);
}

static bool has_uring(void)
{
	struct err err = {""};
	struct fetch *fetch = rig_try_open((struct fetch_config){FETCH_URING, 1, 1, 1}, &err);

	if (!fetch)
		print_message("%s\n", err.text);
	fetch_close(fetch);
	return fetch;
}

static void auto_takes_threads_when_setup_is_refused(void **state)
{
	(void)state;
	run_in_child(refuse_setup_eperm);
	run_in_child(refuse_setup_enosys);
	run_in_child(refuse_setup_enomem);
}

static void auto_takes_threads_when_only_registering_is_refused(void **state)
{
	(void)state;
	if (!has_uring())
		skip();
	run_in_child(refuse_register);
}

static void auto_takes_threads_when_only_entering_is_refused(void **state)
{
	(void)state;
	if (!has_uring())
		skip();
	run_in_child(refuse_enter);
}

static void auto_takes_io_uring_where_it_works(void **state)
{
	struct fetch *fetch;

	(void)state;
	if (!has_uring())
		skip();
	fetch = rig_try_open((struct fetch_config){FETCH_AUTO, 64, LIMIT_BYTES, RIG_PATIENCE_MS}, NULL);
	assert_non_null(fetch);
	assert_string_equal(fetch_backend_name(fetch), "uring");
	assert_string_equal(fetch_fallback_reason(fetch), "");
	expect_identical_results(fetch);
	fetch_close(fetch);
}

static void a_ring_that_breaks_later_ends_every_file(void **state)
{
	(void)state;
	if (!has_uring())
		skip();
	run_in_child(refuse_enter_later);
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
