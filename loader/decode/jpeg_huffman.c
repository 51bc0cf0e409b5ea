/* Stage 3 of 5, decode: Huffman tables of a JPEG in, tables to find codes by the next bits out.  Any thread. */
#include <stdlib.h>
#include <string.h>

#include "loader/decode/jpeg_huffman.h"

/* 8-bit samples: differences of at most 11 bits, coefficients of at most 10; a run of zeros only where it is 16 or the end. */
static bool symbols_are_usual(const struct jpeg_table *table, bool is_dc)
{
	for (uint32_t i = 0; i < table->symbol_count; i++) {
		uint8_t symbol = table->symbols[i], bits = symbol & 15;

		if (is_dc ? symbol >= JPEG_DC_CATEGORIES : bits > 10 || (bits == 0 && symbol != 0x00 && symbol != 0xf0))
			return false;
	}
	return true;
}

bool jpeg_huffman_read_table(const struct jpeg_table *table, bool is_dc, struct jpeg_codes *codes)
{
	uint32_t code = 0, index = 0; /* code: of the current length */

	if (!table->is_defined || !symbols_are_usual(table, is_dc))
		return false;
	memset(codes->near, 0, sizeof codes->near);
	memcpy(codes->symbols, table->symbols, sizeof codes->symbols);
	for (uint32_t length = 1; length <= JPEG_LONGEST_CODE; length++) {
		codes->symbols_at[length] = (int32_t)index - (int32_t)code;
		for (uint32_t i = 0; i < table->counts[length]; i++, code++, index++) {
			uint32_t free_bits = JPEG_NEAR_BITS - length;

			/* The code of all ones belongs to nobody (T.81, C.2). */
			if (code + 1 >= 1u << length)
				return false;
			for (uint32_t rest = 0; length <= JPEG_NEAR_BITS && rest < 1u << free_bits; rest++)
				codes->near[(code << free_bits) + rest] = (uint16_t)(length << 8 | codes->symbols[index]);
		}
		codes->limits[length] = code << (JPEG_LONGEST_CODE - length);
		code <<= 1;
	}
	return true;
}

void jpeg_huffman_make_leaps(const struct jpeg_codes *ac, struct jpeg_leaps *leaps)
{
	for (uint32_t ahead = 0; ahead < 1u << JPEG_LEAP_BITS; ahead++) {
		struct jpeg_bits bits = {.buffer = (uint64_t)ahead << (64 - JPEG_LEAP_BITS), .count = JPEG_LEAP_BITS};
		uint32_t used = 0, filled = 0, ends = 0;

		while (!ends) {
			int symbol = jpeg_huffman_next(ac, &bits);

			if (symbol < 0)
				break;
			jpeg_bits_drop(&bits, (uint32_t)symbol & 15);
			if (bits.count > JPEG_LEAP_BITS) /* fewer than none are left */
				break;
			used = JPEG_LEAP_BITS - bits.count;
			if (symbol == 0)
				ends = JPEG_LEAP_ENDS;
			else
				filled += ((uint32_t)symbol >> 4) + 1;
		}
		if (used == 0 || filled >= JPEG_BLOCK_COEFFICIENTS)
			leaps->by_bits[ahead] = JPEG_LEAP_FILLS(JPEG_LEAP_NONE);
		else
			leaps->by_bits[ahead] = (uint16_t)(JPEG_LEAP_FILLS(filled + ends) | used);
	}
}

void jpeg_huffman_make_dc_leaps(const struct jpeg_codes *dc, struct jpeg_dc_leaps *leaps)
{
	for (uint32_t ahead = 0; ahead < 1u << JPEG_DC_LEAP_BITS; ahead++) {
		struct jpeg_bits bits = {.buffer = (uint64_t)ahead << (64 - JPEG_DC_LEAP_BITS), .count = JPEG_DC_LEAP_BITS};
		int32_t difference;

		leaps->by_bits[ahead] = 0;
		if (jpeg_huffman_next_dc(dc, &bits, &difference) && bits.count <= JPEG_DC_LEAP_BITS &&
		    abs(difference) <= INT16_MAX / 64)
			leaps->by_bits[ahead] = (int16_t)(difference * 64 + (int32_t)(JPEG_DC_LEAP_BITS - bits.count));
	}
}

void jpeg_huffman_make_dc_writer(const struct jpeg_table *dc, struct jpeg_dc_writer *writer)
{
	uint32_t code = 0, index = 0;

	*writer = (struct jpeg_dc_writer){0};
	for (uint32_t length = 1; length <= JPEG_LONGEST_CODE; length++, code <<= 1) {
		for (uint32_t i = 0; i < dc->counts[length]; i++, code++, index++) {
			uint8_t category = dc->symbols[index];

			if (category < JPEG_DC_CATEGORIES && writer->lengths[category] == 0) {
				writer->codes[category] = (uint16_t)code;
				writer->lengths[category] = (uint8_t)length;
			}
		}
	}
}
