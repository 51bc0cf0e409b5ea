/* trace.c - a ring of events for each thread: its thread writes, the main thread reads, and neither waits for the other. */
#include "loader/run/trace.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

/* 80 KB.  In the 50 ms until it is emptied, a decode thread makes 100 events or so, and 1,000 at a rate of 10,000 rows a second. */
enum { LANE_EVENTS = 2048 };

struct lane {
	_Alignas(64) _Atomic uint32_t added; /* runs free, as the next; this lane's thread */
	_Alignas(64) _Atomic uint32_t taken; /* the main thread */
	struct trace_event event[LANE_EVENTS];
};

struct trace {
	uint32_t lane_count;
	_Atomic bool stopped;
	_Atomic uint64_t dropped_count;
	struct lane *lanes;
};

int trace_open(struct trace **out, uint32_t decoder_count)
{
	struct trace *trace = calloc(1, sizeof *trace);

	if (!trace)
		return -ENOMEM;
	trace->lane_count = TRACE_FIRST_DECODER + decoder_count;
	trace->lanes = aligned_alloc(_Alignof(struct lane), trace->lane_count * sizeof trace->lanes[0]);
	if (!trace->lanes) {
		free(trace);
		return -ENOMEM;
	}
	/* The events are not touched before they are written: memory is used as far as buffers are. */
	for (uint32_t i = 0; i < trace->lane_count; i++) {
		atomic_init(&trace->lanes[i].added, 0);
		atomic_init(&trace->lanes[i].taken, 0);
	}
	*out = trace;
	return 0;
}

void trace_close(struct trace *trace)
{
	if (!trace)
		return;
	free(trace->lanes);
	free(trace);
}

void trace_add(struct trace *trace, uint32_t lane_index, const struct trace_event *event)
{
	struct lane *lane = &trace->lanes[lane_index];
	/* relaxed: only this thread writes it */
	uint32_t added = atomic_load_explicit(&lane->added, memory_order_relaxed);
	/* [ROOM] acquire: the main thread has copied what was here before.  Pairs with the release store in trace_take(). */
	uint32_t taken = atomic_load_explicit(&lane->taken, memory_order_acquire);

	/* relaxed: a wish */
	if (atomic_load_explicit(&trace->stopped, memory_order_relaxed))
		return;
	if (added - taken == LANE_EVENTS) {
		/* relaxed: a number for people */
		atomic_fetch_add_explicit(&trace->dropped_count, 1, memory_order_relaxed);
		return;
	}
	lane->event[added % LANE_EVENTS] = *event;
	/* [EVENT] release: the event is in memory before it is counted.  Pairs with the acquire load in trace_take(). */
	atomic_store_explicit(&lane->added, added + 1, memory_order_release);
}

bool trace_take(struct trace *trace, uint32_t lane_index, struct trace_event *event)
{
	struct lane *lane = &trace->lanes[lane_index];
	/* relaxed: only this thread writes it */
	uint32_t taken = atomic_load_explicit(&lane->taken, memory_order_relaxed);

	/* [EVENT] acquire: what is counted is in memory.  Pairs with the release store in trace_add(). */
	if (atomic_load_explicit(&lane->added, memory_order_acquire) == taken)
		return false;
	*event = lane->event[taken % LANE_EVENTS];
	/* [ROOM] release: the copy is made before its place is written again.  Pairs with the acquire load in trace_add(). */
	atomic_store_explicit(&lane->taken, taken + 1, memory_order_release);
	return true;
}

/* ------------------------------------------------------------------ slots */

static void add_span(struct trace *trace, uint32_t lane, enum trace_kind kind, uint32_t track, const struct shmring_times *times,
                     uint64_t begin_ns, uint64_t end_ns)
{
	const struct trace_event event = {
		.begin_ns = begin_ns,
		.end_ns = end_ns,
		.sequence = times->sequence,
		.epoch = times->epoch,
		.track = track,
		.reader = (uint16_t)(times->reader < SHMRING_MAX_READERS ? times->reader : SHMRING_MAX_READERS),
		.kind = (uint8_t)kind};

	trace_add(trace, lane, &event);
}

/* When a step ended; one that has not, now. */
static uint64_t end_of(uint64_t end_ns, uint64_t now_ns)
{
	return end_ns > 0 ? end_ns : now_ns;
}

static bool is_before(uint64_t begin_ns, uint64_t end_ns)
{
	return begin_ns > 0 && begin_ns <= end_ns;
}

void trace_add_slot(struct trace *trace, uint32_t lane, uint32_t index, const struct shmring_times *times, uint64_t now_ns)
{
	uint64_t ready_ns = end_of(times->ready_ns, now_ns), acquired_ns = end_of(times->acquired_ns, now_ns),
		 released_ns = end_of(times->released_ns, now_ns);

	if (!is_before(times->claimed_ns, ready_ns) || ready_ns > now_ns)
		return;
	add_span(trace, lane, TRACE_FILLING, index, times, times->claimed_ns, ready_ns);
	if (!is_before(times->ready_ns, acquired_ns) || acquired_ns > now_ns)
		return;
	add_span(trace, lane, TRACE_READY, index, times, times->ready_ns, acquired_ns);
	if (!is_before(times->acquired_ns, released_ns) || released_ns > now_ns || times->reader >= SHMRING_MAX_READERS)
		return;
	add_span(trace, lane, TRACE_HELD, index, times, times->acquired_ns, released_ns);
	if (times->waited_ns > 0 && times->waited_ns < times->acquired_ns)
		add_span(trace, lane, TRACE_TRAINER_WAITS, times->reader, times, times->acquired_ns - times->waited_ns,
		         times->acquired_ns);
}

/* ------------------------------------------------------------------ about it all */

uint32_t trace_lane_count(const struct trace *trace)
{
	return trace->lane_count;
}

uint64_t trace_dropped_count(const struct trace *trace)
{
	/* relaxed: a number for people */
	return atomic_load_explicit(&((struct trace *)trace)->dropped_count, memory_order_relaxed);
}

void trace_stop(struct trace *trace)
{
	/* relaxed: as above */
	atomic_store_explicit(&trace->stopped, true, memory_order_relaxed);
}
