/*
 * weights.h - samples drawn with replacement, each as often as its weight says: an alias table, 8 bytes a sample, O(1) a draw.
 *
 * Walker's table by Vose's algorithm ("A linear algorithm for generating random numbers with a given distribution", IEEE
 * Transactions on Software Engineering 17(9), 1991), but on whole numbers: the weights are rounded to parts of 2^-32 of an average
 * sample first, so nothing is lost on the way, a weight of 0 stays 0, and the table is the same on every machine.
 */
#ifndef CROPRING_WEIGHTS_H
#define CROPRING_WEIGHTS_H

#include <stdint.h>

#include "base/err.h"
#include "loader/plan/philox.h"

struct weights;

/*
 * One value for each sample: finite, >= 0, not all 0; at most UINT32_MAX of them.  `name` is for messages.  -EINVAL names the first
 * value that cannot be a weight; -ENOMEM.
 */
int weights_open(struct weights **weights, const double *values, uint64_t sample_count, const char *name, struct err *err);
void weights_close(struct weights *weights);

/* The sample that these random numbers (the first three words) stand for. */
uint64_t weights_draw(const struct weights *weights, struct philox_words random);

/* Out of sample_count * 2^32 draws, how many give this sample: its weight as it was rounded.  Slow: looks at the whole table. */
uint64_t weights_share(const struct weights *weights, uint64_t sample);

#endif
