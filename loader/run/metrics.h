/*
 * metrics.h - --metrics FILE: the ring's counters as OpenMetrics text, for Prometheus and whatever else reads that.
 *
 * Format: OpenMetrics 1.0, openmetrics.io.  The file can be read by node_exporter's textfile collector as well, which knows the older
 * text format: what is new in OpenMetrics are comments there.
 */
#ifndef CROPRING_METRICS_H
#define CROPRING_METRICS_H

#include <stddef.h>

#include "base/verdict.h"
#include "shmring/shmring.h"

/* From malloc, the caller's, with its length; NULL: out of memory.  `now`: who has waited lately. */
char *metrics_text(const struct shmring_producer *producer, const char *ring, const struct verdict *now, size_t *text_bytes);

#endif
