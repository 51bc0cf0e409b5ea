/*
 * order.h - which sample stands at which position of an epoch.
 *
 * A keyed permutation computed per position in O(1) time and memory (Feistel network with cycle walking), so that shuffling,
 * sharding and resuming cost nothing at any size.  Or, with weights, a draw of its own for each position.
 */
#ifndef CROPRING_ORDER_H
#define CROPRING_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/plan/weights.h"

struct order {
	uint64_t sample_count; /* >= 1 */
	uint64_t seed;
	bool shuffle;
	const struct weights *weights; /* NULL: every sample once; else `shuffle` means nothing */
};

/* The sample at `position` of `epoch`; without shuffle the position itself.  Without weights, position < sample_count. */
uint64_t order_sample(const struct order *order, uint32_t epoch, uint64_t position);

/*
 * The sample that takes the place of the `planned` one, which failed, at `position`: a pure function of these, epoch and attempt
 * (1, 2, ...), never the planned sample itself unless there is only one.  Both may be any number: readers ask for what they like.
 * With weights it is drawn again, attempt < 2^18, and is the planned sample only where hardly any other has a weight.
 */
uint64_t order_substitute(const struct order *order, uint32_t epoch, uint64_t position, uint64_t planned, uint32_t attempt);

#endif
