/*
 * Stage 3 of 5, decode: restart intervals in, a JPEG of only the MCUs that a region needs out.
 *
 * At a restart marker the data begins anew at a whole byte, with predictors of 0 (ITU T.81, F.1.1.5.1).  So intervals that divide a row
 * of MCUs, or are whole rows, are copied as they are, and only their markers get other numbers.  Of others, in which a row begins and
 * ends anywhere, the codes are walked through from the interval's start, and pieces of them are strung together without markers.
 */
#include <string.h>

#include "loader/decode/jpeg_pieces.h"
#include "loader/decode/jpeg_splice_internal.h"

/* Positions are 32 bits. */
#define MOST_CUT_BYTES ((size_t)UINT32_MAX / 8 - 8)

/* The words of a failure; find() has said its own. */
static enum item_status fail(struct workspace *workspace, uint32_t number, const char *what)
{
	return workspace_fail(workspace, ITEM_CORRUPT, "restart interval %u: %s", number, what);
}

static enum item_status copy_intervals(struct workspace *workspace, const uint8_t *head, const struct jpeg_header *header,
                                       const struct jpeg_cover *cover, const struct jpeg_intervals *intervals,
                                       struct file_bytes *splice)
{
	const struct jpeg_grid *grid = &header->grid;
	uint32_t number = 0, copied_count = 0;
	enum item_status status;
	uint8_t *out;

	/* No more is written than is read. */
	status = workspace_reserve(workspace, &workspace->splice, 1, jpeg_header_most_bytes(header) + intervals->byte_count);
	if (status != ITEM_OK)
		return status;
	out = workspace->splice.data;
	out += jpeg_header_write(header, head, jpeg_grid_cover_width_px(grid, cover), jpeg_grid_cover_height_px(grid, cover), false,
	                         out);
	for (uint32_t row = cover->row_begin; row < cover->row_end; row++) {
		uint32_t begin_number, end_number;

		jpeg_grid_intervals(grid, cover, row, &begin_number, &end_number);
		if (number < begin_number)
			number = begin_number;
		for (; number < end_number; number++) {
			struct jpeg_interval interval;

			status = intervals->find(intervals->context, number, &interval);
			if (status != ITEM_OK)
				return status;
			memcpy(out, interval.bytes, interval.byte_count);
			out += interval.byte_count;
			*out++ = 0xff;
			*out++ = (uint8_t)(JPEG_MARKER_RST0 + copied_count++ % 8);
		}
	}
	out[-1] = JPEG_MARKER_EOI;
	*splice = file_bytes_whole(workspace->splice.data, (size_t)(out - workspace->splice.data));
	return ITEM_OK;
}

/* An interval that is gone through, and how far. */
struct reader {
	uint32_t number, mcu; /* of the picture's */
	struct jpeg_interval interval;
	struct jpeg_checkpoint at;
};

static bool read_to(struct reader *reader, const struct jpeg_scan *scan, uint32_t mcu)
{
	uint32_t count = mcu - reader->mcu;

	reader->mcu = mcu;
	return jpeg_walk_mcus(scan, reader->interval.bytes, jpeg_interval_end(&reader->interval), count, &reader->at);
}

/* Nothing but the rest of a byte is left. */
static bool is_at_end(const struct reader *reader)
{
	size_t at = reader->at.position / 8;

	if (reader->at.position % 8 > 0)
		at += reader->interval.bytes[at] == 0xff ? 2 : 1;
	return at == reader->interval.byte_count;
}

/* MCUs of the reader's interval, up to mcu_end. */
static enum item_status cut_piece(struct workspace *workspace, struct reader *reader, const struct jpeg_scan *scan,
                                  uint32_t mcu_begin, uint32_t mcu_end, bool ends_interval, struct jpeg_pieces *pieces)
{
	struct jpeg_checkpoint begin;

	if (!read_to(reader, scan, mcu_begin))
		return fail(workspace, reader->number, "codes that are none before the region");
	begin = reader->at;
	if (!read_to(reader, scan, mcu_end) ||
	    !jpeg_pieces_put(pieces, reader->interval.bytes, jpeg_interval_end(&reader->interval), &begin, &reader->at))
		return fail(workspace, reader->number, "codes that are none");
	if (ends_interval && !is_at_end(reader))
		return fail(workspace, reader->number, "more bytes than its codes take");
	return ITEM_OK;
}

static enum item_status cut_row(struct workspace *workspace, const struct jpeg_grid *grid, const struct jpeg_intervals *intervals,
                                const struct jpeg_scan *scan, uint32_t mcu, uint32_t row_end, struct reader *reader,
                                struct jpeg_pieces *pieces)
{
	uint32_t last = grid->mcus_across * grid->mcu_rows;

	while (mcu < row_end) {
		uint32_t number = mcu / grid->restart_mcus, begin = number * grid->restart_mcus;
		uint32_t end = last - begin < grid->restart_mcus ? last : begin + grid->restart_mcus;
		uint32_t cut_end = end < row_end ? end : row_end;
		enum item_status status = ITEM_OK;

		if (reader->number != number) {
			*reader = (struct reader){.number = number, .mcu = begin};
			status = intervals->find(intervals->context, number, &reader->interval);
			if (status == ITEM_OK && reader->interval.byte_count > MOST_CUT_BYTES)
				status = fail(workspace, number, "too long to be cut");
		}
		if (status == ITEM_OK)
			status = cut_piece(workspace, reader, scan, mcu, cut_end, cut_end == end, pieces);
		if (status != ITEM_OK)
			return status;
		mcu = cut_end;
	}
	return ITEM_OK;
}

static enum item_status cut_intervals(struct workspace *workspace, const uint8_t *head, struct jpeg_header *header,
                                      const struct jpeg_cover *cover, const struct jpeg_intervals *intervals,
                                      struct file_bytes *splice)
{
	const struct jpeg_grid *grid = &header->grid;
	struct reader reader = {.number = UINT32_MAX};
	enum item_status status = ITEM_OK;
	struct jpeg_pieces pieces;
	size_t piece_count = 0;
	struct jpeg_scan scan;

	for (uint32_t row = cover->row_begin; row < cover->row_end; row++) {
		uint32_t begin_number, end_number;

		jpeg_grid_intervals(grid, cover, row, &begin_number, &end_number);
		piece_count += end_number - begin_number;
	}
	if (piece_count > intervals->byte_count * 8)
		return workspace_fail(workspace, ITEM_CORRUPT, "%zu bytes for at least %zu MCUs", intervals->byte_count,
		                      piece_count);
	if (!jpeg_scan_read(header, &scan))
		return workspace_fail(workspace, ITEM_CORRUPT, "Huffman tables of no 8-bit picture");
	status = workspace_reserve(workspace, &workspace->splice, 1,
	                           jpeg_header_most_bytes(header) + JPEG_PIECE_MOST_BYTES(intervals->byte_count) +
	                                   piece_count * JPEG_PIECE_MOST_BYTES(0) + JPEG_PIECES_END_BYTES);
	if (status == ITEM_OK && !jpeg_pieces_begin(&pieces, header, head, &scan, cover, workspace->splice.data))
		status = workspace_fail(workspace, ITEM_CORRUPT, "no room in a Huffman table for DC differences");
	for (uint32_t row = cover->row_begin; status == ITEM_OK && row < cover->row_end; row++)
		status = cut_row(workspace, grid, intervals, &scan, row * grid->mcus_across + cover->column_begin,
		                 row * grid->mcus_across + cover->column_end, &reader, &pieces);
	if (status == ITEM_OK)
		*splice = file_bytes_whole(workspace->splice.data, (size_t)(jpeg_pieces_end(&pieces) - workspace->splice.data));
	return status;
}

enum item_status jpeg_splice_intervals(struct workspace *workspace, const uint8_t *head, struct jpeg_header *header,
                                       struct jpeg_cover *cover, const struct jpeg_intervals *intervals, struct file_bytes *splice)
{
	if (jpeg_grid_widen_to_intervals(&header->grid, cover))
		return copy_intervals(workspace, head, header, cover, intervals, splice);
	return cut_intervals(workspace, head, header, cover, intervals, splice);
}
