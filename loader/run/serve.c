/* serve.c - one run of the worker: set up top to bottom, watch until the end, take down in reverse. */
#include "loader/run/serve.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "loader/run/crash.h"
#include "loader/run/limits.h"
#include "loader/run/service.h"

#define AUTO_RING_BYTES (UINT64_C(512) << 20)

enum { AUTO_MAX_SLOTS = 16 };

/* ------------------------------------------------------------------ set-up */

/* Adds a signal that ends us, unless whoever started us wants it ignored (nohup, a shell's background job). */
static void add_ending_signal(sigset_t *signals, int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
		sigaddset(signals, number);
}

/* One that asks how it goes is answered once there is something to tell.  It never ends us: when all are let in at the end, it is ignored. */
static void hold_questions(void)
{
	sigset_t questions;

	signal(SIGUSR1, SIG_IGN); /* while it is blocked it is kept all the same */
	sigemptyset(&questions);
	sigaddset(&questions, SIGUSR1);
	sigprocmask(SIG_BLOCK, &questions, NULL);
}

/* Until here a signal simply ends the process: there is nothing yet that it could leave behind. */
static int set_up_signals(struct service *service, struct err *err)
{
	sigset_t ours;

	crash_catch_signals();
	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGUSR1);
	add_ending_signal(&ours, SIGHUP);
	add_ending_signal(&ours, SIGINT);
	if (sigprocmask(SIG_BLOCK, &ours, NULL) < 0)
		return err_fail(err, -errno, "sigprocmask: %s", strerror(errno));
	service->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
	service->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (service->signal_fd < 0 || service->event_fd < 0)
		return err_fail(err, -errno, "no descriptors left for signals: %s", strerror(errno));
	return 0;
}

static int set_up_work(struct service *service, struct err *err)
{
	struct options *options = &service->options;
	int rc;

	if (options->reader_fd >= 0) {
		signal(SIGINT, SIG_IGN); /* Ctrl-C is for the trainer; if it ends, so do we */
		limits_raise_oom_score();
	}
	rc = reporting_open(&service->reporting, options, err);
	if (rc < 0)
		return rc;
	if (options->cpus) {
		rc = limits_pin_cpus(options->cpus, err);
		if (rc < 0)
			return rc;
	}
	if (options->nice != 0 && setpriority(PRIO_PROCESS, 0, options->nice) < 0)
		return err_fail(err, -errno, "--nice %d: %s", options->nice, strerror(errno));
	options->io_depth = limits_open_files(options->io_depth);
	service->cpus = limits_cpu_count();
	service->threads = options->threads > 0 ? options->threads : service->cpus;
	return 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/*
 * --slots 0: as many as fit into 512 MB, up to 16 or two for each reader, but never fewer than the readers need.  For several ranks
 * up to four for each, and 512 MB: no more than workers of their own would take.
 */
static int choose_slots(struct shmring_config *config, uint32_t ranks, struct err *err)
{
	uint32_t least = larger(SHMRING_MIN_SLOTS, config->reader_limit + 1),
		 most = larger(AUTO_MAX_SLOTS, (ranks > 1 ? 4 : 2) * config->reader_limit);
	uint64_t slot_bytes, segment_bytes, fitting;
	int rc;

	if (config->slot_count > 0)
		return 0;
	config->slot_count = least;
	rc = shmring_measure(config, &slot_bytes, &segment_bytes, err);
	if (rc < 0)
		return rc;
	fitting = AUTO_RING_BYTES * ranks / slot_bytes;
	most = most < SHMRING_MAX_SLOTS ? most : SHMRING_MAX_SLOTS;
	if (fitting > least)
		config->slot_count = fitting < most ? (uint32_t)fitting : most;
	return 0;
}

static void keep_line(const char *line, void *context)
{
	shmring_log(context, line);
}

static int set_up_ring(struct service *service, struct err *err)
{
	struct options *options = &service->options;
	struct shmring_field fields[FIELD_COUNT];
	struct shmring_config config = {
		.name = service->ring,
		.slot_count = options->slots,
		.segment = options->segment,
		.share = options->share,
		.reader_limit = options->readers,
		.first_batch = options->first_batch,
		.fields = fields,
		.counter_names = stats_counter_names(),
		.counter_count = STATS_COUNTER_COUNT,
		.catalog_fd = dataset_index_fd(service->dataset),
		.takes_requests = options->requests != REQUESTS_NONE,
		.subject = options->source,
	};
	uint64_t slot_bytes, segment_bytes;
	int rc;

	if (options->ring)
		strncpy(service->ring, options->ring, sizeof service->ring - 1);
	else
		snprintf(service->ring, sizeof service->ring, "cropring-%d", getpid());
	config.field_count = pipeline_fields(options, dataset_has(service->dataset, INDEX_TARGET), fields);
	rc = choose_slots(&config, options->lane_ranks, err);
	if (rc < 0)
		return rc;
	options->slots = config.slot_count;
	rc = shmring_measure(&config, &slot_bytes, &segment_bytes, err);
	if (rc < 0)
		return rc;
	rc = limits_check_memory(segment_bytes, err);
	if (rc < 0)
		return rc;
	rc = shmring_create(&service->producer, &config, err);
	if (rc < 0)
		return rc;
	log_keep(keep_line, service->producer);
	service->attendance = (struct attendance){.producer = service->producer, .options = options};
	service->scope.ring = service->ring;
	service->scope.slot_count = options->slots;
	rc = reporting_begin(&service->reporting, service->producer, &service->scope, service->threads, err);
	if (rc < 0)
		return rc;
	log_write(service->chatter, "ring %s: %u slots of %.1f MB, %.0f MB in %s", service->ring, options->slots,
	          (double)slot_bytes / 1e6, (double)segment_bytes / 1e6, shmring_segment_name(service->producer));
	rc = shmring_door_open(service->producer, options->socket_path, err);
	if (rc == 0 && options->reader_fd >= 0)
		rc = shmring_door_adopt(service->producer, options->reader_fd, err);
	return rc;
}

/* From here on we may do little more than read pictures.  What was opened before stays open. */
static int start_pipeline_in_sandbox(struct service *service, struct err *err)
{
	const struct sandbox_needs needs = {.source_fd = dataset_root_fd(service->dataset),
	                                    .links = dataset_link_targets(service->dataset),
	                                    .source_is_everything = dataset_is_everything(service->dataset),
	                                    .target_fd = dataset_target_root_fd(service->dataset),
	                                    .target_links = dataset_target_links(service->dataset),
	                                    .socket_path = service->options.socket_path};
	struct sandbox *sandbox = &service->sandbox;
	bool has_ring;
	int rc;

	sandbox->mode = service->options.sandbox;
	rc = sandbox_limit_files(sandbox, &needs, err); /* before there is a second thread, */
	if (rc == 0)
		rc = pipeline_open(&service->pipeline, &service->options, service->dataset, service->weights, service->producer,
		                   reporting_trace(&service->reporting), service->threads, service->event_fd, err);
	if (rc < 0)
		return rc;
	has_ring = strcmp(pipeline_io_name(service->pipeline), "uring") == 0;
	rc = sandbox_limit_calls(sandbox, &needs, has_ring, pipeline_io_is_confined(service->pipeline), err);
	if (rc == 0) /* and before the first picture is looked at */
		rc = pipeline_start(service->pipeline, err);
	return rc;
}

static void report_sandbox(const struct service *service)
{
	const struct sandbox *sandbox = &service->sandbox;
	char text[600];

	shmring_counter_set(service->producer, STATS_SANDBOX_LANDLOCK, (uint64_t)sandbox->landlock_abi);
	shmring_counter_set(service->producer, STATS_SANDBOX_ROOTS, sandbox->root_count);
	shmring_counter_set(service->producer, STATS_SANDBOX_SECCOMP, sandbox->seccomp);
	shmring_counter_set(service->producer, STATS_SANDBOX_URING, sandbox->ring);
	sandbox_describe(sandbox, text, sizeof text);
	log_write(LOG_DEBUG, "sandbox: %s", text);
	if (sandbox->reads_everything && !dataset_is_everything(service->dataset))
		log_write(LOG_INFO, "%s: symbolic links lead all over the file system, so the worker may read all of it",
		          service->options.source);
}

static int set_up_pipeline(struct service *service, struct err *err)
{
	int rc = start_pipeline_in_sandbox(service, err);

	if (rc < 0)
		return rc;
	report_sandbox(service);
	shmring_counter_set(service->producer, STATS_THREADS, service->threads);
	shmring_counter_set(service->producer, STATS_CPUS, service->cpus);
	shmring_counter_set(service->producer, STATS_REQUESTS, service->options.requests != REQUESTS_NONE);
	shmring_counter_set(service->producer, STATS_URING, strcmp(pipeline_io_name(service->pipeline), "uring") == 0);
	shmring_counter_set(service->producer, STATS_MEMFD, strcmp(shmring_segment_name(service->producer), "memfd") == 0);
	log_write(service->chatter, "%s: %llu images in %u classes; %u decode threads, %u files in flight by %s",
	          service->options.source, (unsigned long long)dataset_sample_count(service->dataset),
	          dataset_class_count(service->dataset), service->threads, service->options.io_depth,
	          pipeline_io_name(service->pipeline));
	return 0;
}

/* In *code what the process ends with if this fails: 2 when it is for the user to say something else. */
static int set_up(struct service *service, int *code, struct err *err)
{
	int rc = set_up_work(service, err);

	if (rc == 0)
		rc = set_up_source(service, err);
	*code = rc == -EINVAL || rc == -EBADMSG || rc == -ENOENT || rc == -ENOTDIR || rc == -ENODATA || rc == -ELOOP ? EXIT_USAGE : EXIT_FAILED;
	if (rc < 0)
		return rc;
	rc = set_up_signals(service, err);
	if (rc == 0)
		rc = set_up_ring(service, err);
	*code = rc == -EINVAL || rc == -EEXIST ? EXIT_USAGE : EXIT_FAILED;
	if (rc < 0)
		return rc;
	*code = EXIT_FAILED;
	return set_up_pipeline(service, err);
}

static void take_down(struct service *service)
{
	if (service->pipeline)
		pipeline_stop(service->pipeline);
	log_keep(NULL, NULL);
	shmring_destroy(service->producer);
	weights_close(service->weights);
	if (service->dataset)
		dataset_close(service->dataset);
	if (service->signal_fd >= 0)
		close(service->signal_fd);
	if (service->event_fd >= 0)
		close(service->event_fd);
	reporting_close(&service->reporting);
}

/* The last words.  Returns the exit code, which a --stats file that cannot be written spoils. */
static int sum_up(struct service *service, int code)
{
	struct err err;
	sigset_t all;

	log_progress("");
	service_sample(service);
	if (service->counting_since_ns > 0)
		stats_log_summary(service->producer, service->chatter);
	/* From here on a signal simply ends us: the reader of a --stats pipe may never come. */
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	if (reporting_end(&service->reporting, &err) < 0) {
		log_write(LOG_ERROR, "%s", err.text);
		code = code == EXIT_DONE ? EXIT_FAILED : code;
	}
	log_flush();
	return code;
}

int serve(const struct options *options)
{
	struct service service = {.options = *options, .signal_fd = -1, .event_fd = -1};
	struct err err = {.text = ""};
	int rc, code;

	hold_questions();
	log_open(options->verbosity, options->log_format == LOG_JSON);
	service.chatter = options->reader_fd >= 0 ? LOG_DEBUG : LOG_INFO;
	rc = set_up(&service, &code, &err);
	if (rc == 0) {
		code = sum_up(&service, watch_until_end(&service));
	} else {
		log_write(options->reader_fd >= 0 ? LOG_DEBUG : LOG_ERROR, "%s", err.text); /* Python raises it, once is enough */
		if (options->reader_fd >= 0)
			shmring_door_refuse(options->reader_fd, rc, err.text);
	}
	take_down(&service);
	return code;
}
