/*
 * fetcher.c - one thread: keeps files on their way into memory, and hands their bytes to the decoders.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/decode/segment_store.h"
#include "loader/run/crash.h"
#include "loader/run/pipeline_internal.h"
#include "loader/run/stats.h"

/* What of a file the row needs, by what was kept of an earlier visit. */
static bool choose_runs_again(const struct pipeline *pipeline, struct item *item, struct file_runs **runs)
{
	struct segment_store *store = pipeline->render.segment_store;
	struct dataset_file file;

	(void)item_file(item, pipeline->dataset, &file);
	return store && segment_store_find(store, file.id, &item->stamp, &item->segments) &&
	       render_runs_again(&pipeline->render, item->half, &item->ask, &item->segments, runs);
}

bool fetcher_choose_part(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                         struct file_part *part, struct file_runs **runs)
{
	struct pipeline *pipeline = context;
	struct item *item = tag;

	if (stamp) {
		item->stamp = *stamp;
		item->has_stamp = true;
		item->is_revisit = !item->reads_anew && choose_runs_again(pipeline, item, runs);
	}
	return item->is_revisit || render_part(&pipeline->render, item->half, &item->ask, head, head_bytes, part);
}

/* What of a pack's image the row needs, from malloc; NULL: all of it. */
static struct file_runs *choose_runs(const struct pipeline *pipeline, struct item *item, const struct dataset_file *file)
{
	struct file_runs *runs = NULL;

	if (!file->image)
		return NULL;
	crash_note_sample(item->sample); /* what is mapped may not be there any more, or not readable */
	if (dataset_segments(pipeline->dataset, file, &item->segments) && item->segments.kind != SEGMENT_NONE)
		(void)render_runs(&pipeline->render, item->half, &item->ask, &item->segments, &runs);
	crash_note_none();
	return runs;
}

/* Sends waiting rows on their way, until --io-depth files are in flight or fetched and not yet taken by a decoder. */
static void submit_rows(struct pipeline *pipeline)
{
	while (fetch_in_flight(pipeline->fetch) + queue_length(&pipeline->to_decode) < pipeline->options->io_depth) {
		struct item *item = queue_try_pop(&pipeline->to_fetch);
		struct file_runs *runs;
		struct dataset_file file;
		struct fetch_job job;
		int directory_fd, rc;

		if (!item)
			return;
		if (crashed_list_has(&pipeline->crashed, item->sample)) {
			item->fetched = ITEM_CRASHED;
			pipeline_decode(pipeline, item);
			continue;
		}
		directory_fd = item_file(item, pipeline->dataset, &file);
		runs = choose_runs(pipeline, item, &file);
		job = (struct fetch_job){.directory_fd = directory_fd,
		                         .path = file.path,
		                         .offset = file.offset,
		                         .length = file.length,
		                         .is_open = file.fd >= 0,
		                         .fd = file.fd,
		                         .runs = runs,
		                         .tag = item};
		item->has_stamp = item->is_revisit = false;
		item->asked_ns = pipeline->trace ? clock_now_ns() : 0;
		rc = fetch_submit(pipeline->fetch, &job);
		free(runs);
		if (rc < 0) {
			queue_push_front(&pipeline->to_fetch, item);
			if (rc != -EAGAIN)
				pipeline_change_state(pipeline, PIPELINE_FAILED, "reading files: %s", strerror(-rc));
			return;
		}
	}
	/* relaxed: a missed wake-up costs at most PIPELINE_SLICE_MS */
	atomic_store_explicit(&pipeline->fetcher_starved, true, memory_order_relaxed);
}

static void trace_read(const struct pipeline *pipeline, const struct item *item)
{
	if (pipeline->trace)
		trace_add(pipeline->trace, TRACE_FETCHER,
		          &(struct trace_event){.kind = TRACE_READ,
		                                .status = (uint8_t)item->fetched,
		                                .begin_ns = item->asked_ns,
		                                .end_ns = clock_now_ns(),
		                                .sample = item->sample,
		                                .sequence = item->batch->slot.sequence});
}

void *fetcher_run(void *argument)
{
	struct pipeline *pipeline = argument;
	struct fetch_result result;

	crash_enter(pipeline->producer, pipeline->thread_count); /* behind the decoders' notes */
	while (!pipeline_is_stopping(pipeline)) {
		int timeout_ms = PIPELINE_SLICE_MS;

		submit_rows(pipeline);
		while (fetch_collect(pipeline->fetch, timeout_ms, &result) == 0) {
			struct item *item = result.tag;

			item->fetched = result.status;
			item->error = result.error;
			item->buffer = result.buffer;
			if (result.buffer)
				shmring_counter_add(pipeline->producer, STATS_BYTES_READ, result.buffer->byte_count);
			trace_read(pipeline, item);
			pipeline_decode(pipeline, item);
			timeout_ms = 0; /* take what else is there, then submit again */
		}
		shmring_counter_set(pipeline->producer, STATS_FETCH_NS, clock_thread_cpu_ns() + fetch_cpu_ns(pipeline->fetch));
	}
	crash_leave();
	return NULL;
}

void fetcher_wake_if_starved(struct pipeline *pipeline)
{
	/* relaxed: see submit_rows() */
	if (atomic_load_explicit(&pipeline->fetcher_starved, memory_order_relaxed) &&
	    queue_length(&pipeline->to_decode) <= pipeline->options->io_depth / 2 &&
	    atomic_exchange_explicit(&pipeline->fetcher_starved, false, memory_order_relaxed))
		fetch_wake(pipeline->fetch);
}
