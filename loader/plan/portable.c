/* portable.c - part of stage 1 of 5: series for exp and log that round the same way everywhere.  Pure functions, any thread. */
#include "loader/plan/portable.h"

#include <assert.h>
#include <stdbool.h>

/* ln 2 in two parts (fdlibm, e_log.c).  The first has its 21 lowest bits clear, so that a small whole number times it is exact. */
#define LN2_HIGH  0x1.62e42feep-1
#define LN2_LOW   0x1.a39ef35793c76p-33
#define LN2       0x1.62e42fefa39efp-1
#define SQRT_2    0x1.6a09e667f3bcdp+0
#define SQRT_HALF 0x1.6a09e667f3bcdp-1

/* exp(x) = 2^k * exp(r) with |r| <= ln(2) / 2; there the 15th term of Taylor's series is below 2^-57. */
double portable_exp(double x)
{
	assert(x > -1000 && x < 1000);

	int k = (int)(x / LN2 + (x < 0 ? -0.5 : 0.5));
	double r = (x - k * LN2_HIGH) - k * LN2_LOW;
	double result = 1;

	for (int n = 14; n >= 1; n--)
		result = 1 + result * r / n;

	/* Powers of two are exact. */
	for (; k > 0; k--)
		result *= 2;
	for (; k < 0; k++)
		result /= 2;
	return result;
}

/*
 * log(x) = k ln(2) + log(1 + f) with 1 + f from sqrt(1/2) to sqrt(2).  With s = f / (2 + f), log(1 + f) is
 * 2 (s + s^3/3 + s^5/5 + ...) = f - s (f - rest): only the second, small term is rounded more than once.  Source: fdlibm, e_log.c.
 */
double portable_log(double x)
{
	assert(x > 0 && x < 1.0 / 0.0);

	int k = 0;

	for (; x > SQRT_2; k++)
		x /= 2;
	for (; x < SQRT_HALF; k--)
		x *= 2;

	double f = x - 1;
	double s = f / (2 + f);
	double rest = 0;

	/* s^2 is below 0.0295: the first term left out is below 2^-60. */
	for (int n = 23; n >= 3; n -= 2)
		rest = (rest + 2.0 / n) * (s * s);
	return k * LN2_HIGH - ((s * (f - rest) - k * LN2_LOW) - f);
}

uint64_t portable_round(double x)
{
	const uint64_t limit = UINT64_C(1) << 53;

	assert(x >= 0);
	if (x >= (double)limit)
		return limit;

	uint64_t whole = (uint64_t)x;
	double fraction = x - (double)whole;
	bool whole_is_odd = whole % 2 == 1;

	return whole + (fraction > 0.5 || (fraction == 0.5 && whole_is_odd));
}
