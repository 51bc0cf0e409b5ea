/* test_bell.c - a bell wakes whoever sleeps, remembers one ring and no more, and a look at it is not a sleep. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "shmring/bell.h"

static uint64_t sleep_count(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
	return (uint64_t)usage.ru_nvcsw;
}

static void a_look_is_not_a_sleep(void **state)
{
	enum { LOOKS = 1000 };
	uint64_t before = sleep_count();
	sem_t bell;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	for (int i = 0; i < LOOKS; i++)
		assert_int_equal(bell_wait(&bell, i % 2 ? 0 : clock_now_ns()), -ETIMEDOUT);
	assert_in_range(sleep_count() - before, 0, LOOKS / 10); /* we may be sent to sleep now and then, but not by each look */
	sem_destroy(&bell);
}

static void many_rings_are_heard_once(void **state)
{
	sem_t bell;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	for (int i = 0; i < 3; i++)
		bell_ring(&bell);
	assert_int_equal(bell_wait(&bell, 0), 0);
	assert_int_equal(bell_wait(&bell, 0), -ETIMEDOUT);
	bell_ring(&bell);
	assert_int_equal(bell_wait(&bell, UINT64_MAX), 0);
	assert_int_equal(bell_wait(&bell, 0), -ETIMEDOUT);
	sem_destroy(&bell);
}

static void nobody_sleeps_longer_than_a_slice(void **state)
{
	uint64_t begin_ns = clock_now_ns();
	sem_t bell;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	assert_int_equal(bell_wait(&bell, begin_ns + 20 * UINT64_C(1000000)), -ETIMEDOUT);
	assert_true(clock_now_ns() >= begin_ns + 20 * UINT64_C(1000000));
	assert_int_equal(bell_wait(&bell, UINT64_MAX), -ETIMEDOUT); /* or this test would hang */
	assert_true(clock_now_ns() >= begin_ns + (20 + BELL_SLICE_MS) * UINT64_C(1000000));
	sem_destroy(&bell);
}

static void *ring_later(void *bell)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
	bell_ring(bell);
	return NULL;
}

static void a_sleeper_is_woken(void **state)
{
	pthread_t thread;
	sem_t bell;
	int rc = -ETIMEDOUT;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, ring_later, &bell), 0);
	for (int slices = 0; slices < 200 && rc == -ETIMEDOUT; slices++)
		rc = bell_wait(&bell, UINT64_MAX);
	assert_int_equal(rc, 0);
	pthread_join(thread, NULL);
	sem_destroy(&bell);
}

/* The way of C libraries older than sem_clockwait(), which the wheel's extension still meets. */
static void naps_end_with_the_bell_or_the_deadline(void **state)
{
	uint64_t begin_ns = clock_now_ns();
	pthread_t thread;
	sem_t bell;

	(void)state;
	assert_int_equal(sem_init(&bell, 0, 0), 0);
	assert_int_equal(bell_wait_in_naps(&bell, begin_ns + 20 * UINT64_C(1000000)), -ETIMEDOUT);
	assert_true(clock_now_ns() >= begin_ns + 20 * UINT64_C(1000000));
	assert_int_equal(pthread_create(&thread, NULL, ring_later, &bell), 0);
	assert_int_equal(bell_wait_in_naps(&bell, UINT64_MAX), 0); /* or this test would hang */
	pthread_join(thread, NULL);
	assert_int_equal(bell_wait_in_naps(&bell, 0), -ETIMEDOUT);
	sem_destroy(&bell);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_look_is_not_a_sleep),
		cmocka_unit_test(many_rings_are_heard_once),
		cmocka_unit_test(nobody_sleeps_longer_than_a_slice),
		cmocka_unit_test(a_sleeper_is_woken),
		cmocka_unit_test(naps_end_with_the_bell_or_the_deadline),
	};

	return cmocka_run_group_tests_name("bell", tests, NULL, NULL);
}
