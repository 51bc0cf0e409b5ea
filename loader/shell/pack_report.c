/* pack_report.c - the state of a packing in, lines for people out.  One thread. */
#include "loader/shell/pack_report.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/commas.h"
#include "loader/run/log.h"

enum {
	PROGRESS_NS = 200000000,
	REASONS = 3, /* of an outcome, in the last line */
};

void pack_report_begin(struct pack_report *report, const struct pack_writer *writer)
{
	*report = (struct pack_report){.writer = writer,
	                               .began_ns = clock_now_ns(),
	                               .first_picture = pack_writer_count(writer),
	                               .first_bytes = writer->original_bytes};
}

static double seconds_of(const struct pack_report *report)
{
	return (double)(clock_now_ns() - report->began_ns) / 1e9;
}

/* "+2.1 %" */
static double growth_percent(const struct pack_writer *writer)
{
	double before = (double)writer->original_bytes;

	return before > 0 ? ((double)writer->stored_bytes - before) / before * 100 : 0;
}

/* "1:02:03" or "2:03" */
static void format_time(double seconds, char text[32])
{
	unsigned long long whole = seconds > 0 && seconds < 1e9 ? (unsigned long long)seconds : 0;

	if (whole >= 3600)
		snprintf(text, 32, "%llu:%02llu:%02llu", whole / 3600, whole / 60 % 60, whole % 60);
	else
		snprintf(text, 32, "%llu:%02llu", whole / 60, whole % 60);
}

void pack_report_progress(struct pack_report *report)
{
	const struct pack_writer *writer = report->writer;
	uint64_t now_ns = clock_now_ns(), all = writer->pictures->count, done = pack_writer_count(writer);
	double seconds = seconds_of(report), count = (double)(done - report->first_picture);
	char done_text[32], all_text[32], left_text[32] = "?", line[256];

	if (!log_has_terminal() || now_ns - report->shown_ns < PROGRESS_NS)
		return;
	report->shown_ns = now_ns;
	if (count > 0)
		format_time(seconds / count * (double)(all - done), left_text);
	snprintf(line, sizeof line, "pack: %s of %s (%.0f %%), %.0f images/s, %.1f MB/s, %+.1f %% bytes, %s left",
	         with_commas(done, done_text), with_commas(all, all_text), (double)done / (double)all * 100,
	         seconds > 0 ? count / seconds : 0,
	         seconds > 0 ? (double)(writer->original_bytes - report->first_bytes) / 1e6 / seconds : 0, growth_percent(writer),
	         left_text);
	log_progress(line);
}

/* "3 damaged: empty file (a/1.jpg, a/2.jpg, ...)" */
static void name_kind(const struct pack_report *report, const struct pack_tally_kind *kind)
{
	char names[1024] = "", count[32];
	size_t used = 0;

	for (uint64_t i = 0; i < kind->count && used < sizeof names; i++) {
		struct dataset_file file;
		char place[512];

		if (i == PACK_TALLY_NAMED) {
			snprintf(names + used, sizeof names - used, ", ...");
			break;
		}
		pack_picture_file(report->writer->pictures, kind->first[i], &file);
		used += (size_t)snprintf(names + used, sizeof names - used, "%s%.300s", i > 0 ? ", " : "",
		                         dataset_file_name(&file, place, sizeof place));
	}
	log_write(kind->outcome == PACK_DIFFERENT ? LOG_WARNING : LOG_DEBUG, "%s %s%s%s (%s)", with_commas(kind->count, count),
	          pack_outcome_name(kind->outcome), *kind->reason ? ": " : "", kind->reason, names);
}

/* " (empty file 1, no end 2, ...)"; -v has all of them. */
static size_t describe_reasons(const struct pack_tally *tally, enum pack_outcome outcome, char *text, size_t text_bytes)
{
	size_t used = 0;
	int count = 0;
	char number[32];

	text[0] = '\0';
	for (uint32_t i = 0; i < tally->kind_count && count <= REASONS && used < text_bytes; i++) {
		const struct pack_tally_kind *kind = &tally->kind[i];
		const char *joint = count == 0 ? " (" : ", ";

		if (kind->outcome != outcome || !*kind->reason)
			continue;
		if (count++ == REASONS)
			used += (size_t)snprintf(text + used, text_bytes - used, "%s...", joint);
		else
			used += (size_t)snprintf(text + used, text_bytes - used, "%s%s %s", joint, kind->reason,
			                         with_commas(kind->count, number));
	}
	if (count > 0 && used < text_bytes)
		used += (size_t)snprintf(text + used, text_bytes - used, ")");
	return used;
}

/* "segmented 980, small 15, damaged 3 (empty file 1, no end 2)" */
static void describe_outcomes(const struct pack_tally *tally, char *text, size_t text_bytes)
{
	size_t used = 0;

	for (int i = 0; i < PACK_OUTCOME_COUNT && used < text_bytes; i++) {
		enum pack_outcome outcome = (enum pack_outcome)i;
		uint64_t count = pack_tally_count(tally, outcome);
		char number[32];

		if (count == 0)
			continue;
		used += (size_t)snprintf(text + used, text_bytes - used, "%s%s %s", used > 0 ? ", " : "",
		                         pack_outcome_name(outcome), with_commas(count, number));
		if (used < text_bytes)
			used += describe_reasons(tally, outcome, text + used, text_bytes - used);
	}
}

void pack_report_end(const struct pack_report *report, const char *out)
{
	const struct pack_writer *writer = report->writer;
	const struct pack_tally *tally = &writer->tally;
	uint64_t count = pack_writer_count(writer);
	char outcomes[2048] = "", number[32], time[32];

	for (uint32_t i = 0; i < tally->kind_count; i++)
		if (tally->kind[i].outcome != PACK_SEGMENTED)
			name_kind(report, &tally->kind[i]);
	describe_outcomes(tally, outcomes, sizeof outcomes);
	format_time(seconds_of(report), time);
	log_write(LOG_INFO, "%s: %s image%s, %.1f MB -> %.1f MB (%+.1f %%), in %s: %s", out, with_commas(count, number),
	          count == 1 ? "" : "s", (double)writer->original_bytes / 1e6, (double)writer->stored_bytes / 1e6,
	          growth_percent(writer), time, outcomes);
}
