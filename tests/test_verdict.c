/* test_verdict.c - who waits for whom is said rightly in each situation that we can think of. */
#include "tests/verdict_rig.h"

/* ------------------------------------------------------------------ the loader waits */

static void a_slow_trainer_leaves_nothing_to_gain_and_the_headroom_is_told(void **state)
{
	const struct verdict verdict =
		judge_run(&(struct run){.batches = 100, .present = 10000, .wait = 20, .decode = 10000, .idle = 30000});

	(void)state;
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "4.0 times as many");
	assert_true(verdict.headroom > 3.99 && verdict.headroom < 4.01);
}

static void a_trainer_that_only_stands_still_has_headroom_without_bounds(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 0, .present = 30000, .idle = 120000});

	(void)state;
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "over 100.0 times");
}

static void a_slow_trainer_on_a_slow_disk_is_still_a_slow_trainer(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 50,
	                                                       .present = 10000,
	                                                       .wait = 100,
	                                                       .while_reading = 100,
	                                                       .decode = 3000,
	                                                       .hungry = 20000,
	                                                       .idle = 17000});

	(void)state;
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "1.7 times as many");
}

static void when_neither_waits_they_keep_pace(void **state)
{
	const struct verdict verdict = judge_run(
		&(struct run){.batches = 100, .present = 10000, .wait = 300, .while_decoding = 300, .decode = 38500, .idle = 1500});

	(void)state;
	assert_says(&verdict, VERDICT_BALANCED, VERDICT_NONE, "keep pace");
}

/* ------------------------------------------------------------------ the trainer waits */

static void few_threads_on_many_cpus_are_to_be_more(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){
		.batches = 100, .present = 10000, .wait = 6000, .while_decoding = 6000, .decode = 10000, .threads = 1, .cpus = 8});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_DECODE,
	            "decode is the slowest stage, add threads (--threads 8, now 1)");
	assert_non_null(strstr(verdict.sentence, "60 %"));
}

static void threads_on_all_cpus_mean_less_work_or_more_cpus(void **state)
{
	const struct verdict verdict =
		judge_run(&(struct run){.batches = 100, .present = 10000, .wait = 6000, .while_decoding = 6000, .decode = 40000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "all 4 CPUs");
}

static void threads_that_get_no_cpu_are_not_to_be_more(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 6000,
	                                                       .while_decoding = 6000,
	                                                       .decode = 20000,
	                                                       .cpu = 7000,
	                                                       .threads = 2,
	                                                       .cpus = 8});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "35 % of the CPU time");
}

static void more_threads_than_cpus_take_them_from_each_other_and_not_from_others(void **state)
{
	struct run run = {.batches = 100,
	                  .present = 10000,
	                  .wait = 6000,
	                  .while_decoding = 6000,
	                  .decode = 160000,
	                  .cpu = 38000,
	                  .threads = 16};
	struct verdict verdict = judge_run(&run);

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "decode keeps all 4 CPUs busy");
	run.cpu = 20000;
	verdict = judge_run(&run);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "50 % of the CPU time that they want, for others run");
}

static void a_slow_disk_is_seen_in_threads_that_wait_for_bytes(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 8000,
	                                                       .while_decoding = 1000,
	                                                       .while_reading = 7000,
	                                                       .decode = 5000,
	                                                       .hungry = 35000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_READ, "disk or network");
}

/* 40 % of the time without a row: with more threads that would be more, and nothing faster. */
static void a_disk_that_is_slow_for_a_part_of_the_threads_is_the_slowest_stage(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 3000,
	                                                       .while_decoding = 1800,
	                                                       .while_reading = 1200,
	                                                       .decode = 24000,
	                                                       .hungry = 16000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_READ, "disk or network");
}

static void a_disk_that_is_slow_now_and_then_is_not(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 3000,
	                                                       .while_decoding = 2700,
	                                                       .while_reading = 300,
	                                                       .decode = 36000,
	                                                       .hungry = 4000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "decode");
}

static void many_small_files_keep_the_one_thread_that_reads_busy(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 8000,
	                                                       .while_decoding = 1000,
	                                                       .while_reading = 7000,
	                                                       .decode = 5000,
	                                                       .hungry = 35000,
	                                                       .fetch = 9600});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_READ, "1.0 CPUs are busy with it");
}

static void both_waiting_by_turns_means_too_few_slots(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 2000,
	                                                       .while_decoding = 500,
	                                                       .while_idle = 1500,
	                                                       .decode = 15000,
	                                                       .idle = 25000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots (now 8)");
}

/* While it trains it waits, and all threads decode; while it evaluates, the loader idles. */
/* Both are more than a quarter: what was waited for longer is told. */
static void of_two_causes_the_larger_is_told(void **state)
{
	struct run run = {.batches = 100, .present = 10000, .wait = 2000, .decode = 10000, .hungry = 15000, .idle = 15000};
	struct verdict verdict;

	(void)state;
	run.while_idle = 700, run.while_reading = 1300;
	verdict = judge_run(&run);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_READ, "disk or network");
	run.while_idle = 1300, run.while_reading = 700;
	verdict = judge_run(&run);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_SLOTS, "--slots");
}

static void a_twentieth_is_where_waiting_begins_to_matter(void **state)
{
	struct run run = {.batches = 100, .present = 10000, .decode = 39000, .idle = 1000};
	struct verdict verdict;

	(void)state;
	run.wait = run.while_decoding = 490;
	verdict = judge_run(&run);
	assert_says(&verdict, VERDICT_BALANCED, VERDICT_NONE, "keep pace");
	run.wait = run.while_decoding = 510;
	verdict = judge_run(&run);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "decode");
}

static void a_long_evaluation_does_not_hide_that_training_waits_for_decoding(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){
		.batches = 100, .present = 20000, .wait = 4000, .while_decoding = 4000, .decode = 40000, .idle = 40000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "20 % of the time");
}

static void requests_that_come_when_they_are_needed_are_to_be_sent_ahead(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 4000,
	                                                       .while_decoding = 1000,
	                                                       .while_idle = 3000,
	                                                       .decode = 10000,
	                                                       .idle = 30000,
	                                                       .requests = true});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_REQUESTS, "ask ahead");
}

static void requests_that_are_many_wait_for_decoding_as_any_batch_does(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){
		.batches = 100, .present = 10000, .wait = 4000, .while_decoding = 4000, .decode = 40000, .requests = true});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "decode");
}

/* ------------------------------------------------------------------ the start, and windows of time */

static void waiting_for_the_first_batch_alone_is_the_start(void **state)
{
	const struct verdict verdict = judge_run(
		&(struct run){.batches = 50, .present = 5000, .wait = 2020, .start_wait = 2000, .decode = 8000, .idle = 12000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_START, "2.0 s for its first batch");
	assert_true(verdict.start_share > 0.39 && verdict.start_share < 0.41);
}

static void a_slow_start_of_a_long_run_is_no_matter(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){
		.batches = 5000, .present = 500000, .wait = 2020, .start_wait = 2000, .decode = 800000, .idle = 1200000});

	(void)state;
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "2.5 times");
}

static void waits_after_the_start_count_without_it(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 50,
	                                                       .present = 6000,
	                                                       .wait = 3000,
	                                                       .start_wait = 2000,
	                                                       .while_decoding = 1000,
	                                                       .decode = 20000,
	                                                       .threads = 2});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_DECODE, "25 % of the time"); /* 1 s of 4 */
}

static void a_moment_is_too_short_to_tell(void **state)
{
	struct verdict verdict =
		judge_run(&(struct run){.batches = 20, .present = 300, .wait = 200, .while_decoding = 200, .decode = 900});

	(void)state;
	assert_says(&verdict, VERDICT_TOO_SHORT, VERDICT_NONE, "20 batches in 0.3 s");
	verdict = judge_run(&(struct run){.batches = 3, .present = 9000, .wait = 8000, .while_decoding = 8000, .decode = 36000});
	assert_says(&verdict, VERDICT_TOO_SHORT, VERDICT_NONE, "3 batches");
	verdict = judge_run(&(struct run){.batches = 20, .present = 1200, .elapsed = 400, .decode = 900}); /* of four readers */
	assert_says(&verdict, VERDICT_TOO_SHORT, VERDICT_NONE, "20 batches in 0.4 s");
}

static void few_batches_of_a_long_time_are_enough(void **state)
{
	const struct verdict verdict =
		judge_run(&(struct run){.batches = 1, .present = 20000, .wait = 19000, .while_reading = 19000, .hungry = 80000});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_READ, "95 %");
}

static void without_a_reader_nobody_waits(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 8, .elapsed = 60000, .decode = 4000});

	(void)state;
	assert_says(&verdict, VERDICT_TOO_SHORT, VERDICT_NONE, "no reader");
}

static void what_is_a_state_and_no_count_is_that_of_the_end(void **state)
{
	struct run run = {.batches = 10, .present = 1000, .decode = 1000, .threads = 1, .cpus = 8, .requests = true};
	const struct verdict_reading before = reading_of(&run);
	struct verdict_reading after;
	struct verdict verdict;

	(void)state;
	run.batches += 50, run.present += 5000, run.decode += 5000, run.wait += 4000, run.while_decoding += 4000;
	after = reading_of(&run);
	verdict = judge(&before, &after);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_DECODE, "--threads 8, now 1");
	run.while_decoding -= 4000, run.while_idle += 4000;
	after = reading_of(&run);
	verdict = judge(&before, &after);
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_REQUESTS, "ask ahead");
}

/* A worker that serves for ever is judged by its last seconds, whatever was before. */
static void only_what_happened_in_between_counts(void **state)
{
	struct run run = {.batches = 5000, .present = 500000, .wait = 400000, .while_decoding = 400000, .decode = 2000000};
	const struct verdict_reading before = reading_of(&run);
	struct verdict_reading after;
	struct verdict verdict;

	(void)state;
	run.batches += 50, run.present += 5000, run.decode += 5000, run.idle += 15000;
	after = reading_of(&run);
	verdict = judge(&before, &after);
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "4.0 times");
	verdict = judge(&after, &after);
	assert_says(&verdict, VERDICT_TOO_SHORT, VERDICT_NONE, "no reader");
}

static void counters_that_go_back_are_another_workers(void **state)
{
	const struct verdict_reading before = reading_of(
		&(struct run){.batches = 5000, .present = 500000, .wait = 400000, .while_decoding = 400000, .decode = 2000000});
	const struct verdict_reading after =
		reading_of(&(struct run){.batches = 100, .present = 10000, .decode = 20000, .idle = 20000});
	const struct verdict verdict = judge(&before, &after);

	(void)state;
	assert_says(&verdict, VERDICT_TRAINER_BOUND, VERDICT_NONE, "2.0 times");
}

/* A resumed run's worker counts its batches from 0, as any other does; that it passed over samples shows nowhere. */
static void a_resumed_run_is_judged_by_itself(void **state)
{
	const struct verdict verdict = judge_run(&(struct run){.batches = 100,
	                                                       .present = 10000,
	                                                       .wait = 7000,
	                                                       .start_wait = 300,
	                                                       .while_decoding = 6700,
	                                                       .decode = 40000,
	                                                       .elapsed = 10400});

	(void)state;
	assert_says(&verdict, VERDICT_LOADER_BOUND, VERDICT_CPU, "69 %");
}

/* ------------------------------------------------------------------ names and odd numbers */

static void counters_are_taken_by_name_and_others_are_left(void **state)
{
	struct verdict_reading reading = start;

	(void)state;
	verdict_set_counter(&reading, "batches", 7);
	verdict_set_counter(&reading, "requests", 1);
	verdict_set_counter(&reading, "waited_idle_ns", 9);
	verdict_set_counter(&reading, "status_ok", 5);
	assert_int_equal(reading.batches, 7);
	assert_int_equal(reading.requests, 1);
	assert_int_equal(reading.waited_idle_ns, 9);
	assert_int_equal(reading.decode_ns, 0);
}

/* Counters are shared memory: any number may stand there. */
static void no_numbers_break_the_rule(void **state)
{
	static const uint64_t odd[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, 1000000000};
	uint32_t random = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct verdict_reading reading[2] = {start, start};

		for (size_t i = 0; i < 2; i++) {
			uint64_t *number = (uint64_t *)&reading[i];

			for (size_t k = 0; k < offsetof(struct verdict_reading, is_shared) / sizeof *number; k++) {
				random = random * 1664525u + 1013904223u;
				number[k] = odd[(random >> 20) % 5];
			}
			reading[i].is_shared = (random >> 28 & 1) != 0;
			reading[i].has_lanes = (random >> 27 & 1) != 0;
			reading[i].reader_count = random >> 29;
			for (uint32_t k = 0; k < reading[i].reader_count; k++)
				reading[i].reader[k] =
					(struct verdict_reader){.number = k, .present_ns = odd[round % 5], .wait_ns = odd[k % 5]};
		}
		(void)judge(&reading[0], &reading[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slow_trainer_leaves_nothing_to_gain_and_the_headroom_is_told),
		cmocka_unit_test(a_trainer_that_only_stands_still_has_headroom_without_bounds),
		cmocka_unit_test(a_slow_trainer_on_a_slow_disk_is_still_a_slow_trainer),
		cmocka_unit_test(when_neither_waits_they_keep_pace),
		cmocka_unit_test(few_threads_on_many_cpus_are_to_be_more),
		cmocka_unit_test(threads_on_all_cpus_mean_less_work_or_more_cpus),
		cmocka_unit_test(threads_that_get_no_cpu_are_not_to_be_more),
		cmocka_unit_test(more_threads_than_cpus_take_them_from_each_other_and_not_from_others),
		cmocka_unit_test(a_slow_disk_is_seen_in_threads_that_wait_for_bytes),
		cmocka_unit_test(a_disk_that_is_slow_for_a_part_of_the_threads_is_the_slowest_stage),
		cmocka_unit_test(a_disk_that_is_slow_now_and_then_is_not),
		cmocka_unit_test(many_small_files_keep_the_one_thread_that_reads_busy),
		cmocka_unit_test(both_waiting_by_turns_means_too_few_slots),
		cmocka_unit_test(of_two_causes_the_larger_is_told),
		cmocka_unit_test(a_twentieth_is_where_waiting_begins_to_matter),
		cmocka_unit_test(a_long_evaluation_does_not_hide_that_training_waits_for_decoding),
		cmocka_unit_test(requests_that_come_when_they_are_needed_are_to_be_sent_ahead),
		cmocka_unit_test(requests_that_are_many_wait_for_decoding_as_any_batch_does),
		cmocka_unit_test(waiting_for_the_first_batch_alone_is_the_start),
		cmocka_unit_test(a_slow_start_of_a_long_run_is_no_matter),
		cmocka_unit_test(waits_after_the_start_count_without_it),
		cmocka_unit_test(a_moment_is_too_short_to_tell),
		cmocka_unit_test(few_batches_of_a_long_time_are_enough),
		cmocka_unit_test(without_a_reader_nobody_waits),
		cmocka_unit_test(what_is_a_state_and_no_count_is_that_of_the_end),
		cmocka_unit_test(only_what_happened_in_between_counts),
		cmocka_unit_test(counters_that_go_back_are_another_workers),
		cmocka_unit_test(a_resumed_run_is_judged_by_itself),
		cmocka_unit_test(counters_are_taken_by_name_and_others_are_left),
		cmocka_unit_test(no_numbers_break_the_rule),
	};

	return cmocka_run_group_tests_name("verdict", tests, NULL, NULL);
}
