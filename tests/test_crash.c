/*
 * test_crash.c - a thread that crashes marks its note, in memory that others read after the process is gone, and the process ends
 * by the same signal.  Each crash happens in a child; the parent reads the notes, since both see the same segment.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/run/crash.h"

#ifndef __has_feature
#define __has_feature(x) 0 /* clang tells of its sanitizers this way, gcc by a macro for each */
#endif
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __SANITIZE_ADDRESS__ || __SANITIZE_THREAD__
#define SANITIZED 1
#endif

enum { WATCHDOG_S = 60 };

static struct shmring_producer *producer;

static int create_ring(void **state)
{
	static const struct shmring_field field = {.name = "x", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {1}};
	const struct shmring_config config = {.name = "test-crash",
	                                      .slot_count = SHMRING_MIN_SLOTS,
	                                      .reader_limit = 1,
	                                      .fields = &field,
	                                      .field_count = 1,
	                                      .catalog_fd = -1};

	(void)state;
	return shmring_create(&producer, &config, NULL);
}

static int destroy_ring(void **state)
{
	(void)state;
	shmring_destroy(producer);
	return 0;
}

static void a_note_is_the_sample_and_one_and_0_is_none(void **state)
{
	(void)state;
	crash_enter(producer, 3);
	assert_int_equal(shmring_noted(producer, 3), 0);
	crash_note_sample(0);
	assert_int_equal(shmring_noted(producer, 3), 1);
	crash_note_sample(41);
	assert_int_equal(shmring_noted(producer, 3), 42);
	crash_note_none();
	assert_int_equal(shmring_noted(producer, 3), 0);
	crash_note_sample(5);
	crash_leave();
	assert_int_equal(shmring_noted(producer, 3), 0);
}

#ifdef SANITIZED

static void a_sanitizers_handlers_stay_in_place(void **state)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGABRT, SIGSYS};
	struct sigaction before, after;

	(void)state;
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
		assert_int_equal(sigaction(signals[i], NULL, &before), 0);
		crash_catch_signals();
		assert_int_equal(sigaction(signals[i], NULL, &after), 0);
		assert_ptr_equal(before.sa_sigaction, after.sa_sigaction);
	}
}

#else

#ifdef __aarch64__
#define TRAP_SIGNAL SIGTRAP /* of a compiler's trap */
#else
#define TRAP_SIGNAL SIGILL
#endif

static void write_nowhere(void)
{
	*(volatile char *)mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void read_beyond_a_file(void)
{
	int fd = memfd_create("empty", 0);

	(void)*(volatile char *)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
}

static void execute_nonsense(void)
{
	__builtin_trap();
}

static void raise_sigill(void)
{
	(void)raise(SIGILL);
}

static void raise_sigtrap(void)
{
	(void)raise(SIGTRAP);
}

/* The compiler may not reckon with a division by 0, and some processors let it pass: the signal alone, to this thread. */
static void raise_sigfpe(void)
{
	(void)raise(SIGFPE);
}

static void raise_sigsys(void)
{
	(void)raise(SIGSYS);
}

__attribute__((noinline)) static int overflow_stack(volatile char *caller, int depth)
{
	volatile char frame[4096];

	frame[0] = caller ? caller[0] : 0;
	return depth > 0 ? overflow_stack(frame, depth - 1) + frame[0] : 0;
}

static void recurse_too_deep(void)
{
	(void)overflow_stack(NULL, 1 << 20); /* 4 GB */
}

static void *work_on_sample_4(void *started)
{
	crash_enter(producer, 0);
	crash_note_sample(4);
	(void)!write(*(int *)started, "", 1);
	while (pause() < 0)
		continue;
	return NULL;
}

static void *crash_on_sample_7(void *crash)
{
	crash_enter(producer, 1);
	crash_note_sample(7);
	(*(void (**)(void))crash)();
	return NULL;
}

static _Noreturn void run_two_threads(void (*crash)(void))
{
	pthread_t thread[2];
	int started[2];
	char byte;

	alarm(WATCHDOG_S);
	crash_catch_signals();
	if (pipe(started) < 0 || pthread_create(&thread[0], NULL, work_on_sample_4, &started[1]) != 0 ||
	    read(started[0], &byte, 1) != 1 || pthread_create(&thread[1], NULL, crash_on_sample_7, &crash) != 0)
		_exit(1);
	for (;;)
		pause();
}

static int wait_for(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void the_thread_that_crashes_marks_its_note_and_no_other(void **state)
{
	static const struct {
		int signal;
		void (*crash)(void);
	} crashes[] = {
		{SIGSEGV, write_nowhere},    {SIGBUS, read_beyond_a_file}, {TRAP_SIGNAL, execute_nonsense},
		{SIGILL, raise_sigill},      {SIGTRAP, raise_sigtrap},     {SIGFPE, raise_sigfpe},
		{SIGABRT, abort},            {SIGSYS, raise_sigsys},       {SIGSEGV, recurse_too_deep},
	};

	(void)state;
	for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			run_two_threads(crashes[i].crash);
		status = wait_for(child);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), crashes[i].signal);
		assert_int_equal(shmring_noted(producer, 0), 5);
		assert_int_equal(shmring_noted(producer, 1), 8 | CRASH_CULPRIT);
		shmring_note(producer, 1, 0);
	}
}

static void a_signal_that_another_process_sends_is_no_samples_fault(void **state)
{
	int started[2];
	pid_t child;
	char byte;
	int status;

	(void)state;
	assert_int_equal(pipe(started), 0);
	child = fork();
	if (child == 0) {
		alarm(WATCHDOG_S);
		crash_catch_signals();
		work_on_sample_4(&started[1]);
	}
	assert_int_equal(read(started[0], &byte, 1), 1);
	assert_int_equal(kill(child, SIGSEGV), 0);
	status = wait_for(child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_int_equal(shmring_noted(producer, 0), 5);
	close(started[0]);
	close(started[1]);
}

#endif

int main(void)
{
	const struct rlimit no_core = {0};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_note_is_the_sample_and_one_and_0_is_none),
#ifdef SANITIZED
		cmocka_unit_test(a_sanitizers_handlers_stay_in_place),
#else
		cmocka_unit_test(the_thread_that_crashes_marks_its_note_and_no_other),
		cmocka_unit_test(a_signal_that_another_process_sends_is_no_samples_fault),
#endif
	};

	(void)setrlimit(RLIMIT_CORE, &no_core); /* the crashes are wanted */
	return cmocka_run_group_tests(tests, create_ring, destroy_ring);
}
