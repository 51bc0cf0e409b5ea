/*
 * order.c - part of stage 1 of 5: a position of an epoch in, the sample that stands there out.  Pure functions, any thread.
 *
 * The permutation is the generalised Feistel network of Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002):
 * a number below rows * columns is split into (row, column), and each half in turn is shifted, modulo its own range, by a random
 * function of the other.  Philox itself is that function, so its strength is Philox's and there are no round keys to prepare.
 * With rows = ceil(sqrt(n)) and columns = ceil(n / rows) there are fewer than `rows` numbers beyond n, so that walking on from
 * those (which keeps it a permutation of the first n) is hardly ever needed.
 */
#include "loader/plan/order.h"

#include <assert.h>
#include <math.h>

#include "loader/plan/philox.h"

/*
 * Each round leaves about 1/sqrt(n) of what is not random yet.  The worst case is six numbers, where after 32 rounds the
 * distribution over all 720 permutations is within 3e-5 of uniform (total variation, computed exactly).
 */
#define ROUNDS_FEW_NUMBERS  32
#define ROUNDS_MANY_NUMBERS 12
#define MANY_NUMBERS        256u

/* The draw that is not a round's: where the attempts of a position begin. */
#define DRAW_FIRST_ATTEMPT ROUNDS_FEW_NUMBERS

/* With weights: draws for each attempt, until one is another sample. */
#define DRAWS_PER_ATTEMPT 64

/* Up to 2^62 numbers, so that both halves are below 2^32. */
#define COUNT_MAX (UINT64_C(1) << 62)

static uint32_t ceil_sqrt(uint64_t count)
{
	/* Not above the result: doubles keep the order of numbers, and that of the result's square has the result as its root. */
	uint64_t root = (uint64_t)sqrt((double)count);

	while (root * root < count)
		root++;
	return (uint32_t)root;
}

/* Where `number` (< count) goes; a permutation of the numbers below count for each (seed, epoch, purpose). */
static uint64_t permute(uint64_t seed, uint32_t epoch, enum philox_purpose purpose, uint64_t count, uint64_t number)
{
	uint32_t rows = ceil_sqrt(count);
	uint32_t columns = (uint32_t)((count + rows - 1) / rows);
	uint32_t round_count = count < MANY_NUMBERS ? ROUNDS_FEW_NUMBERS : ROUNDS_MANY_NUMBERS;

	do {
		uint64_t row = number / columns, column = number % columns;

		for (uint32_t round = 0; round < round_count; round += 2) {
			row += philox_below(philox_draw(seed, epoch, column, purpose, round).word[0], rows);
			row -= row < rows ? 0 : rows;
			column += philox_below(philox_draw(seed, epoch, row, purpose, round + 1).word[0], columns);
			column -= column < columns ? 0 : columns;
		}
		number = row * columns + column;
	} while (number >= count);
	return number;
}

uint64_t order_sample(const struct order *order, uint32_t epoch, uint64_t position)
{
	if (order->weights)
		return weights_draw(order->weights, philox_draw(order->seed, epoch, position, PHILOX_WEIGHTED, 0));

	assert(order->sample_count <= COUNT_MAX && position < order->sample_count);
	if (!order->shuffle)
		return position;
	return permute(order->seed, epoch, PHILOX_ORDER, order->sample_count, position);
}

/* The planned sample itself only where hardly any other has a weight. */
static uint64_t draw_other(const struct order *order, uint32_t epoch, uint64_t position, uint64_t planned, uint32_t attempt)
{
	uint64_t sample = planned;

	for (uint32_t i = 0; i < DRAWS_PER_ATTEMPT && sample == planned; i++)
		sample = weights_draw(order->weights,
		                      philox_draw(order->seed, epoch, position, PHILOX_WEIGHTED, attempt * DRAWS_PER_ATTEMPT + i));
	return sample;
}

/*
 * The attempts of one position walk through a permutation of all other samples, from a place of its own, so that none comes twice
 * before all came once.
 */
uint64_t order_substitute(const struct order *order, uint32_t epoch, uint64_t position, uint64_t planned, uint32_t attempt)
{
	uint64_t other_count = order->sample_count - 1;

	assert(attempt >= 1);
	if (order->weights)
		return draw_other(order, epoch, position, planned, attempt);
	if (other_count == 0)
		return 0;

	struct philox_words random = philox_draw(order->seed, epoch, position, PHILOX_SUBSTITUTE, DRAW_FIRST_ATTEMPT);
	uint64_t first = ((uint64_t)random.word[0] << 32 | random.word[1]) % other_count;
	uint64_t turn = (first + (attempt - 1) % other_count) % other_count;
	uint64_t distance = 1 + permute(order->seed, epoch, PHILOX_SUBSTITUTE, other_count, turn);

	return (planned % order->sample_count + distance) % order->sample_count;
}
