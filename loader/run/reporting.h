/*
 * reporting.h - what a running worker tells about itself: who waits for whom lately, and the files of --stats, --metrics and --trace.
 *
 * The main thread's.  A file that cannot be written costs a warning, and never the worker.
 */
#ifndef CROPRING_REPORTING_H
#define CROPRING_REPORTING_H

#include <stdbool.h>

#include "base/verdict.h"
#include "loader/options.h"
#include "loader/run/report.h"
#include "loader/run/stats.h"
#include "loader/run/trace_writer.h"

struct reporting {
	struct shmring_producer *producer; /* from reporting_begin() on, as the next */
	const struct stats_scope *scope;
	struct report stats, metrics;
	struct trace_writer trace;
	struct verdict_reading past[2]; /* the ends of the last two windows of time; */
	uint64_t past_ns, written_ns;   /* when the younger one was taken, and the metrics were written; 0: not yet */
	struct verdict now;             /* since the elder one */
	bool metrics_warned;
};

/* Forks those who write.  To be called while there is one thread. */
int reporting_open(struct reporting *reporting, const struct options *options, struct err *err);

/* There is a ring to tell of, and so many threads will fill it. */
int reporting_begin(struct reporting *reporting, struct shmring_producer *producer, const struct stats_scope *scope,
                    uint32_t decoder_count, struct err *err);

/* Where threads record what they do; NULL: nowhere. */
struct trace *reporting_trace(const struct reporting *reporting);

/* Several times a second; the counters are up to date. */
void reporting_step(struct reporting *reporting);

/* And this each REPORTING_TRACE_MS, if there is a trace. */
enum { REPORTING_TRACE_MS = 50 };
void reporting_step_trace(struct reporting *reporting);

/* The last words; nobody records any more.  Negative, with a sentence, when --stats could not be written; all else is a warning. */
int reporting_end(struct reporting *reporting, struct err *err);

void reporting_close(struct reporting *reporting);

#endif
