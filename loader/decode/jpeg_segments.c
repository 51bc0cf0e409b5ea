/* Stage 3 of 5, decode: a table of a JPEG's restart intervals and a region in, the runs to read and a smaller JPEG of them out. */
#include <string.h>

#include "loader/decode/jpeg_segments.h"
#include "loader/decode/jpeg_splice_internal.h"

enum { MOST_SIDE_PX = 65535, MARKER_BYTES = 2 };

/* Less than this part of the file is not worth a read of its own. */
#define LEAST_SPARED_PART 0.125

/* False: no JPEG has these numbers, or as many segments. */
static bool read_grid(const struct segments *segments, struct jpeg_grid *grid)
{
	const struct segment_table_header *header = &segments->header;

	*grid = (struct jpeg_grid){.width_px = segments->width_px,
	                           .height_px = segments->height_px,
	                           .mcu_width_px = header->mcu_width_px,
	                           .mcu_height_px = header->mcu_height_px,
	                           .restart_mcus = header->unit};
	if (grid->width_px == 0 || grid->width_px > MOST_SIDE_PX || grid->height_px == 0 || grid->height_px > MOST_SIDE_PX)
		return false;
	jpeg_grid_count(grid);
	return jpeg_grid_interval_count(grid) == header->segment_count;
}

static size_t head_bytes(const struct segments *segments)
{
	return (size_t)segments->header.head_bytes + segments->header.second_head_bytes;
}

/* ---------------------------------------------------------------- runs */

/* One that begins where the last one ends makes it longer.  False: it begins before, as no table's segments do. */
static bool add_run(struct file_runs *runs, uint64_t offset, uint64_t byte_count)
{
	struct file_run *last = runs->count > 0 ? &runs->run[runs->count - 1] : NULL;

	if (byte_count == 0)
		return true;
	if (last && offset < last->offset + last->byte_count)
		return false;
	runs->total_bytes += byte_count;
	if (last && last->offset + last->byte_count == offset)
		last->byte_count += byte_count;
	else
		runs->run[runs->count++] = (struct file_run){.offset = offset, .byte_count = byte_count};
	return true;
}

/* The segments of the cover's rows; those of one row may reach into the next. */
static bool add_segments(struct file_runs *runs, const struct segments *segments, const struct jpeg_grid *grid,
                         const struct jpeg_cover *cover)
{
	uint32_t next = 0;

	for (uint32_t row = cover->row_begin; row < cover->row_end; row++) {
		struct file_run run;
		uint32_t begin, end;

		jpeg_grid_intervals(grid, cover, row, &begin, &end);
		if (begin < next)
			begin = next;
		if (begin == end)
			continue;
		if (!segment_table_run(segments, begin, end, &run) || !add_run(runs, run.offset, run.byte_count))
			return false;
		next = end;
	}
	return true;
}

bool jpeg_segments_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **found)
{
	const struct segment_table_header *header = &segments->header;
	struct jpeg_cover cover;
	struct file_runs *runs;
	struct jpeg_grid grid;

	if (!read_grid(segments, &grid))
		return false;
	cover = jpeg_grid_cover(&grid, &want->region, want->scale_eighths);
	runs = malloc(sizeof *runs + (2 + cover.row_end - cover.row_begin) * sizeof runs->run[0]);
	if (!runs)
		return false;
	*runs = (struct file_runs){0};
	if (!add_run(runs, 0, header->head_bytes) || !add_run(runs, header->second_head_at, header->second_head_bytes) ||
	    !add_segments(runs, segments, &grid, &cover) ||
	    (double)runs->total_bytes > (double)segments->file_bytes * (1 - LEAST_SPARED_PART)) {
		free(runs);
		return false;
	}
	*found = runs;
	return true;
}

bool jpeg_segments_are_spliced(const struct segments *segments, const struct jpeg_index_store *indexes,
                               const struct decode_want *want)
{
	struct jpeg_cover cover;
	struct jpeg_grid grid;

	if (!indexes || !read_grid(segments, &grid))
		return false;
	cover = jpeg_grid_cover(&grid, &want->region, want->scale_eighths);
	return jpeg_splice_by_restarts_pays(&grid, &cover, segments->file_bytes - segments->header.data_at,
	                                    jpeg_index_store_least_gain_bytes(indexes));
}

/* ---------------------------------------------------------------- splicing */

/* Looks segments up, in the table and then in what was read. */
struct lookup {
	struct workspace *workspace;
	const struct segments *segments;
	const struct file_runs *runs;
	const uint8_t *run_bytes; /* of the run that the last segment lies in */
	uint32_t run;
	uint64_t end; /* of that segment */
};

static enum item_status fail(struct lookup *lookup, uint32_t number, const char *what)
{
	return workspace_fail(lookup->workspace, ITEM_CORRUPT, "segment %u %s", number, what);
}

/* NULL: was not read. */
static const uint8_t *find_bytes(struct lookup *lookup, const struct file_run *place)
{
	for (; lookup->run < lookup->runs->count; lookup->run++) {
		const struct file_run *run = &lookup->runs->run[lookup->run];

		if (place->offset < run->offset)
			return NULL;
		if (place->offset - run->offset < run->byte_count)
			return place->byte_count <= run->byte_count - (place->offset - run->offset)
			               ? lookup->run_bytes + (place->offset - run->offset)
			               : NULL;
		lookup->run_bytes += run->byte_count;
	}
	return NULL;
}

static enum item_status find_segment(void *context, uint32_t number, struct jpeg_interval *interval)
{
	struct lookup *lookup = context;
	struct file_run place;
	const uint8_t *bytes;
	size_t data_bytes;

	if (!segment_table_run(lookup->segments, number, number + 1, &place))
		return fail(lookup, number, "has no place: the segment table is damaged");
	bytes = place.offset >= lookup->end ? find_bytes(lookup, &place) : NULL;
	if (!bytes)
		return fail(lookup, number, "was not read: the segment table has changed");
	if (place.byte_count < MARKER_BYTES)
		return fail(lookup, number, "is too short");
	lookup->end = place.offset + place.byte_count;
	data_bytes = (size_t)place.byte_count - MARKER_BYTES;
	if (bytes[data_bytes] != 0xff ||
	    bytes[data_bytes + 1] != jpeg_interval_marker(number, lookup->segments->header.segment_count))
		return fail(lookup, number, "does not end with its marker");
	while (data_bytes > 0 && bytes[data_bytes - 1] == 0xff) /* fill bytes: in data, 00 follows FF */
		data_bytes--;
	*interval = (struct jpeg_interval){bytes, data_bytes};
	return ITEM_OK;
}

static enum item_status check_header(struct workspace *workspace, const struct segments *segments, const struct jpeg_grid *grid,
                                     const struct jpeg_header *header)
{
	if (header->scan_at != head_bytes(segments))
		return workspace_fail(workspace, ITEM_CORRUPT, "a header of %zu bytes, but %zu in the segment table",
		                      header->scan_at, head_bytes(segments));
	if (memcmp(&header->grid, grid, sizeof *grid) != 0)
		return workspace_fail(workspace, ITEM_CORRUPT,
		                      "%ux%u pixels, MCUs of %ux%u, %u in a segment, but %ux%u, %ux%u and %u in the segment table",
		                      header->grid.width_px, header->grid.height_px, header->grid.mcu_width_px,
		                      header->grid.mcu_height_px, header->grid.restart_mcus, grid->width_px, grid->height_px,
		                      grid->mcu_width_px, grid->mcu_height_px, grid->restart_mcus);
	return ITEM_OK;
}

enum item_status jpeg_segments_splice(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                      const struct decode_want *want, struct jpeg_splice *splice)
{
	struct jpeg_grid grid;
	struct lookup lookup = {.workspace = workspace, .segments = file->segments, .runs = file->runs, .run_bytes = file->data};
	struct jpeg_intervals intervals = {.find = find_segment, .context = &lookup, .byte_count = file->byte_count};
	struct jpeg_header header;
	struct jpeg_cover cover;
	enum item_status status;

	if (!read_grid(file->segments, &grid) || grid.width_px != info->width_px || grid.height_px != info->height_px ||
	    head_bytes(file->segments) > file->byte_count || !jpeg_header_read(file->data, head_bytes(file->segments), &header))
		return workspace_fail(workspace, ITEM_CORRUPT, "no header of a JPEG in segments");
	status = check_header(workspace, file->segments, &grid, &header);
	if (status != ITEM_OK)
		return status;
	cover = jpeg_grid_cover(&grid, &want->region, want->scale_eighths);
	status = jpeg_splice_intervals(workspace, file->data, &header, &cover, &intervals, &splice->file);
	if (status == ITEM_OK)
		jpeg_splice_describe(&grid, &cover, info, want, splice);
	return status;
}
