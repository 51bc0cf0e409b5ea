/* test_hunger.c - the time of threads without a row is split, to the nanosecond, into waiting for bytes and having nothing to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loader/run/hunger.h"

enum { NAP_US = 3000, NAP_NS = NAP_US * 1000 };

static void assert_since(struct hunger *hunger, uint64_t *wait_ns, uint64_t *idle_ns, uint64_t least_wait_ns,
                         uint64_t least_idle_ns)
{
	uint64_t wait_before_ns = *wait_ns, idle_before_ns = *idle_ns;

	hunger_read(hunger, wait_ns, idle_ns);
	if (least_wait_ns == 0)
		assert_int_equal(*wait_ns, wait_before_ns);
	else
		assert_true(*wait_ns - wait_before_ns >= least_wait_ns);
	if (least_idle_ns == 0)
		assert_int_equal(*idle_ns, idle_before_ns);
	else
		assert_true(*idle_ns - idle_before_ns >= least_idle_ns);
}

static void hungry_threads_wait_while_rows_come_and_idle_while_none_does(void **state)
{
	uint64_t wait_ns = 0, idle_ns = 0;
	struct hunger hunger;

	(void)state;
	hunger_open(&hunger);
	hunger_reader_came(&hunger);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 0, 0); /* nobody is hungry */
	hunger_begins(&hunger);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 0, NAP_NS);
	hunger_row_goes(&hunger);
	hunger_read(&hunger, &wait_ns, &idle_ns);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, NAP_NS, 0);
	hunger_row_goes(&hunger);
	hunger_begins(&hunger); /* a second one: time counts twice */
	hunger_row_comes(&hunger);
	hunger_read(&hunger, &wait_ns, &idle_ns);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 2 * NAP_NS, 0); /* the other row is still on its way */
	hunger_row_comes(&hunger);
	hunger_ends(&hunger);
	hunger_ends(&hunger);
	hunger_read(&hunger, &wait_ns, &idle_ns);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 0, 0);
	hunger_close(&hunger);
}

static void before_the_first_reader_comes_nobody_idles(void **state)
{
	uint64_t wait_ns = 0, idle_ns = 0;
	struct hunger hunger;

	(void)state;
	hunger_open(&hunger);
	hunger_begins(&hunger);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 0, 0);
	hunger_row_goes(&hunger);
	usleep(NAP_US);
	hunger_row_comes(&hunger);
	assert_since(&hunger, &wait_ns, &idle_ns, NAP_NS, 0); /* but the disk is slow for anyone */
	hunger_reader_came(&hunger);
	hunger_read(&hunger, &wait_ns, &idle_ns);
	usleep(NAP_US);
	assert_since(&hunger, &wait_ns, &idle_ns, 0, NAP_NS);
	hunger_ends(&hunger);
	hunger_close(&hunger);
}

/* A wait that never ends, as for a hung file, is seen while it lasts. */
static void the_sum_is_the_threads_time_and_needs_no_thread_to_wake_up(void **state)
{
	uint64_t begin_ns, wait_ns, idle_ns;
	struct hunger hunger;

	(void)state;
	hunger_open(&hunger);
	hunger_reader_came(&hunger);
	begin_ns = clock_now_ns();
	for (int i = 0; i < 3; i++)
		hunger_begins(&hunger);
	for (int i = 0; i < 50; i++) {
		hunger_row_goes(&hunger);
		usleep(50);
		hunger_row_comes(&hunger);
		usleep(50);
	}
	hunger_read(&hunger, &wait_ns, &idle_ns);
	assert_true(wait_ns >= 3 * 50 * 50000 && idle_ns >= 3 * 50 * 50000);
	assert_true(wait_ns + idle_ns <= 3 * (clock_now_ns() - begin_ns));
	hunger_close(&hunger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hungry_threads_wait_while_rows_come_and_idle_while_none_does),
		cmocka_unit_test(before_the_first_reader_comes_nobody_idles),
		cmocka_unit_test(the_sum_is_the_threads_time_and_needs_no_thread_to_wake_up),
	};

	return cmocka_run_group_tests_name("hunger", tests, NULL, NULL);
}
