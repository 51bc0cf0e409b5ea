/* set_up_source.c - part of setting up a run: the source opened, and looked at with the flags in mind.  One thread. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/weights_file.h"
#include "loader/run/service.h"

/* Adds batches and rows of a rank in the whole run; every epoch but the first is like the second.  Both 0: endless, or none. */
static void count_expected(const struct schedule *schedule, struct stats_scope *scope)
{
	for (uint32_t nth = 0; nth < 2 && nth < schedule->epochs; nth++) {
		uint32_t epoch = schedule->first_epoch + nth, times = nth == 0 ? 1 : schedule->epochs - 1;
		uint64_t batches = schedule_batches(schedule, epoch);

		if (batches == 0)
			continue;
		scope->expected_batches += times * batches;
		scope->expected_images +=
			times * ((batches - 1) * schedule->batch_size + schedule_rows(schedule, epoch, batches - 1));
	}
}

/* --crop box and window take what the source tells for each sample. */
static int check_boxes(const struct service *service, struct err *err)
{
	const char *source = service->options.source;
	bool boxes = dataset_has(service->dataset, INDEX_BOX), windows = dataset_has(service->dataset, INDEX_WINDOW);

	if (service->options.crop == CROP_BOX && !boxes)
		return err_fail(err, -EINVAL,
		                "--crop box: %s tells no boxes; a manifest with the columns x, y, width and height does", source);
	if (service->options.crop == CROP_WINDOW && !windows)
		return err_fail(err, -EINVAL, "--crop window: %s tells no windows; a manifest with the columns x, y and scale does",
		                source);
	if ((boxes && service->options.crop != CROP_BOX) || (windows && service->options.crop != CROP_WINDOW))
		log_write(LOG_INFO, "%s tells a %s for each sample, which only --crop %s uses", source, boxes ? "box" : "window",
		          boxes ? "box" : "window");
	return 0;
}

static void report_index(const struct service *service)
{
	bool is_warning;
	const char *text = dataset_cache_report(service->dataset, &is_warning);

	if (*text)
		log_write(is_warning ? LOG_WARNING : service->chatter, "%s", text);
}

static int set_up_weights(struct service *service, struct err *err)
{
	const struct options *options = &service->options;
	uint64_t sample_count = dataset_sample_count(service->dataset);
	const double *column;
	char name[300];
	double *values;
	int rc;

	if (!options->weights)
		return 0;
	snprintf(name, sizeof name, "--weights %s", options->weights);
	if (strcmp(options->weights, "column") == 0) {
		column = dataset_index(service->dataset)->column[INDEX_WEIGHT];
		if (!column)
			return err_fail(
				err, -EINVAL,
				"--weights column: %s tells no weights; a manifest with the column weight does, or name a .npy "
				"file (./column if that is its name)",
				options->source);
		return weights_open(&service->weights, column, sample_count, name, err);
	}
	rc = weights_file_read(options->weights, sample_count, &values, err);
	if (rc == 0)
		rc = weights_open(&service->weights, values, sample_count, name, err);
	free(values);
	return rc;
}

/* What is left of the epochs must be something. */
static int set_up_schedule(struct service *service, struct err *err)
{
	const struct options *options = &service->options;
	struct schedule schedule;
	unsigned long long epoch_samples;
	const char *limited = "";

	pipeline_schedule(options, dataset_sample_count(service->dataset), &schedule);
	epoch_samples = schedule.sample_count;
	if (epoch_samples == options->limit)
		limited = " (--limit)";
	if (options->start_sample > schedule.sample_count)
		return err_fail(err, -EINVAL, "--start-sample %llu: an epoch of %s has only %llu samples%s",
		                (unsigned long long)options->start_sample, options->source, epoch_samples, limited);
	if (schedule_batches(&schedule, options->start_epoch) == 0 && schedule_batches(&schedule, options->start_epoch + 1) == 0)
		return err_fail(err, -EINVAL,
		                "%llu sample%s%s %s not fill one batch of %u%s: use a smaller --batch-size, or --tail partial",
		                epoch_samples, epoch_samples == 1 ? "" : "s", limited, epoch_samples == 1 ? "does" : "do",
		                options->batch_size, options->world_size == 1 ? "" : " on each rank");
	service->scope.epoch = options->start_epoch;
	for (uint32_t i = 0; i < options->lane_ranks; i++, schedule.rank++)
		count_expected(&schedule, &service->scope);
	if (options->epochs > 0 && service->scope.expected_batches == 0)
		log_write(LOG_WARNING, "--start-sample %llu leaves no batch of the one epoch that was asked for",
		          (unsigned long long)options->start_sample);
	return 0;
}

int set_up_source(struct service *service, struct err *err)
{
	const struct options *options = &service->options;
	struct dataset_spec spec = {.source = options->source,
	                            .root = options->root,
	                            .targets = options->targets,
	                            .index_path = options->index_path,
	                            .threads = service->threads,
	                            .unscanned = options->requests == REQUESTS_PATHS};
	int rc;

	rc = dataset_open(&service->dataset, &spec, err);
	if (rc < 0)
		return rc == -EINVAL ? -EBADMSG : rc; /* the source is wrong, and no flag */
	report_index(service);
	if (dataset_remark(service->dataset))
		log_write(LOG_DEBUG, "%s", dataset_remark(service->dataset));
	if (dataset_warning(service->dataset))
		log_write(LOG_WARNING, "%s", dataset_warning(service->dataset));
	if (dataset_stray_count(service->dataset) > 0)
		log_write(LOG_WARNING, "%s: %llu images lie beside the class folders and are left out", options->source,
		          (unsigned long long)dataset_stray_count(service->dataset));
	if (options->requests == REQUESTS_PATHS) /* every row brings its own box, and there is no schedule */
		return 0;
	rc = check_boxes(service, err);
	if (rc < 0 || options->requests == REQUESTS_SAMPLES)
		return rc;
	rc = set_up_weights(service, err);
	return rc < 0 ? rc : set_up_schedule(service, err);
}
