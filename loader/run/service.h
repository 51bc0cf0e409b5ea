/*
 * service.h - one run of the worker: what serve.c (set-up, order), set_up_source.c and watch.c (while it runs, and how it ends)
 * share.
 */
#ifndef CROPRING_SERVICE_H
#define CROPRING_SERVICE_H

#include "loader/run/attendance.h"
#include "loader/run/log.h"
#include "loader/run/pipeline.h"
#include "loader/run/reporting.h"
#include "loader/run/sandbox.h"
#include "loader/run/stats.h"

struct service {
	struct options options; /* with slots, threads and ring name worked out */
	char ring[SHMRING_NAME_BYTES];
	enum log_level chatter; /* a worker that Python started keeps its good news to itself */
	uint32_t threads, cpus;
	struct dataset *dataset;
	struct weights *weights; /* NULL: none */
	struct shmring_producer *producer;
	struct pipeline *pipeline;
	struct stats_scope scope;
	struct attendance attendance;
	struct attribution attribution;
	struct reporting reporting;
	struct sandbox sandbox;
	int signal_fd, event_fd;
	uint64_t counting_since_ns; /* for rates: the first reader's coming, less the work done before; 0: no reader yet */
	uint64_t tick_count;
	bool complete; /* every batch is published */
};

/* Opens the source, with its weights and schedule.  The errno says whose fault it is: see set_up() in serve.c. */
int set_up_source(struct service *service, struct err *err);

/* Brings all counters up to date. */
void service_sample(struct service *service);

/* Until every batch is published and taken, a signal comes, something fails, or nobody is left to work for.  Returns the exit code. */
int watch_until_end(struct service *service);

#endif
