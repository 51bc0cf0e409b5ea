/* test_schedule.c - ranks together hand out every position as often as the tail rule says, in equally many batches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/plan/schedule.h"
#include "tests/seed.h"

#define COUNT_MAX 400

/* How often each position comes in an epoch over all ranks, as itself and as padding. */
struct tally {
	uint32_t real[COUNT_MAX], padding[COUNT_MAX];
	uint64_t batches, rows;
};

static void tally_epoch(struct schedule schedule, uint32_t epoch, struct tally *tally)
{
	memset(tally, 0, sizeof *tally);
	for (schedule.rank = 0; schedule.rank < schedule.world_size; schedule.rank++) {
		uint64_t batches = schedule_batches(&schedule, epoch);

		if (schedule.rank > 0)
			assert_int_equal(batches, tally->batches);
		tally->batches = batches;
		for (uint64_t batch = 0; batch < batches; batch++) {
			uint32_t rows = schedule_rows(&schedule, epoch, batch);

			assert_true(rows <= schedule.batch_size);
			if (batch + 1 < batches || schedule.tail != TAIL_PARTIAL)
				assert_int_equal(rows, schedule.batch_size);
			tally->rows += rows;
			for (uint32_t row = 0; row < rows; row++) {
				bool padding;
				uint64_t position = schedule_position(&schedule, epoch, batch, row, &padding);

				assert_true(position < schedule.sample_count);
				(padding ? tally->padding : tally->real)[position]++;
			}
		}
	}
}

static struct schedule random_schedule(uint64_t *random, enum schedule_tail tail)
{
	struct schedule schedule = {
		.sample_count = seed_between(random, 1, COUNT_MAX),
		.batch_size = (uint32_t)seed_between(random, 1, 40),
		.world_size = (uint32_t)seed_between(random, 1, 9),
		.tail = tail,
		.first_epoch = (uint32_t)seed_between(random, 0, 5),
		.epochs = 2,
	};

	if (seed_next(random) % 2)
		schedule.start_sample = seed_between(random, 0, schedule.sample_count);
	return schedule;
}

/* Runs `check` on the first epoch and on one after it, of many random schedules. */
static void for_random_schedules(const char *test, enum schedule_tail tail,
                                 void (*check)(const struct schedule *schedule, uint64_t start, const struct tally *tally))
{
	static struct tally tally;
	uint64_t random = seed_of_test(test);

	for (int i = 0; i < 2000; i++) {
		struct schedule schedule = random_schedule(&random, tail);

		tally_epoch(schedule, schedule.first_epoch, &tally);
		check(&schedule, schedule.start_sample, &tally);
		tally_epoch(schedule, schedule.first_epoch + 1, &tally);
		check(&schedule, 0, &tally);
	}
}

static void check_drop(const struct schedule *schedule, uint64_t start, const struct tally *tally)
{
	uint64_t step = (uint64_t)schedule->batch_size * schedule->world_size;
	uint64_t end = start + (schedule->sample_count - start) / step * step;

	assert_int_equal(tally->rows, end - start);
	for (uint64_t position = 0; position < schedule->sample_count; position++) {
		assert_int_equal(tally->real[position], position >= start && position < end);
		assert_int_equal(tally->padding[position], 0);
	}
}

static void drop_hands_out_whole_steps_once(void **state)
{
	(void)state;
	for_random_schedules("drop_hands_out_whole_steps_once", TAIL_DROP, check_drop);
}

static void check_pad(const struct schedule *schedule, uint64_t start, const struct tally *tally)
{
	uint64_t step = (uint64_t)schedule->batch_size * schedule->world_size;
	uint64_t padding_count = (step - (schedule->sample_count - start) % step) % step;

	assert_int_equal(tally->rows, tally->batches * step);
	for (uint64_t position = 0; position < schedule->sample_count; position++) {
		uint64_t whole_rounds = padding_count / schedule->sample_count;
		bool once_more = position < padding_count % schedule->sample_count;

		assert_int_equal(tally->real[position], position >= start);
		assert_int_equal(tally->padding[position], whole_rounds + once_more);
	}
}

static void pad_hands_out_all_once_and_fills_from_the_start(void **state)
{
	(void)state;
	for_random_schedules("pad_hands_out_all_once_and_fills_from_the_start", TAIL_PAD, check_pad);
}

static void check_partial(const struct schedule *schedule, uint64_t start, const struct tally *tally)
{
	assert_int_equal(tally->rows, schedule->sample_count - start);
	for (uint64_t position = 0; position < schedule->sample_count; position++) {
		assert_int_equal(tally->real[position], position >= start);
		assert_int_equal(tally->padding[position], 0);
	}
}

static void partial_hands_out_all_once(void **state)
{
	(void)state;
	for_random_schedules("partial_hands_out_all_once", TAIL_PARTIAL, check_partial);
}

static void the_global_order_does_not_depend_on_the_world_size(void **state)
{
	const struct schedule alone = {.sample_count = 240, .batch_size = 24, .world_size = 1, .epochs = 1};

	(void)state;
	for (uint32_t world_size = 2; world_size <= 6; world_size++)
		for (uint64_t batch = 0; batch < 240 / 24; batch++)
			for (uint32_t row = 0; row < 24; row++) {
				bool padding;
				struct schedule split = alone;
				uint64_t expected = schedule_position(&alone, 0, batch, row, &padding);

				split.world_size = world_size;
				split.batch_size = 24 / world_size;
				split.rank = row % world_size;
				if (24 % world_size == 0)
					assert_int_equal(schedule_position(&split, 0, batch, row / world_size, &padding), expected);
			}
}

/* 10 samples for 3 ranks of 2: the last step has 4, of which ranks 0 to 2 take 2, 1 and 1. */
static void a_short_step_is_dealt_out_row_by_row(void **state)
{
	struct schedule schedule = {.sample_count = 10, .batch_size = 2, .world_size = 3, .tail = TAIL_PARTIAL, .epochs = 1};
	static const uint32_t rows[3] = {2, 1, 1};
	bool padding;

	(void)state;
	for (schedule.rank = 0; schedule.rank < 3; schedule.rank++) {
		assert_int_equal(schedule_batches(&schedule, 0), 2);
		assert_int_equal(schedule_rows(&schedule, 0, 1), rows[schedule.rank]);
		assert_int_equal(schedule_position(&schedule, 0, 1, 0, &padding), 6 + schedule.rank);
		assert_false(padding);
	}
	schedule.rank = 0;
	assert_int_equal(schedule_position(&schedule, 0, 1, 1, &padding), 9);
	schedule.sample_count = 7;
	schedule.rank = 2;
	assert_int_equal(schedule_rows(&schedule, 0, 1), 0);
}

static void batches_come_in_order_and_then_it_is_over(void **state)
{
	const struct schedule schedule = {
		.sample_count = 10, .batch_size = 3, .world_size = 1, .first_epoch = 4, .epochs = 2, .start_sample = 2};
	static const struct schedule_cursor expected[] = {{4, 0}, {4, 1}, {5, 0}, {5, 1}, {5, 2}};
	struct schedule_cursor cursor, now = {0, 0};

	(void)state;
	schedule_begin(&schedule, &cursor);
	for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
		assert_true(schedule_next(&schedule, &cursor, &now));
		assert_int_equal(now.epoch, expected[i].epoch);
		assert_int_equal(now.batch, expected[i].batch);
	}
	for (int i = 0; i < 3; i++)
		assert_false(schedule_next(&schedule, &cursor, &now));
	assert_int_equal(now.epoch, 5);
	assert_int_equal(now.batch, 2);
}

static void a_first_epoch_without_a_batch_is_skipped(void **state)
{
	struct schedule schedule = {
		.sample_count = 10, .batch_size = 4, .world_size = 1, .first_epoch = 7, .epochs = 2, .start_sample = 8};
	struct schedule_cursor cursor, now;

	(void)state;
	for (schedule.epochs = 0; schedule.epochs < 3; schedule.epochs++) {
		schedule_begin(&schedule, &cursor);
		if (schedule.epochs == 1) {
			assert_false(schedule_next(&schedule, &cursor, &now));
			continue;
		}
		assert_true(schedule_next(&schedule, &cursor, &now));
		assert_int_equal(now.epoch, 8);
		assert_int_equal(now.batch, 0);
	}
}

static void epochs_without_end_go_on_beyond_their_number(void **state)
{
	const struct schedule endless = {.sample_count = 4, .batch_size = 2, .world_size = 2, .first_epoch = UINT32_MAX - 1};
	struct schedule finite = endless;
	struct schedule_cursor cursor, now;

	(void)state;
	schedule_begin(&endless, &cursor);
	for (uint32_t i = 0; i < 1000; i++) {
		assert_true(schedule_next(&endless, &cursor, &now));
		assert_int_equal(now.epoch, UINT32_MAX - 1 + i);
		assert_int_equal(now.batch, 0);
	}

	finite.epochs = 5;
	schedule_begin(&finite, &cursor);
	for (uint32_t i = 0; i < 5; i++)
		assert_true(schedule_next(&finite, &cursor, &now));
	assert_false(schedule_next(&finite, &cursor, &now));
}

/* If it does not, it never ends: the alarm ends this program. */
static void a_schedule_without_any_batch_ends_at_once(void **state)
{
	struct schedule schedule = {.sample_count = 3, .batch_size = 2, .world_size = 2, .tail = TAIL_DROP};
	struct schedule_cursor cursor, now;

	(void)state;
	alarm(60);
	for (int i = 0; i < 3; i++) {
		schedule.epochs = (uint32_t[]){0, 1, UINT32_MAX}[i];
		schedule_begin(&schedule, &cursor);
		assert_int_equal(schedule_batches(&schedule, 0), 0);
		assert_false(schedule_next(&schedule, &cursor, &now));
		assert_false(schedule_next(&schedule, &cursor, &now));
	}
	alarm(0);
}

static void nothing_overflows_at_the_largest_sizes(void **state)
{
	struct schedule schedule = {
		.sample_count = UINT64_C(1) << 40,
		.batch_size = UINT32_MAX,
		.rank = UINT32_MAX - 1,
		.world_size = UINT32_MAX,
		.tail = TAIL_PAD,
		.epochs = 1,
		.start_sample = (UINT64_C(1) << 40) - 1,
	};
	uint64_t last_offset = (uint64_t)(UINT32_MAX - 1) * UINT32_MAX + UINT32_MAX - 1;
	bool padding;

	(void)state;
	assert_int_equal(schedule_batches(&schedule, 0), 1);
	assert_int_equal(schedule_position(&schedule, 0, 0, UINT32_MAX - 1, &padding), (last_offset - 1) % schedule.sample_count);
	assert_true(padding);

	schedule.tail = TAIL_PARTIAL;
	assert_int_equal(schedule_rows(&schedule, 0, 0), 0);
	schedule.rank = 0;
	assert_int_equal(schedule_rows(&schedule, 0, 0), 1);
	assert_int_equal(schedule_position(&schedule, 0, 0, 0, &padding), schedule.sample_count - 1);
	assert_false(padding);

	schedule.tail = TAIL_DROP;
	assert_int_equal(schedule_batches(&schedule, 0), 0);

	schedule = (struct schedule){.sample_count = UINT64_C(1) << 40, .batch_size = 256, .rank = 6, .world_size = 7};
	uint64_t batches = schedule_batches(&schedule, 0);

	assert_int_equal(batches, (UINT64_C(1) << 40) / (256 * 7));
	assert_int_equal(schedule_position(&schedule, 0, batches - 1, 255, &padding), batches * 256 * 7 - 1);
	assert_false(padding);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_hands_out_whole_steps_once),
		cmocka_unit_test(pad_hands_out_all_once_and_fills_from_the_start),
		cmocka_unit_test(partial_hands_out_all_once),
		cmocka_unit_test(the_global_order_does_not_depend_on_the_world_size),
		cmocka_unit_test(a_short_step_is_dealt_out_row_by_row),
		cmocka_unit_test(batches_come_in_order_and_then_it_is_over),
		cmocka_unit_test(a_first_epoch_without_a_batch_is_skipped),
		cmocka_unit_test(epochs_without_end_go_on_beyond_their_number),
		cmocka_unit_test(a_schedule_without_any_batch_ends_at_once),
		cmocka_unit_test(nothing_overflows_at_the_largest_sizes),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
