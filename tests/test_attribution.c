/* test_attribution.c - what readers waited is shared out by what decode threads did in the same stretch of time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "loader/run/attribution.h"

enum { THREADS = 4 };

/* A stretch of duration_ns in which readers waited, threads hungered and idled for so long. */
static void pass(struct attribution *attribution, uint64_t duration_ns, uint64_t waited_ns, uint64_t hungry_ns, uint64_t idle_ns)
{
	struct attribution_totals now = attribution->past;

	now.time_ns += duration_ns;
	now.reader_wait_ns += waited_ns;
	now.hungry_ns += hungry_ns;
	now.idle_ns += idle_ns;
	attribution_update(attribution, &now, THREADS);
}

static void assert_attributed(const struct attribution *attribution, uint64_t decode_ns, uint64_t read_ns, uint64_t idle_ns)
{
	assert_int_equal(attribution->decode_ns, decode_ns);
	assert_int_equal(attribution->read_ns, read_ns);
	assert_int_equal(attribution->idle_ns, idle_ns);
}

static void a_wait_is_shared_out_by_what_threads_did_meanwhile(void **state)
{
	struct attribution attribution = {.decode_ns = 0};

	(void)state;
	pass(&attribution, 1000, 800, 2000, 1000); /* of 4000: half hungry, a quarter idle, a quarter at work */
	assert_attributed(&attribution, 200, 400, 200);
	pass(&attribution, 1000, 100, 0, 0); /* rows that take long are not finished yet, but worked on */
	assert_attributed(&attribution, 300, 400, 200);
}

/* An hour of evaluation, in which nobody waits, says nothing about the hour of training before. */
static void what_threads_did_while_nobody_waited_does_not_count(void **state)
{
	struct attribution attribution = {.decode_ns = 0};

	(void)state;
	pass(&attribution, 1000, 500, 0, 0);
	pass(&attribution, 100000, 0, 0, 400000);
	pass(&attribution, 1000, 500, 0, 0);
	assert_attributed(&attribution, 1000, 0, 0);
}

static void totals_that_go_back_or_do_not_fit_into_the_time_lose_nothing(void **state)
{
	struct attribution attribution = {.decode_ns = 0};
	const struct attribution_totals back = {.time_ns = 500};

	(void)state;
	pass(&attribution, 1000, 400, 4400, 0); /* more than four threads' time: read at slightly different moments */
	assert_attributed(&attribution, 0, 400, 0);
	attribution_update(&attribution, &back, THREADS);
	assert_attributed(&attribution, 0, 400, 0);
	pass(&attribution, 0, 0, 0, 0);
	assert_attributed(&attribution, 0, 400, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_is_shared_out_by_what_threads_did_meanwhile),
		cmocka_unit_test(what_threads_did_while_nobody_waited_does_not_count),
		cmocka_unit_test(totals_that_go_back_or_do_not_fit_into_the_time_lose_nothing),
	};

	return cmocka_run_group_tests_name("attribution", tests, NULL, NULL);
}
