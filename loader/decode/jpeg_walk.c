/*
 * Stage 3 of 5, decode: a JPEG's scan in, checkpoints out.  Any thread.
 *
 * libjpeg skips rows at 130 MB/s, for it decodes every coefficient.  Here a block's AC codes are only measured (jpeg_leap.h).
 */
#include <stdlib.h>

#include "loader/decode/jpeg_leap.h"
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

static bool walk_mcus(struct walk *walk, uint32_t count)
{
	const struct jpeg_scan *scan = walk->scan;
	struct jpeg_bits bits = walk->bits;

	while (count-- > 0) {
		for (uint32_t i = 0; i < scan->block_count; i++) {
			const struct jpeg_scan_block *block = &scan->blocks[i];

			if (!jpeg_leap_over_dc(&scan->dc[block->dc_table], &walk->dc[block->dc_table], &bits,
			                       &walk->predictors[block->component]) ||
			    !jpeg_leap_over_ac(&scan->ac[block->ac_table], &walk->ac[block->ac_table], &bits))
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

/* The first of the row's checkpoints is there already: it ends the row before.  The last that is noted begins the next row. */
static bool walk_row(struct walk *walk, const struct jpeg_header *header, const uint8_t *scan_bytes, struct jpeg_checkpoint *row)
{
	uint32_t stride = jpeg_index_stride_mcus(header);

	for (uint32_t mcu = 0; mcu < header->grid.mcus_across; mcu += stride) {
		uint32_t left = header->grid.mcus_across - mcu;

		if (!walk_mcus(walk, left < stride ? left : stride) || !note(&walk->bits, walk->predictors, scan_bytes, ++row))
			return false;
	}
	return jpeg_leap_goes_on(&walk->bits);
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
