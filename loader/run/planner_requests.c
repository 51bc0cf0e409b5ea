/*
 * planner_requests.c - one thread: claims a slot for each request of a reader, and gives each row the file and the crop that it names.
 *
 * A row that asks for what cannot be had goes to the decoders with its reason, and ends as any bad sample does.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/plan/request_view.h"
#include "loader/run/planner.h"

static void refuse_row(struct item *item, enum item_status status, const char *reason)
{
	item->fetched = status;
	item->reason = reason;
}

/* --requests paths: the path as openat() will take it. */
static void name_file(struct pipeline *pipeline, struct item *item, const char *path)
{
	item->path = path ? path : "";
	if (item->path[0] == '\0')
		refuse_row(item, ITEM_MISSING, "the request names no file for this row");
	else if (strnlen(path, PATH_MAX) == PATH_MAX)
		refuse_row(item, ITEM_UNREADABLE, "its path is longer than any");
	else if (path[0] == '/' && !dataset_is_everything(pipeline->dataset))
		refuse_row(item, ITEM_UNREADABLE, "an absolute path, where only such below the source are read");
}

/* --requests samples. */
static void name_sample(struct pipeline *pipeline, struct item *item, const char *path)
{
	if (path)
		refuse_row(item, ITEM_MISSING, "the request names a file, but this worker takes sample numbers");
	else if (item->sample >= dataset_sample_count(pipeline->dataset))
		refuse_row(item, ITEM_MISSING, "no sample has this number");
}

static void plan_row(struct pipeline *pipeline, struct item *item, const struct request_view *view)
{
	const struct request_row *asked = &view->rows[item->row];
	bool takes_paths = pipeline->options->requests == REQUESTS_PATHS;
	enum item_status status;
	const char *reason;

	item->position = view->header->first_position + item->row;
	item->planned = item->sample = asked->sample;
	item->label = asked->label;
	if (takes_paths)
		name_file(pipeline, item, request_view_path(view, item->row));
	else
		name_sample(pipeline, item, request_view_path(view, item->row));
	if (item->reason)
		return;
	if (!takes_paths && asked->rule == REQUEST_USUAL_RULE) {
		pipeline_give_sample(pipeline, item, asked->sample);
		item->ask.key = asked->key;
		return;
	}
	status = request_view_ask(view, item->row, &pipeline->render.crop, &item->ask, &reason);
	if (status != ITEM_OK)
		refuse_row(item, status, reason);
}

/* False: no batch will come of this or any other request. */
static bool plan_request(struct pipeline *pipeline, const struct request *request)
{
	struct request_view view;
	struct shmring_slot slot;
	struct batch *batch;
	struct err err;
	uint32_t row_count, epoch;
	uint64_t begin_ns;

	if (request_view_open(&view, request->bytes, request->byte_count, pipeline->options->batch_size, &err) < 0) {
		pipeline_change_state(pipeline, PIPELINE_FAILED, "%s", err.text);
		return false;
	}
	if (!planner_claim(pipeline, &slot))
		return false;
	begin_ns = clock_now_ns();
	row_count = view.header->row_count;
	epoch = view.header->epoch;
	/* relaxed: for the progress line */
	atomic_store_explicit(&pipeline->epoch, epoch, memory_order_relaxed);
	batch = planner_begin(pipeline, &slot, epoch, row_count);
	if (!batch) {
		free(request->bytes);
		return true;
	}
	batch->request = request->bytes; /* which may be gone when the last row was sent */
	for (uint32_t row = 0; row < row_count; row++) {
		struct item *item = &batch->items[row];

		*item = (struct item){.batch = batch, .row = row};
		plan_row(pipeline, item, &view);
		planner_send(pipeline, item);
	}
	fetch_wake(pipeline->fetch);
	planner_trace(pipeline, &slot, epoch, begin_ns);
	return true;
}

void *planner_requests_run(void *argument)
{
	struct pipeline *pipeline = argument;
	struct request request;
	bool made_room;

	while (request_queue_pop(&pipeline->requests, &request, &made_room)) {
		if (made_room)
			pipeline_wake_watch(pipeline);
		planner_count_cpu(pipeline);
		if (!plan_request(pipeline, &request)) {
			free(request.bytes);
			return NULL;
		}
	}
	return NULL;
}
