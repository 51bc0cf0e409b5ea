/*
 * pipeline.h - the stages put together: plan -> fetch -> decode -> shape -> slot.
 *
 * The only part that knows all stages.  Threads: one plans, one fetches, `threads` decode and shape.
 */
#ifndef CROPRING_PIPELINE_H
#define CROPRING_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/options.h"
#include "loader/plan/dataset.h"
#include "loader/plan/schedule.h"
#include "loader/plan/weights.h"

/* The fields of a slot, in the order of pipeline_fields(). */
enum pipeline_field {
	FIELD_IMAGES,
	FIELD_LABELS,
	FIELD_INDEX,
	FIELD_BOX,
	FIELD_SOURCE_SIZE,
	FIELD_FLIPPED,
	FIELD_STATUS,
	FIELD_TARGETS, /* only where samples have targets */
	FIELD_COUNT
};

/* Describes a slot for these options; returns how many fields it has. */
uint32_t pipeline_fields(const struct options *options, bool has_targets, struct shmring_field fields[FIELD_COUNT]);

void pipeline_schedule(const struct options *options, uint64_t sample_count, struct schedule *schedule);

/* How a pipeline ended, or that it has not. */
enum pipeline_state {
	PIPELINE_RUNNING,
	PIPELINE_DONE,     /* every batch is committed */
	PIPELINE_BAD_DATA, /* a sample failed under --on-error stop */
	PIPELINE_FAILED,   /* the ring was overwritten, memory ran out, or a request cannot be read */
};

struct pipeline;
struct trace;

/*
 * Gets everything ready that needs the kernel's consent.  `options`, `dataset`, `weights` (NULL: none), `producer` and `trace` (NULL:
 * nothing is recorded) stay the caller's and outlive the pipeline.  event_fd becomes readable when the state changes.
 */
int pipeline_open(struct pipeline **pipeline, const struct options *options, const struct dataset *dataset,
                  const struct weights *weights, struct shmring_producer *producer, struct trace *trace, uint32_t threads,
                  int event_fd, struct err *err);

/* Starts the threads.  No file was looked at before this. */
int pipeline_start(struct pipeline *pipeline, struct err *err);

/* The state, and the sentence that goes with PIPELINE_BAD_DATA and PIPELINE_FAILED. */
enum pipeline_state pipeline_state(struct pipeline *pipeline, const char **text);

/*
 * The first reader is there: from now on it counts as waiting when there is nothing to do.  Returns for how many nanoseconds there
 * was something to do before.
 */
uint64_t pipeline_reader_joined(struct pipeline *pipeline);

/*
 * --requests: a reader asks for a batch with these bytes, which are the pipeline's now (malloc) and may be anything: what is no
 * request makes it PIPELINE_FAILED.  Only while pipeline_has_room(); when there is room again, event_fd becomes readable.
 */
void pipeline_request(struct pipeline *pipeline, void *request, size_t request_bytes);
bool pipeline_has_room(struct pipeline *pipeline);

/* Brings those counters up to date that are not counted as things happen.  pipeline_stop() does so as well. */
void pipeline_sample(struct pipeline *pipeline);

/* The epoch that is being planned, for the progress line. */
uint32_t pipeline_epoch(const struct pipeline *pipeline);

/* "uring" or "pread". */
const char *pipeline_io_name(const struct pipeline *pipeline);

/* See fetch_is_confined(). */
bool pipeline_io_is_confined(const struct pipeline *pipeline);

/* Ends the threads, if any, wherever they are, and frees everything.  No batch is published after it returns. */
void pipeline_stop(struct pipeline *pipeline);

#endif
