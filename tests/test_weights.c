/* test_weights.c - samples come as often as their weights say, those of weight 0 never, and the same everywhere. */
#include <math.h>
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

static struct weights *table_of(const double *values, uint64_t count)
{
	struct weights *weights;
	struct err err;

	assert_int_equal(weights_open(&weights, values, count, "weights", &err), 0);
	return weights;
}

static double sum_of(const double *values, uint64_t count)
{
	long double sum = 0;

	for (uint64_t i = 0; i < count; i++)
		sum += values[i];
	return (double)sum;
}

/* Weights of all orders of magnitude, a third of them 0. */
static void make_values(uint64_t *random, double *values, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		values[i] = seed_between(random, 0, 2)
		                    ? ldexp((double)seed_between(random, 1, 1000), (int)seed_between(random, 0, 30))
		                    : 0;
	values[seed_between(random, 0, count - 1)] = 1;
}

static void shares_are_the_weights_to_a_few_parts_in_2_32(void **state)
{
	uint64_t random = seed_of_test("shares_are_the_weights_to_a_few_parts_in_2_32");
	double values[300];

	(void)state;
	for (int i = 0; i < 200; i++) {
		uint64_t count = seed_between(&random, 1, 300), total = 0;
		struct weights *weights;
		double sum;

		make_values(&random, values, count);
		weights = table_of(values, count);
		sum = sum_of(values, count);
		for (uint64_t sample = 0; sample < count; sample++) {
			uint64_t share = weights_share(weights, sample);
			double exact = values[sample] / sum * (double)count * 4294967296.0;

			total += share;
			if (values[sample] == 0)
				assert_int_equal(share, 0);
			else /* 1 for the rounding, 1 more for the largest, which bears the rest */
				assert_true(fabs((double)share - exact) <= 2 + exact * 4e-15);
		}
		assert_int_equal(total, count << 32);
		weights_close(weights);
	}
}

static void extreme_weights_overflow_nothing(void **state)
{
	static const double values[][4] = {
		{1e300, 1e300, 1e300, 1e300},
		{1.7976931348623157e308, 1.7976931348623157e308, 0, 1.7976931348623157e308},
		{5e-324, 5e-324, 5e-324, 0},
		{1e308, 1e-308, 0, 1e-308},
		{0, 0, 0, 5e-324},
	};
	static const double expected[][4] = {
		{1, 1, 1, 1}, {4. / 3, 4. / 3, 0, 4. / 3}, {4. / 3, 4. / 3, 4. / 3, 0}, {4, 0, 0, 0}, {0, 0, 0, 4}};

	(void)state;
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		struct weights *weights = table_of(values[i], 4);

		for (uint64_t sample = 0; sample < 4; sample++)
			assert_true(fabs((double)weights_share(weights, sample) / 4294967296.0 - expected[i][sample]) < 1e-9);
		weights_close(weights);
	}
}

/* A million weights far below one part in 2^32 of the largest: together they have their share. */
static void tiny_weights_keep_their_common_share(void **state)
{
	enum { COUNT = 1000001 };
	double *values = malloc(COUNT * sizeof *values);
	struct weights *weights;
	double others;

	(void)state;
	values[0] = 1;
	for (int i = 1; i < COUNT; i++)
		values[i] = 1e-17;
	weights = table_of(values, COUNT);
	others = 1 - (double)weights_share(weights, 0) / (COUNT * 4294967296.0);
	assert_true(fabs(others / 1e-11 - 1) < 1e-3);
	weights_close(weights);
	free(values);
}

/* What the sum of a million is off by would all be the largest one's to bear: 57,000 parts in 2^32, if it were added up plainly. */
static void the_largest_of_many_weights_keeps_its_share(void **state)
{
	enum { COUNT = 1000001 };
	double *values = malloc(COUNT * sizeof *values), expected = COUNT * 4294967296.0 / 100001;
	struct weights *weights;

	(void)state;
	values[0] = 1;
	for (int i = 1; i < COUNT; i++)
		values[i] = 0.1;
	weights = table_of(values, COUNT);
	assert_true(fabs((double)weights_share(weights, 0) - expected) < 100);
	weights_close(weights);
	free(values);
}

static void samples_come_as_often_as_their_weights_say(void **state)
{
	static const double values[8] = {1, 2, 3, 0, 10, 0.5, 0, 3.5};
	uint64_t random = seed_of_test("samples_come_as_often_as_their_weights_say");
	struct weights *weights = table_of(values, 8);
	struct order order = {.sample_count = 8, .seed = seed_next(&random), .shuffle = true, .weights = weights};
	uint32_t frequency[8] = {0}, pairs[8][8] = {{0}};
	enum { DRAWS = 400000 };
	double statistic = 0, pair_statistic = 0;
	uint64_t before = order_sample(&order, 0, DRAWS);

	(void)state;
	for (uint64_t position = 0; position < DRAWS; position++) {
		uint64_t sample = order_sample(&order, (uint32_t)(position % 7), position);

		frequency[sample]++;
		pairs[before][sample]++;
		before = sample;
	}
	for (int i = 0; i < 8; i++) {
		double expected = DRAWS * values[i] / 20;

		if (values[i] == 0) {
			assert_int_equal(frequency[i], 0);
			continue;
		}
		statistic += (frequency[i] - expected) * (frequency[i] - expected) / expected;
		for (int j = 0; j < 8; j++) {
			double expected_pairs = expected * values[j] / 20;

			if (values[j] > 0)
				pair_statistic += (pairs[i][j] - expected_pairs) * (pairs[i][j] - expected_pairs) / expected_pairs;
		}
	}
	assert_fair("weights", 8, statistic, 5);
	assert_fair("pairs of weights", 8, pair_statistic, 35);
	weights_close(weights);
}

static void a_weight_of_0_is_no_substitute_either(void **state)
{
	static const double values[6] = {0, 3, 0, 1, 1, 0};
	uint64_t random = seed_of_test("a_weight_of_0_is_no_substitute_either");
	struct weights *weights = table_of(values, 6);
	struct order order = {.sample_count = 6, .seed = seed_next(&random), .shuffle = true, .weights = weights};

	(void)state;
	for (uint64_t position = 0; position < 20000; position++) {
		uint64_t planned = order_sample(&order, 1, position);

		for (uint32_t attempt = 1; attempt <= 16; attempt++) {
			uint64_t sample = substitute(&order, 1, position, attempt);

			assert_true(values[sample] > 0 && sample != planned);
			assert_int_equal(substitute(&order, 1, position, attempt), sample);
		}
	}
	weights_close(weights);
}

static void the_only_sample_with_a_weight_is_its_own_substitute(void **state)
{
	static const double values[3] = {0, 0.25, 0};
	struct weights *weights = table_of(values, 3);
	struct order order = {.sample_count = 3, .seed = 5, .shuffle = true, .weights = weights};

	(void)state;
	assert_int_equal(order_sample(&order, 0, 123456789012), 1);
	assert_int_equal(substitute(&order, 0, 0, 1), 1);
	assert_int_equal(substitute(&order, 0, 0, 16), 1);
	weights_close(weights);
}

static void seeds_epochs_and_positions_draw_by_themselves(void **state)
{
	double values[1000];
	struct weights *weights;
	uint32_t same[3] = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		values[i] = 1;
	weights = table_of(values, 1000);
	for (uint64_t position = 0; position < 10000; position++) {
		struct order order = {.sample_count = 1000, .seed = 1, .shuffle = true, .weights = weights}, other = order;
		uint64_t sample = order_sample(&order, 0, position);

		other.seed = 2;
		same[0] += sample == order_sample(&other, 0, position);
		same[1] += sample == order_sample(&order, 1, position);
		same[2] += sample == order_sample(&order, 0, position + (UINT64_C(1) << 40));
	}
	for (int i = 0; i < 3; i++) /* 10 expected; 40 comes by chance once in 10^11 times */
		assert_true(same[i] < 40);
	weights_close(weights);
}

/* Seeds are promises, with weights as well. */
static void draws_of_a_seed_never_change(void **state)
{
	static const uint64_t expected[12] = {5, 4, 2, 1, 8, 71, 77, 4, 8, 1, 7, 67};
	static const uint64_t substitutes[4] = {10, 13, 8, 85};
	double values[100];
	struct weights *weights;
	struct order order = {.sample_count = 100, .seed = 42, .shuffle = true};

	(void)state;
	for (int i = 0; i < 100; i++)
		values[i] = i % 3 == 0 ? 0 : 1.0 / i;
	order.weights = weights = table_of(values, 100);
	for (uint64_t i = 0; i < 12; i++)
		assert_int_equal(order_sample(&order, 3, i), expected[i]);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(substitute(&order, 3, 1000, i + 1), substitutes[i]);
	weights_close(weights);
}

static void values_that_are_no_weights_are_refused_by_number(void **state)
{
	static const struct {
		double values[3];
		const char *text;
	} rows[] = {
		{{1, -0.5, -1}, "sample 1 is -0.5"},
		{{1, 2, NAN}, "sample 2 is"},
		{{INFINITY, 1, 1}, "sample 0 is inf"},
		{{0, 0, 0}, "all 3 weights are 0"},
	};
	struct weights *weights;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		assert_true(weights_open(&weights, rows[i].values, 3, "--weights w.npy", &err) < 0);
		assert_non_null(strstr(err.text, rows[i].text));
		assert_non_null(strstr(err.text, "--weights w.npy: "));
	}
	assert_true(weights_open(&weights, rows[0].values, UINT64_C(1) << 32, "--weights w.npy", &err) < 0);
	assert_non_null(strstr(err.text, "up to 4294967295 can be used"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_are_the_weights_to_a_few_parts_in_2_32),
		cmocka_unit_test(extreme_weights_overflow_nothing),
		cmocka_unit_test(tiny_weights_keep_their_common_share),
		cmocka_unit_test(the_largest_of_many_weights_keeps_its_share),
		cmocka_unit_test(samples_come_as_often_as_their_weights_say),
		cmocka_unit_test(a_weight_of_0_is_no_substitute_either),
		cmocka_unit_test(the_only_sample_with_a_weight_is_its_own_substitute),
		cmocka_unit_test(seeds_epochs_and_positions_draw_by_themselves),
		cmocka_unit_test(draws_of_a_seed_never_change),
		cmocka_unit_test(values_that_are_no_weights_are_refused_by_number),
	};

	return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
