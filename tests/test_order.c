/* test_order.c - every epoch is a permutation, and over seeds and epochs the permutations look like fair draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/order.h"
#include "tests/chi_square.h"
#include "tests/seed.h"

/* Of the sample that the order itself puts there. */
static uint64_t substitute(const struct order *order, uint32_t epoch, uint64_t position, uint32_t attempt)
{
	return order_substitute(order, epoch, position, order_sample(order, epoch, position), attempt);
}

static void assert_is_permutation(const struct order *order, uint32_t epoch, uint8_t *seen)
{
	memset(seen, 0, order->sample_count);
	for (uint64_t position = 0; position < order->sample_count; position++) {
		uint64_t sample = order_sample(order, epoch, position);

		if (sample >= order->sample_count || seen[sample]++)
			fail_msg("%llu samples, seed %llu, epoch %u: position %llu has sample %llu, which is %s",
			         (unsigned long long)order->sample_count, (unsigned long long)order->seed, epoch,
			         (unsigned long long)position, (unsigned long long)sample,
			         sample < order->sample_count ? "there already" : "too large");
	}
}

static void every_epoch_is_a_permutation(void **state)
{
	static const uint64_t larger[] = {4095, 4096, 65535, 65536, 65537, 99991, 1 << 18};
	static uint8_t seen[1 << 18];
	uint64_t random = seed_of_test("every_epoch_is_a_permutation");

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct order order = {.seed = seed_next(&random), .shuffle = true};
		uint32_t epoch = (uint32_t)seed_next(&random);

		for (order.sample_count = 1; order.sample_count <= 2000; order.sample_count++)
			assert_is_permutation(&order, epoch, seen);
		for (size_t j = 0; j < sizeof larger / sizeof *larger; j++) {
			order.sample_count = larger[j];
			assert_is_permutation(&order, epoch, seen);
		}
	}
}

static int compare_uint64(const void *left, const void *right)
{
	uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;

	return (l > r) - (l < r);
}

/* Too many to visit all: 50,000 positions at the start, at the end and in between. */
static void huge_orders_stay_in_range_and_never_repeat(void **state)
{
	static const uint64_t counts[] = {UINT64_C(1000000000), (UINT64_C(1) << 40) - 1, UINT64_C(1) << 40,
	                                  UINT64_C(1) << 53,    (UINT64_C(1) << 62) - 1, UINT64_C(1) << 62};
	enum { PROBES = 50000 };
	uint64_t *samples = malloc(PROBES * sizeof *samples);
	uint64_t random = seed_of_test("huge_orders_stay_in_range_and_never_repeat");

	(void)state;
	assert_non_null(samples);
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		struct order order = {.sample_count = counts[i], .seed = seed_next(&random), .shuffle = true};

		for (uint64_t j = 0; j < PROBES; j++) {
			uint64_t position = j % 3 == 0 ? j : j % 3 == 1 ? counts[i] - 1 - j : counts[i] / 2 + 997 * j;

			samples[j] = order_sample(&order, 0, position);
			assert_true(samples[j] < counts[i]);
		}
		qsort(samples, PROBES, sizeof *samples, compare_uint64);
		for (size_t j = 1; j < PROBES; j++)
			assert_true(samples[j - 1] < samples[j]);
	}
	free(samples);
}

/* The number of the order, of up to 6 samples, among all orders (Lehmer code). */
static size_t rank_of_order(const struct order *order, uint32_t epoch)
{
	size_t rank = 0;
	uint64_t samples[6];

	for (uint64_t i = 0; i < order->sample_count; i++)
		samples[i] = order_sample(order, epoch, i);
	for (uint64_t i = 0; i < order->sample_count; i++) {
		size_t smaller_later = 0;

		for (uint64_t j = i + 1; j < order->sample_count; j++)
			smaller_later += samples[j] < samples[i];
		rank = rank * (order->sample_count - i) + smaller_later;
	}
	return rank;
}

/* 2, 6, 24, 120 and 720 orders: small numbers are where a Feistel network is weakest. */
static void few_samples_come_in_all_orders_equally_often(void **state)
{
	uint64_t random = seed_of_test("few_samples_come_in_all_orders_equally_often");
	size_t order_count = 1;

	(void)state;
	for (uint64_t sample_count = 2; sample_count <= 6; sample_count++) {
		static uint32_t frequency[720];
		struct order order = {.sample_count = sample_count, .seed = seed_next(&random), .shuffle = true};
		uint32_t epoch_count = 24000;

		order_count *= sample_count;
		memset(frequency, 0, sizeof frequency);
		for (uint32_t epoch = 0; epoch < epoch_count; epoch++)
			frequency[rank_of_order(&order, epoch)]++;
		for (size_t i = 0; i < order_count; i++)
			assert_true(frequency[i] > 0);
		assert_fair("orders", sample_count, chi_square(frequency, order_count, (double)epoch_count / (double)order_count),
		            (double)order_count - 1);
	}
}

static void every_sample_comes_equally_often_at_every_position(void **state)
{
	static const uint64_t counts[] = {2, 3, 5, 7, 10, 12, 16, 17, 50};
	uint64_t random = seed_of_test("every_sample_comes_equally_often_at_every_position");

	(void)state;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		static uint32_t frequency[50 * 50];
		uint64_t count = counts[i];
		uint32_t seed_count = 8000;

		memset(frequency, 0, sizeof frequency);
		for (uint32_t j = 0; j < seed_count; j++) {
			struct order order = {.sample_count = count, .seed = seed_next(&random), .shuffle = true};

			for (uint64_t position = 0; position < count; position++)
				frequency[position * count + order_sample(&order, 0, position)]++;
		}

		/* The rows and columns of a permutation sum to 1, which makes its cells vary n / (n - 1) times as much as a
		 * table's. */
		double n = (double)count;

		assert_fair("position x sample", count, chi_square(frequency, count * count, seed_count / n) * (n - 1) / n,
		            (n - 1) * (n - 1));
	}
}

/* How far apart neighbours of an epoch stand in the data set: every distance from 1 to n - 1 alike, so that classes are mixed. */
static void neighbours_of_an_epoch_are_unrelated(void **state)
{
	enum { CELLS = 64 };
	static const uint64_t counts[] = {1 + CELLS, 1 + 16 * CELLS, 1 + 1024 * CELLS, 1 + 20000 * CELLS};
	uint64_t random = seed_of_test("neighbours_of_an_epoch_are_unrelated");

	(void)state;
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
		uint32_t frequency[CELLS] = {0};
		uint32_t pair_count = 0;
		uint64_t count = counts[i];
		struct order order = {.sample_count = count, .seed = seed_next(&random), .shuffle = true};

		for (uint32_t epoch = 0; pair_count < 200000; epoch++) {
			uint64_t before = order_sample(&order, epoch, 0);

			for (uint64_t position = 1; position < count && position < 5000; position++) {
				uint64_t sample = order_sample(&order, epoch, position);
				uint64_t distance = (sample + count - before) % count;

				frequency[(distance - 1) / ((count - 1) / CELLS)]++;
				pair_count++;
				before = sample;
			}
		}
		assert_fair("distance", count, chi_square(frequency, CELLS, (double)pair_count / CELLS), CELLS - 1);
	}
}

static void no_two_epochs_or_seeds_are_alike(void **state)
{
	enum { SEEDS = 50, EPOCHS = 50, PREFIX = 6 };
	static uint64_t prefixes[SEEDS * EPOCHS];

	(void)state;
	for (uint32_t seed = 0; seed < SEEDS; seed++)
		for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
			struct order order = {.sample_count = 1000, .seed = seed, .shuffle = true};
			uint64_t prefix = 0;

			for (uint64_t position = 0; position < PREFIX; position++)
				prefix = prefix * 1000 + order_sample(&order, epoch, position);
			prefixes[seed * EPOCHS + epoch] = prefix;
		}
	qsort(prefixes, SEEDS * EPOCHS, sizeof *prefixes, compare_uint64);
	for (size_t i = 1; i < SEEDS * EPOCHS; i++)
		assert_true(prefixes[i - 1] != prefixes[i]);
}

static void all_64_bits_of_the_seed_matter(void **state)
{
	(void)state;
	for (uint32_t bit = 0; bit < 64; bit++) {
		struct order plain = {.sample_count = UINT64_C(1) << 40, .seed = 77, .shuffle = true};
		struct order other = plain;

		other.seed ^= UINT64_C(1) << bit;
		assert_int_not_equal(order_sample(&plain, 0, 5), order_sample(&other, 0, 5));
	}
}

static void without_shuffle_positions_are_samples(void **state)
{
	struct order order = {.sample_count = 100, .seed = 1, .shuffle = false};

	(void)state;
	for (uint64_t position = 0; position < 100; position++)
		assert_int_equal(order_sample(&order, 9, position), position);
}

/* Seeds are promises: whoever notes one down gets the same order from a later version. */
static void order_of_a_seed_never_changes(void **state)
{
	static const uint64_t small[10] = {9, 2, 6, 5, 0, 8, 4, 7, 3, 1};
	static const uint64_t large[4] = {606074, 1249191, 529051, 1224756};
	static const uint64_t substitutes[4] = {777275, 443006, 1083921, 843726};
	struct order order = {.sample_count = 10, .seed = 42, .shuffle = true};

	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(order_sample(&order, 3, i), small[i]);
	order.sample_count = 1281167;
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(order_sample(&order, 3, i), large[i]);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(substitute(&order, 3, 1000, i + 1), substitutes[i]);
}

static void substitutes_are_all_other_samples_before_one_comes_twice(void **state)
{
	uint64_t random = seed_of_test("substitutes_are_all_other_samples_before_one_comes_twice");

	(void)state;
	for (int i = 0; i < 300; i++) {
		uint8_t seen[64] = {0};
		struct order order = {.sample_count = seed_between(&random, 2, 64), .seed = seed_next(&random), .shuffle = i % 2};
		uint32_t epoch = (uint32_t)seed_next(&random);
		uint64_t position = seed_between(&random, 0, order.sample_count - 1);
		uint32_t other_count = (uint32_t)order.sample_count - 1;

		seen[order_sample(&order, epoch, position)] = 1;
		for (uint32_t attempt = 1; attempt <= other_count; attempt++) {
			uint64_t sample = substitute(&order, epoch, position, attempt);

			assert_true(sample < order.sample_count && !seen[sample]);
			seen[sample] = 1;
			assert_int_equal(substitute(&order, epoch, position, attempt + other_count), sample);
		}
	}
}

static void substitutes_are_spread_over_all_samples(void **state)
{
	struct order order = {.sample_count = 101, .seed = seed_of_test("substitutes_are_spread_over_all_samples")};

	(void)state;
	for (int shuffle = 0; shuffle < 2; shuffle++) {
		uint32_t frequency[101] = {0};

		order.shuffle = shuffle;
		for (uint32_t epoch = 0; epoch < 1000; epoch++)
			for (uint64_t position = 0; position < 101; position++)
				frequency[substitute(&order, epoch, position, 1)]++;
		assert_fair("substitutes", 101, chi_square(frequency, 101, 1000), 100);
	}
}

static void an_only_sample_is_its_own_substitute(void **state)
{
	struct order order = {.sample_count = 1, .seed = 1, .shuffle = true};

	(void)state;
	assert_int_equal(order_sample(&order, 0, 0), 0);
	assert_int_equal(substitute(&order, 0, 0, 1), 0);
	assert_int_equal(substitute(&order, 0, 0, UINT32_MAX), 0);
}

static void substitutes_of_huge_orders_stay_in_range(void **state)
{
	struct order order = {.sample_count = UINT64_C(1) << 62, .seed = 1, .shuffle = true};

	(void)state;
	for (uint32_t attempt = 1; attempt < 1000; attempt++) {
		uint64_t sample = substitute(&order, 0, order.sample_count - 1, attempt);

		assert_true(sample < order.sample_count);
		assert_true(sample != order_sample(&order, 0, order.sample_count - 1));
	}
	order.sample_count = 2;
	assert_int_equal(substitute(&order, 0, 0, UINT32_MAX), order_sample(&order, 0, 1));
}

static void substitutes_of_samples_that_are_not_there_are_samples(void **state)
{
	struct order order = {.sample_count = 10, .seed = 1, .shuffle = true};

	(void)state;
	for (uint32_t attempt = 1; attempt < 100; attempt++) {
		assert_true(order_substitute(&order, 0, UINT64_MAX, UINT64_MAX, attempt) < 10);
		assert_true(order_substitute(&order, 0, 10, 10, attempt) < 10);
	}
	order.sample_count = 1;
	assert_int_equal(order_substitute(&order, 0, 0, 7, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_epoch_is_a_permutation),
		cmocka_unit_test(huge_orders_stay_in_range_and_never_repeat),
		cmocka_unit_test(few_samples_come_in_all_orders_equally_often),
		cmocka_unit_test(every_sample_comes_equally_often_at_every_position),
		cmocka_unit_test(neighbours_of_an_epoch_are_unrelated),
		cmocka_unit_test(no_two_epochs_or_seeds_are_alike),
		cmocka_unit_test(all_64_bits_of_the_seed_matter),
		cmocka_unit_test(without_shuffle_positions_are_samples),
		cmocka_unit_test(order_of_a_seed_never_changes),
		cmocka_unit_test(substitutes_are_all_other_samples_before_one_comes_twice),
		cmocka_unit_test(substitutes_are_spread_over_all_samples),
		cmocka_unit_test(an_only_sample_is_its_own_substitute),
		cmocka_unit_test(substitutes_of_huge_orders_stay_in_range),
		cmocka_unit_test(substitutes_of_samples_that_are_not_there_are_samples),
	};

	return cmocka_run_group_tests_name("order", tests, NULL, NULL);
}
