/*
 * storm_ledger.h - what the processes of a kill storm write down, in anonymous shared memory that outlives each of them.
 *
 * Any process may be killed between any two lines, so each fact is one atomic word, and the order of writing decides what a
 * death in between can make look worse than it is: never better.
 */
#ifndef STORM_LEDGER_H
#define STORM_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shmring/shmring.h"

enum { STORM_MAX_BATCHES = 8 << 20, STORM_MAX_PENDING = 1024, STORM_ROWS = 16 };

struct storm_options {
	char ring[SHMRING_NAME_BYTES];
	enum shmring_share share;
	uint32_t reader_count, slot_count, payload_bytes;
	uint64_t first_ring, seed;
};

/* What is wrong with a ring; any of it fails the storm. */
enum storm_fault {
	STORM_TORN,      /* a payload that is not one whole batch, or that changed while it was held */
	STORM_LOST,      /* a batch that nobody got, or that a reader in broadcast or lanes should have got */
	STORM_UNFLAGGED, /* delivered twice without being flagged, or although it was given back */
	STORM_DISORDER,  /* a reader saw batches in the wrong order, or those of another lane */
	STORM_HANG,      /* a living reader that neither got a batch nor an answer for too long */
	STORM_ODD,       /* an error or exit code that nothing explains */
	STORM_LEFTOVER,
	STORM_FAULT_COUNT
};

/* One batch. */
struct storm_entry {
	_Atomic uint32_t taken;            /* times that a reader got it */
	_Atomic uint32_t finished;         /* times that a reader was done with it and went on to give it back */
	_Atomic uint32_t released;         /* times that it was given back */
	_Atomic uint32_t flagged;          /* times that it came flagged */
	_Atomic uint32_t repeated;         /* it was counted as a duplicate; in broadcast several readers get it then, at once */
	_Atomic uint32_t taker;            /* the life of the reader that took it last, */
	_Atomic uint32_t taken_generation; /* and of the ring */
};

enum storm_state { STORM_IDLE, STORM_JOINING, STORM_JOINED };

/* One reader's place; when its process is killed, the next one's life begins there. */
struct storm_place {
	uint32_t life; /* supervisor, before it forks */
	_Atomic uint32_t state;
	_Atomic uint32_t holding;     /* raised before a batch counts as taken, lowered after it was given back */
	_Atomic uint64_t progress_ns; /* when it last got a batch, gave one back, joined or learnt of an end */
	_Atomic uint64_t batches;
};

struct storm_ledger {
	struct storm_options options;

	/* The producer of this generation publishes the pending batches, then those from next_batch on. */
	uint32_t generation, pending_count; /* supervisor, while there is no producer */
	uint64_t pending[STORM_MAX_PENDING], generation_ns;
	_Atomic uint64_t next_batch;
	_Atomic uint64_t claimed_ring;   /* no batch from this number in the ring on was published before this was read */
	_Atomic uint64_t published_ring; /* each of this generation's batches below was published before this was read */
	_Atomic bool stop;               /* supervisor: no more kills; publish no more, drain */
	_Atomic bool complete;           /* producer: everything was taken and given back */

	_Atomic uint64_t deliveries, duplicates;
	_Atomic uint32_t kills; /* single processes */
	_Atomic uint32_t fault[STORM_FAULT_COUNT];
	_Atomic bool complained;
	char complaint[256]; /* the first fault */

	struct storm_place place[SHMRING_MAX_READERS];
	struct storm_entry entry[STORM_MAX_BATCHES];
};

struct storm_ledger *storm_ledger_open(const struct storm_options *options);
void storm_ledger_close(struct storm_ledger *ledger);

/* Counts a fault; the first one's sentence is kept. */
__attribute__((format(printf, 3, 4))) void storm_complain(struct storm_ledger *ledger, enum storm_fault fault, const char *format,
                                                          ...);
uint32_t storm_fault_count(const struct storm_ledger *ledger);

/* Raises *maximum to value. */
void storm_raise(_Atomic uint64_t *maximum, uint64_t value);

/* The processes; they return what to exit with. */
int storm_produce(struct storm_ledger *ledger);
int storm_read(struct storm_ledger *ledger, uint32_t place_index);
int storm_observe(struct storm_ledger *ledger, uint64_t random);

#endif
