/*
 * trace.h - what each thread and each slot did when, for --trace FILE.
 *
 * Every thread has a small buffer of its own, which the main thread empties several times a second.  Nobody waits: an event for which
 * there is no room is counted and forgotten.  Without --trace there is no struct trace, and a look at that pointer is all it costs:
 * 21.1 us of CPU per image, beside 20.7 before there were traces and counts of waiting threads (20,000 JPEGs of 40x40, the least of 20
 * runs by turns on a busy machine); with it 22.8 and, in the file, 440 bytes.
 */
#ifndef CROPRING_TRACE_H
#define CROPRING_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "shmring/shmring.h"

enum trace_kind {
	TRACE_FILLING, /* a slot: claimed to published, */
	TRACE_READY,   /* to acquired, */
	TRACE_HELD,    /* to released */
	TRACE_TRAINER_WAITS,
	TRACE_LOADER_WAITS,
	TRACE_PLAN,
	TRACE_READ, /* a file: asked for to there */
	TRACE_DECODE,
	TRACE_SHAPE,
};

struct trace_event {
	uint64_t begin_ns, end_ns;
	uint64_t sample;          /* READ, DECODE, SHAPE */
	uint32_t sequence, epoch; /* of the batch */
	uint32_t track;           /* of FILLING, READY, HELD: the slot; of TRAINER_WAITS: the reader's number */
	uint16_t reader;          /* HELD: who */
	uint8_t kind;             /* enum trace_kind */
	uint8_t status;           /* READ, DECODE: enum item_status */
};

/* Whose buffer it is: the decode threads' come last. */
enum { TRACE_PLANNER, TRACE_FETCHER, TRACE_FIRST_DECODER };

struct trace;

/* -ENOMEM. */
int trace_open(struct trace **trace, uint32_t decoder_count);
void trace_close(struct trace *trace);

/* That lane's thread only. */
void trace_add(struct trace *trace, uint32_t lane, const struct trace_event *event);

/*
 * The events of a batch that was in slot `index`, by what the slot remembers; of what has not come to its end, up to now_ns.  Readers
 * write a part of that: times that cannot be are left out.
 */
void trace_add_slot(struct trace *trace, uint32_t lane, uint32_t index, const struct shmring_times *times, uint64_t now_ns);

/* The oldest event of a lane.  False: there is none.  One thread. */
bool trace_take(struct trace *trace, uint32_t lane, struct trace_event *event);

uint32_t trace_lane_count(const struct trace *trace);

/* Events that found no room.  Any thread. */
uint64_t trace_dropped_count(const struct trace *trace);

/* From now on nothing is recorded.  Any thread. */
void trace_stop(struct trace *trace);

#endif
