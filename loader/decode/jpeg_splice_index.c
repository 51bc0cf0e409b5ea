/* Stage 3 of 5, decode: a JPEG without restart markers in, one of only the MCUs that a region needs out: by checkpoints. */
#include "loader/decode/jpeg_pieces.h"
#include "loader/decode/jpeg_splice_internal.h"

/*
 * The walk goes 1.4 times as fast as libjpeg, and what is wanted is gone through twice: so a first visit loses nothing.  Where it
 * would lose, later visits would win little: 4 % with RandomResizedCrop of 500 px files.
 */
#define WALK_LEAST_PART 0.7

/* Checkpoints say where a piece of each MCU row begins and ends. */
static bool put_cover(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                      const struct jpeg_scan *scan, const struct jpeg_index *index, const struct jpeg_cover *cover,
                      struct file_bytes *splice)
{
	const uint8_t *scan_bytes = file->data + header->scan_at, *end = file->data + file->byte_count;
	uint32_t stride = jpeg_index_stride_mcus(header);
	size_t begin_at = (size_t)cover->row_begin * index->checkpoints_per_row + cover->column_begin / stride;
	size_t piece_length = (cover->column_end - cover->column_begin + stride - 1) / stride; /* in checkpoints */
	size_t most_bytes = jpeg_header_most_bytes(header) + JPEG_PIECES_END_BYTES;
	uint32_t row_count = cover->row_end - cover->row_begin;
	struct jpeg_pieces pieces;

	for (uint32_t row = 0; row < row_count; row++) {
		const struct jpeg_checkpoint *begin = &index->checkpoints[begin_at + (size_t)row * index->checkpoints_per_row];

		if (begin[piece_length].position < begin->position)
			return false;
		most_bytes += JPEG_PIECE_MOST_BYTES(begin[piece_length].position / 8 - begin->position / 8);
	}
	if (workspace_reserve(workspace, &workspace->splice, 1, most_bytes) != ITEM_OK ||
	    !jpeg_pieces_begin(&pieces, header, file->data, scan, cover, workspace->splice.data))
		return false;
	for (uint32_t row = 0; row < row_count; row++) {
		const struct jpeg_checkpoint *begin = &index->checkpoints[begin_at + (size_t)row * index->checkpoints_per_row];

		if (!jpeg_pieces_put(&pieces, scan_bytes, end, begin, begin + piece_length))
			return false;
	}
	*splice = file_bytes_whole(workspace->splice.data, (size_t)(jpeg_pieces_end(&pieces) - workspace->splice.data));
	return true;
}

bool jpeg_splice_by_index(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                          struct jpeg_cover *cover, struct file_bytes *splice)
{
	struct jpeg_index_store *store = workspace->jpeg_indexes;
	size_t scan_bytes = file->byte_count - header->scan_at, least_gain_bytes = jpeg_index_store_least_gain_bytes(store);
	const struct jpeg_index *index;
	struct jpeg_scan scan;
	bool is_made;

	jpeg_grid_widen_columns(&header->grid, cover, jpeg_index_stride_mcus(header));
	if (!jpeg_splice_pays(&header->grid, cover, scan_bytes, least_gain_bytes, 0) || !jpeg_scan_read(header, &scan))
		return false;

	index = jpeg_index_acquire(store, file->id);
	if (index && !jpeg_index_fits(index, file, header, cover->row_end)) {
		jpeg_index_release(store, index);
		index = NULL;
	}
	if (!index || index->row_count < cover->row_end) {
		struct jpeg_index *longer = NULL;

		if (jpeg_splice_pays(&header->grid, cover, scan_bytes, least_gain_bytes, WALK_LEAST_PART))
			longer = jpeg_walk(file, header, &scan, index, cover->row_end);
		if (index)
			jpeg_index_release(store, index);
		if (!longer)
			return false;
		index = jpeg_index_keep(store, longer);
	}
	is_made = index->row_count >= cover->row_end && put_cover(workspace, file, header, &scan, index, cover, splice);
	jpeg_index_release(store, index);
	return is_made;
}
