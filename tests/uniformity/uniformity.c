/*
 * uniformity.c - whether an epoch's order looks like a fair draw among all orders, at sizes from 1 to 10^9.
 *
 *   uniformity [DRAWS]     draws for each statistic; 2,000,000 unless told otherwise.  The exit code is 1 when one is unfair.
 *
 * Seeds and epochs are small numbers one after the other, as people have them, from a first seed that CROPRING_TEST_SEED gives.
 * Each statistic becomes a distance in standard deviations.  A fair order is beyond 5 once in 1.7 million statistics; about 50 are
 * looked at, so that one first seed in 35,000 fails for nothing.  Those of unfair orders grow with the root of DRAWS:
 * `tests/uniformity/run --weak` weakens the network and must see it fail.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/order.h"

#define assert_true(condition) ((void)0) /* chi_square.h's own verdict is not used: all statistics are to be seen */
#include "tests/chi_square.h"
#include "tests/seed.h"

enum { CELLS = 32, EPOCHS = 16, LIMIT_SIGMAS = 5 };

static uint64_t first_seed, draws;
static int unfair_count;

static void report(uint64_t count, const char *what, uint64_t draw_count, double sigmas)
{
	bool fair = fabs(sigmas) < LIMIT_SIGMAS;

	printf("| %10llu | %-47s | %9llu | %+8.2f |%s\n", (unsigned long long)count, what, (unsigned long long)draw_count, sigmas,
	       fair ? "" : " unfair");
	unfair_count += !fair;
}

/* The nth key of a statistic: EPOCHS epochs of each seed. */
static struct order order_of(uint64_t count, uint64_t nth, uint32_t *epoch)
{
	*epoch = (uint32_t)(nth % EPOCHS);
	return (struct order){.sample_count = count, .seed = first_seed + nth / EPOCHS, .shuffle = true};
}

/* ------------------------------------------------------------------ cells */

/* Numbers below `count` in up to CELLS cells, by size or by remainder. */
struct cells {
	uint64_t count, cell_count;
	bool by_remainder;
};

static struct cells cells_of(uint64_t count, bool by_remainder)
{
	return (struct cells){count, count < CELLS ? count : CELLS, by_remainder};
}

static uint64_t cell_of(struct cells cells, uint64_t number)
{
	return cells.by_remainder ? number % cells.cell_count : number * cells.cell_count / cells.count;
}

/* How many numbers are in a cell. */
static double population(struct cells cells, uint64_t cell)
{
	uint64_t begin = (cell * cells.count + cells.cell_count - 1) / cells.cell_count;
	uint64_t end = ((cell + 1) * cells.count + cells.cell_count - 1) / cells.cell_count;

	return cells.by_remainder ? (double)((cells.count - 1 - cell) / cells.cell_count + 1) : (double)(end - begin);
}

static double sigmas_of_line(struct cells cells, const uint32_t *observed, uint64_t draw_count)
{
	double statistic = 0;

	for (uint64_t i = 0; i < cells.cell_count; i++) {
		double expected = (double)draw_count * population(cells, i) / (double)cells.count;

		statistic += (observed[i] - expected) * (observed[i] - expected) / expected;
	}
	return chi_square_deviation(statistic, (double)cells.cell_count - 1);
}

/* Of pairs; `distinct`: the two are never the same number. */
static double sigmas_of_square(struct cells cells, const uint32_t *observed, uint64_t draw_count, bool distinct)
{
	double statistic = 0, n = (double)cells.count, freedom = -1;

	for (uint64_t i = 0; i < cells.cell_count * cells.cell_count; i++) {
		uint64_t a = i / cells.cell_count, b = i % cells.cell_count;
		double pairs = population(cells, a) * (population(cells, b) - (distinct && a == b));
		double expected = (double)draw_count * pairs / (distinct ? n * (n - 1) : n * n);

		if (expected == 0)
			continue;
		statistic += (observed[i] - expected) * (observed[i] - expected) / expected;
		freedom++;
	}
	return chi_square_deviation(statistic, freedom);
}

/* ------------------------------------------------------------------ statistics, each draw with a key of its own */

static void positions_and_samples(uint64_t count, bool by_remainder)
{
	static uint32_t observed[CELLS * CELLS];
	struct cells cells = cells_of(count, by_remainder);
	uint64_t random = first_seed;

	memset(observed, 0, sizeof observed);
	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);
		uint64_t position = seed_next(&random) % count;

		observed[cell_of(cells, position) * cells.cell_count + cell_of(cells, order_sample(&order, epoch, position))]++;
	}
	report(count, by_remainder ? "position x sample, their lowest bits" : "position x sample", draws,
	       sigmas_of_square(cells, observed, draws, false));
}

static void displacements(uint64_t count)
{
	uint32_t observed[CELLS] = {0};
	struct cells cells = cells_of(count, false);
	uint64_t random = first_seed;

	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);
		uint64_t position = seed_next(&random) % count;

		observed[cell_of(cells, (order_sample(&order, epoch, position) + count - position) % count)]++;
	}
	report(count, "sample - position", draws, sigmas_of_line(cells, observed, draws));
}

/* How far apart positions that are `lag` apart lead. */
static void distances(uint64_t count, uint64_t lag, const char *what)
{
	uint32_t observed[CELLS] = {0};
	struct cells cells = cells_of(count - 1, false);
	uint64_t random = first_seed;

	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);
		uint64_t position = seed_next(&random) % count;
		uint64_t a = order_sample(&order, epoch, position), b = order_sample(&order, epoch, (position + lag) % count);

		observed[cell_of(cells, (b + count - a) % count - 1)]++;
	}
	report(count, what, draws, sigmas_of_line(cells, observed, draws));
}

static void neighbours(uint64_t count)
{
	static uint32_t observed[CELLS * CELLS];
	struct cells cells = cells_of(count, false);
	uint64_t random = first_seed;

	memset(observed, 0, sizeof observed);
	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);
		uint64_t position = seed_next(&random) % (count - 1);
		uint64_t a = order_sample(&order, epoch, position), b = order_sample(&order, epoch, position + 1);

		observed[cell_of(cells, a) * cells.cell_count + cell_of(cells, b)]++;
	}
	report(count, "sample x the next sample", draws, sigmas_of_square(cells, observed, draws, true));
}

/* The same position under two keys that look alike. */
static void related_keys(uint64_t count, uint64_t seed_step, uint32_t epoch_step, const char *what)
{
	uint32_t observed[CELLS] = {0};
	struct cells cells = cells_of(count, false);
	uint64_t random = first_seed;

	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch), related = order;
		uint64_t position = seed_next(&random) % count, sample = order_sample(&order, epoch, position);

		related.seed += seed_step;
		observed[cell_of(cells, (order_sample(&related, epoch + epoch_step, position) + count - sample) % count)]++;
	}
	report(count, what, draws, sigmas_of_line(cells, observed, draws));
}

/* ------------------------------------------------------------------ whole orders */

/* Of a count with this expectation: Anscombe's square root makes it nearly normal, or at least not rarer within the limits. */
static double sigmas_of_count(double observed, double expected)
{
	return 2 * (sqrt(observed + 0.375) - sqrt(expected + 0.375));
}

/* A fair order has one fixed point on average, at every size; their sum over some orders is Poisson's. */
static void fixed_points(uint64_t count)
{
	uint64_t order_count = draws / count < 20 ? 20 : draws / count, sum = 0;

	for (uint64_t i = 0; i < order_count; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);

		for (uint64_t position = 0; position < count; position++)
			sum += order_sample(&order, epoch, position) == position;
	}
	report(count, "samples at their own number", order_count * count, sigmas_of_count((double)sum, (double)order_count));
}

static void few_samples(uint64_t count)
{
	uint32_t observed[6] = {0}, orders = count == 2 ? 2 : 6;

	for (uint64_t i = 0; i < draws; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);
		uint64_t first = order_sample(&order, epoch, 0), second = order_sample(&order, epoch, 1);

		observed[first * (count - 1) + second - (second > first)]++;
	}
	report(count, "all orders", draws, chi_square_deviation(chi_square(observed, orders, (double)draws / orders), orders - 1));
}

static int compare_uint64(const void *left, const void *right)
{
	uint64_t l = *(const uint64_t *)left, r = *(const uint64_t *)right;

	return (l > r) - (l < r);
}

/* The first ten samples as one number.  All orders of 10 samples are numbered with all of them. */
static uint64_t fingerprint(const struct order *order, uint32_t epoch)
{
	uint64_t mixed = 0;

	for (uint64_t position = 0; position < 10; position++)
		mixed = seed_next(&(uint64_t){mixed + order_sample(order, epoch, position)});
	return mixed;
}

/* Of 10 samples a few orders come twice, as of 3,628,800 numbers; of more none does. */
static void repeated_orders(uint64_t count)
{
	uint64_t key_count = draws < 20000 ? draws : 20000, repeated = 0;
	uint64_t *fingerprints = malloc(key_count * sizeof *fingerprints);
	double pairs = (double)key_count * (double)(key_count - 1) / 2, expected = count == 10 ? pairs / 3628800 : 0;

	if (!fingerprints)
		abort();
	for (uint64_t i = 0; i < key_count; i++) {
		uint32_t epoch;
		struct order order = order_of(count, i, &epoch);

		fingerprints[i] = fingerprint(&order, epoch);
	}
	qsort(fingerprints, key_count, sizeof *fingerprints, compare_uint64);
	for (uint64_t i = 1; i < key_count; i++)
		repeated += fingerprints[i] == fingerprints[i - 1];
	free(fingerprints);
	report(count, "orders that begin alike, among seeds and epochs", key_count,
	       expected > 0   ? ((double)repeated - expected) / sqrt(expected)
	       : repeated > 0 ? INFINITY
	                      : 0);
}

/* ------------------------------------------------------------------ */

static void all_statistics(uint64_t count)
{
	/* As order.c lays the samples out in rows: where a network that mixes too little shows. */
	uint64_t rows = (uint64_t)ceil(sqrt((double)count)), columns = (count + rows - 1) / rows;

	positions_and_samples(count, false);
	if (count > CELLS)
		positions_and_samples(count, true);
	displacements(count);
	distances(count, 1, "distance of neighbours");
	distances(count, columns, "distance of samples that are a row apart");
	distances(count, count / 2, "distance of samples half an epoch apart");
	neighbours(count);
	related_keys(count, 0, 1, "this epoch's sample - the next epoch's");
	related_keys(count, 1, 0, "this seed's sample - the next seed's");
	related_keys(count, UINT64_C(1) << 32, 0, "this seed's sample - that of seed + 2^32");
	if (count <= draws) /* all positions are looked at */
		fixed_points(count);
	repeated_orders(count);
}

int main(int argc, char **argv)
{
	static const uint64_t counts[] = {10, 1000, 1281167, 1000000000};
	struct order one = {.sample_count = 1, .seed = 7, .shuffle = true};

	draws = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
	if (draws < 20000) {
		fputs("uniformity: 20000 draws or more are needed\n", stderr);
		return 2;
	}
	first_seed = seed_of_test("uniformity");
	printf("| %10s | %-47s | %9s | %8s |\n", "samples", "statistic", "draws", "sigmas");
	report(1, "all orders", 1, order_sample(&one, 3, 0) == 0 ? 0 : INFINITY);
	few_samples(2);
	few_samples(3);
	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
		all_statistics(counts[i]);
	printf("%d unfair\n", unfair_count);
	return unfair_count > 0;
}
