/* stats.c - from counters to sentences. */
#include "loader/run/stats.h"

#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/commas.h"
#include "loader/run/reading.h"

static const char *const names[STATS_COUNTER_COUNT] = {
	[STATS_IMAGES] = "images",
	[STATS_BATCHES] = "batches",
	[STATS_BYTES_READ] = "bytes_read",
	[STATS_BAD_SAMPLES] = "bad_samples",
	[STATS_SUBSTITUTES] = "substitutes",
	[STATS_LOADER_WAIT_NS] = "loader_wait_ns",
	[STATS_READER_WAIT_NS] = "reader_wait_ns",
	[STATS_START_WAIT_NS] = "start_wait_ns",
	[STATS_READER_NS] = "reader_ns",
	[STATS_WAITED_DECODE_NS] = "waited_decode_ns",
	[STATS_WAITED_READ_NS] = "waited_read_ns",
	[STATS_WAITED_IDLE_NS] = "waited_idle_ns",
	[STATS_DECODE_NS] = "decode_ns",
	[STATS_SHAPE_NS] = "shape_ns",
	[STATS_DECODE_BUSY_NS] = "decode_busy_ns",
	[STATS_DECODE_WAIT_NS] = "decode_wait_ns",
	[STATS_DECODE_IDLE_NS] = "decode_idle_ns",
	[STATS_FETCH_NS] = "fetch_ns",
	[STATS_PLAN_NS] = "plan_ns",
	[STATS_CPU_NS] = "cpu_ns",
	[STATS_ELAPSED_NS] = "elapsed_ns",
	[STATS_THREADS] = "threads",
	[STATS_CPUS] = "cpus",
	[STATS_REQUESTS] = "requests",
	[STATS_URING] = "uring",
	[STATS_MEMFD] = "memfd",
	[STATS_READERS] = "readers",
	[STATS_REDELIVERED] = "redelivered",
	[STATS_SANDBOX_LANDLOCK] = "sandbox_landlock",
	[STATS_SANDBOX_ROOTS] = "sandbox_roots",
	[STATS_SANDBOX_SECCOMP] = "sandbox_seccomp",
	[STATS_SANDBOX_URING] = "sandbox_uring",
	[STATS_STATUS_0 + ITEM_OK] = "status_ok",
	[STATS_STATUS_0 + ITEM_MISSING] = "status_missing",
	[STATS_STATUS_0 + ITEM_UNREADABLE] = "status_unreadable",
	[STATS_STATUS_0 + ITEM_EMPTY] = "status_empty",
	[STATS_STATUS_0 + ITEM_TOO_LARGE] = "status_too_large",
	[STATS_STATUS_0 + ITEM_NOT_AN_IMAGE] = "status_not_an_image",
	[STATS_STATUS_0 + ITEM_TRUNCATED] = "status_truncated",
	[STATS_STATUS_0 + ITEM_CORRUPT] = "status_corrupt",
	[STATS_STATUS_0 + ITEM_UNSUPPORTED] = "status_unsupported",
	[STATS_STATUS_0 + ITEM_TIMEOUT] = "status_timeout",
	[STATS_STATUS_0 + ITEM_CRASHED] = "status_crashed",
	[STATS_STATUS_0 + ITEM_BAD_BOX] = "status_bad_box",
	[STATS_STATUS_0 + ITEM_MISMATCH] = "status_mismatch",
};

_Static_assert((int)STATS_COUNTER_COUNT <= (int)SHMRING_MAX_COUNTERS, "the ring has room for them");

const char *const *stats_counter_names(void)
{
	return names;
}

static uint64_t process_cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static void attribute_waits(struct shmring_producer *producer, struct attribution *attribution)
{
	uint64_t wait_ns = shmring_counter_value(producer, STATS_READER_WAIT_NS);
	uint64_t start_wait_ns = shmring_counter_value(producer, STATS_START_WAIT_NS);
	const struct attribution_totals now = {
		.time_ns = clock_now_ns(),
		.reader_wait_ns = wait_ns > start_wait_ns ? wait_ns - start_wait_ns : 0, /* readers write both, and one after the other */
		.hungry_ns = shmring_counter_value(producer, STATS_DECODE_WAIT_NS),
		.idle_ns = shmring_counter_value(producer, STATS_DECODE_IDLE_NS),
	};

	attribution_update(attribution, &now, (uint32_t)shmring_counter_value(producer, STATS_THREADS));
	shmring_counter_set(producer, STATS_WAITED_DECODE_NS, attribution->decode_ns);
	shmring_counter_set(producer, STATS_WAITED_READ_NS, attribution->read_ns);
	shmring_counter_set(producer, STATS_WAITED_IDLE_NS, attribution->idle_ns);
}

void stats_sample(struct shmring_producer *producer, struct attribution *attribution, uint64_t counting_since_ns)
{
	struct shmring_reader_times times = shmring_reader_times(producer);

	shmring_counter_set(producer, STATS_CPU_NS, process_cpu_ns());
	shmring_counter_set(producer, STATS_READER_WAIT_NS, times.wait_ns);
	shmring_counter_set(producer, STATS_START_WAIT_NS, times.start_wait_ns);
	shmring_counter_set(producer, STATS_READER_NS, times.present_ns);
	attribute_waits(producer, attribution);
	if (counting_since_ns > 0)
		shmring_counter_set(producer, STATS_ELAPSED_NS, clock_now_ns() - counting_since_ns);
}

static double counter(const struct shmring_producer *producer, enum stats_counter which)
{
	return (double)shmring_counter_value(producer, which);
}

static double ratio(double part, double whole)
{
	return whole > 0 ? part / whole : 0;
}

/* "1 batch", "2 batches". */
static const char *plural(uint64_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

/* For a terminal's line, which is short. */
static const char *who_waits(const struct verdict *verdict)
{
	switch (verdict->kind) {
	case VERDICT_LOADER_BOUND:
		return "  trainer waits: ";
	case VERDICT_TRAINER_BOUND:
		return "  loader waits";
	case VERDICT_TOO_SHORT:
	case VERDICT_BALANCED:
		break;
	}
	return "";
}

void stats_progress_line(const struct shmring_producer *producer, const struct stats_scope *scope, const struct verdict *now,
                         char *line, size_t line_bytes)
{
	double seconds = counter(producer, STATS_ELAPSED_NS) / 1e9;
	uint64_t images = shmring_counter_value(producer, STATS_IMAGES);
	char done[32], expected[32], of[48] = "";

	if (seconds <= 0) {
		snprintf(line, line_bytes, "ring %s is ready, waiting for a reader: cropring.attach(\"%s\")", scope->ring,
		         scope->ring);
		return;
	}
	if (scope->expected_images > 0)
		snprintf(of, sizeof of, " of %s", with_commas(scope->expected_images, expected));
	/* A terminal of 80 columns cuts off what comes last. */
	snprintf(line, line_bytes, "epoch %u  %s%s images  %.0f images/s%s%s  %.1f MB/s read  %u of %u batches ready", scope->epoch,
	         with_commas(images, done), of, ratio((double)images, seconds), who_waits(now),
	         now->kind == VERDICT_LOADER_BOUND ? verdict_cause_name(now->cause) : "",
	         ratio(counter(producer, STATS_BYTES_READ) / 1e6, seconds), shmring_ready_count(producer), scope->slot_count);
}

static void log_bad_samples(const struct shmring_producer *producer)
{
	char count[32], text[400] = "";
	size_t used = 0;

	if (shmring_counter_value(producer, STATS_BAD_SAMPLES) == 0)
		return;
	for (int status = ITEM_OK + 1; status < ITEM_STATUS_COUNT; status++) {
		uint64_t value = shmring_counter_value(producer, (uint32_t)(STATS_STATUS_0 + status));

		if (value > 0 && used < sizeof text)
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%llu %s", used > 0 ? ", " : "",
			                         (unsigned long long)value, item_status_name((enum item_status)status));
	}
	log_write(LOG_WARNING, "%s %s had a bad sample (files that failed: %s)",
	          with_commas(shmring_counter_value(producer, STATS_BAD_SAMPLES), count),
	          plural(shmring_counter_value(producer, STATS_BAD_SAMPLES), "row", "rows"), text);
}

static void log_verdict(const struct shmring_producer *producer, enum log_level level)
{
	static const struct verdict_reading start;
	struct verdict_reading end;
	struct verdict verdict;

	reading_take(producer, &end);
	verdict_judge(&start, &end, &verdict);
	log_write(level, "%s", verdict.sentence);
}

void stats_log_sums(const struct shmring_producer *producer, enum log_level level)
{
	double elapsed_ns = counter(producer, STATS_ELAPSED_NS), images = counter(producer, STATS_IMAGES);
	char image_text[32], batch_text[32];

	log_write(level, "%s %s in %s %s, %.2f s: %.0f images/s, %.1f MB/s read, %.2f ms of CPU per image",
	          with_commas((uint64_t)images, image_text), plural((uint64_t)images, "image", "images"),
	          with_commas(shmring_counter_value(producer, STATS_BATCHES), batch_text),
	          plural(shmring_counter_value(producer, STATS_BATCHES), "batch", "batches"), elapsed_ns / 1e9,
	          ratio(images * 1e9, elapsed_ns), ratio(counter(producer, STATS_BYTES_READ) * 1e3, elapsed_ns),
	          ratio(counter(producer, STATS_CPU_NS) / 1e6, images));
	log_verdict(producer, level);
}

void stats_log_summary(const struct shmring_producer *producer, enum log_level level)
{
	stats_log_sums(producer, level);
	log_bad_samples(producer);
}

static json_t *counters_as_json(const struct shmring_producer *producer, const struct stats_scope *scope)
{
	json_t *object = json_object();

	if (!object || json_object_set_new(object, "ring", json_string(scope->ring)) < 0) {
		json_decref(object);
		return NULL;
	}
	for (uint32_t i = 0; i < STATS_COUNTER_COUNT; i++) {
		if (json_object_set_new(object, names[i], json_integer((json_int_t)shmring_counter_value(producer, i))) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

int stats_write(const struct shmring_producer *producer, const struct stats_scope *scope, struct report *report, struct err *err)
{
	json_t *object = counters_as_json(producer, scope);
	char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
	size_t text_bytes = text ? strlen(text) : 0;
	int rc = -ENOMEM;

	json_decref(object);
	if (text) {
		text[text_bytes++] = '\n'; /* in the place of the terminator */
		rc = report_send(report, text, text_bytes);
		free(text);
	}
	if (rc == -ENOMEM)
		return err_fail(err, rc, "%s %s: out of memory", report->flag, report->path);
	return report_finish(report, -1, err); /* which tells of a writer that is gone */
}
