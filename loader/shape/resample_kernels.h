/*
 * resample_kernels.h - the two passes of a resize over a few rows, once for each enum simd_level.  All give the same bytes.
 *
 * Private to resample.c.  A sum of pixels times 22-bit weights is meant modulo 2^32, so vectors may take a weight apart into signed
 * digits, sum up each digit's products, and put the sums together in the end: nothing is rounded or saturated before.
 */
#ifndef CROPRING_RESAMPLE_KERNELS_H
#define CROPRING_RESAMPLE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/simd.h"
#include "loader/shape/axis_plan.h"

enum { RESAMPLE_ROUNDING = 1 << (AXIS_PLAN_WEIGHT_BITS - 1) }; /* what every sum begins with */

struct resample_kernels {
	uint32_t band_rows; /* as many rows as across() likes to be given at once */

	/* Add to a plan what across() or down() needs of it; after prepare_down() its weights are down()'s alone.  0 or -ENOMEM. */
	int (*prepare_across)(struct axis_plan *x, uint32_t channels);
	void (*prepare_down)(struct axis_plan *y);

	/* 1 to band_rows rows of the x extent become as many rows of x->axis.out_px pixels, perhaps from right to left. */
	void (*across)(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
	               uint32_t rows, uint8_t *out, size_t out_stride_bytes);

	/* One output row out of `count` source rows: out[i] is the sum of weights[tap] * rows[tap][i]. */
	void (*down)(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t row_bytes, uint8_t *out);
};

extern const struct resample_kernels resample_plain;
#if defined(__x86_64__)
extern const struct resample_kernels resample_avx2, resample_avx512;
#endif

/* A finished sum, shifted and clamped.  Sums are unsigned because in theory they wrap; as int32_t they are what they should be. */
static inline uint8_t resample_sum_to_byte(uint32_t sum)
{
	int32_t value = (int32_t)sum >> AXIS_PLAN_WEIGHT_BITS;

	value = value < 0 ? 0 : value;
	value = value > 255 ? 255 : value;
	return (uint8_t)value;
}

#endif
