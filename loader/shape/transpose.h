/*
 * transpose.h - small squares of bytes or pixels with rows and columns exchanged; shared by orient.c and resample_plain.c.
 *
 * Strides may be negative: the first row is then the last in memory.
 */
#ifndef CROPRING_TRANSPOSE_H
#define CROPRING_TRANSPOSE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t transpose_bytes __attribute__((vector_size(16)));
typedef uint32_t transpose_words __attribute__((vector_size(16)));
typedef uint64_t transpose_longs __attribute__((vector_size(16)));

/* Twelve bytes without a detour through memory, which memcpy() of twelve would make. */
static inline transpose_bytes transpose_load_12(const uint8_t *in)
{
	uint64_t low;
	uint32_t high;

	memcpy(&low, in, 8);
	memcpy(&high, in + 8, 4);
	return (transpose_bytes)(transpose_longs){low, high};
}

static inline void transpose_store_12(transpose_bytes bytes, uint8_t *out)
{
	uint64_t low = ((transpose_longs)bytes)[0];
	uint32_t high = ((transpose_words)bytes)[2];

	memcpy(out, &low, 8);
	memcpy(out + 8, &high, 4);
}

/*
 * 16 x 16 bytes: byte x of row y becomes byte y of row x.  Interleaving rows i and i + 8 for all i rotates the eight bits of every
 * byte's address (row, column) by one; after four times row and column have changed places.
 */
static inline void transpose_16_bytes(const uint8_t *in, ptrdiff_t in_stride_bytes, uint8_t *out, ptrdiff_t out_stride_bytes)
{
	transpose_bytes rows[16], woven[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		memcpy(&rows[i], in + i * in_stride_bytes, 16);
#pragma GCC unroll 4
	for (int round = 0; round < 4; round++) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			woven[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
			                                       22, 7, 23);
			woven[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
			                                           29, 14, 30, 15, 31);
		}
		memcpy(rows, woven, sizeof rows);
	}
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		memcpy(out + i * out_stride_bytes, &rows[i], 16);
}

/* 4 x 4 pixels of three bytes, which are four on the way. */
static inline void transpose_4_pixels(const uint8_t *in, ptrdiff_t in_stride_bytes, uint8_t *out, ptrdiff_t out_stride_bytes)
{
	transpose_words rows[4], woven[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		transpose_bytes bytes = transpose_load_12(in + i * in_stride_bytes);

		rows[i] = (transpose_words)__builtin_shufflevector(bytes, bytes, 0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11,
		                                                   15);
	}
#pragma GCC unroll 2
	for (int round = 0; round < 2; round++) {
#pragma GCC unroll 2
		for (int i = 0; i < 2; i++) {
			woven[2 * i] = __builtin_shufflevector(rows[i], rows[i + 2], 0, 4, 1, 5);
			woven[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 2], 2, 6, 3, 7);
		}
		memcpy(rows, woven, sizeof rows);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		transpose_bytes bytes = (transpose_bytes)rows[i];

		bytes = __builtin_shufflevector(bytes, bytes, 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 3, 7, 11, 15);
		transpose_store_12(bytes, out + i * out_stride_bytes);
	}
}

#endif
