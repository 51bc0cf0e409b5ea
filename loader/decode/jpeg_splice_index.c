/*
 * Stage 3 of 5, decode: a JPEG without restart markers in, one of only the MCUs that a region needs out.
 *
 * Checkpoints say where a piece of each MCU row begins and ends.  The pieces' bits are strung together; only the first DC
 * difference of each component in a piece is written anew, for it is to the block before, which now is another one.
 */
#include <string.h>

#include "loader/decode/jpeg_splice_internal.h"
#include "loader/decode/jpeg_walk.h"

enum { NEW_DC_MOST_BYTES = 4 };

/*
 * The walk goes 1.4 times as fast as libjpeg, and what is wanted is gone through twice: so a first visit loses nothing.  Where it
 * would lose, later visits would win little: 4 % with RandomResizedCrop of 500 px files.
 */
#define WALK_LEAST_PART 0.7

struct writer {
	const struct jpeg_scan *scan;
	const uint8_t *scan_bytes;
	struct jpeg_dc_writer dc[JPEG_MOST_TABLES];
	int32_t predictors[JPEG_MOST_COMPONENTS];
	struct jpeg_bits_out out;
};

/* The bits from one position to another.  False: there are not as many, so this is not the file that was walked through. */
static bool copy_bits(struct writer *writer, const uint8_t *file_end, uint32_t begin, uint32_t end)
{
	uint32_t rest = end % 8; /* bits of the last byte */
	const uint8_t *end_at = writer->scan_bytes + end / 8;
	struct jpeg_bits bits;

	if (begin > end || file_end - end_at < 2)
		return false;
	if (rest > 0)
		end_at += *end_at == 0xff ? 2 : 1;
	for (bits = jpeg_bits_at(writer->scan_bytes, end_at, begin); bits.lent_count == 0; jpeg_bits_refill(&bits)) {
		jpeg_bits_put(&writer->out, (uint32_t)(bits.buffer >> 32), 32);
		jpeg_bits_drop(&bits, 32);
	}
	if (bits.next != end_at || bits.count < bits.lent_count + (8 - rest) % 8)
		return false;
	for (uint32_t left = bits.count - bits.lent_count - (8 - rest) % 8; left > 0;) {
		uint32_t count = left < 32 ? left : 32;

		jpeg_bits_put(&writer->out, (uint32_t)(bits.buffer >> (64 - count)), count);
		bits.buffer <<= count;
		left -= count;
	}
	return true;
}

static bool put_dc(struct writer *writer, uint32_t table, int32_t difference)
{
	uint32_t magnitude = (uint32_t)(difference < 0 ? -difference : difference);
	uint32_t category = magnitude ? 32 - (uint32_t)__builtin_clz(magnitude) : 0, length;

	if (category >= JPEG_DC_CATEGORIES)
		return false;
	length = writer->dc[table].lengths[category];
	if (length == 0)
		return false;
	/* T.81, F.1.2.1: a negative number is written as its difference to the least one of its category. */
	jpeg_bits_put(&writer->out,
	              (uint32_t)writer->dc[table].codes[category] << category |
	                      (uint32_t)(difference < 0 ? difference + (1 << category) - 1 : difference),
	              length + category);
	return true;
}

/* One row's MCUs between two checkpoints, of which the second is not before the first. */
static bool put_piece(struct writer *writer, const uint8_t *file_end, const struct jpeg_checkpoint *begin,
                      const struct jpeg_checkpoint *end)
{
	const struct jpeg_scan *scan = writer->scan;
	struct jpeg_bits bits;
	uint32_t copied_to = begin->position, first_count = 0;

	if ((size_t)(file_end - writer->scan_bytes) < end->position / 8 + 2)
		return false;
	bits = jpeg_bits_at(writer->scan_bytes, file_end, begin->position);
	if (jpeg_bits_are_overdrawn(&bits))
		return false; /* it begins in a marker: another file with the same checksum */
	for (uint32_t i = 0; i < scan->block_count; i++) {
		const struct jpeg_scan_block *block = &scan->blocks[i];
		uint32_t filled = 1;
		int32_t difference;

		if (block->is_first && !copy_bits(writer, file_end, copied_to, jpeg_bits_position(&bits, writer->scan_bytes)))
			return false;
		jpeg_bits_refill(&bits);
		if (!jpeg_huffman_next_dc(&scan->dc[block->dc_table], &bits, &difference))
			return false;
		if (block->is_first) {
			int32_t value = begin->predictors[block->component] + difference;

			if (!put_dc(writer, block->dc_table, value - writer->predictors[block->component]) ||
			    jpeg_bits_are_overdrawn(&bits))
				return false;
			copied_to = jpeg_bits_position(&bits, writer->scan_bytes);
			if (++first_count == scan->component_count)
				break;
		}
		while (filled < JPEG_BLOCK_COEFFICIENTS) {
			if (!jpeg_huffman_skip_one(&scan->ac[block->ac_table], &bits, &filled))
				return false;
		}
		if (jpeg_bits_are_overdrawn(&bits))
			return false;
	}
	for (int c = 0; c < JPEG_MOST_COMPONENTS; c++)
		writer->predictors[c] = end->predictors[c];
	return copy_bits(writer, file_end, copied_to, end->position);
}

static bool put_cover(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                      const struct jpeg_scan *scan, const struct jpeg_index *index, const struct jpeg_cover *cover,
                      struct file_bytes *splice)
{
	struct writer writer = {.scan = scan, .scan_bytes = file->data + header->scan_at};
	uint32_t stride = jpeg_index_stride_mcus(header);
	size_t begin_at = (size_t)cover->row_begin * index->checkpoints_per_row + cover->column_begin / stride;
	size_t piece_length = (cover->column_end - cover->column_begin + stride - 1) / stride; /* in checkpoints */
	size_t most_bytes = jpeg_header_most_bytes(header) + 16;
	uint32_t row_count = cover->row_end - cover->row_begin;

	if (!jpeg_header_complete_dc(header))
		return false;
	for (int i = 0; i < JPEG_MOST_TABLES; i++)
		jpeg_huffman_make_dc_writer(&header->dc_tables[i], &writer.dc[i]);
	for (uint32_t row = 0; row < row_count; row++) {
		const struct jpeg_checkpoint *begin = &index->checkpoints[begin_at + (size_t)row * index->checkpoints_per_row];

		if (begin[piece_length].position < begin->position)
			return false;
		/* As if each byte were FF once its bits have moved. */
		most_bytes += 2 * ((size_t)(begin[piece_length].position / 8 - begin->position / 8) + 2 +
		                   JPEG_MOST_COMPONENTS * NEW_DC_MOST_BYTES);
	}
	if (workspace_reserve(workspace, &workspace->splice, 1, most_bytes) != ITEM_OK)
		return false;

	writer.out.next = workspace->splice.data;
	writer.out.next += jpeg_header_write(header, file->data, jpeg_grid_cover_width_px(&header->grid, cover),
	                                     jpeg_grid_cover_height_px(&header->grid, cover), true, writer.out.next);
	for (uint32_t row = 0; row < row_count; row++) {
		const struct jpeg_checkpoint *begin = &index->checkpoints[begin_at + (size_t)row * index->checkpoints_per_row];

		if (!put_piece(&writer, file->data + file->byte_count, begin, begin + piece_length))
			return false;
	}
	jpeg_bits_flush(&writer.out);
	*writer.out.next++ = 0xff;
	*writer.out.next++ = JPEG_MARKER_EOI;
	*splice = file_bytes_whole(workspace->splice.data, (size_t)(writer.out.next - workspace->splice.data));
	return true;
}

bool jpeg_splice_by_index(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                          struct jpeg_cover *cover, struct file_bytes *splice)
{
	struct jpeg_index_store *store = workspace->jpeg_indexes;
	const struct jpeg_index *index;
	struct jpeg_scan scan;
	bool is_made;

	jpeg_grid_widen_columns(&header->grid, cover, jpeg_index_stride_mcus(header));
	if (!jpeg_splice_pays(workspace, header, cover, file, 0) || !jpeg_scan_read(header, &scan))
		return false;

	index = jpeg_index_acquire(store, file->id);
	if (index && !jpeg_index_fits(index, file, header, cover->row_end)) {
		jpeg_index_release(store, index);
		index = NULL;
	}
	if (!index || index->row_count < cover->row_end) {
		struct jpeg_index *longer = NULL;

		if (jpeg_splice_pays(workspace, header, cover, file, WALK_LEAST_PART))
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
