/*
 * weights.c - part of stage 1 of 5: weights in, a table to draw samples from out.  One thread builds it, then any thread draws.
 *
 * The table has a column for each sample, all of the same height ONE.  A column belongs to its own sample up to `threshold`, and to
 * its alias above that; a draw picks a column, then a height.
 */
#include "loader/plan/weights.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ONE (UINT64_C(1) << 32)

struct column {
	uint32_t threshold; /* heights below it are the column's own sample's; 0 in a column with a single owner, its alias */
	uint32_t alias;
};

struct weights {
	uint64_t sample_count;
	struct column column[];
};

/* ------------------------------------------------------------------ weights to whole numbers */

static int check(const double *values, uint64_t count, const char *name, double *largest, struct err *err)
{
	*largest = 0;
	for (uint64_t i = 0; i < count; i++) {
		if (!(values[i] >= 0 && values[i] * 0 == 0))
			return err_fail(err, -EINVAL,
			                "%s: the weight of sample %llu is %g; 0 or a finite number above it is expected", name,
			                (unsigned long long)i, values[i]);
		*largest = values[i] > *largest ? values[i] : *largest;
	}
	if (*largest == 0)
		return err_fail(err, -EINVAL, "%s: all %llu weights are 0, so there is nothing to draw; one above 0 is needed",
		                name, (unsigned long long)count);
	return 0;
}

/* Of the values as shares of the largest one, so that it cannot overflow; compensated (Kahan), so off by about 2^-52 at any count. */
static double sum_of(const double *values, uint64_t count, double largest)
{
	double sum = 0, excess = 0;

	for (uint64_t i = 0; i < count; i++) {
		double term = values[i] / largest - excess, grown = sum + term;

		excess = grown - sum - term;
		sum = grown;
	}
	return sum;
}

/*
 * Heights that sum to exactly count * ONE.  What rounding cuts off one is carried to the next, so that a million tiny weights
 * together keep their share.  What the sum is still off by, some 2^-52 of it, the highest one bears: it has ONE at least, so its
 * share changes by less than 2^-18 even at 2^32 samples.
 */
static void round_to_heights(const double *values, uint64_t count, double largest, uint64_t *heights)
{
	double scale = (double)count * (double)ONE / sum_of(values, count, largest), carry = 0;
	uint64_t total = 0, highest = 0;

	for (uint64_t i = 0; i < count; i++) {
		double exact = values[i] / largest * scale;

		heights[i] = (uint64_t)exact;
		carry += exact - (double)heights[i];
		if (carry >= 1) { /* never at a weight of 0, which adds nothing */
			carry -= 1;
			heights[i]++;
		}
		total += heights[i];
		highest = heights[i] > heights[highest] ? i : highest;
	}
	heights[highest] += count * ONE - total; /* modulo 2^64, for it may be less than nothing */
}

/* ------------------------------------------------------------------ heights to columns */

/*
 * Each low sample's column is filled up by a high one.  The sum of what is left is always the number of columns that are left, so as
 * long as one is low another is high.  Both wait in one array, low ones from its begin, high ones from its end.
 */
static void fill_columns(struct weights *weights, uint64_t *heights, uint32_t *waiting)
{
	uint64_t count = weights->sample_count, low_count = 0, high_begin = count;

	for (uint64_t i = 0; i < count; i++) {
		if (heights[i] < ONE)
			waiting[low_count++] = (uint32_t)i;
		else
			waiting[--high_begin] = (uint32_t)i;
	}
	while (low_count > 0) {
		assert(high_begin < count);
		uint32_t low = waiting[--low_count], high = waiting[high_begin];

		weights->column[low] = (struct column){.threshold = (uint32_t)heights[low], .alias = high};
		heights[high] -= ONE - heights[low];
		if (heights[high] < ONE) {
			high_begin++;
			waiting[low_count++] = high;
		}
	}
	for (; high_begin < count; high_begin++) {
		assert(heights[waiting[high_begin]] == ONE);
		weights->column[waiting[high_begin]] = (struct column){.alias = waiting[high_begin]};
	}
}

int weights_open(struct weights **out, const double *values, uint64_t sample_count, const char *name, struct err *err)
{
	struct weights *weights;
	uint64_t *heights;
	uint32_t *waiting;
	double largest;
	int rc;

	assert(sample_count >= 1);
	if (sample_count > UINT32_MAX)
		return err_fail(err, -EINVAL, "%s: %llu weights; up to %u can be used", name, (unsigned long long)sample_count,
		                UINT32_MAX);
	rc = check(values, sample_count, name, &largest, err);
	if (rc < 0)
		return rc;
	weights = malloc(sizeof *weights + sample_count * sizeof weights->column[0]);
	heights = malloc(sample_count * sizeof *heights);
	waiting = malloc(sample_count * sizeof *waiting);
	if (weights && heights && waiting) {
		weights->sample_count = sample_count;
		round_to_heights(values, sample_count, largest, heights);
		fill_columns(weights, heights, waiting);
	} else {
		rc = err_fail(err, -ENOMEM, "%s: out of memory for a table of %llu samples", name,
		              (unsigned long long)sample_count);
		free(weights);
		weights = NULL;
	}
	free(heights);
	free(waiting);
	*out = weights;
	return rc;
}

void weights_close(struct weights *weights)
{
	free(weights);
}

/* ------------------------------------------------------------------ draws */

/* Of `count` columns, by 64 random bits, which leaves none preferred by more than 2^-32: floor(bits * count / 2^64). */
static uint64_t pick_column(struct philox_words random, uint64_t count)
{
	return (random.word[0] * count + (random.word[1] * count >> 32)) >> 32;
}

uint64_t weights_draw(const struct weights *weights, struct philox_words random)
{
	uint64_t picked = pick_column(random, weights->sample_count);

	return random.word[2] < weights->column[picked].threshold ? picked : weights->column[picked].alias;
}

uint64_t weights_share(const struct weights *weights, uint64_t sample)
{
	uint64_t share = weights->column[sample].threshold;

	for (uint64_t i = 0; i < weights->sample_count; i++)
		share += weights->column[i].alias == sample ? ONE - weights->column[i].threshold : 0;
	return share;
}
