/* info_report.c - part of `cropring info`: numbers of pictures in, their sums and order out.  One thread. */
#include "loader/shell/info_report.h"

#include <errno.h>
#include <stdlib.h>

int info_report_reserve_sizes(struct info_report *report, uint64_t count)
{
	report->sizes = calloc(count + 1, sizeof *report->sizes);
	return report->sizes ? 0 : -ENOMEM;
}

void info_report_add_size(struct info_report *report, uint32_t width_px, uint32_t height_px)
{
	report->sizes[report->size_count++] = (struct info_size){width_px, height_px};
}

static int compare_areas(const void *left, const void *right)
{
	const struct info_size *a = left, *b = right;
	uint64_t a_px = (uint64_t)a->width_px * a->height_px, b_px = (uint64_t)b->width_px * b->height_px;

	return (a_px > b_px) - (a_px < b_px);
}

void info_report_sort_sizes(struct info_report *report)
{
	if (report->size_count)
		qsort(report->sizes, report->size_count, sizeof *report->sizes, compare_areas);
}

void info_report_add_picture(struct info_report *report, const struct info_picture *picture)
{
	report->decodable++;
	report->whole_bytes += (double)picture->file_bytes;
	report->whole_px += (double)picture->info.width_px * picture->info.height_px;
}

void info_report_add_segments(struct info_report *report, const struct segments *segments)
{
	struct info_segments *sum = &report->segments[segments->kind == SEGMENT_PNG];
	uint32_t count = segments->header.segment_count, unit = segments->header.unit;
	struct file_run run;

	if (!segment_table_run(segments, 0, count, &run))
		return;
	sum->images++;
	sum->segments += count;
	sum->units += (uint64_t)count * unit * (segments->kind == SEGMENT_PNG ? 1 : segments->header.mcu_width_px);
	sum->bytes += run.byte_count;
}

void info_report_close(struct info_report *report)
{
	free(report->sizes);
}
