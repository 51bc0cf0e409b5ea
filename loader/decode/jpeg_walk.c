/*
 * Stage 3 of 5, decode: a JPEG's scan in, checkpoints out.  Any thread.
 *
 * libjpeg skips rows at 130 MB/s, for it decodes every coefficient.  Here a block's AC codes are only measured: a table by the next
 * 13 bits says how far all codes that lie whole in them lead.
 */
#include <stdlib.h>

#include "loader/decode/jpeg_walk.h"

struct walk {
	struct jpeg_bits bits;
	int32_t predictors[JPEG_MOST_COMPONENTS];
	const struct jpeg_scan *scan;
	struct jpeg_dc_leaps dc[JPEG_MOST_TABLES];
	struct jpeg_leaps ac[JPEG_MOST_TABLES];
};

bool jpeg_scan_read(const struct jpeg_header *header, struct jpeg_scan *scan)
{
	scan->component_count = header->component_count;
	scan->block_count = 0;
	for (uint32_t c = 0; c < header->component_count; c++) {
		const struct jpeg_component *component = &header->components[c];

		if (!jpeg_huffman_read_table(&header->dc_tables[component->dc_table], true, &scan->dc[component->dc_table]) ||
		    !jpeg_huffman_read_table(&header->ac_tables[component->ac_table], false, &scan->ac[component->ac_table]))
			return false;
		for (uint32_t i = 0; i < component->across * component->down; i++)
			scan->blocks[scan->block_count++] = (struct jpeg_scan_block){
				.component = (uint8_t)c,
				.dc_table = (uint8_t)component->dc_table,
				.ac_table = (uint8_t)component->ac_table,
				.is_first = i == 0,
			};
	}
	return true;
}

/* The DC coefficient of one block.  At least 45 bits are there afterwards, which is enough for three leaps. */
static inline bool walk_dc(const struct jpeg_codes *dc, const struct jpeg_dc_leaps *leaps, struct jpeg_bits *bits,
                           int32_t *predictor)
{
	int32_t leap, difference;

	jpeg_bits_refill(bits);
	leap = leaps->by_bits[bits->buffer >> (64 - JPEG_DC_LEAP_BITS)];
	if (__builtin_expect(leap != 0, 1)) {
		jpeg_bits_drop(bits, (uint32_t)leap & 63);
		*predictor += leap >> 6;
		return true;
	}
	if (!jpeg_huffman_next_dc(dc, bits, &difference))
		return false;
	*predictor += difference;
	jpeg_bits_refill(bits);
	return true;
}

/* The AC coefficients of one block, after walk_dc(). */
static inline bool walk_ac(const struct jpeg_codes *ac, const struct jpeg_leaps *leaps, struct jpeg_bits *bits)
{
	uint32_t sum = JPEG_LEAP_FILLS(1), leap = 0, filled; /* sum: of leaps, as if the DC coefficient had been one */
	uint64_t ahead = 0;

	for (;; jpeg_bits_refill(bits)) {
#pragma GCC unroll 3
		for (int i = 0; i < 3; i++) {
			ahead = bits->buffer >> (64 - JPEG_LEAP_BITS);
			leap = leaps->by_bits[ahead];
			bits->buffer <<= leap & 63;
			sum += leap;
			if (sum >= JPEG_LEAP_FILLS(JPEG_BLOCK_COEFFICIENTS))
				break;
		}
		bits->count -= sum & 63;
		sum &= ~63u;
		if (sum < JPEG_LEAP_FILLS(JPEG_BLOCK_COEFFICIENTS))
			continue;
		if (sum - JPEG_LEAP_FILLS(JPEG_LEAP_ENDS) < JPEG_LEAP_FILLS(JPEG_BLOCK_COEFFICIENTS))
			return true;

		/* Take the last leap back: there is a long code, or the block has no end code, and it leapt into the next one. */
		bits->buffer = bits->buffer >> (leap & 63) | ahead << (64 - JPEG_LEAP_BITS);
		bits->count += leap & 63;
		filled = (sum - leap + 63) / 64;
		if (!jpeg_huffman_skip_one(ac, bits, &filled))
			return false;
		if (filled == JPEG_BLOCK_COEFFICIENTS)
			return true;
		sum = JPEG_LEAP_FILLS(filled);
	}
}

static bool walk_mcus(struct walk *walk, uint32_t count)
{
	const struct jpeg_scan *scan = walk->scan;
	struct jpeg_bits bits = walk->bits;

	while (count-- > 0) {
		for (uint32_t i = 0; i < scan->block_count; i++) {
			const struct jpeg_scan_block *block = &scan->blocks[i];

			if (!walk_dc(&scan->dc[block->dc_table], &walk->dc[block->dc_table], &bits,
			             &walk->predictors[block->component]) ||
			    !walk_ac(&scan->ac[block->ac_table], &walk->ac[block->ac_table], &bits))
				return false;
		}
	}
	walk->bits = bits;
	return !jpeg_bits_are_overdrawn(&bits);
}

/* False: predictors that no 8-bit picture has. */
static bool note(const struct jpeg_bits *bits, const int32_t predictors[], const uint8_t *scan_bytes,
                 struct jpeg_checkpoint *checkpoint)
{
	checkpoint->position = jpeg_bits_position(bits, scan_bytes);
	for (int c = 0; c < JPEG_MOST_COMPONENTS; c++) {
		if (predictors[c] < -JPEG_MOST_DC || predictors[c] > JPEG_MOST_DC)
			return false;
		checkpoint->predictors[c] = (int16_t)predictors[c];
	}
	return true;
}

/*
 * libjpeg looks up to 8 bytes ahead, and takes it for a cut-off file if it comes to the end before it comes to a marker: then it
 * is for libjpeg to say.
 */
static bool goes_on(const struct jpeg_bits *bits)
{
	for (const uint8_t *at = bits->next; bits->end - at >= 2; at++) {
		if (at - bits->next >= 2 * 8 || (at[0] == 0xff && at[1] != 0 && at[1] != 0xff))
			return true;
	}
	return false;
}

/* The first of the row's checkpoints is there already: it ends the row before.  The last that is noted begins the next row. */
static bool walk_row(struct walk *walk, const struct jpeg_header *header, const uint8_t *scan_bytes, struct jpeg_checkpoint *row)
{
	uint32_t stride = jpeg_index_stride_mcus(header);

	for (uint32_t mcu = 0; mcu < header->grid.mcus_across; mcu += stride) {
		uint32_t left = header->grid.mcus_across - mcu;

		if (!walk_mcus(walk, left < stride ? left : stride) || !note(&walk->bits, walk->predictors, scan_bytes, ++row))
			return false;
	}
	return goes_on(&walk->bits);
}

struct jpeg_index *jpeg_walk(const struct file_bytes *file, const struct jpeg_header *header, const struct jpeg_scan *scan,
                             const struct jpeg_index *known, uint32_t row_count)
{
	const uint8_t *scan_bytes = file->data + header->scan_at, *end = file->data + file->byte_count;
	struct jpeg_index *index = jpeg_index_make(file, header, row_count, known);
	struct walk *walk = malloc(sizeof *walk);
	const struct jpeg_checkpoint *from;

	if (!index || !walk) {
		free(index);
		free(walk);
		return NULL;
	}
	walk->scan = scan;
	for (uint32_t c = 0; c < header->component_count; c++) {
		const struct jpeg_component *component = &header->components[c];

		/* Most pictures use one pair of tables for luma, and another one for both colours. */
		if (c == 0 || component->dc_table != component[-1].dc_table)
			jpeg_huffman_make_dc_leaps(&scan->dc[component->dc_table], &walk->dc[component->dc_table]);
		if (c == 0 || component->ac_table != component[-1].ac_table)
			jpeg_huffman_make_leaps(&scan->ac[component->ac_table], &walk->ac[component->ac_table]);
	}
	from = jpeg_index_row(index, index->row_count);
	walk->bits = jpeg_bits_at(scan_bytes, end, from->position);
	for (int c = 0; c < JPEG_MOST_COMPONENTS; c++)
		walk->predictors[c] = from->predictors[c];
	while (index->row_count < row_count && walk_row(walk, header, scan_bytes, jpeg_index_row(index, index->row_count)))
		jpeg_index_end_row(index, file->data);
	free(walk);
	return index;
}

bool jpeg_walk_mcus(const struct jpeg_scan *scan, const uint8_t *bytes, const uint8_t *end, uint32_t count,
                    struct jpeg_checkpoint *at)
{
	struct jpeg_bits bits = jpeg_bits_at(bytes, end, at->position);
	int32_t predictors[JPEG_MOST_COMPONENTS];

	for (int c = 0; c < JPEG_MOST_COMPONENTS; c++)
		predictors[c] = at->predictors[c];
	while (count-- > 0) {
		for (uint32_t i = 0; i < scan->block_count; i++) {
			const struct jpeg_scan_block *block = &scan->blocks[i];
			uint32_t filled = 1;
			int32_t difference;

			jpeg_bits_refill(&bits);
			if (!jpeg_huffman_next_dc(&scan->dc[block->dc_table], &bits, &difference))
				return false;
			predictors[block->component] += difference;
			while (filled < JPEG_BLOCK_COEFFICIENTS) {
				if (!jpeg_huffman_skip_one(&scan->ac[block->ac_table], &bits, &filled))
					return false;
			}
		}
		if (jpeg_bits_are_overdrawn(&bits))
			return false;
	}
	return note(&bits, predictors, bytes, at);
}
