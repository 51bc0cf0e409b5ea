/*
 * ring_threads.h - one round of the ring with threads: what its producer, its readers and the main thread share.
 *
 * ThreadSanitizer reports what no order of the ring itself makes safe, so the test must not add orders of its own: its counters are
 * relaxed, and what threads hand to each other goes one way only (box_put(), box_take()).
 */
#ifndef RING_THREADS_H
#define RING_THREADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shmring/shmring.h"

enum {
	READERS = 3,
	FILLERS = 3,
	BATCH_LIMIT = 240, /* and a line for every second one: what is read of the log is then never written over */
	ROWS = 4,
	PAYLOAD_WORDS = ROWS * 16,
	NOTES = FILLERS,
};

/* What was broken. */
enum fault { TORN, LOST, TWICE, DISORDER, ODD, FAULT_COUNT };

/* All rounds together; relaxed, as are all numbers here. */
struct tally {
	_Atomic uint64_t rounds, batches, deliveries, joins, handed_on, redelivered, left_over, poisoned;
	_Atomic uint64_t fault[FAULT_COUNT];
};

/* Holds one thing at a time, or NULL.  Who puts one in sees nothing of what its taker did with the last. */
struct box {
	void *_Atomic content;
};

/* False when it is not empty.  One thread. */
static inline bool box_put(struct box *box, void *content)
{
	if (atomic_load_explicit(&box->content, memory_order_relaxed)) /* relaxed: one way only, see above */
		return false;
	atomic_store_explicit(&box->content, content, memory_order_release);
	return true;
}

/* Any threads. */
static inline void *box_take(struct box *box)
{
	return atomic_exchange_explicit(&box->content, NULL, memory_order_acquire);
}

/* Numbers without an order. */
static inline uint64_t count_of(const _Atomic uint64_t *number)
{
	return atomic_load_explicit((_Atomic uint64_t *)number, memory_order_relaxed);
}

static inline void count_up(_Atomic uint64_t *number)
{
	atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

struct round;

/* A reader's place: a thread that reads, and one that gives back for it. */
struct place {
	struct round *round;
	uint32_t number;
	int inherited_fd;                 /* to join with the first time, instead of by name; -1: none */
	uint64_t random, returner_random; /* each its thread's */
	struct box parcels;
	_Atomic uint64_t stays_ended;
	_Atomic bool closed; /* no parcel follows */

	uint64_t next; /* lanes: the batch that must come */
	uint64_t last; /* split: the one that came last */
	bool any;

	/*
	 * [LAST] Plain on purpose.  The returner counts before it gives a batch back; once the ring says that the reader has left, the
	 * main thread must see it, or the ring told the producer of a goodbye before what came before it.
	 */
	uint64_t handed, returned;
};

struct round {
	struct tally *tally;
	enum shmring_share share;
	uint64_t first_batch, batch_count;
	char name[SHMRING_NAME_BYTES];
	struct shmring_producer *producer;
	struct place place[READERS];
	struct box jobs; /* slots to fill */
	uint64_t filler_random[FILLERS];
	_Atomic uint64_t fillers_begun, committed, lines, readers_done;
	_Atomic uint32_t taken[BATCH_LIMIT]; /* a bit for each reader that took it */

	/* [END] Plain on purpose, like `returned`: written before the end, read by whoever has seen it. */
	enum shmring_end end;
	char end_text[64];
};

/* Also says so on stderr. */
__attribute__((format(printf, 3, 4))) void complain(struct round *round, enum fault fault, const char *format, ...);

/* The threads of a place; argument: struct place. */
void *reader_thread(void *argument);
void *returner_thread(void *argument);

#endif
