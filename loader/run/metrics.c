/* metrics.c - a look at the ring in, lines of OpenMetrics out. */
#include "loader/run/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/run/stats.h"

/* What a line needs. */
struct page {
	FILE *text;
	const char *ring; /* whose letters need no escapes: see check_name() in shmring/producer.c */
	struct shmring_snapshot seen;
};

static void begin(const struct page *page, const char *name, const char *type, const char *unit, const char *help)
{
	fprintf(page->text, "# TYPE cropring_%s %s\n", name, type);
	if (unit)
		fprintf(page->text, "# UNIT cropring_%s %s\n", name, unit);
	fprintf(page->text, "# HELP cropring_%s %s\n", name, help);
}

/* `label` is empty or more labels, each with a comma before it. */
static void count(const struct page *page, const char *name, const char *label, uint64_t value)
{
	fprintf(page->text, "cropring_%s{ring=\"%s\"%s} %" PRIu64 "\n", name, page->ring, label, value);
}

static void seconds(const struct page *page, const char *name, const char *label, enum stats_counter counter)
{
	uint64_t ns = page->seen.counter[counter];

	/* not %f: its last digits of what runs for years would be noise */
	fprintf(page->text, "cropring_%s{ring=\"%s\"%s} %" PRIu64 ".%09" PRIu64 "\n", name, page->ring, label, ns / 1000000000u,
	        ns % 1000000000u);
}

static void write_counts(const struct page *page)
{
	static const struct {
		const char *name, *help;
		enum stats_counter counter;
	} counts[] = {
		{"images", "Images delivered, substitutes and blanks included.", STATS_IMAGES},
		{"batches", "Batches published.", STATS_BATCHES},
		{"bytes_read", "Bytes read from files.", STATS_BYTES_READ},
		{"substitutes", "Samples tried in the place of bad ones.", STATS_SUBSTITUTES},
		{"redelivered_batches", "Batches that a reader had when it died, offered again.", STATS_REDELIVERED},
	};
	char total[48];

	for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
		begin(page, counts[i].name, "counter", NULL, counts[i].help);
		snprintf(total, sizeof total, "%s_total", counts[i].name);
		count(page, total, "", page->seen.counter[counts[i].counter]);
	}
}

static void write_bad_samples(const struct page *page)
{
	char label[48];

	begin(page, "bad_samples", "counter", NULL, "Files that failed, by how, those of substitutes included.");
	for (int status = ITEM_OK + 1; status < ITEM_STATUS_COUNT; status++) {
		snprintf(label, sizeof label, ",reason=\"%s\"", item_status_name((enum item_status)status));
		count(page, "bad_samples_total", label, page->seen.counter[STATS_STATUS_0 + status]);
	}
}

static void write_seconds(const struct page *page)
{
	begin(page, "wait_seconds", "counter", "seconds",
	      "Time that one side waited for the other; the trainer's is summed over readers.");
	seconds(page, "wait_seconds_total", ",who=\"trainer\"", STATS_READER_WAIT_NS);
	seconds(page, "wait_seconds_total", ",who=\"loader\"", STATS_LOADER_WAIT_NS);
	begin(page, "waited_for_seconds", "counter", "seconds",
	      "The trainer's waiting after its first batch, by what the loader's threads did meanwhile.");
	seconds(page, "waited_for_seconds_total", ",stage=\"decode\"", STATS_WAITED_DECODE_NS);
	seconds(page, "waited_for_seconds_total", ",stage=\"read\"", STATS_WAITED_READ_NS);
	seconds(page, "waited_for_seconds_total", ",stage=\"none\"", STATS_WAITED_IDLE_NS);
	begin(page, "reader_seconds", "counter", "seconds", "Time that readers were there, summed over them.");
	seconds(page, "reader_seconds_total", "", STATS_READER_NS);
	begin(page, "stage_seconds", "counter", "seconds", "CPU time spent in a stage, summed over threads.");
	seconds(page, "stage_seconds_total", ",stage=\"fetch\"", STATS_FETCH_NS);
	seconds(page, "stage_seconds_total", ",stage=\"decode\"", STATS_DECODE_NS);
	seconds(page, "stage_seconds_total", ",stage=\"shape\"", STATS_SHAPE_NS);
	seconds(page, "stage_seconds_total", ",stage=\"plan\"", STATS_PLAN_NS);
	begin(page, "decode_busy_seconds", "counter", "seconds",
	      "Time that decode threads had a row, summed, whether or not they got a CPU.");
	seconds(page, "decode_busy_seconds_total", "", STATS_DECODE_BUSY_NS);
	begin(page, "decode_idle_seconds", "counter", "seconds",
	      "Time that decode threads had no row, summed: while bytes were on their way, or with all slots full.");
	seconds(page, "decode_idle_seconds_total", ",lacks=\"bytes\"", STATS_DECODE_WAIT_NS);
	seconds(page, "decode_idle_seconds_total", ",lacks=\"slots\"", STATS_DECODE_IDLE_NS);
	begin(page, "cpu_seconds", "counter", "seconds", "CPU time of the worker.");
	seconds(page, "cpu_seconds_total", "", STATS_CPU_NS);
	begin(page, "elapsed_seconds", "counter", "seconds", "Time since the start of work.");
	seconds(page, "elapsed_seconds_total", "", STATS_ELAPSED_NS);
}

static void write_slots(const struct page *page)
{
	static const char *const states[] = {"free", "filling", "ready", "held"};
	uint64_t of_state[4] = {0};
	char label[32];

	for (uint32_t i = 0; i < page->seen.slot_count; i++)
		of_state[page->seen.slot[i].state]++;
	begin(page, "slots", "gauge", NULL, "Slots of the ring, by state.");
	for (int state = 0; state < 4; state++) {
		snprintf(label, sizeof label, ",state=\"%s\"", states[state]);
		count(page, "slots", label, of_state[state]);
	}
}

static void write_readers(const struct page *page)
{
	char label[32];

	begin(page, "reader_lag_batches", "gauge", "batches", "Batches that are ready for a reader, which it has not taken.");
	for (uint32_t number = 0; number < page->seen.reader_limit; number++) {
		snprintf(label, sizeof label, ",reader=\"%u\"", number);
		if (page->seen.reader[number].is_there || page->seen.share == SHMRING_LANES)
			count(page, "reader_lag_batches", label, page->seen.reader[number].ready);
	}
	begin(page, "readers", "gauge", NULL, "Readers that are there.");
	count(page, "readers", "", page->seen.counter[STATS_READERS]);
	begin(page, "threads", "gauge", NULL, "Decode threads.");
	count(page, "threads", "", page->seen.counter[STATS_THREADS]);
	begin(page, "cpus", "gauge", NULL, "CPUs that the worker may use.");
	count(page, "cpus", "", page->seen.counter[STATS_CPUS]);
}

char *metrics_text(const struct shmring_producer *producer, const char *ring, const struct verdict *now, size_t *text_bytes)
{
	struct page page = {.ring = ring};
	char *text = NULL, label[80];

	page.text = open_memstream(&text, text_bytes);
	if (!page.text)
		return NULL;
	shmring_look_at_own(producer, &page.seen);
	write_counts(&page);
	write_bad_samples(&page);
	write_seconds(&page);
	write_slots(&page);
	write_readers(&page);
	begin(&page, "verdict", "gauge", NULL, "Who has waited for whom lately, and why: 1.");
	snprintf(label, sizeof label, ",kind=\"%s\",cause=\"%s\"", verdict_kind_name(now->kind), verdict_cause_name(now->cause));
	count(&page, "verdict", label, 1);
	fputs("# EOF\n", page.text);
	if (fclose(page.text) == 0)
		return text;
	free(text);
	return NULL;
}
