/*
 * jpeg_huffman.h - stage 3 of 5, decode: the Huffman codes of a JPEG's scan, fast enough to walk through it for their lengths alone.
 *
 * Stricter than libjpeg: what passes here, libjpeg reads without a warning.
 */
#ifndef CROPRING_JPEG_HUFFMAN_H
#define CROPRING_JPEG_HUFFMAN_H

#include "loader/decode/jpeg_bits.h"
#include "loader/decode/jpeg_header.h"

enum { JPEG_NEAR_BITS = 9, JPEG_LEAP_BITS = 13, JPEG_DC_LEAP_BITS = 11, JPEG_BLOCK_COEFFICIENTS = 64 };

/* One code at a time. */
struct jpeg_codes {
	uint16_t near[1 << JPEG_NEAR_BITS];        /* by the next bits: length << 8 | symbol; 0: longer, or no code */
	uint32_t limits[JPEG_LONGEST_CODE + 1];    /* codes of this length, extended to 16 bits, are below */
	int32_t symbols_at[JPEG_LONGEST_CODE + 1]; /* code + this is the symbol's index */
	uint8_t symbols[256];
};

/*
 * By the next 13 bits: what of a block's AC coefficients lies whole in them.  Bits 0-5: how many of the bits that takes; from bit 6
 * on: how many coefficients it fills, plus JPEG_LEAP_ENDS if the block ends with them.  So leaps can be added up.
 */
struct jpeg_leaps {
	uint16_t by_bits[1 << JPEG_LEAP_BITS];
};

#define JPEG_LEAP_FILLS(count) ((uint32_t)(count) << 6)

enum { JPEG_LEAP_ENDS = 128, JPEG_LEAP_NONE = 512 /* not one lies in them */ };

/* By the next 11 bits: bits 0-5: how many of them a DC code and its difference take, 0: more; from bit 6 on: the difference. */
struct jpeg_dc_leaps {
	int16_t by_bits[1 << JPEG_DC_LEAP_BITS];
};

/* How a difference of a category is written. */
struct jpeg_dc_writer {
	uint16_t codes[JPEG_DC_CATEGORIES];
	uint8_t lengths[JPEG_DC_CATEGORIES]; /* 0: not at all */
};

/* False: no table that libjpeg takes, or one with symbols that 8-bit pictures do not have. */
bool jpeg_huffman_read_table(const struct jpeg_table *table, bool is_dc, struct jpeg_codes *codes);
void jpeg_huffman_make_leaps(const struct jpeg_codes *ac, struct jpeg_leaps *leaps);
void jpeg_huffman_make_dc_leaps(const struct jpeg_codes *dc, struct jpeg_dc_leaps *leaps);
void jpeg_huffman_make_dc_writer(const struct jpeg_table *dc, struct jpeg_dc_writer *writer);

/* The next symbol, its code dropped; -1: no code.  At least 16 bits are there. */
static inline int jpeg_huffman_next(const struct jpeg_codes *codes, struct jpeg_bits *bits)
{
	uint32_t near = codes->near[bits->buffer >> (64 - JPEG_NEAR_BITS)], ahead;

	if (__builtin_expect(near != 0, 1)) {
		jpeg_bits_drop(bits, near >> 8);
		return (int)(near & 0xff);
	}
	ahead = (uint32_t)(bits->buffer >> 48);
	for (uint32_t length = JPEG_NEAR_BITS + 1; length <= JPEG_LONGEST_CODE; length++) {
		if (ahead < codes->limits[length]) {
			jpeg_bits_drop(bits, length);
			return codes->symbols[(int32_t)(ahead >> (JPEG_LONGEST_CODE - length)) + codes->symbols_at[length]];
		}
	}
	return -1;
}

/* The next DC difference.  At least 27 bits are there.  False: no code. */
static inline bool jpeg_huffman_next_dc(const struct jpeg_codes *dc, struct jpeg_bits *bits, int32_t *difference)
{
	int category = jpeg_huffman_next(dc, bits);

	if (category < 0)
		return false;

	/* T.81, F.2.2.1: of `category` bits, those that begin with 0 stand for negative numbers. */
	int32_t value = (int32_t)(bits->buffer >> 1 >> (63 - category)), half = 1 << category >> 1;

	*difference = value < half ? value - (1 << category) + 1 : value;
	jpeg_bits_drop(bits, (uint32_t)category);
	return true;
}

/* One AC code and the bits of its coefficient.  *filled counts the block's coefficients so far.  Refills. */
static inline bool jpeg_huffman_skip_one(const struct jpeg_codes *ac, struct jpeg_bits *bits, uint32_t *filled)
{
	int symbol;

	jpeg_bits_refill(bits);
	symbol = jpeg_huffman_next(ac, bits);
	if (symbol < 0)
		return false;
	jpeg_bits_drop(bits, (uint32_t)symbol & 15);
	if (symbol == 0)
		*filled = JPEG_BLOCK_COEFFICIENTS;
	else
		*filled += ((uint32_t)symbol >> 4) + 1;
	return *filled <= JPEG_BLOCK_COEFFICIENTS;
}

#endif
