/* Stage 3 of 5, decode: pieces of entropy-coded data in, a scan of them out.  Any thread. */
#include "loader/decode/jpeg_pieces.h"

enum { MARKER_EOI = 0xd9 };

bool jpeg_pieces_begin(struct jpeg_pieces *pieces, struct jpeg_header *header, const uint8_t *file, const struct jpeg_scan *scan,
                       const struct jpeg_cover *cover, uint8_t *out)
{
	*pieces = (struct jpeg_pieces){.scan = scan};
	if (!jpeg_header_complete_dc(header))
		return false;
	for (int i = 0; i < JPEG_MOST_TABLES; i++)
		jpeg_huffman_make_dc_writer(&header->dc_tables[i], &pieces->dc[i]);
	out += jpeg_header_write(header, file, jpeg_grid_cover_width_px(&header->grid, cover),
	                         jpeg_grid_cover_height_px(&header->grid, cover), true, out);
	pieces->out.next = out;
	return true;
}

/* The bits from one position to another.  False: there are not as many, so these are not the bytes that were walked through. */
static bool copy_bits(struct jpeg_pieces *pieces, const uint8_t *bytes, const uint8_t *bytes_end, uint32_t begin, uint32_t end)
{
	uint32_t rest = end % 8; /* bits of the last byte */
	const uint8_t *end_at = bytes + end / 8;
	struct jpeg_bits bits;

	if (begin > end || bytes_end - end_at < 2)
		return false;
	if (rest > 0)
		end_at += *end_at == 0xff ? 2 : 1;
	for (bits = jpeg_bits_at(bytes, end_at, begin); bits.lent_count == 0; jpeg_bits_refill(&bits)) {
		jpeg_bits_put(&pieces->out, (uint32_t)(bits.buffer >> 32), 32);
		jpeg_bits_drop(&bits, 32);
	}
	if (bits.next != end_at || bits.count < bits.lent_count + (8 - rest) % 8)
		return false;
	for (uint32_t left = bits.count - bits.lent_count - (8 - rest) % 8; left > 0;) {
		uint32_t count = left < 32 ? left : 32;

		jpeg_bits_put(&pieces->out, (uint32_t)(bits.buffer >> (64 - count)), count);
		bits.buffer <<= count;
		left -= count;
	}
	return true;
}

static bool put_dc(struct jpeg_pieces *pieces, uint32_t table, int32_t difference)
{
	uint32_t magnitude = (uint32_t)(difference < 0 ? -difference : difference);
	uint32_t category = magnitude ? 32 - (uint32_t)__builtin_clz(magnitude) : 0, length;

	if (category >= JPEG_DC_CATEGORIES)
		return false;
	length = pieces->dc[table].lengths[category];
	if (length == 0)
		return false;
	/* T.81, F.1.2.1: a negative number is written as its difference to the least one of its category. */
	jpeg_bits_put(&pieces->out,
	              (uint32_t)pieces->dc[table].codes[category] << category |
	                      (uint32_t)(difference < 0 ? difference + (1 << category) - 1 : difference),
	              length + category);
	return true;
}

bool jpeg_pieces_put(struct jpeg_pieces *pieces, const uint8_t *bytes, const uint8_t *end,
                     const struct jpeg_checkpoint *piece_begin, const struct jpeg_checkpoint *piece_end)
{
	const struct jpeg_scan *scan = pieces->scan;
	struct jpeg_bits bits;
	uint32_t copied_to = piece_begin->position, first_count = 0;

	if ((size_t)(end - bytes) < piece_end->position / 8 + 2)
		return false;
	bits = jpeg_bits_at(bytes, end, piece_begin->position);
	if (jpeg_bits_are_overdrawn(&bits))
		return false; /* it begins in a marker: other bytes with the same checksum */
	for (uint32_t i = 0; i < scan->block_count; i++) {
		const struct jpeg_scan_block *block = &scan->blocks[i];
		uint32_t filled = 1;
		int32_t difference;

		if (block->is_first && !copy_bits(pieces, bytes, end, copied_to, jpeg_bits_position(&bits, bytes)))
			return false;
		jpeg_bits_refill(&bits);
		if (!jpeg_huffman_next_dc(&scan->dc[block->dc_table], &bits, &difference))
			return false;
		if (block->is_first) {
			int32_t value = piece_begin->predictors[block->component] + difference;

			if (!put_dc(pieces, block->dc_table, value - pieces->predictors[block->component]) ||
			    jpeg_bits_are_overdrawn(&bits))
				return false;
			copied_to = jpeg_bits_position(&bits, bytes);
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
		pieces->predictors[c] = piece_end->predictors[c];
	return copy_bits(pieces, bytes, end, copied_to, piece_end->position);
}

uint8_t *jpeg_pieces_end(struct jpeg_pieces *pieces)
{
	jpeg_bits_flush(&pieces->out);
	*pieces->out.next++ = 0xff;
	*pieces->out.next++ = MARKER_EOI;
	return pieces->out.next;
}
