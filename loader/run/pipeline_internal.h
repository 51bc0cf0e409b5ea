/*
 * pipeline_internal.h - what the pipeline's threads share.
 *
 *   planner   claims a slot per batch (of the schedule, or of `requests`),
 *             gives each row its sample                                    -> to_fetch
 *   fetcher   keeps --io-depth files on their way into memory              -> to_decode
 *   decoders  crop, decode, shape into the slot; commit what is full       -> the ring
 *
 * Where samples have targets, a row whose image is done goes back to the front of to_fetch for its target; nothing is held while it
 * waits, so that fetch's bound on memory cannot stop rows that wait for each other.
 *
 * Rows of all claimed batches are on their way at once, so a slow file holds up its own batch and nothing else.  A row that
 * failed goes back to the front of to_fetch with another sample.
 */
#ifndef CROPRING_PIPELINE_INTERNAL_H
#define CROPRING_PIPELINE_INTERNAL_H

#include <pthread.h>
#include <semaphore.h>

#include "loader/plan/order.h"
#include "loader/run/crashed_list.h"
#include "loader/run/hunger.h"
#include "loader/run/pipeline.h"
#include "loader/run/queue.h"
#include "loader/run/render.h"
#include "loader/run/request_queue.h"
#include "loader/run/trace.h"

enum { PIPELINE_SLICE_MS = 100 }; /* no thread sleeps longer without a look at `stopping` */

struct pipeline {
	const struct options *options;
	const struct dataset *dataset;
	bool has_targets;
	struct shmring_producer *producer;
	struct trace *trace; /* NULL: nothing is recorded */
	struct schedule schedule;
	struct order order;
	struct render_spec render;
	struct crashed_list crashed;
	struct fetch *fetch;
	struct request_queue requests; /* unless --requests none: from the main thread to the planner */
	struct queue to_fetch, to_decode;
	struct hunger hunger; /* of the decoders */
	uint32_t batch_count;
	struct batch *batches; /* one per slot */

	uint32_t thread_count, running_count; /* running_count: threads that were started, planner and fetcher first */
	pthread_t *threads;
	sem_t decoding;                 /* a turnstile for the decode threads: see pipeline_await_parent() */
	_Atomic uint32_t decoder_count; /* decode threads that have come up */
	_Atomic bool stopping;
	_Atomic bool fetcher_starved;    /* it waits for the decoders to catch up */
	_Atomic uint32_t open_count;     /* claimed batches that are not committed, and 1 for the planner until it is through */
	_Atomic uint64_t rows_in_flight; /* planned, not finished */
	_Atomic uint64_t idle_since_ns;  /* when rows_in_flight last fell to 0 */
	uint64_t start_ns;
	_Atomic uint64_t reader_since_ns; /* when the first reader joined; 0: none yet */
	_Atomic uint32_t epoch;

	int event_fd; /* the main thread looks at us when it is readable */
	pthread_mutex_t state_lock; /* guards the two below */
	enum pipeline_state state;
	char text[512];
};

/* The item is about `sample` from now on: the planned one, or another in its place. */
void pipeline_give_sample(struct pipeline *pipeline, struct item *item, uint64_t sample);

/* The threads; the argument is the pipeline. */
void *planner_run(void *pipeline);
void *planner_requests_run(void *pipeline); /* unless --requests none */
void *fetcher_run(void *pipeline);
void *decoder_run(void *pipeline);

/* No decoder meets a file before the process that started us is in the ring: if one dies of it, its note can be read there. */
void pipeline_await_parent(struct pipeline *pipeline);

/* For fetch: which part of a large file this row needs.  The context is the pipeline, the tag an item. */
bool fetcher_choose_part(void *pipeline, void *item, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                         struct file_part *part, struct file_runs **runs);

/* The row's file is to be read: behind all others, or before them, for a batch that waits for this row. */
void pipeline_fetch(struct pipeline *pipeline, struct item *item);
void pipeline_fetch_first(struct pipeline *pipeline, struct item *item);

/* Its bytes are there, or the reason why not. */
void pipeline_decode(struct pipeline *pipeline, struct item *item);

/* A decoder took a row: if the fetcher waits for that, and many have gone, it may go on. */
void fetcher_wake_if_starved(struct pipeline *pipeline);

/* Every slot's batch is committed here, by whichever thread finished its last row. */
void pipeline_commit(struct pipeline *pipeline, struct batch *batch);

/* Counts down what is open; the last one announces PIPELINE_DONE. */
void pipeline_close_one(struct pipeline *pipeline);

/* The main thread is to look at the state, or at whether there is room for requests. */
void pipeline_wake_watch(struct pipeline *pipeline);

/* Only the first change counts. */
__attribute__((format(printf, 3, 4))) void pipeline_change_state(struct pipeline *pipeline, enum pipeline_state state,
                                                                 const char *format, ...);

static inline bool pipeline_is_stopping(struct pipeline *pipeline)
{
	/* relaxed: a wish, seen a moment later at worst */
	return atomic_load_explicit(&pipeline->stopping, memory_order_relaxed);
}

#endif
