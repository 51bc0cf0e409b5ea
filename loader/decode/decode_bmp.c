/* Stage 3 of 5, decode: a BMP in memory in, its header or the pixels of a region out.  Any thread, one workspace each. */
#include <stdbool.h>
#include <stddef.h>

#include "loader/decode/bands.h"
#include "loader/decode/bmp_header.h"
#include "loader/decode/bmp_rle.h"
#include "loader/decode/decode_bmp.h"

/*
 * What a region takes of each stored row.  No sum below overflows: bmp_header_parse() leaves at most 2^31 - 1 columns, 2^31 rows
 * and 2^32 - 1 as pixels_at, whose last byte is below 2^64.
 */
struct span {
	uint64_t begin_bytes, end_bytes; /* from the row's start */
	uint32_t skipped_px;             /* of the byte at begin_bytes: bits of pixels before the region */
};

static struct span region_span(const struct bmp_header *header, const struct box *region)
{
	uint32_t bits = header->unpack.pixel_bits;
	uint64_t begin_bits = (uint64_t)region->x * bits, end_bits = begin_bits + (uint64_t)region->width * bits;

	return (struct span){begin_bits / 8, (end_bits + 7) / 8, (uint32_t)(begin_bits % 8 / bits)};
}

static uint64_t row_at(const struct bmp_header *header, uint32_t y)
{
	return header->pixels_at + bmp_header_stored_row(header, y) * header->stride_bytes;
}

static void describe(const struct bmp_header *header, struct image_info *info)
{
	bool is_colour = header->unpack.kind != UNPACK_INDEX;

	info->width_px = header->width_px;
	info->height_px = header->height_px;
	info->channels = is_colour ? 3 : 1;
	info->sample_bits = (uint8_t)(is_colour ? 8 : header->unpack.pixel_bits);
}

enum item_status decode_bmp_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct bmp_header header;
	enum item_status status = bmp_header_parse(&header, file, workspace);

	describe(&header, info);
	return status;
}

/* Whole rows are one run of bytes: picking columns pays only when much is left out. */
static bool picks_columns(uint64_t row_bytes, uint64_t stride_bytes)
{
	return row_bytes <= stride_bytes - stride_bytes / 4;
}

bool decode_bmp_part(const struct file_bytes *head, const struct image_info *info, const struct decode_want *want,
                     struct file_part *part)
{
	struct workspace workspace = {.max_pixels = UINT64_MAX};
	const struct box *region = &want->region;
	struct bmp_header header;

	if (bmp_header_parse(&header, head, &workspace) != ITEM_OK || header.width_px != info->width_px ||
	    header.height_px != info->height_px || head->byte_count < header.palette_end || bmp_header_has_runs(&header))
		return false;

	uint32_t top = (uint32_t)region->y, bottom = top + (uint32_t)region->height - 1;
	struct span span = region_span(&header, region);
	uint64_t row_bytes = span.end_bytes - span.begin_bytes;
	uint64_t begin = row_at(&header, header.top_row_first ? top : bottom) + span.begin_bytes;
	uint64_t end = row_at(&header, header.top_row_first ? bottom : top) + span.end_bytes;
	uint64_t file_end = header.pixels_at + header.height_px * header.stride_bytes;

	*part = (struct file_part){0};
	if (end <= head->byte_count)
		return true;
	if (region->height > 1 && picks_columns(row_bytes, header.stride_bytes)) {
		*part = (struct file_part){.offset = begin,
		                           .row_bytes = row_bytes,
		                           .stride_bytes = header.stride_bytes,
		                           .row_count = (uint32_t)region->height,
		                           .last_row_first = !header.top_row_first};
		return true;
	}
	if (begin < head->byte_count)
		begin = head->byte_count;
	*part = (struct file_part){.offset = begin, .row_bytes = end - begin, .stride_bytes = end - begin, .row_count = 1};
	return begin > head->byte_count || end < file_end;
}

/*
 * Rows that are what is wanted already, and lie in order: handed out where they lie, which saves a copy of a picture that no longer
 * is in the cache (75 us of 350 for a quarter of 4000x4000).  If the last row lies where the first two make it expected, no gap is
 * between.
 */
static bool point_at_rows(const struct bmp_header *header, const struct span *span, const struct file_bytes *file,
                          const struct decode_want *want, struct pixels *rows)
{
	const struct box *region = &want->region;
	uint64_t row_bytes = span->end_bytes - span->begin_bytes;
	uint32_t top = (uint32_t)region->y, row_count = (uint32_t)region->height;
	const uint8_t *first = file_bytes_at(file, row_at(header, top) + span->begin_bytes, row_bytes);
	const uint8_t *second =
		row_count == 1 ? first : file_bytes_at(file, row_at(header, top + 1) + span->begin_bytes, row_bytes);
	const uint8_t *last = file_bytes_at(file, row_at(header, top + row_count - 1) + span->begin_bytes, row_bytes);

	if (!first || !second || !last || second < first || last < first ||
	    (uint64_t)(second - first) * (row_count - 1) != (uint64_t)(last - first))
		return false;
	*rows = (struct pixels){.data = (uint8_t *)first,
	                        .stride_bytes = (size_t)(second - first),
	                        .width_px = (uint32_t)region->width,
	                        .height_px = row_count,
	                        .channels = want->channels};
	return true;
}

/* Runs begin with the last row, as a rule, so all of the region's are kept: as indices, a byte each. */
static enum item_status read_runs(const struct bmp_header *header, struct workspace *workspace, const struct file_bytes *file,
                                  const struct decode_want *want, const struct decode_sink *sink)
{
	const struct box *region = &want->region;
	struct unpack unpack = header->unpack;
	struct bands bands;
	enum item_status status = workspace_reserve_whole(workspace, sink, &workspace->rows, (size_t)region->height,
	                                                  (size_t)region->width, "save the BMP without run-length encoding");

	if (status == ITEM_OK)
		status = bmp_rle_region(header, file, region, workspace->rows.data, workspace);
	if (status == ITEM_OK)
		status = bands_open(&bands, workspace, want, sink);
	if (status != ITEM_OK)
		return status;
	unpack.pixel_bits = 8;
	for (int32_t line = 0; line < region->height; line++)
		unpack_row(&unpack, workspace->rows.data + (size_t)line * (uint32_t)region->width, 0, (uint32_t)region->width,
		           want->channels, bands_next_row(&bands));
	bands_close(&bands);
	return ITEM_OK;
}

static enum item_status read_rows(const struct bmp_header *header, struct workspace *workspace, const struct file_bytes *file,
                                  const struct decode_want *want, const struct decode_sink *sink)
{
	const struct box *region = &want->region;
	struct span span = region_span(header, region);
	uint64_t row_bytes = span.end_bytes - span.begin_bytes;
	uint32_t last_in_file = (uint32_t)(header->top_row_first ? region->y + (region->height - 1) : region->y);
	enum item_status status;
	struct pixels rows;
	struct bands bands;

	/* Before memory is spent. */
	if (!file_bytes_at(file, row_at(header, last_in_file) + span.begin_bytes, row_bytes))
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends before its pixels do");
	if (unpack_is_copy(&header->unpack, want->channels) && point_at_rows(header, &span, file, want, &rows)) {
		sink->take(sink->context, 0, &rows);
		return ITEM_OK;
	}
	status = bands_open(&bands, workspace, want, sink);
	if (status != ITEM_OK)
		return status;
	for (int32_t line = 0; line < region->height; line++) {
		uint64_t at = row_at(header, (uint32_t)(region->y + line)) + span.begin_bytes;
		const uint8_t *row = file_bytes_at(file, at, row_bytes);

		if (!row)
			return workspace_fail(workspace, ITEM_TRUNCATED, "rows of the BMP are missing");
		unpack_row(&header->unpack, row, span.skipped_px, (uint32_t)region->width, want->channels, bands_next_row(&bands));
	}
	bands_close(&bands);
	return ITEM_OK;
}

enum item_status decode_bmp_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                 const struct decode_want *want, const struct decode_sink *sink)
{
	struct bmp_header header;
	enum item_status status = bmp_header_parse(&header, file, workspace);
	struct image_info now;

	describe(&header, &now);
	if (status == ITEM_OK)
		status = workspace_check_same(workspace, info, &now);
	if (status != ITEM_OK)
		return status;
	if (want->as_stored) {
		header.unpack.kind = UNPACK_STORED;
		header.unpack.factor = 1; /* Pillow takes a palette for gray when the index is the gray value */
	} else if (header.unpack.kind == UNPACK_INDEX) {
		bmp_header_read_palette(&header, file);
	}
	return bmp_header_has_runs(&header) ? read_runs(&header, workspace, file, want, sink)
	                                    : read_rows(&header, workspace, file, want, sink);
}
