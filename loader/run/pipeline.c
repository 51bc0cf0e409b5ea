/* pipeline.c - the stages put together: what a slot holds, the threads' start and stop, and how it all ends. */
#include "loader/run/pipeline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/decode/jpeg_index.h"
#include "loader/decode/segment_store.h"
#include "loader/run/log.h"
#include "loader/run/pipeline_internal.h"
#include "loader/run/stats.h"

/* ------------------------------------------------------------------ what a slot holds */

static void describe(struct shmring_field *field, const char *name, enum shmring_dtype dtype, uint32_t dim_count,
                     const uint32_t shape[SHMRING_MAX_DIMS])
{
	*field = (struct shmring_field){.dtype = dtype, .dim_count = dim_count};
	strncpy(field->name, name, sizeof field->name - 1);
	memcpy(field->shape, shape, dim_count * sizeof shape[0]);
}

uint32_t pipeline_fields(const struct options *options, bool has_targets, struct shmring_field fields[FIELD_COUNT])
{
	static const enum shmring_dtype image_dtype[] = {
		[CONVERT_UINT8] = SHMRING_UINT8, [CONVERT_FLOAT32] = SHMRING_FLOAT32, [CONVERT_FLOAT16] = SHMRING_FLOAT16};
	uint32_t rows = options->batch_size, height = options->height_px, width = options->width_px, channels = options->channels;
	const uint32_t nhwc[] = {rows, height, width, channels}, nchw[] = {rows, channels, height, width};

	describe(&fields[FIELD_IMAGES], "images", image_dtype[options->dtype], 4, options->layout == CONVERT_NHWC ? nhwc : nchw);
	describe(&fields[FIELD_LABELS], "labels", SHMRING_INT64, 1, (const uint32_t[4]){rows});
	describe(&fields[FIELD_INDEX], "index", SHMRING_INT64, 1, (const uint32_t[4]){rows});
	describe(&fields[FIELD_BOX], "box", SHMRING_INT32, 2, (const uint32_t[4]){rows, 4});
	describe(&fields[FIELD_SOURCE_SIZE], "source_size", SHMRING_INT32, 2, (const uint32_t[4]){rows, 2});
	describe(&fields[FIELD_FLIPPED], "flipped", SHMRING_UINT8, 1, (const uint32_t[4]){rows});
	describe(&fields[FIELD_STATUS], "status", SHMRING_UINT8, 1, (const uint32_t[4]){rows});
	describe(&fields[FIELD_TARGETS], "targets", options->target_dtype == TARGET_UINT16 ? SHMRING_UINT16 : SHMRING_UINT8, 3,
	         (const uint32_t[4]){rows, height, width});
	return has_targets ? FIELD_COUNT : FIELD_TARGETS;
}

/* Positions of an epoch: with weights, more than there are samples if --limit says so. */
static uint64_t epoch_positions(const struct options *options, uint64_t sample_count)
{
	bool limited = options->limit > 0 && (options->limit < sample_count || options->weights);

	return limited ? options->limit : sample_count;
}

void pipeline_schedule(const struct options *options, uint64_t sample_count, struct schedule *schedule)
{
	*schedule = (struct schedule){
		.sample_count = epoch_positions(options, sample_count),
		.batch_size = options->batch_size,
		.rank = options->rank,
		.world_size = options->world_size,
		.tail = options->tail,
		.first_epoch = options->start_epoch,
		.epochs = options->epochs,
		.start_sample = options->start_sample,
	};
}

/* ------------------------------------------------------------------ state */

void pipeline_wake_watch(struct pipeline *pipeline)
{
	const uint64_t one = 1;

	(void)!write(pipeline->event_fd, &one, sizeof one); /* fails only when it is readable already */
}

void pipeline_change_state(struct pipeline *pipeline, enum pipeline_state state, const char *format, ...)
{
	va_list arguments;

	pthread_mutex_lock(&pipeline->state_lock);
	if (pipeline->state == PIPELINE_RUNNING) {
		va_start(arguments, format);
		vsnprintf(pipeline->text, sizeof pipeline->text, format, arguments);
		va_end(arguments);
		pipeline->state = state;
	}
	pthread_mutex_unlock(&pipeline->state_lock);
	pipeline_wake_watch(pipeline);
}

enum pipeline_state pipeline_state(struct pipeline *pipeline, const char **text)
{
	enum pipeline_state state;

	pthread_mutex_lock(&pipeline->state_lock);
	state = pipeline->state;
	pthread_mutex_unlock(&pipeline->state_lock);
	*text = pipeline->text; /* written once, before the state that makes anyone look */
	return state;
}

void pipeline_close_one(struct pipeline *pipeline)
{
	/* [OPEN] acq_rel: whoever comes last knows that all commits are done.  Pairs with itself. */
	if (atomic_fetch_sub_explicit(&pipeline->open_count, 1, memory_order_acq_rel) == 1)
		pipeline_change_state(pipeline, PIPELINE_DONE, "all batches are committed");
}

void pipeline_give_sample(struct pipeline *pipeline, struct item *item, uint64_t sample)
{
	item->sample = sample;
	item->half = RENDER_IMAGE;
	/* With weights a sample may come several times in an epoch: each position has a crop of its own. */
	item->ask = crop_usual_ask(&pipeline->render.crop, item->batch->epoch, pipeline->order.weights ? item->position : sample);
	if (item->ask.rule == CROP_BOX || item->ask.rule == CROP_WINDOW)
		(void)dataset_box(pipeline->dataset, sample, &item->ask); /* set-up saw that there are boxes */
}

void pipeline_fetch(struct pipeline *pipeline, struct item *item)
{
	hunger_row_goes(&pipeline->hunger);
	queue_push(&pipeline->to_fetch, item);
}

void pipeline_fetch_first(struct pipeline *pipeline, struct item *item)
{
	hunger_row_goes(&pipeline->hunger);
	queue_push_front(&pipeline->to_fetch, item);
	fetch_wake(pipeline->fetch);
}

void pipeline_decode(struct pipeline *pipeline, struct item *item)
{
	hunger_row_comes(&pipeline->hunger);
	queue_push(&pipeline->to_decode, item);
}

void pipeline_commit(struct pipeline *pipeline, struct batch *batch)
{
	/* Counted first, so that a reader that has the batch finds it counted. */
	shmring_counter_add(pipeline->producer, STATS_IMAGES, batch->row_count);
	shmring_counter_add(pipeline->producer, STATS_BATCHES, 1);
	free(batch->request);
	batch->request = NULL;
	/* From here on the planner may use `batch` for another one at any moment. */
	shmring_commit(pipeline->producer, &batch->slot, batch->epoch, batch->row_count);
	pipeline_close_one(pipeline);
}

/* ------------------------------------------------------------------ start and stop */

static int start_thread(struct pipeline *pipeline, void *(*run)(void *), const char *name, struct err *err)
{
	char own_name[16] = "";
	int rc;

	/* For top and perf.  It inherits our name: another thread's could be changed only through /proc, which the sandbox closes. */
	(void)prctl(PR_GET_NAME, own_name);
	(void)prctl(PR_SET_NAME, name);
	rc = pthread_create(&pipeline->threads[pipeline->running_count], NULL, run, pipeline);
	(void)prctl(PR_SET_NAME, own_name);
	if (rc != 0)
		return err_fail(err, -rc, "cannot start thread '%s': %s; try fewer --threads", name, strerror(rc));
	pipeline->running_count++;
	return 0;
}

int pipeline_start(struct pipeline *pipeline, struct err *err)
{
	bool takes_requests = pipeline->options->requests != REQUESTS_NONE;
	int rc = start_thread(pipeline, takes_requests ? planner_requests_run : planner_run, "plan", err);

	if (rc == 0)
		rc = start_thread(pipeline, fetcher_run, "fetch", err);
	for (uint32_t i = 0; i < pipeline->thread_count && rc == 0; i++) {
		char name[24];

		snprintf(name, sizeof name, "decode %u", i);
		rc = start_thread(pipeline, decoder_run, name, err);
	}
	return rc;
}

static int allocate(struct pipeline *pipeline, uint32_t slot_count)
{
	pipeline->threads = calloc(pipeline->thread_count + 2, sizeof pipeline->threads[0]);
	pipeline->batches = calloc(slot_count, sizeof pipeline->batches[0]);
	if (!pipeline->threads || !pipeline->batches)
		return -ENOMEM;
	pipeline->batch_count = slot_count;
	for (uint32_t i = 0; i < slot_count; i++) {
		pipeline->batches[i].items = calloc(pipeline->options->batch_size, sizeof(struct item));
		if (!pipeline->batches[i].items)
			return -ENOMEM;
	}
	return 0;
}

int pipeline_open(struct pipeline **out, const struct options *options, const struct dataset *dataset,
                  const struct weights *weights, struct shmring_producer *producer, struct trace *trace, uint32_t threads,
                  int event_fd, struct err *err)
{
	struct fetch_config fetch = {.backend = options->io,
	                             .depth = options->io_depth,
	                             .max_file_bytes = options->max_file_bytes,
	                             .timeout_ms = options->item_timeout_ms,
	                             .stay_beneath = dataset_stays_beneath(dataset),
	                             .many_mounts = dataset_is_everything(dataset) &&
	                                            dataset_target_root_fd(dataset) == dataset_root_fd(dataset),
	                             .choose_part = fetcher_choose_part};
	struct pipeline *pipeline = calloc(1, sizeof *pipeline);
	int rc;

	if (!pipeline)
		return err_fail(err, -ENOMEM, "out of memory");
	pipeline->options = options;
	pipeline->dataset = dataset;
	pipeline->producer = producer;
	pipeline->trace = trace;
	pipeline->has_targets = dataset_has(dataset, INDEX_TARGET);
	pipeline->thread_count = threads;
	pipeline->event_fd = event_fd;
	pipeline_schedule(options, dataset_sample_count(dataset), &pipeline->schedule);
	pipeline->order = (struct order){.sample_count = dataset_sample_count(dataset),
	                                 .seed = options->seed,
	                                 .shuffle = options->shuffle,
	                                 .weights = weights};
	if (!weights && !options->shuffle) /* the first --limit files are all there is, for substitutes too */
		pipeline->order.sample_count = pipeline->schedule.sample_count;
	render_spec_init(&pipeline->render, options);
	pipeline->render.jpeg_indexes = jpeg_index_store_open(JPEG_INDEX_BUDGET_BYTES, JPEG_LEAST_GAIN_BYTES); /* NULL does too */
	pipeline->render.segment_store = segment_store_open(SEGMENT_STORE_BUDGET_BYTES);                       /* as well */
	pthread_mutex_init(&pipeline->state_lock, NULL);
	request_queue_open(&pipeline->requests);
	hunger_open(&pipeline->hunger);
	queue_open(&pipeline->to_fetch);
	queue_open(&pipeline->to_decode);
	sem_init(&pipeline->decoding, 0, options->reader_fd < 0 ? 1u : 0u);
	atomic_init(&pipeline->open_count, 1);
	pipeline->start_ns = clock_now_ns();
	atomic_init(&pipeline->idle_since_ns, pipeline->start_ns);

	rc = allocate(pipeline, options->slots);
	if (rc == 0)
		rc = crashed_list_open(&pipeline->crashed, options->crashed);
	if (rc < 0) {
		err_fail(err, rc, "out of memory for %u slots of %u rows", options->slots, options->batch_size);
		goto fail;
	}
	fetch.context = pipeline;
	fetch.open_fds = dataset_open_fds(dataset, &fetch.open_fd_count);
	rc = fetch_open(&pipeline->fetch, &fetch, err);
	if (rc < 0)
		goto fail;
	if (fetch_fallback_reason(pipeline->fetch)[0] != '\0')
		log_write(LOG_INFO, "io_uring is not to be had here (%s): reading files with threads instead",
		          fetch_fallback_reason(pipeline->fetch));
	*out = pipeline;
	return 0;
fail:
	pipeline_stop(pipeline);
	return rc;
}

void pipeline_await_parent(struct pipeline *pipeline)
{
	while (sem_wait(&pipeline->decoding) < 0)
		continue; /* EINTR */
	sem_post(&pipeline->decoding);
}

uint64_t pipeline_reader_joined(struct pipeline *pipeline)
{
	uint64_t now_ns = clock_now_ns(), worked_until_ns = now_ns;

	/* relaxed: numbers for people */
	if (atomic_load_explicit(&pipeline->rows_in_flight, memory_order_relaxed) == 0)
		worked_until_ns = atomic_load_explicit(&pipeline->idle_since_ns, memory_order_relaxed);
	atomic_store_explicit(&pipeline->reader_since_ns, now_ns, memory_order_relaxed); /* relaxed: as above */
	hunger_reader_came(&pipeline->hunger);
	sem_post(&pipeline->decoding);
	return worked_until_ns - pipeline->start_ns;
}

void pipeline_request(struct pipeline *pipeline, void *request, size_t request_bytes)
{
	request_queue_push(&pipeline->requests, (struct request){.bytes = request, .byte_count = request_bytes});
}

bool pipeline_has_room(struct pipeline *pipeline)
{
	return request_queue_has_room(&pipeline->requests);
}

uint32_t pipeline_epoch(const struct pipeline *pipeline)
{
	/* relaxed: for the progress line */
	return atomic_load_explicit(&((struct pipeline *)pipeline)->epoch, memory_order_relaxed);
}

const char *pipeline_io_name(const struct pipeline *pipeline)
{
	return fetch_backend_name(pipeline->fetch);
}

bool pipeline_io_is_confined(const struct pipeline *pipeline)
{
	return fetch_is_confined(pipeline->fetch);
}

void pipeline_sample(struct pipeline *pipeline)
{
	uint64_t wait_ns, idle_ns;

	hunger_read(&pipeline->hunger, &wait_ns, &idle_ns);
	shmring_counter_set(pipeline->producer, STATS_DECODE_WAIT_NS, wait_ns);
	shmring_counter_set(pipeline->producer, STATS_DECODE_IDLE_NS, idle_ns);
}

void pipeline_stop(struct pipeline *pipeline)
{
	struct item *item;

	atomic_store_explicit(&pipeline->stopping, true, memory_order_relaxed); /* relaxed: see pipeline_is_stopping() */
	shmring_cancel_claims(pipeline->producer);
	request_queue_close(&pipeline->requests);
	queue_close(&pipeline->to_decode);
	sem_post(&pipeline->decoding);
	if (pipeline->fetch)
		fetch_wake(pipeline->fetch);
	for (uint32_t i = 0; i < pipeline->running_count; i++)
		pthread_join(pipeline->threads[i], NULL);
	pipeline_sample(pipeline);
	while ((item = queue_try_pop(&pipeline->to_decode)) != NULL)
		item_drop_bytes(item, pipeline->fetch);
	if (pipeline->fetch)
		fetch_close(pipeline->fetch);
	for (uint32_t i = 0; i < pipeline->batch_count; i++) {
		free(pipeline->batches[i].items);
		free(pipeline->batches[i].request);
	}
	free(pipeline->batches);
	free(pipeline->threads);
	crashed_list_close(&pipeline->crashed);
	jpeg_index_store_close(pipeline->render.jpeg_indexes);
	segment_store_close(pipeline->render.segment_store);
	request_queue_destroy(&pipeline->requests);
	hunger_close(&pipeline->hunger);
	queue_destroy(&pipeline->to_fetch);
	queue_destroy(&pipeline->to_decode);
	sem_destroy(&pipeline->decoding);
	pthread_mutex_destroy(&pipeline->state_lock);
	free(pipeline);
}
