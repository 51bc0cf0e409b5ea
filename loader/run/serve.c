/* serve.c - one run of the worker: set up top to bottom, watch until the end, take down in reverse. */
#include "loader/run/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/run/attendance.h"
#include "loader/run/crash.h"
#include "loader/run/limits.h"
#include "loader/run/log.h"
#include "loader/run/pipeline.h"
#include "loader/run/sandbox.h"
#include "loader/run/stats.h"

#define AUTO_RING_BYTES (UINT64_C(512) << 20)

enum {
	AUTO_MAX_SLOTS = 16,
	TICK_MS = 200,       /* progress line, sampled counters */
	TICKS_PER_FLUSH = 5, /* held-back warnings */
	DRAIN_TICK_MS = 10,  /* all is published: a look whether the reader took it */
};

struct service {
	struct options options; /* with slots, threads and ring name worked out */
	char ring[SHMRING_NAME_BYTES];
	enum log_level chatter; /* a worker that Python started keeps its good news to itself */
	uint32_t threads;
	struct dataset *dataset;
	struct shmring_producer *producer;
	struct pipeline *pipeline;
	struct stats_scope scope;
	struct attendance attendance;
	struct stats_file stats_file;
	struct sandbox sandbox;
	int signal_fd, event_fd;
	uint64_t counting_since_ns; /* for rates: the first reader's coming, less the work done before; 0: no reader yet */
	uint64_t tick_count;
	bool complete; /* every batch is published */
};

/* ------------------------------------------------------------------ set-up */

/* Adds a signal that ends us, unless whoever started us wants it ignored (nohup, a shell's background job). */
static void add_ending_signal(sigset_t *signals, int number)
{
	struct sigaction action;

	if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN)
		sigaddset(signals, number);
}

/* Until here a signal simply ends the process: there is nothing yet that it could leave behind. */
static int set_up_signals(struct service *service, struct err *err)
{
	sigset_t ending;

	crash_catch_signals();
	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	add_ending_signal(&ending, SIGHUP);
	add_ending_signal(&ending, SIGINT);
	if (sigprocmask(SIG_BLOCK, &ending, NULL) < 0)
		return err_fail(err, -errno, "sigprocmask: %s", strerror(errno));
	service->signal_fd = signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK);
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
	if (options->stats_path) {
		rc = stats_file_open(&service->stats_file, options->stats_path, err);
		if (rc < 0)
			return rc;
	}
	if (options->cpus) {
		rc = limits_pin_cpus(options->cpus, err);
		if (rc < 0)
			return rc;
	}
	if (options->nice != 0 && setpriority(PRIO_PROCESS, 0, options->nice) < 0)
		return err_fail(err, -errno, "--nice %d: %s", options->nice, strerror(errno));
	options->io_depth = limits_open_files(options->io_depth);
	service->threads = options->threads > 0 ? options->threads : limits_cpu_count();
	return 0;
}

/* Batches and rows of this rank in the whole run; every epoch but the first is like the second.  Both 0: endless, or none. */
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

static int set_up_dataset(struct service *service, struct err *err)
{
	const struct options *options = &service->options;
	struct schedule schedule;
	uint64_t sample_count;
	int rc;

	rc = dataset_open_folder(&service->dataset, options->source, err);
	if (rc < 0)
		return rc;
	sample_count = dataset_sample_count(service->dataset);
	if (dataset_stray_count(service->dataset) > 0)
		log_write(LOG_WARNING, "%s: %llu images lie beside the class folders and are left out", options->source,
		          (unsigned long long)dataset_stray_count(service->dataset));
	if (options->start_sample >= sample_count)
		return err_fail(err, -EINVAL, "--start-sample %llu: %s has only %llu samples",
		                (unsigned long long)options->start_sample, options->source, (unsigned long long)sample_count);
	pipeline_schedule(options, sample_count, &schedule);
	if (schedule_batches(&schedule, options->start_epoch) == 0 && schedule_batches(&schedule, options->start_epoch + 1) == 0)
		return err_fail(err, -EINVAL,
		                "%llu samples do not fill one batch of %u on each of %u ranks: use a smaller --batch-size, or "
		                "--tail partial",
		                (unsigned long long)sample_count, options->batch_size, options->world_size);
	service->scope.epoch = options->start_epoch;
	count_expected(&schedule, &service->scope);
	if (options->epochs > 0 && service->scope.expected_batches == 0)
		log_write(LOG_WARNING, "--start-sample %llu leaves no batch of the one epoch that was asked for",
		          (unsigned long long)options->start_sample);
	return 0;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* --slots 0: as many as fit into 512 MB, up to 16 or two for each reader, but never fewer than the readers need. */
static int choose_slots(struct shmring_config *config, struct err *err)
{
	uint32_t least = larger(SHMRING_MIN_SLOTS, config->reader_limit + 1),
		 most = larger(AUTO_MAX_SLOTS, 2 * config->reader_limit);
	uint64_t slot_bytes, segment_bytes, fitting;
	int rc;

	if (config->slot_count > 0)
		return 0;
	config->slot_count = least;
	rc = shmring_measure(config, &slot_bytes, &segment_bytes, err);
	if (rc < 0)
		return rc;
	fitting = AUTO_RING_BYTES / slot_bytes;
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
		.field_count = FIELD_COUNT,
		.counter_names = stats_counter_names(),
		.counter_count = STATS_COUNTER_COUNT,
		.catalog_fd = dataset_catalog_fd(service->dataset),
		.subject = options->source,
	};
	uint64_t slot_bytes, segment_bytes;
	int rc;

	if (options->ring)
		strncpy(service->ring, options->ring, sizeof service->ring - 1);
	else
		snprintf(service->ring, sizeof service->ring, "cropring-%d", getpid());
	pipeline_fields(options, fields);
	rc = choose_slots(&config, err);
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
	                                    .socket_path = service->options.socket_path};
	struct sandbox *sandbox = &service->sandbox;
	bool has_ring;
	int rc;

	sandbox->mode = service->options.sandbox;
	rc = sandbox_limit_files(sandbox, &needs, err); /* before there is a second thread, */
	if (rc == 0)
		rc = pipeline_open(&service->pipeline, &service->options, service->dataset, service->producer, service->threads,
		                   service->event_fd, err);
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
	if (sandbox->reads_everything)
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
		rc = set_up_dataset(service, err);
	*code = rc == -EINVAL || rc == -ENOENT || rc == -ENOTDIR || rc == -ENODATA || rc == -ELOOP ? EXIT_USAGE : EXIT_FAILED;
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
	if (service->dataset)
		dataset_close(service->dataset);
	if (service->signal_fd >= 0)
		close(service->signal_fd);
	if (service->event_fd >= 0)
		close(service->event_fd);
	stats_file_close(&service->stats_file);
}

/* ------------------------------------------------------------------ the end of the stream, whatever it is */

/* No more batches: what is published stays readable, then readers see `end` and `text`. */
static void end_stream(struct service *service, enum shmring_end end, const char *text)
{
	pipeline_stop(service->pipeline);
	service->pipeline = NULL;
	shmring_finish(service->producer, end, text);
}

static int end_by_signal(struct service *service)
{
	struct signalfd_siginfo info;
	sigset_t all;
	char text[128];

	if (read(service->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return -1; /* somebody else's wake-up */
	/* A second signal, while we clean up, ends us at once: without the socket file nothing is left that has a name. */
	log_progress("");
	shmring_door_shut(service->producer);
	signal((int)info.ssi_signo, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	snprintf(text, sizeof text, "the worker was stopped by SIG%s after %llu batches", sigabbrev_np((int)info.ssi_signo),
	         (unsigned long long)shmring_published(service->producer));
	log_write(service->chatter, "%s", text);
	end_stream(service, SHMRING_STOPPED, text);
	return EXIT_SIGNAL + (int)info.ssi_signo;
}

/* "0", or "2: seq 5, 9". */
static void list_untaken(const struct service *service, char *text, size_t text_bytes)
{
	uint32_t sequences[SHMRING_MAX_SLOTS], count = shmring_untaken(service->producer, sequences);
	size_t length = (size_t)snprintf(text, text_bytes, "%u", count);

	for (uint32_t i = 0; i < count && length < text_bytes; i++)
		length += (size_t)snprintf(text + length, text_bytes - length, "%s%u", i == 0 ? ": seq " : ", ", sequences[i]);
}

/* Nobody is left to work for. */
static int end_by_departure(struct service *service)
{
	const struct attendance *attendance = &service->attendance;
	bool endless = service->options.epochs == 0, ours = service->options.reader_fd >= 0, complete;
	bool died = attendance->last_event == SHMRING_DIED;
	char text[256], untaken[160];

	log_progress("");
	pipeline_stop(service->pipeline);
	service->pipeline = NULL;
	/* It may have taken the last batch and left before we heard that this was the last. */
	complete = !endless && shmring_published(service->producer) == service->scope.expected_batches;
	shmring_finish(service->producer, complete ? SHMRING_COMPLETE : SHMRING_STOPPED,
	               ours ? "the process that started the worker left" : "the readers left");
	if ((complete && shmring_untaken(service->producer, NULL) == 0) || (!died && (endless || ours)))
		return EXIT_DONE;
	list_untaken(service, untaken, sizeof untaken);
	snprintf(text, sizeof text, "the %sreader (process %d) %s before the end: of %llu batches published, not taken: %s",
	         service->options.readers > 1 ? "last " : "", attendance->last_visitor.pid, died ? "died" : "left",
	         (unsigned long long)shmring_published(service->producer), untaken);
	log_write(ours ? LOG_INFO : LOG_WARNING, "%s", text);
	return EXIT_FAILED;
}

/* -1: go on. */
static int step_door(struct service *service)
{
	switch (attendance_step(&service->attendance)) {
	case ATTENDANCE_FIRST_CAME:
		service->counting_since_ns = clock_now_ns() - pipeline_reader_joined(service->pipeline);
		break;
	case ATTENDANCE_OVER:
		return end_by_departure(service);
	case ATTENDANCE_SAME:
		break;
	}
	return -1;
}

static int end_by_failure(struct service *service, int code, const char *text)
{
	char kept[512];

	log_progress("");
	snprintf(kept, sizeof kept, "%s", text); /* the text may go with the pipeline */
	log_write(LOG_ERROR, "%s", kept);
	end_stream(service, SHMRING_FAILED, kept);
	return code;
}

/* -1: go on. */
static int step_pipeline(struct service *service)
{
	bool parent_is_to_join = service->options.reader_fd >= 0 && service->counting_since_ns == 0;
	const char *text;
	enum pipeline_state state = pipeline_state(service->pipeline, &text);

	/* Whatever the end is, the process that started us hears of it through the ring, after the batches before it. */
	if (state == PIPELINE_RUNNING || parent_is_to_join)
		return -1;
	if (state != PIPELINE_DONE)
		return end_by_failure(service, state == PIPELINE_BAD_DATA ? EXIT_BAD_DATA : EXIT_FAILED, text);
	/* The batches are made; in broadcast they may still wait for the readers that were announced, unpublished. */
	if (shmring_published(service->producer) < service->scope.expected_batches)
		return -1;
	if (!service->complete) {
		service->complete = true;
		shmring_finish(service->producer, SHMRING_COMPLETE, NULL);
	}
	if (shmring_audit(service->producer) < 0)
		return end_by_failure(service, EXIT_FAILED, "the ring's slot words were overwritten by another process");
	/* What the only reader has taken is its own: its mapping outlives us.  With others, it may die and they get the batch. */
	if (shmring_untaken(service->producer, NULL) > 0 ||
	    (shmring_held(service->producer) > 0 && shmring_reader_count(service->producer) > 1))
		return -1;
	return EXIT_DONE;
}

static void show_progress(struct service *service)
{
	char line[256];

	stats_sample(service->producer, service->counting_since_ns);
	if (++service->tick_count % TICKS_PER_FLUSH == 0)
		log_flush();
	if (!log_has_terminal() || service->options.reader_fd >= 0)
		return;
	service->scope.epoch = pipeline_epoch(service->pipeline);
	stats_progress_line(service->producer, &service->scope, line, sizeof line);
	log_progress(line);
}

static int watch(struct service *service)
{
	enum { SIGNALS, PIPELINE, DOOR, SOURCE_COUNT };
	struct pollfd source[SOURCE_COUNT] = {
		[SIGNALS] = {.fd = service->signal_fd, .events = POLLIN},
		[PIPELINE] = {.fd = service->event_fd, .events = POLLIN},
		[DOOR] = {.fd = shmring_door_fd(service->producer), .events = POLLIN},
	};
	uint64_t next_tick_ns = 0;
	int code = -1;

	while (code < 0) {
		if (poll(source, SOURCE_COUNT, service->complete ? DRAIN_TICK_MS : TICK_MS) < 0 && errno != EINTR)
			return EXIT_FAILED;
		if (source[SIGNALS].revents)
			code = end_by_signal(service);
		if (code < 0 && source[DOOR].revents)
			code = step_door(service);
		if (code < 0)
			code = step_pipeline(service);
		if (source[PIPELINE].revents)
			source[PIPELINE].fd = -1; /* it changes its state once */
		if (code < 0 && clock_now_ns() >= next_tick_ns) {
			if (attendance_tick(&service->attendance))
				code = end_by_departure(service);
			else
				show_progress(service);
			next_tick_ns = clock_now_ns() + TICK_MS * UINT64_C(1000000);
		}
	}
	return code;
}

/* The last words.  Returns the exit code, which a --stats file that cannot be written spoils. */
static int sum_up(struct service *service, int code)
{
	struct err err;

	log_progress("");
	stats_sample(service->producer, service->counting_since_ns);
	if (service->counting_since_ns > 0)
		stats_log_summary(service->producer, service->chatter);
	if (service->options.stats_path && stats_write_file(service->producer, &service->scope, &service->stats_file, &err) < 0) {
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

	log_open(options->verbosity, options->log_format == LOG_JSON);
	service.chatter = options->reader_fd >= 0 ? LOG_DEBUG : LOG_INFO;
	rc = set_up(&service, &code, &err);
	if (rc == 0) {
		code = sum_up(&service, watch(&service));
	} else {
		log_write(options->reader_fd >= 0 ? LOG_DEBUG : LOG_ERROR, "%s", err.text); /* Python raises it, once is enough */
		if (options->reader_fd >= 0)
			shmring_door_refuse(options->reader_fd, rc, err.text);
	}
	take_down(&service);
	return code;
}
