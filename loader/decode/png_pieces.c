/*
 * Stage 3 of 5, decode: a PNG's filtered rows in, the pixels of a region out.  Any thread, one workspace each.
 *
 * Pieces of whole rows are read, unfiltered in place as far as the region needs them, and its columns unpacked.  Nothing is read
 * after the region's last row, nothing unfiltered right of its last column.
 */
#include <string.h>

#include "loader/decode/png_pieces.h"
#include "loader/decode/png_unfilter.h"
#include "loader/decode/unpack.h"

/*
 * A piece fits into a core's cache with the bytes that it comes from, and has enough rows to unfilter many at once.  Wide rows come
 * fewer at a time.
 */
#define PIECE_BYTES     ((size_t)128 << 10)
#define PIECE_ROWS      32u /* the most that png_unfilter() does at once; a piece has a multiple of it */
#define PIECE_MAX_BYTES ((size_t)4 << 20)

static uint32_t rows_of_piece(size_t row_bytes, uint32_t most_rows)
{
	size_t row_count = PIECE_BYTES / row_bytes / PIECE_ROWS * PIECE_ROWS;

	if (row_count < PIECE_ROWS)
		row_count = PIECE_ROWS;
	if (row_count > PIECE_MAX_BYTES / row_bytes)
		row_count = PIECE_MAX_BYTES / row_bytes;
	if (row_count < 1)
		row_count = 1; /* of 8 MB at most: the sides are limited */
	return row_count < most_rows ? (uint32_t)row_count : most_rows;
}

static bool filters_are_known(const struct png_rows *rows)
{
	for (uint32_t i = 0; i < rows->row_count; i++) {
		if (rows->data[i * rows->row_bytes] > PNG_FILTERED_PAETH)
			return false;
	}
	return true;
}

/* Leaves out the rows that nothing builds upon: those before the last that needs none above it, of those up to `wanted`. */
static void leave_out_rows(struct png_rows *rows, uint32_t wanted)
{
	for (uint32_t i = wanted < rows->row_count ? wanted : rows->row_count - 1; i > 0; i--) {
		const uint8_t *row = rows->data + i * rows->row_bytes;

		if (row[0] == PNG_FILTERED_NONE || row[0] == PNG_FILTERED_SUB) {
			rows->data += i * rows->row_bytes;
			rows->row_count -= i;
			break;
		}
	}
}

static void describe_pixels(const struct png_header *header, bool as_stored, struct unpack *unpack)
{
	unpack_describe_png(unpack, header->sample_bits, header->samples_per_px, header->color == PNG_PALETTE, as_stored);
	if (header->color == PNG_PALETTE)
		memcpy(unpack->palette, header->palette, (size_t)3 * header->palette_count);
}

/* Hands out the region's columns of a piece: where they lie, or unpacked. */
static void hand_out(struct workspace *workspace, const struct unpack *unpack, const uint8_t *piece, size_t row_bytes,
                     uint32_t row_count, uint32_t first_row, const struct decode_want *want, const struct decode_sink *sink)
{
	uint32_t x = (uint32_t)want->region.x;
	struct pixels rows = {.stride_bytes = row_bytes,
	                      .width_px = (uint32_t)want->region.width,
	                      .height_px = row_count,
	                      .channels = want->channels};

	if (unpack_is_copy(unpack, want->channels)) {
		rows.data = (uint8_t *)(uintptr_t)piece + 1 + (size_t)x * want->channels;
	} else {
		rows.data = workspace->band.data;
		rows.stride_bytes = (size_t)rows.width_px * want->channels;
		for (uint32_t i = 0; i < row_count; i++)
			unpack_row(unpack, piece + i * row_bytes + 1, x, rows.width_px, rows.channels,
			           rows.data + i * rows.stride_bytes);
	}
	sink->take(sink->context, first_row, &rows);
}

/* Of so many pixels of a row, the last byte's other pixels included. */
static size_t samples_bytes(const struct png_header *header, uint32_t width_px)
{
	return ((size_t)width_px * header->sample_bits * header->samples_per_px + 7) / 8;
}

/* Room for a piece and the row above it, and for unpacked rows if there are to be any. */
static enum item_status reserve(struct workspace *workspace, const struct unpack *unpack, uint32_t piece_rows, size_t row_bytes,
                                const struct decode_want *want)
{
	enum item_status status = workspace_reserve(workspace, &workspace->rows, 1,
	                                            2 * PNG_UNFILTER_MARGIN_BYTES + ((size_t)piece_rows + 1) * row_bytes);

	if (status != ITEM_OK || unpack_is_copy(unpack, want->channels))
		return status;
	return workspace_reserve(workspace, &workspace->band, piece_rows, (size_t)want->region.width * want->channels);
}

enum item_status png_pieces_rows(struct workspace *workspace, const struct png_header *header, const struct png_row_source *source,
                                 const struct decode_want *want, const struct decode_sink *sink)
{
	uint32_t first_row = (uint32_t)want->region.y, end_row = first_row + (uint32_t)want->region.height;
	size_t row_bytes = 1 + samples_bytes(header, header->width_px);
	uint32_t px_bits = header->sample_bits * header->samples_per_px,
		 end_px = (uint32_t)want->region.x + (uint32_t)want->region.width;
	uint32_t piece_rows = rows_of_piece(row_bytes, end_row - source->first_row);
	struct unpack unpack;
	enum item_status status;

	describe_pixels(header, want->as_stored, &unpack);
	status = reserve(workspace, &unpack, piece_rows, row_bytes, want);
	if (status != ITEM_OK)
		return status;

	uint8_t *above = workspace->rows.data + PNG_UNFILTER_MARGIN_BYTES, *piece = above + row_bytes;

	memset(workspace->rows.data, 0, PNG_UNFILTER_MARGIN_BYTES + row_bytes);
	for (uint32_t y = source->first_row; y < end_row; y += piece_rows) {
		struct png_rows rows = {.data = piece,
		                        .row_bytes = row_bytes,
		                        .row_count = end_row - y < piece_rows ? end_row - y : piece_rows,
		                        .width_px = px_bits < 8 ? (uint32_t)samples_bytes(header, end_px) : end_px,
		                        .px_bytes = px_bits < 8 ? 1 : px_bits / 8};
		uint32_t row_count = rows.row_count, unwanted = y < first_row ? first_row - y : 0;

		status = source->read(source->context, piece, row_count, row_bytes);
		if (status != ITEM_OK)
			return status;
		if (!filters_are_known(&rows))
			return workspace_fail(workspace, ITEM_CORRUPT, "a row from %u on has a filter that there is not", y);
		leave_out_rows(&rows, unwanted);
		png_unfilter(&rows, workspace->simd);
		if (unwanted < row_count)
			hand_out(workspace, &unpack, piece + unwanted * row_bytes, row_bytes, row_count - unwanted,
			         y + unwanted - first_row, want, sink);
		memcpy(above, piece + (row_count - 1) * row_bytes, row_bytes);
	}
	return ITEM_OK;
}
