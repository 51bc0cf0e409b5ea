/* jpeg_bomb.h - progressive gray JPEGs of any size, one color and many scans: a bit per block for the first, next to nothing for the rest. */
#ifndef CROPRING_TESTS_JPEG_BOMB_H
#define CROPRING_TESTS_JPEG_BOMB_H

#include "tests/decode_check.h"

/* A scan whose bits are all 0: every code below is one 0, and so are the bits that belong to it. */
static inline void bomb_add_scan(struct file *file, int first, int last, int high, int low, size_t bit_count)
{
	const uint8_t header[] = {0xff, 0xda, 0, 8, 1, 1, 0, (uint8_t)first, (uint8_t)last, (uint8_t)(high << 4 | low)};
	size_t byte_count = (bit_count + 7) / 8;
	uint8_t *zeros = calloc(1, byte_count);

	assert_non_null(zeros);
	file_append(file, header, sizeof header);
	file_append(file, zeros, byte_count);
	free(zeros);
}

/*
 * The average of each block, then coefficient_scans of one coefficient each, then, of the band that is left, the highest bits and
 * refine_scans (up to 13) of one more bit each.  ITU-T T.81, B.2 (markers), G.1.2 (EOB14: nothing more in 16384 blocks).
 */
static inline struct file jpeg_bomb(uint32_t width_px, uint32_t height_px, int coefficient_scans, int refine_scans)
{
	enum { HIGHEST_BIT = 13, END_OF_BAND_14 = 0xe0 };
	const uint8_t begin[] = {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0};
	const uint8_t frame[] = {
		0xff, 0xc2, 0,    11, 8, (uint8_t)(height_px >> 8), (uint8_t)height_px, (uint8_t)(width_px >> 8), (uint8_t)width_px,
		1,    1,    0x11, 0};
	const uint8_t codes[2][22] = {{0xff, 0xc4, 0, 20, 0x00, 1}, {0xff, 0xc4, 0, 20, 0x10, 1, [21] = END_OF_BAND_14}};
	size_t block_count = (size_t)((width_px + 7) / 8) * ((height_px + 7) / 8);
	size_t run_bits = (block_count / 16384 + 1) * 15;
	struct file file = file_copy(begin, sizeof begin);
	uint8_t quantizers[64];

	memset(quantizers, 1, sizeof quantizers);
	file_append(&file, quantizers, sizeof quantizers);
	file_append(&file, frame, sizeof frame);
	file_append(&file, codes, sizeof codes);
	bomb_add_scan(&file, 0, 0, 0, 0, block_count);
	for (int k = 1; k <= coefficient_scans; k++)
		bomb_add_scan(&file, k, k, 0, 0, run_bits);
	if (refine_scans > 0)
		bomb_add_scan(&file, coefficient_scans + 1, 63, 0, HIGHEST_BIT, run_bits);
	for (int bit = HIGHEST_BIT; bit > HIGHEST_BIT - refine_scans; bit--)
		bomb_add_scan(&file, coefficient_scans + 1, 63, bit, bit - 1, run_bits);
	file_append(&file, "\xff\xd9", 2);
	return file;
}

#endif
