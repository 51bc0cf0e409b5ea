/*
 * planner.c - one thread: claims a slot for each batch of the schedule, and gives each row its place and its sample.
 */
#include <errno.h>

#include "base/clock.h"
#include "loader/run/planner.h"
#include "loader/run/stats.h"

#define TRACED_WAIT_NS 10000u /* finding a slot that is free takes a few microseconds, which are no wait */

static uint64_t later(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns > b_ns ? a_ns : b_ns;
}

/* Counts the part of a wait in which there was nothing to do: a reader is there, every slot is full, no row is in flight. */
static void count_idle_time(struct pipeline *pipeline, uint64_t wait_begin_ns)
{
	/* relaxed: numbers for people */
	uint64_t reader_since_ns = atomic_load_explicit(&pipeline->reader_since_ns, memory_order_relaxed);
	uint64_t idle_since_ns = atomic_load_explicit(&pipeline->idle_since_ns, memory_order_relaxed);
	uint64_t begin_ns = later(wait_begin_ns, later(reader_since_ns, idle_since_ns)), now_ns = clock_now_ns();

	/* relaxed: as above */
	if (reader_since_ns == 0 || now_ns <= begin_ns || atomic_load_explicit(&pipeline->rows_in_flight, memory_order_relaxed) > 0)
		return;
	shmring_counter_add(pipeline->producer, STATS_LOADER_WAIT_NS, now_ns - begin_ns);
	if (pipeline->trace && now_ns - begin_ns >= TRACED_WAIT_NS)
		trace_add(pipeline->trace, TRACE_PLANNER,
		          &(struct trace_event){.kind = TRACE_LOADER_WAITS, .begin_ns = begin_ns, .end_ns = now_ns});
}

bool planner_claim(struct pipeline *pipeline, struct shmring_slot *slot)
{
	int rc;

	do {
		uint64_t begin_ns = clock_now_ns();

		rc = shmring_claim(pipeline->producer, PIPELINE_SLICE_MS, slot);
		count_idle_time(pipeline, begin_ns);
	} while (rc == -ETIMEDOUT);
	if (rc == 0 && pipeline->trace && slot->before.claimed_ns > 0)
		trace_add_slot(pipeline->trace, TRACE_PLANNER, slot->index, &slot->before, clock_now_ns());
	if (rc == -EPROTO)
		pipeline_change_state(pipeline, PIPELINE_FAILED, "the ring's slot words were overwritten by another process");
	return rc == 0;
}

struct batch *planner_begin(struct pipeline *pipeline, const struct shmring_slot *slot, uint32_t epoch, uint32_t row_count)
{
	struct batch *batch = &pipeline->batches[slot->index];

	batch->slot = *slot;
	batch->epoch = epoch;
	batch->row_count = row_count;
	/* relaxed: the queue's lock hands the batch to the other threads */
	atomic_store_explicit(&batch->rows_left, row_count, memory_order_relaxed);
	atomic_fetch_add_explicit(&pipeline->open_count, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pipeline->rows_in_flight, row_count, memory_order_relaxed);
	if (row_count > 0)
		return batch;
	pipeline_commit(pipeline, batch);
	return NULL;
}

void planner_trace(struct pipeline *pipeline, const struct shmring_slot *slot, uint32_t epoch, uint64_t begin_ns)
{
	if (pipeline->trace)
		trace_add(pipeline->trace, TRACE_PLANNER,
		          &(struct trace_event){.kind = TRACE_PLAN,
		                                .begin_ns = begin_ns,
		                                .end_ns = clock_now_ns(),
		                                .sequence = slot->sequence,
		                                .epoch = epoch});
}

void planner_count_cpu(struct pipeline *pipeline)
{
	shmring_counter_set(pipeline->producer, STATS_PLAN_NS, clock_thread_cpu_ns());
}

void planner_send(struct pipeline *pipeline, struct item *item)
{
	if (item->fetched == ITEM_OK && !item->path)
		dataset_announce(pipeline->dataset, item->sample);
	if (item->fetched == ITEM_OK)
		pipeline_fetch(pipeline, item);
	else
		queue_push(&pipeline->to_decode, item);
}

static void plan_batch(struct pipeline *pipeline, const struct shmring_slot *slot, const struct schedule *schedule,
                       const struct schedule_cursor *at)
{
	uint32_t row_count = schedule_rows(schedule, at->epoch, at->batch);
	struct batch *batch = planner_begin(pipeline, slot, at->epoch, row_count);

	if (!batch) /* a rank without rows in the last, partial batch */
		return;
	for (uint32_t row = 0; row < row_count; row++) {
		struct item *item = &batch->items[row];
		bool padding;

		*item = (struct item){.batch = batch, .row = row};
		item->position = schedule_position(schedule, at->epoch, at->batch, row, &padding);
		item->planned = order_sample(&pipeline->order, at->epoch, item->position);
		pipeline_give_sample(pipeline, item, item->planned);
		item->status = padding ? ITEM_FLAG_PADDING : 0;
		planner_send(pipeline, item);
	}
	fetch_wake(pipeline->fetch);
}

/* One batch for each rank that this worker works for.  False: the end is not ours to announce. */
static bool plan_step(struct pipeline *pipeline, const struct schedule_cursor *at)
{
	struct schedule schedule = pipeline->schedule;
	struct shmring_slot slot;
	uint64_t begin_ns;

	for (uint32_t i = 0; i < pipeline->options->lane_ranks; i++, schedule.rank++) {
		if (!planner_claim(pipeline, &slot))
			return false;
		/* relaxed: for the progress line */
		atomic_store_explicit(&pipeline->epoch, at->epoch, memory_order_relaxed);
		begin_ns = clock_now_ns();
		plan_batch(pipeline, &slot, &schedule, at);
		planner_trace(pipeline, &slot, at->epoch, begin_ns);
	}
	return true;
}

void *planner_run(void *argument)
{
	struct pipeline *pipeline = argument;
	struct schedule_cursor cursor, now;

	schedule_begin(&pipeline->schedule, &cursor);
	while (schedule_next(&pipeline->schedule, &cursor, &now)) {
		if (!plan_step(pipeline, &now))
			return NULL;
		planner_count_cpu(pipeline);
	}
	pipeline_close_one(pipeline);
	return NULL;
}
