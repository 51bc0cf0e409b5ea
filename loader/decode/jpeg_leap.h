/*
 * jpeg_leap.h - stage 3 of 5, decode: over the codes of a block, its DC coefficient taken along and its AC coefficients only measured: a
 * table by the next 13 bits says how far all codes that lie whole in them lead.  Inline: these are inner loops.
 */
#ifndef CROPRING_JPEG_LEAP_H
#define CROPRING_JPEG_LEAP_H

#include "loader/decode/jpeg_huffman.h"

/* The DC coefficient of one block.  At least 45 bits are there afterwards, which is enough for three leaps. */
static inline bool jpeg_leap_over_dc(const struct jpeg_codes *dc, const struct jpeg_dc_leaps *leaps, struct jpeg_bits *bits,
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

/* The AC coefficients of one block, after jpeg_leap_over_dc(). */
static inline bool jpeg_leap_over_ac(const struct jpeg_codes *ac, const struct jpeg_leaps *leaps, struct jpeg_bits *bits)
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

/*
 * libjpeg looks up to 8 bytes ahead, and takes it for a cut-off file if it comes to the end before it comes to a marker: then it
 * is for libjpeg to say.
 */
static inline bool jpeg_leap_goes_on(const struct jpeg_bits *bits)
{
	for (const uint8_t *at = bits->next; bits->end - at >= 2; at++) {
		if (at - bits->next >= 2 * 8 || (at[0] == 0xff && at[1] != 0 && at[1] != 0xff))
			return true;
	}
	return false;
}

#endif
