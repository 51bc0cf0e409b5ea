/*
 * Stage 3 of 5, decode: a PNG's segments in, the runs that a region needs or its pixels out.  Any thread, one workspace each.
 *
 * The runs are the head, which may have two parts, and the segments from that of the region's first row to that of its last.  Put
 * together they are the begin of a PNG, but for the first segments.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "loader/decode/png_inflate.h"
#include "loader/decode/png_pieces.h"
#include "loader/decode/png_segments.h"
#include "loader/decode/png_unfilter.h"

enum { MOST_RUNS = 3 };

/* What of the file a region takes. */
struct needs {
	uint32_t first, end; /* segments */
	uint32_t run_count;
	struct file_run run[MOST_RUNS];
};

static bool find_needs(const struct segments *segments, const struct decode_want *want, struct needs *needs)
{
	const struct segment_table_header *header = &segments->header;
	const struct box *region = &want->region;
	uint32_t row_count = header->unit;

	*needs = (struct needs){0};
	if (region->y < 0 || region->height <= 0 || (int64_t)region->y + region->height > segments->height_px)
		return false;
	if (header->segment_count != (segments->height_px - 1) / row_count + 1)
		return false;
	needs->first = (uint32_t)region->y / row_count;
	needs->end = ((uint32_t)region->y + (uint32_t)region->height - 1) / row_count + 1;
	needs->run[needs->run_count++] = (struct file_run){.offset = 0, .byte_count = header->head_bytes};
	if (header->second_head_bytes > 0)
		needs->run[needs->run_count++] =
			(struct file_run){.offset = header->second_head_at, .byte_count = header->second_head_bytes};
	return segment_table_run(segments, needs->first, needs->end, &needs->run[needs->run_count++]);
}

bool png_segments_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **runs)
{
	struct needs needs;

	*runs = NULL;
	if (!find_needs(segments, want, &needs))
		return false;
	if (needs.end - needs.first == segments->header.segment_count)
		return false; /* of all rows Adler-32 can be looked at as well */
	*runs = malloc(sizeof **runs + needs.run_count * sizeof needs.run[0]);
	if (!*runs)
		return false;
	**runs = (struct file_runs){.count = needs.run_count};
	for (uint32_t i = 0; i < needs.run_count; i++) {
		(*runs)->run[i] = needs.run[i];
		(*runs)->total_bytes += needs.run[i].byte_count;
	}
	return true;
}

/* The segments' rows, one behind the other. */
struct reading {
	struct workspace *workspace;
	struct png_inflate *inflate;
	const struct segments *segments;
	const uint8_t *bytes; /* of needs.run[last] */
	struct file_run run;
	uint32_t next, rows_left; /* the segment after the one that is being read; what is left of that one */
};

static enum item_status fail(const struct reading *reading)
{
	struct workspace *workspace = reading->workspace;

	if (workspace->deadline_ns != 0 && clock_thread_cpu_ns() >= workspace->deadline_ns)
		return workspace_fail(workspace, ITEM_TIMEOUT, "not decoded within %u ms of CPU time", workspace->timeout_ms);
	return workspace_fail(workspace, ITEM_CORRUPT, "segment %u is damaged, or not where the table says", reading->next - 1);
}

static bool enter_segment(struct reading *reading)
{
	uint32_t number = reading->next++, row_count = reading->segments->header.unit;
	uint32_t rows_from_here = reading->segments->height_px - number * row_count;
	struct file_run run;
	struct png_idat idat;

	if (!segment_table_run(reading->segments, number, number + 1, &run) || run.offset < reading->run.offset)
		return false;
	run.offset -= reading->run.offset;
	if (run.byte_count > reading->run.byte_count || run.offset > reading->run.byte_count - run.byte_count)
		return false;
	png_idat_open(&idat, reading->bytes + run.offset, (size_t)run.byte_count);
	reading->rows_left = row_count < rows_from_here ? row_count : rows_from_here;
	return png_inflate_open_segment(reading->inflate, &idat, number == 0, reading->workspace->deadline_ns);
}

static bool read_of_segment(struct reading *reading, uint8_t *to, uint32_t row_count, size_t row_bytes, bool is_begin)
{
	bool is_last = reading->next == reading->segments->header.segment_count;

	if (!png_inflate_read(reading->inflate, to, (uint32_t)(row_count * row_bytes)))
		return false;
	if (is_begin && to[0] != PNG_FILTERED_NONE && to[0] != PNG_FILTERED_SUB)
		return false;
	reading->rows_left -= row_count;
	return reading->rows_left > 0 || png_inflate_finish_segment(reading->inflate, is_last);
}

static enum item_status read_rows(void *context, uint8_t *to, uint32_t row_count, size_t row_bytes)
{
	struct reading *reading = context;

	while (row_count > 0) {
		bool is_begin = reading->rows_left == 0;
		uint32_t now;

		if (is_begin && !enter_segment(reading))
			return fail(reading);
		now = row_count < reading->rows_left ? row_count : reading->rows_left;
		if (!read_of_segment(reading, to, now, row_bytes, is_begin))
			return fail(reading);
		to += now * row_bytes;
		row_count -= now;
	}
	return ITEM_OK;
}

/* The runs are those that this region needs, and the last one is that of the segments. */
static bool are_those(const struct file_runs *runs, const struct needs *needs)
{
	uint64_t total_bytes = 0;

	if (runs->count != needs->run_count)
		return false;
	for (uint32_t i = 0; i < needs->run_count; i++) {
		if (runs->run[i].offset != needs->run[i].offset || runs->run[i].byte_count != needs->run[i].byte_count)
			return false;
		total_bytes += needs->run[i].byte_count;
	}
	return total_bytes == runs->total_bytes;
}

enum item_status png_segments_rows(struct workspace *workspace, const struct file_bytes *file, const struct png_header *header,
                                   const struct decode_want *want, const struct decode_sink *sink)
{
	struct reading reading = {.workspace = workspace, .segments = file->segments};
	struct png_row_source source = {.read = read_rows, .context = &reading};
	enum item_status status;
	struct needs needs;

	if (!find_needs(file->segments, want, &needs) || !are_those(file->runs, &needs) ||
	    file->byte_count != file->runs->total_bytes)
		return workspace_fail(workspace, ITEM_CORRUPT, "the segment table is damaged, or of another picture");
	reading.run = needs.run[needs.run_count - 1];
	reading.bytes = file->data + file->byte_count - reading.run.byte_count;
	reading.next = needs.first;
	if (header->interlaced || file->data + header->idat_at != reading.bytes)
		return workspace_fail(workspace, ITEM_CORRUPT, "the header is damaged, or not what the segment table says");
	status = workspace_reserve(workspace, &workspace->inflate, 1, sizeof *reading.inflate);
	if (status != ITEM_OK)
		return status;
	reading.inflate = (struct png_inflate *)(void *)workspace->inflate.data;
	source.first_row = needs.first * file->segments->header.unit;
	status = png_pieces_rows(workspace, header, &source, want, sink);
	if (status == ITEM_OK && reading.rows_left > 0 && !png_inflate_stop_segment(reading.inflate))
		status = fail(&reading);
	return status;
}
