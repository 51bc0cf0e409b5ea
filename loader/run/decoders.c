/*
 * decoders.c - many threads: each takes a row with its file's bytes, renders it into the slot, and deals with what fails.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "loader/run/crash.h"
#include "loader/run/log.h"
#include "loader/run/pipeline_internal.h"
#include "loader/run/stats.h"

/* Substitutes tried before a row stays blank: with half of all files bad that happens to one row in 65,536. */
enum { MAX_SUBSTITUTES = 16 };

static struct render_row row_of(const struct pipeline *pipeline, const struct item *item)
{
	void *const *field = item->batch->slot.field;

	return (struct render_row){
		.image = (uint8_t *)field[FIELD_IMAGES] + item->row * pipeline->render.image_bytes,
		.box = (int32_t *)field[FIELD_BOX] + item->row * 4,
		.source_size = (int32_t *)field[FIELD_SOURCE_SIZE] + item->row * 2,
		.flipped = (uint8_t *)field[FIELD_FLIPPED] + item->row,
		.target =
			pipeline->has_targets ? (uint8_t *)field[FIELD_TARGETS] + item->row * pipeline->render.target_bytes : NULL,
	};
}

/* The row is complete: writes what is known of its sample, and commits the batch if it was the last row. */
static void finish_row(struct pipeline *pipeline, struct item *item)
{
	struct batch *batch = item->batch;
	void *const *field = batch->slot.field;

	((int64_t *)field[FIELD_LABELS])[item->row] = item_label(item, pipeline->dataset);
	((int64_t *)field[FIELD_INDEX])[item->row] = (int64_t)item->sample;
	((uint8_t *)field[FIELD_STATUS])[item->row] = item->status;
	/* relaxed: a number for people */
	if (atomic_fetch_sub_explicit(&pipeline->rows_in_flight, 1, memory_order_relaxed) == 1)
		atomic_store_explicit(&pipeline->idle_since_ns, clock_now_ns(), memory_order_relaxed);
	/* [ROWS] acq_rel: the thread that finishes the last row has all other rows' bytes before it commits.  Pairs with itself. */
	if (atomic_fetch_sub_explicit(&batch->rows_left, 1, memory_order_acq_rel) == 1)
		pipeline_commit(pipeline, batch);
}

static void blank_row(struct pipeline *pipeline, struct item *item)
{
	struct render_row row = row_of(pipeline, item);

	render_blank(&pipeline->render, &row);
	item->sample = item->planned;
	item->status &= (uint8_t)~ITEM_FLAG_SUBSTITUTED;
	finish_row(pipeline, item);
}

/* What a person is told about a file that could not be read; decoders have words of their own. */
static const char *fetch_reason(const struct pipeline *pipeline, const struct item *item, char *text, size_t text_bytes)
{
	if (item->reason)
		return item->reason;
	switch (item->fetched) {
	case ITEM_EMPTY:
		return "the file has 0 bytes";
	case ITEM_TOO_LARGE:
		snprintf(text, text_bytes, "over --max-file-bytes %llu; raise it or remove the file",
		         (unsigned long long)pipeline->options->max_file_bytes);
		return text;
	case ITEM_TRUNCATED:
		return "the file ends before the image in it does";
	case ITEM_TIMEOUT:
		snprintf(text, text_bytes, "not read within --item-timeout-ms %u", pipeline->options->item_timeout_ms);
		return text;
	case ITEM_CRASHED:
		return pipeline->has_targets ? "it or its target killed the decoder twice before"
		                             : "it killed the decoder twice before";
	default:
		break;
	}
	switch (item->error) {
	case FETCH_NOT_REGULAR:
		return "not a regular file: a FIFO, a socket or a device";
	case EXDEV:
		return "a link on its way leads out of the source";
	default:
		snprintf(text, text_bytes, "%s", strerror(item->error));
		return text;
	}
}

/* Whichever of the sample's files it was: the whole row gets another sample, zeros, or is never published. */
static void fail_row(struct pipeline *pipeline, struct item *item, enum item_status status, const char *file_reason)
{
	bool is_target = item->half == RENDER_TARGET;
	char text[PATH_MAX + 64]; /* some file systems allow longer paths, of which the rest is not shown */
	const char *path = item_name(item, pipeline->dataset, text, sizeof text);
	char reason[288];

	snprintf(reason, sizeof reason, "%s%s", is_target ? "target: " : "", file_reason);
	log_sample(item->sample, path, item_status_name(status), reason);
	shmring_counter_add(pipeline->producer, (uint32_t)(STATS_STATUS_0 + (int)status), 1);
	if (item->attempt == 0) {
		shmring_counter_add(pipeline->producer, STATS_BAD_SAMPLES, 1);
		item->status |= (uint8_t)status;
	}
	if (pipeline->options->on_error == ON_ERROR_STOP) {
		pipeline_change_state(pipeline, PIPELINE_BAD_DATA, "%s%s%s: %s (%s); stopped by --on-error stop",
		                      path[0] == '/' ? "" : item_root(item, pipeline->dataset), path[0] == '/' ? "" : "/", path,
		                      reason, item_status_name(status));
		return; /* the row stays open: its batch is never published */
	}
	if (pipeline->options->on_error == ON_ERROR_ZERO || item->attempt == MAX_SUBSTITUTES || item->path) {
		blank_row(pipeline, item);
		return;
	}
	item->attempt++;
	item->status |= ITEM_FLAG_SUBSTITUTED;
	item->reason = NULL;
	pipeline_give_sample(pipeline, item,
	                     order_substitute(&pipeline->order, item->batch->epoch, item->position, item->planned, item->attempt));
	shmring_counter_add(pipeline->producer, STATS_SUBSTITUTES, 1);
	pipeline_fetch_first(pipeline, item);
}

/* A row's image is done, or its target: then the row is. */
static void finish_half(struct pipeline *pipeline, struct item *item)
{
	if (item->half == RENDER_IMAGE && pipeline->has_targets) {
		item->half = RENDER_TARGET;
		pipeline_fetch_first(pipeline, item);
		return;
	}
	shmring_counter_add(pipeline->producer, STATS_STATUS_0 + ITEM_OK, 1);
	finish_row(pipeline, item);
}

/*
 * Something went wrong with a file that was visited before: it is no more what it was, or not all of it is sound.  True: it is read anew,
 * all of it.
 */
static bool read_anew(struct pipeline *pipeline, struct item *item, enum item_status status)
{
	item->reads_anew = item->is_revisit && status != ITEM_OK && status != ITEM_TIMEOUT;
	item->is_revisit = false;
	if (!item->reads_anew)
		return false;
	pipeline_fetch_first(pipeline, item);
	return true;
}

/* Decoding and shaping take turns, band by band of the picture; they are shown as one after the other. */
static void trace_row(struct pipeline *pipeline, uint32_t lane, const struct item *item, enum item_status status, uint64_t begin_ns,
                      const struct render_times *times)
{
	struct trace_event event = {.kind = TRACE_DECODE,
	                            .status = (uint8_t)status,
	                            .begin_ns = begin_ns,
	                            .end_ns = begin_ns + times->decode_ns,
	                            .sample = item->sample,
	                            .sequence = item->batch->slot.sequence};

	trace_add(pipeline->trace, lane, &event);
	event.kind = TRACE_SHAPE;
	event.status = ITEM_OK;
	event.begin_ns = event.end_ns;
	event.end_ns += times->shape_ns;
	if (times->shape_ns > 0)
		trace_add(pipeline->trace, lane, &event);
}

/*
 * The thread's CPU time since the last row, with what it took to get this one, is divided as the row's time is: decoding and shaping take
 * turns every few scanlines, and to ask the kernel each time (0.26 us, where the monotonic clock takes 0.02) would be felt.
 */
static void count_times(struct pipeline *pipeline, const struct render_times *times, uint64_t *counted_ns)
{
	uint64_t now_ns = clock_thread_cpu_ns(), cpu_ns = now_ns - *counted_ns;
	uint64_t busy_ns = times->decode_ns + times->shape_ns;
	uint64_t shape_cpu_ns = busy_ns > 0 ? (uint64_t)((double)cpu_ns * (double)times->shape_ns / (double)busy_ns) : 0;

	*counted_ns = now_ns;
	shmring_counter_add(pipeline->producer, STATS_DECODE_NS, cpu_ns - shape_cpu_ns);
	shmring_counter_add(pipeline->producer, STATS_SHAPE_NS, shape_cpu_ns);
	shmring_counter_add(pipeline->producer, STATS_DECODE_BUSY_NS, busy_ns);
}

static void decode_row(struct pipeline *pipeline, uint32_t lane, struct renderer *renderer, struct item *item, uint64_t *counted_ns)
{
	uint64_t begin_ns = pipeline->trace ? clock_now_ns() : 0;
	struct render_row row = row_of(pipeline, item);
	enum item_status status = item->fetched;
	struct render_times times;
	struct file_bytes file;
	char text[128];

	if (status != ITEM_OK) {
		item_drop_bytes(item, pipeline->fetch);
		if (!read_anew(pipeline, item, status))
			fail_row(pipeline, item, status, fetch_reason(pipeline, item, text, sizeof text));
		return;
	}
	crash_note_sample(item->sample);
	file = item_bytes(item, pipeline->dataset);
	if (item->half == RENDER_IMAGE)
		status = renderer_run(renderer, &file, &item->ask, &row, &times);
	else
		status = renderer_run_target(renderer, &file, &item->ask, &row, &times);
	crash_note_none();
	count_times(pipeline, &times, counted_ns);
	if (pipeline->trace)
		trace_row(pipeline, lane, item, status, begin_ns, &times);
	item_drop_bytes(item, pipeline->fetch);
	if (read_anew(pipeline, item, status))
		return;
	if (status == ITEM_OK)
		finish_half(pipeline, item);
	else
		fail_row(pipeline, item, status, renderer_reason(renderer));
}

/* NULL: there will be none any more. */
static struct item *next_row(struct pipeline *pipeline)
{
	struct item *item = queue_try_pop(&pipeline->to_decode);

	if (item)
		return item;
	hunger_begins(&pipeline->hunger);
	item = queue_pop(&pipeline->to_decode);
	hunger_ends(&pipeline->hunger);
	return item;
}

void *decoder_run(void *argument)
{
	struct pipeline *pipeline = argument;
	struct renderer *renderer = renderer_open(&pipeline->render);
	uint64_t counted_ns = 0; /* of this thread's CPU time */
	struct item *item;
	uint32_t number;

	if (!renderer) {
		pipeline_change_state(pipeline, PIPELINE_FAILED, "out of memory for a decode thread");
		return NULL;
	}
	/* relaxed: each thread gets a number of its own, whichever */
	number = atomic_fetch_add_explicit(&pipeline->decoder_count, 1, memory_order_relaxed);
	crash_enter(pipeline->producer, number);
	pipeline_await_parent(pipeline);
	while ((item = next_row(pipeline)) != NULL) {
		fetcher_wake_if_starved(pipeline);
		decode_row(pipeline, TRACE_FIRST_DECODER + number, renderer, item, &counted_ns);
	}
	crash_leave();
	renderer_close(renderer);
	return NULL;
}
