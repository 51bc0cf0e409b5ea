/* info_print.c - part of `cropring info`: what was found out in, words for people on standard output out.  One thread. */
#include <stdio.h>

#include "base/commas.h"
#include "loader/run/printable.h"
#include "loader/shell/info_report.h"

static const char *const format_names[INFO_FORMATS] = {"damaged or of another kind", "JPEG", "PNG", "BMP"};

/* "1.2 KB", in thousands. */
static const char *with_unit(double bytes, char text[32])
{
	static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
	uint32_t unit = 0;

	while (bytes >= 999.95 && unit < 4) {
		bytes /= 1000;
		unit++;
	}
	snprintf(text, 32, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
	return text;
}

/* Begins a line: a word, and what there is to say about it. */
static void begin(const char *word)
{
	printf("  %-12s ", word);
}

/* "1.9 % more than". */
static void print_change(double now, double before)
{
	double percent = before > 0 ? (now / before - 1) * 100 : 0;

	printf("%.1f %% %s", percent < 0 ? -percent : percent, percent < 0 ? "less" : "more");
}

static void print_formats(const struct info_report *report)
{
	const char *before = "";
	char text[32];

	begin("formats");
	for (int i = 1; i <= INFO_FORMATS; i++) {
		uint64_t count = report->formats[i % INFO_FORMATS];

		if (!count)
			continue;
		printf("%s%s %s", before, with_commas(count, text), format_names[i % INFO_FORMATS]);
		before = ", ";
	}
	putchar('\n');
}

static void print_sizes(const struct info_report *report)
{
	const struct info_size *sizes = report->sizes;
	uint64_t last = report->size_count - 1;

	if (!report->size_count)
		return;
	begin("sizes");
	if (last > 0)
		printf("%ux%u to %ux%u pixels, half of them up to %ux%u\n", sizes[0].width_px, sizes[0].height_px,
		       sizes[last].width_px, sizes[last].height_px, sizes[last / 2].width_px, sizes[last / 2].height_px);
	else
		printf("%ux%u pixels\n", sizes[0].width_px, sizes[0].height_px);
}

static void print_segments(const struct info_report *report)
{
	const struct info_segments *jpeg = &report->segments[0], *png = &report->segments[1];
	char bytes[32];

	if (jpeg->segments) {
		begin("of a JPEG");
		printf("a segment is %.0f pixels wide and %s long, on average; an image has %.0f\n",
		       (double)jpeg->units / (double)jpeg->segments, with_unit((double)jpeg->bytes / (double)jpeg->segments, bytes),
		       (double)jpeg->segments / (double)jpeg->images);
	}
	if (png->segments) {
		begin("of a PNG");
		printf("a segment is %.0f rows high and %s long, on average; an image has %.0f\n",
		       (double)png->units / (double)png->segments, with_unit((double)png->bytes / (double)png->segments, bytes),
		       (double)png->segments / (double)png->images);
	}
}

/* ---------------------------------------------------------------- crops */

static void print_cost(const struct info_cost *cost)
{
	double crops = (double)cost->crops;
	char bytes[32];

	printf("  %10s %5.1f %% %7.1f %%", with_unit(cost->read_bytes / crops, bytes), cost->read_share / crops * 100,
	       cost->decoded_share / crops * 100);
}

static void print_costs(const struct info_report *report)
{
	bool has_now = report->kind != INFO_PACK;
	char bytes[32], count[32];

	if (!report->decodable)
		return;
	printf("\n  A crop to %ux%u pixels", report->crops.width_px, report->crops.height_px);
	if (report->kind != INFO_FILE)
		printf(", of %s image%s (seed %llu)", with_commas(report->decodable, count), report->decodable == 1 ? "" : "s",
		       (unsigned long long)report->crops.seed);
	printf(":\n  %-16s", "");
	if (has_now)
		printf("  %-28s", "now reads, decodes");
	printf("  %s\n", has_now ? "in a pack reads, decodes" : "reads, decodes");
	for (int rule = 0; rule < INFO_RULE_COUNT; rule++) {
		printf("  %-16s", info_rule_name((enum info_rule)rule));
		if (has_now)
			print_cost(&report->now[rule]);
		print_cost(&report->packed[rule]);
		putchar('\n');
	}
	printf("  %-16s  %10s %5.1f %% %7.1f %%\n", "the whole image",
	       with_unit(report->whole_bytes / (double)report->decodable, bytes), 100.0, 100.0);
}

/* ---------------------------------------------------------------- each kind */

static void print_counts(const struct info_report *report)
{
	char images[32], samples[32], classes[32], targets[32];

	begin("images");
	fputs(with_commas(report->images, images), stdout);
	if (report->samples != report->images)
		printf(" for %s samples", with_commas(report->samples, samples));
	if (report->classes)
		printf(" in %s classes", with_commas(report->classes, classes));
	if (report->targets)
		printf(", and %s targets", with_commas(report->targets, targets));
	putchar('\n');
}

/* "auto", "none" or the number. */
static void print_rule(const char *flag, uint32_t value)
{
	if (value == PACK_NO_SEGMENTS)
		printf(" %s 0", flag);
	else if (value == 0)
		printf(" %s auto", flag);
	else
		printf(" %s %u", flag, value);
}

static void print_pack(const struct info_report *report)
{
	uint64_t all = report->images + report->targets;
	char bytes[32], original[32], tables[32], count[32];

	puts("a pack of version 1");
	print_counts(report);
	begin("bytes");
	fputs(with_unit((double)report->pack_bytes, bytes), stdout);
	if (report->shards)
		printf(" in 1 + %llu files", (unsigned long long)report->shards);
	if (report->original_bytes) {
		fputs(", ", stdout);
		print_change((double)report->pack_bytes, (double)report->original_bytes);
		printf(" than the %s that were packed", with_unit((double)report->original_bytes, original));
	}
	printf("; tables are %s of it\n", with_unit((double)report->table_bytes, tables));
	print_formats(report);
	print_sizes(report);
	begin("segments");
	printf("%s of the images have them (%.1f %%); packed with", with_commas(report->with_segments, count),
	       all ? (double)report->with_segments / (double)all * 100 : 0);
	print_rule("--segment-px", report->segment_px);
	print_rule("--png-rows", report->png_rows);
	putchar('\n');
	print_segments(report);
	if (report->is_verified) {
		begin("verified");
		if (report->damaged_images || report->damaged_tables)
			printf("%s images are damaged", with_commas(report->damaged_images, count));
		else
			fputs("every image and every table is what was packed", stdout);
		if (report->damaged_tables)
			printf(", and the tables of %s", with_commas(report->damaged_tables, count));
		putchar('\n');
	}
}

/* What would become of the sample, or of the file. */
static void print_forecast(const struct info_report *report)
{
	char bytes[32], count[32];

	if (!report->sampled)
		return;
	for (uint32_t i = 0; i < report->tally.kind_count; i++) {
		const struct pack_tally_kind *kind = &report->tally.kind[i];
		char reason[4 * sizeof kind->reason];

		printable_escape(reason, sizeof reason, kind->reason);
		begin(i ? "" : "in a pack");
		if (report->kind == INFO_SOURCE)
			printf("%s ", with_commas(kind->count, count));
		printf("%s%s%s", kind->outcome == PACK_SEGMENTED ? "" : "as before: ", pack_outcome_name(kind->outcome),
		       *reason ? ": " : "");
		puts(reason);
	}
	begin("");
	print_change((double)report->would_be_bytes, (double)report->source_bytes);
	printf(": %s\n", with_unit((double)report->would_be_bytes, bytes));
	print_segments(report);
}

static void print_source(const struct info_report *report)
{
	char count[32];

	puts("images that are in no pack");
	print_counts(report);
	begin("sample");
	printf("%s of them%s\n", with_commas(report->sampled, count), report->sampled ? ":" : "");
	if (!report->sampled)
		return;
	print_formats(report);
	print_sizes(report);
	print_forecast(report);
}

static void print_file(const struct info_report *report)
{
	const struct image_info *info = &report->picture.info;
	char bytes[32];

	if (!report->decodable) {
		printf("an image that cannot be decoded, %s\n", with_unit((double)report->source_bytes, bytes));
	} else {
		printf("a %s of %ux%u pixels, %u channel%s of %u bits, %s\n", format_names[report->picture.info.format],
		       info->width_px, info->height_px, info->channels, info->channels == 1 ? "" : "s", info->sample_bits,
		       with_unit((double)report->source_bytes, bytes));
		if (*report->detail) {
			begin("kind");
			puts(report->detail);
		}
		if (info->orientation != 1) {
			begin("EXIF");
			printf("orientation %u\n", info->orientation);
		}
	}
	print_forecast(report);
}

void info_report_print(const struct info_report *report)
{
	char name[1024];

	printable_escape(name, sizeof name, report->name);
	printf("%s: ", name);
	if (report->kind == INFO_PACK)
		print_pack(report);
	else if (report->kind == INFO_SOURCE)
		print_source(report);
	else
		print_file(report);
	print_costs(report);
}
