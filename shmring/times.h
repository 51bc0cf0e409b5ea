/*
 * times.h - when things happened to a slot, and what readers did with their time: kept in the segment for people and their tools.
 *
 * Nothing is decided by any of it, and no memory hangs on it; so all of it is relaxed, with the slot's word to hand it on in time.
 */
#ifndef SHMRING_TIMES_H
#define SHMRING_TIMES_H

#include "base/clock.h"
#include "shmring/layout.h"

static inline uint64_t times_get(const _Atomic uint64_t *at)
{
	/* relaxed: see above */
	return atomic_load_explicit((_Atomic uint64_t *)at, memory_order_relaxed);
}

static inline void times_set(_Atomic uint64_t *at, uint64_t value)
{
	/* relaxed: see above */
	atomic_store_explicit(at, value, memory_order_relaxed);
}

static inline void times_add(_Atomic uint64_t *at, uint64_t value)
{
	/* relaxed: see above */
	atomic_fetch_add_explicit(at, value, memory_order_relaxed);
}

/* True for the first that comes, of several readers of the same batch. */
static inline bool times_set_first(_Atomic uint64_t *at, uint64_t value)
{
	uint64_t none = 0;

	/* relaxed: see above */
	return atomic_compare_exchange_strong_explicit(at, &none, value, memory_order_relaxed, memory_order_relaxed);
}

/* What the slot remembers of the batch that is, or was last, in it. */
struct shmring_times times_of_slot(const struct layout_slot *slot);

/* The producer takes the slot for another batch. */
void times_begin_batch(struct layout_slot *slot);

/* A reader comes to the place of number `reader`, or has gone from it. */
void times_reader_came(struct layout_reader *reader);
void times_reader_went(struct layout_reader *reader);

/* Of all who ever were in this place, up to now. */
struct shmring_reader_times times_of_reader(const struct layout_reader *reader);

#endif
