/* test_portable.c - our exp, log and round against the C library's long double ones and against fixed bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/portable.h"
#include "tests/seed.h"

#define CASES 200000

/* Distance from the exact value in units of the last place of a double of that size. */
static double error_ulp(double got, long double exact)
{
	double rounded = (double)exact;
	double ulp = nextafter(fabs(rounded), INFINITY) - fabs(rounded);

	return (double)(fabsl((long double)got - exact) / (long double)ulp);
}

static double random_between(uint64_t *random, double least, double most)
{
	return least + (double)(seed_next(random) >> 11) * 0x1p-53 * (most - least);
}

static void exp_is_within_2_ulp(void **state)
{
	uint64_t random = seed_of_test("exp_is_within_2_ulp");
	double worst = 0;

	(void)state;
	for (int i = 0; i < CASES; i++) {
		double reach = i % 2 ? 2 : 708;
		double x = random_between(&random, -reach, reach);
		double error = error_ulp(portable_exp(x), expl((long double)x));

		worst = error > worst ? error : worst;
	}
	printf("exp: at most %.3f ulp\n", worst);
	assert_true(worst <= 2);
}

static void log_is_within_2_ulp(void **state)
{
	uint64_t random = seed_of_test("log_is_within_2_ulp");
	double worst = 0;

	(void)state;
	for (int i = 0; i < CASES; i++) {
		double x = i % 2 ? random_between(&random, 0.25, 4) : exp(random_between(&random, -740, 709));
		double error = x == 1 ? 0 : error_ulp(portable_log(x), logl((long double)x));

		worst = error > worst ? error : worst;
	}
	printf("log: at most %.3f ulp\n", worst);
	assert_true(worst <= 2);
}

static void ends_of_the_range_are_handled(void **state)
{
	(void)state;
	assert_true(portable_exp(0) == 1);
	assert_true(portable_log(1) == 0);
	assert_true(portable_exp(999) == INFINITY);
	assert_true(portable_exp(-999) == 0);
	assert_true(error_ulp(portable_log(0x1p-1074), logl(0x1p-1074L)) <= 2);
	assert_true(error_ulp(portable_log(0x1.fffffffffffffp+1023), logl(0x1.fffffffffffffp+1023L)) <= 2);
	assert_true(error_ulp(portable_log(nextafter(1, 2)), logl((long double)nextafter(1, 2))) <= 2);
	assert_true(error_ulp(portable_log(nextafter(1, 0)), logl((long double)nextafter(1, 0))) <= 2);
}

/* A machine or a compiler flag that changes the last bit changes crops: it must not go unnoticed. */
static void bits_are_these_on_every_machine(void **state)
{
	(void)state;
	assert_true(portable_log(3.0 / 4) == -0x1.269621134db92p-2);
	assert_true(portable_log(4.0 / 3) == 0x1.269621134db91p-2);
	assert_true(portable_log(10) == 0x1.26bb1bbb55516p+1);
	assert_true(portable_exp(0.1) == 0x1.1aec7b35a00d4p+0);
	assert_true(portable_exp(-0.28) == 0x1.82f61628cd3d9p-1);
	assert_true(portable_exp(20.5) == 0x1.7d6c4f0bcdd5cp+29);
}

static void round_goes_to_the_nearest_and_halves_to_even(void **state)
{
	static const struct {
		double x;
		uint64_t rounded;
	} cases[] = {
		{0, 0},
		{0.49999999999999994, 0},
		{0.5, 0},
		{0.5000000000000001, 1},
		{1, 1},
		{1.5, 2},
		{2.5, 2},
		{3.5, 4},
		{65534.5, 65534},
		{65535.5, 65536},
		{4503599627370495.5, 4503599627370496},
		{4503599627370497, 4503599627370497},
		{9007199254740991, 9007199254740991},
		{9007199254740992, 9007199254740992},
		{1e300, 9007199254740992},
		{INFINITY, 9007199254740992},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(portable_round(cases[i].x), cases[i].rounded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exp_is_within_2_ulp),
		cmocka_unit_test(log_is_within_2_ulp),
		cmocka_unit_test(ends_of_the_range_are_handled),
		cmocka_unit_test(bits_are_these_on_every_machine),
		cmocka_unit_test(round_goes_to_the_nearest_and_halves_to_even),
	};

	return cmocka_run_group_tests_name("portable", tests, NULL, NULL);
}
