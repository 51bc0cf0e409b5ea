/* chi_square.h - whether counts are what a fair draw gives. */
#ifndef CROPRING_TESTS_CHI_SQUARE_H
#define CROPRING_TESTS_CHI_SQUARE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * How many standard deviations a chi-square statistic lies from its expectation (Wilson and Hilferty's cube root makes it nearly
 * normal).  A fair table is beyond 5 less than once in a million times; an unfair one is far beyond with enough draws.
 */
static inline double chi_square_deviation(double statistic, double degrees_of_freedom)
{
	double variance = 2 / (9 * degrees_of_freedom);

	return (cbrt(statistic / degrees_of_freedom) - (1 - variance)) / sqrt(variance);
}

/* Of cells that are all expected equally often. */
static inline double chi_square(const uint32_t *observed, size_t cell_count, double expected)
{
	double sum = 0;

	for (size_t i = 0; i < cell_count; i++)
		sum += (observed[i] - expected) * (observed[i] - expected) / expected;
	return sum;
}

static inline void assert_fair(const char *what, uint64_t count, double statistic, double degrees_of_freedom)
{
	double distance = chi_square_deviation(statistic, degrees_of_freedom);

	printf("%s of %llu samples: chi-square %+.2f standard deviations\n", what, (unsigned long long)count, distance);
	assert_true(fabs(distance) < 5);
}

#endif
