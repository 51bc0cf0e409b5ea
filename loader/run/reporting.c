/* reporting.c - windows of time and seconds, and what is told at their ends. */
#include "loader/run/reporting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/run/log.h"
#include "loader/run/metrics.h"
#include "loader/run/reading.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW_NS (5 * SECOND_NS) /* what is told of now is told of the last 5 to 10 s */

enum { PATIENCE_MS = 2000 }; /* for the last metrics, on a disk that hangs */

int reporting_open(struct reporting *reporting, const struct options *options, struct err *err)
{
	int rc = 0;

	if (options->stats_path)
		rc = report_open(&reporting->stats, "--stats", REPORT_REPLACE, options->stats_path, err);
	if (rc == 0 && options->metrics_path)
		rc = report_open(&reporting->metrics, "--metrics", REPORT_REPLACE, options->metrics_path, err);
	if (rc == 0 && options->trace_path)
		rc = trace_writer_open(&reporting->trace, options->trace_path, options->goes_on != 0, err);
	return rc;
}

int reporting_begin(struct reporting *reporting, struct shmring_producer *producer, const struct stats_scope *scope,
                    uint32_t decoder_count, struct err *err)
{
	reporting->producer = producer;
	reporting->scope = scope;
	if (reporting->trace.report.path && trace_writer_begin(&reporting->trace, producer, scope->slot_count, decoder_count) < 0)
		return err_fail(err, -ENOMEM, "--trace: out of memory for %u threads", decoder_count);
	return 0;
}

struct trace *reporting_trace(const struct reporting *reporting)
{
	return reporting->trace.trace;
}

void reporting_step_trace(struct reporting *reporting)
{
	if (reporting->trace.trace)
		(void)trace_writer_step(&reporting->trace,
		                        reporting->scope->ring); /* what it did not take comes with the next step */
}

static void judge_lately(struct reporting *reporting, uint64_t now_ns)
{
	struct verdict_reading reading;

	reading_take(reporting->producer, &reading);
	verdict_judge(&reporting->past[0], &reading, &reporting->now);
	if (now_ns - reporting->past_ns < WINDOW_NS)
		return;
	reporting->past[0] = reporting->past[1];
	reporting->past[1] = reading;
	reporting->past_ns = now_ns;
}

/* Once, whatever comes later: it is tried again every second, and a log that says so as often would help nobody. */
static void warn_of_metrics(struct reporting *reporting, int error)
{
	if (reporting->metrics_warned || error == 0)
		return;
	reporting->metrics_warned = true;
	log_write(LOG_WARNING, "--metrics %s: cannot be written: %s%s", reporting->metrics.path, strerror(error),
	          error == EPIPE ? "; the process that writes it is gone" : "; it is tried again every second");
}

static void write_metrics(struct reporting *reporting)
{
	struct report *report = &reporting->metrics;
	size_t text_bytes;
	char *text = metrics_text(reporting->producer, reporting->scope->ring, &reporting->now, &text_bytes);
	int rc = text ? report_send(report, text, text_bytes) : -ENOMEM;

	free(text);
	/* -EAGAIN: the disk is slow, and newer numbers will follow */
	warn_of_metrics(reporting, rc == -EPIPE || rc == -ENOMEM ? -rc : report->error);
}

void reporting_step(struct reporting *reporting)
{
	uint64_t now_ns = clock_now_ns();

	judge_lately(reporting, now_ns);
	if (!reporting->metrics.path)
		return;
	if (now_ns - reporting->written_ns < SECOND_NS) {
		(void)report_step(&reporting->metrics); /* what is wrong is found with the next text */
		return;
	}
	reporting->written_ns = now_ns;
	write_metrics(reporting);
}

static void end_metrics(struct reporting *reporting)
{
	struct err err;

	judge_lately(reporting, clock_now_ns());
	write_metrics(reporting);
	if (report_finish(&reporting->metrics, PATIENCE_MS, &err) < 0 && !reporting->metrics_warned)
		log_write(LOG_WARNING, "%s", err.text);
}

int reporting_end(struct reporting *reporting, struct err *err)
{
	if (reporting->trace.trace)
		trace_writer_end(&reporting->trace, reporting->scope->ring);
	if (reporting->metrics.path)
		end_metrics(reporting);
	return reporting->stats.path ? stats_write(reporting->producer, reporting->scope, &reporting->stats, err) : 0;
}

void reporting_close(struct reporting *reporting)
{
	report_close(&reporting->stats);
	report_close(&reporting->metrics);
	trace_writer_close(&reporting->trace);
}
