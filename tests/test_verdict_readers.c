/* test_verdict_readers.c - of several readers the one that holds up the others is named, and none that does not. */
#include "tests/verdict_rig.h"

static const struct run held_up = {.batches = 100,
                                   .present = 30000,
                                   .wait = 16000,
                                   .while_idle = 15000,
                                   .while_decoding = 1000,
                                   .decode = 10000,
                                   .idle = 30000,
                                   .elapsed = 10000,
                                   .shared = true};

/* In lanes and in broadcast the numbers are the same. */
static void one_slow_reader_is_named(void **state)
{
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 10000, 8000);
	add_reader(&end, 4711, 10000, 0);
	add_reader(&end, 4712, 10000, 8000);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "reader 1 (process 4711)");
	assert_int_equal(verdict.reader, 1);
}

static void a_lane_that_nobody_reads_is_named(void **state)
{
	struct run lanes = held_up;
	struct verdict_reading end;
	struct verdict verdict;

	(void)state;
	lanes.lanes = true;
	end = reading_of(&lanes);
	add_reader(&end, 4710, 10000, 8000);
	add_reader(&end, 0, 0, 0);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "nobody reads the batches of number 1");
}

/* As long as it was there it waited as the other did: its batches filled the ring before it came, or do so since it left. */
static void a_lane_that_nobody_reads_for_a_part_of_the_time_is_named(void **state)
{
	static const int32_t pids[] = {0, 4711};
	struct run lanes = held_up;

	(void)state;
	lanes.lanes = true;
	for (int i = 0; i < 2; i++) {
		struct verdict_reading end = reading_of(&lanes);
		struct verdict verdict;

		add_reader(&end, 4710, 10000, 8000);
		add_reader(&end, pids[i], 1000, 600);
		verdict = judge(&start, &end);
		assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "for 9.0 s nobody read the batches of number 1");
	}
}

/* At the end of a run nobody is there any more.  In broadcast those who left are not waited for. */
static void readers_that_have_read_everything_and_left_are_not_missing(void **state)
{
	struct run run = held_up;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct verdict_reading end;
		struct verdict verdict;

		run.lanes = i == 1;
		end = reading_of(&run);
		add_reader(&end, 0, 9400, 200);
		add_reader(&end, 0, 10000, 7000);
		add_reader(&end, 0, 9500, 8000);
		verdict = judge(&start, &end);
		assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "reader 0, which has left, was the slowest");
		assert_null(strstr(verdict.sentence, "nobody"));
	}
}

static void in_broadcast_one_that_left_long_ago_holds_up_nobody(void **state)
{
	struct verdict_reading begin = reading_of(&(struct run){.batches = 1, .present = 100, .decode = 1});
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&begin, 4710, 50, 0);
	add_reader(&begin, 0, 50, 0);
	add_reader(&end, 4710, 10050, 8000);
	add_reader(&end, 0, 50, 0);
	verdict = judge(&begin, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

/* Somebody made the other wait, but not one that was there for a tenth of that time. */
static void one_that_came_late_is_not_blamed_for_what_was_before(void **state)
{
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 10000, 8000);
	add_reader(&end, 4711, 800, 0);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

static void one_that_left_but_holds_a_batch_holds_up_nobody(void **state)
{
	struct verdict_reading begin = reading_of(&(struct run){.batches = 1, .present = 100, .decode = 1});
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&begin, 4710, 50, 0);
	add_reader(&begin, 4711, 50, 0);
	add_reader(&end, 4710, 10050, 8000);
	add_reader(&end, 4711, 50, 0);
	verdict = judge(&begin, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

static void readers_that_share_first_come_never_hold_each_other_up(void **state)
{
	struct run split = held_up;
	struct verdict_reading end;
	struct verdict verdict;

	(void)state;
	split.shared = false;
	end = reading_of(&split);
	add_reader(&end, 4710, 10000, 8000);
	add_reader(&end, 4711, 10000, 0);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "53 % of the time"); /* of both readers' time */
}

static void readers_that_all_wait_wait_for_the_loader(void **state)
{
	struct run all = held_up;
	struct verdict_reading end;
	struct verdict verdict;

	(void)state;
	all.while_decoding = 16000, all.while_idle = 0, all.decode = 40000, all.idle = 0;
	end = reading_of(&all);
	add_reader(&end, 4710, 10000, 5500);
	add_reader(&end, 4711, 10000, 5000);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "decode");
}

static void one_that_waits_less_than_the_others_is_not_slow(void **state)
{
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 10000, 8000);
	add_reader(&end, 4711, 10000, 3000);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

/* Those who waited are gone, and nobody knows any more for whom. */
static void of_readers_that_hardly_wait_none_is_slow(void **state)
{
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 10000, 100);
	add_reader(&end, 4711, 10000, 0);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

/* It came when the others had waited half a minute for their first batches, for which it is not to blame; for the rest it is. */
static void waits_for_first_batches_excuse_no_slow_reader(void **state)
{
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 40000, 36000);
	end.reader[0].start_wait_ns = ns(30000);
	add_reader(&end, 4711, 10000, 0);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "reader 1 (process 4711)");
}

static void a_slow_reader_that_only_now_came_is_not_judged_by_its_predecessors(void **state)
{
	struct verdict_reading begin = reading_of(&(struct run){.batches = 1, .present = 100, .decode = 1});
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&begin, 4710, 50, 0);
	add_reader(&end, 4710, 10050, 8000);
	add_reader(&end, 4711, 90000, 0); /* whoever had the number before */
	verdict = judge(&begin, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

/* The dead one's time stays counted in the sums, and so does what it waited: shares stay true. */
static void a_reader_that_died_leaves_the_others_judged_rightly(void **state)
{
	struct verdict_reading end = reading_of(
		&(struct run){.batches = 100, .present = 12000, .wait = 100, .decode = 10000, .idle = 30000, .elapsed = 10000});
	struct verdict verdict;

	(void)state;
	add_reader(&end, 4710, 10000, 100);
	verdict = judge(&start, &end);
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "4.0 times");
}

/* What a reader waited for its first batch, before the window, is not taken from what it waited in it. */
static void a_start_before_the_window_is_no_part_of_it(void **state)
{
	struct verdict_reading begin = reading_of(&(struct run){.batches = 1, .present = 100, .decode = 1});
	struct verdict_reading end = reading_of(&held_up);
	struct verdict verdict;

	(void)state;
	add_reader(&begin, 4710, 8000, 7900);
	begin.reader[0].start_wait_ns = ns(7900);
	add_reader(&begin, 4711, 8000, 0);
	add_reader(&end, 4710, 18000, 15900);
	end.reader[0].start_wait_ns = ns(7900);
	add_reader(&end, 4711, 18000, 0);
	verdict = judge(&begin, &end);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOW_READER, "reader 1 (process 4711)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_slow_reader_is_named),
		cmocka_unit_test(a_lane_that_nobody_reads_is_named),
		cmocka_unit_test(a_lane_that_nobody_reads_for_a_part_of_the_time_is_named),
		cmocka_unit_test(readers_that_have_read_everything_and_left_are_not_missing),
		cmocka_unit_test(in_broadcast_one_that_left_long_ago_holds_up_nobody),
		cmocka_unit_test(one_that_came_late_is_not_blamed_for_what_was_before),
		cmocka_unit_test(one_that_left_but_holds_a_batch_holds_up_nobody),
		cmocka_unit_test(readers_that_share_first_come_never_hold_each_other_up),
		cmocka_unit_test(readers_that_all_wait_wait_for_the_loader),
		cmocka_unit_test(one_that_waits_less_than_the_others_is_not_slow),
		cmocka_unit_test(of_readers_that_hardly_wait_none_is_slow),
		cmocka_unit_test(waits_for_first_batches_excuse_no_slow_reader),
		cmocka_unit_test(a_slow_reader_that_only_now_came_is_not_judged_by_its_predecessors),
		cmocka_unit_test(a_reader_that_died_leaves_the_others_judged_rightly),
		cmocka_unit_test(a_start_before_the_window_is_no_part_of_it),
	};

	return cmocka_run_group_tests_name("verdict_readers", tests, NULL, NULL);
}
