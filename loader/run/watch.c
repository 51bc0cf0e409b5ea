/*
 * watch.c - while the worker runs: signals, readers, the pipeline and the clock in; the end of the stream, whatever it is, out.
 *
 * The main thread's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/run/serve.h"
#include "loader/run/service.h"

enum {
	TICK_MS = 200,       /* progress line, sampled counters */
	TICKS_PER_FLUSH = 5, /* held-back warnings */
	DRAIN_TICK_MS = 10,  /* all is published: a look whether the reader took it */
};

/* ------------------------------------------------------------------ the end of the stream, whatever it is */

/* No more batches: what is published stays readable, then readers see `end` and `text`. */
static void end_stream(struct service *service, enum shmring_end end, const char *text)
{
	pipeline_stop(service->pipeline);
	service->pipeline = NULL;
	shmring_finish(service->producer, end, text);
}

/* A reader may have had the last batch, and left or told us to end, before we heard that this was the last. */
static bool all_is_published(const struct service *service)
{
	bool endless = service->options.epochs == 0 || service->options.requests != REQUESTS_NONE;

	return !endless && shmring_published(service->producer) == service->scope.expected_batches;
}

void service_sample(struct service *service)
{
	if (service->pipeline)
		pipeline_sample(service->pipeline);
	stats_sample(service->producer, &service->attribution, service->counting_since_ns);
}

/* SIGUSR1, as for dd. */
static void tell_how_it_goes(struct service *service)
{
	service_sample(service);
	log_progress("");
	stats_log_sums(service->producer, LOG_INFO);
}

/* -1: it did not end us. */
static int hear_signal(struct service *service)
{
	struct signalfd_siginfo info;
	sigset_t all;
	char text[128];

	if (read(service->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return -1; /* somebody else's wake-up */
	if (info.ssi_signo == SIGUSR1) {
		tell_how_it_goes(service);
		return -1;
	}
	/* A second signal, while we clean up, ends us at once: without the socket file nothing is left that has a name. */
	log_progress("");
	shmring_door_shut(service->producer);
	signal((int)info.ssi_signo, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	snprintf(text, sizeof text, "the worker was stopped by SIG%s after %llu batches", sigabbrev_np((int)info.ssi_signo),
	         (unsigned long long)shmring_published(service->producer));
	log_write(service->chatter, "%s", text);
	end_stream(service, all_is_published(service) ? SHMRING_COMPLETE : SHMRING_STOPPED, text);
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
	bool endless = service->options.epochs == 0 || service->options.requests != REQUESTS_NONE;
	bool ours = service->options.reader_fd >= 0, complete;
	bool died = attendance->last_event == SHMRING_DIED;
	char text[256], untaken[160];

	log_progress("");
	pipeline_stop(service->pipeline);
	service->pipeline = NULL;
	complete = all_is_published(service);
	shmring_finish(service->producer, complete ? SHMRING_COMPLETE : SHMRING_STOPPED,
	               ours ? "the process that started the worker left" : "the readers left");
	if ((complete && shmring_untaken(service->producer, NULL) == 0) || (!died && (endless || ours)))
		return EXIT_DONE;
	if (attendance->last_visitor.reader == SHMRING_MAX_READERS) {
		log_write(LOG_INFO, "the process that started this worker ended before it joined");
		return EXIT_FAILED;
	}
	list_untaken(service, untaken, sizeof untaken);
	snprintf(text, sizeof text, "the %sreader (process %d) %s before the end: of %llu batches published, not taken: %s",
	         service->options.readers > 1 ? "last " : "", attendance->last_visitor.pid, died ? "died" : "left",
	         (unsigned long long)shmring_published(service->producer), untaken);
	log_write(ours ? LOG_INFO : LOG_WARNING, "%s", text);
	return EXIT_FAILED;
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
static int take_request(struct service *service, const struct shmring_visitor *visitor)
{
	if (!visitor->request)
		return end_by_failure(service, EXIT_FAILED, "out of memory for a request");
	pipeline_request(service->pipeline, visitor->request, visitor->request_bytes);
	return -1;
}

/* -1: go on. */
static int step_door(struct service *service)
{
	struct shmring_visitor visitor;

	switch (attendance_step(&service->attendance, &visitor)) {
	case ATTENDANCE_FIRST_CAME:
		service->counting_since_ns = clock_now_ns() - pipeline_reader_joined(service->pipeline);
		break;
	case ATTENDANCE_REQUESTED:
		return take_request(service, &visitor);
	case ATTENDANCE_OVER:
		return end_by_departure(service);
	case ATTENDANCE_SAME:
		break;
	}
	return -1;
}

/* -1: go on. */
static int step_pipeline(struct service *service)
{
	bool parent_is_to_join = service->options.reader_fd >= 0 && service->counting_since_ns == 0;
	const char *text;
	enum pipeline_state state = pipeline_state(service->pipeline, &text);

	shmring_door_hold_requests(service->producer, !pipeline_has_room(service->pipeline));
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

	service_sample(service);
	reporting_step(&service->reporting);
	if (++service->tick_count % TICKS_PER_FLUSH == 0)
		log_flush();
	if (!log_has_terminal() || service->options.reader_fd >= 0)
		return;
	service->scope.epoch = pipeline_epoch(service->pipeline);
	stats_progress_line(service->producer, &service->scope, &service->reporting.now, line, sizeof line);
	log_progress(line);
}

int watch_until_end(struct service *service)
{
	enum { SIGNALS, PIPELINE, DOOR, SOURCE_COUNT };
	struct pollfd source[SOURCE_COUNT] = {
		[SIGNALS] = {.fd = service->signal_fd, .events = POLLIN},
		[PIPELINE] = {.fd = service->event_fd, .events = POLLIN},
		[DOOR] = {.fd = shmring_door_fd(service->producer), .events = POLLIN},
	};
	bool traces = reporting_trace(&service->reporting) != NULL;
	int tick_ms = traces ? REPORTING_TRACE_MS : TICK_MS;
	uint64_t next_tick_ns = 0, next_trace_ns = 0, wake_count;
	int code = -1;

	while (code < 0) {
		if (poll(source, SOURCE_COUNT, service->complete ? DRAIN_TICK_MS : tick_ms) < 0 && errno != EINTR)
			return end_by_failure(service, EXIT_FAILED, "the kernel refuses to wait for readers and signals (poll)");
		if (source[PIPELINE].revents)
			(void)!read(service->event_fd, &wake_count, sizeof wake_count);
		if (source[SIGNALS].revents)
			code = hear_signal(service);
		if (code < 0 && source[DOOR].revents)
			code = step_door(service);
		if (code < 0)
			code = step_pipeline(service);
		if (traces && clock_now_ns() >= next_trace_ns) {
			reporting_step_trace(&service->reporting);
			next_trace_ns = clock_now_ns() + REPORTING_TRACE_MS * UINT64_C(1000000);
		}
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
