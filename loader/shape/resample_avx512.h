/*
 * resample_avx512.h - what both AVX-512 ways of a resize's passes stand on: weights in digits, and their sums.
 *
 * vpdpbusd multiplies four bytes by four signed bytes in each lane, so a weight is three digits to the base 256.  They reach up to
 * 127 * 0x10101, nearly twice a weight of 1.0; the largest weight is 1.29 (Lanczos, an output half a pixel from a cut-off edge).
 * Private to resample_avx512.c and resample_turned.c.
 */
#ifndef CROPRING_RESAMPLE_AVX512_H
#define CROPRING_RESAMPLE_AVX512_H

#include <assert.h>
#include <immintrin.h>
#include <stdbool.h>

#include "loader/shape/resample_kernels.h"

#define AVX512        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi")))
#define AVX512_INLINE static inline __attribute__((always_inline)) AVX512

enum { LANES = 16, BYTES = 64, DIGITS = 3, TAPS = AXIS_STEPS_TAPS, TURNED_ROWS = LANES };

/*
 * Four weights give way to their digits: four bytes of ones, of 256s, of 65536s.  Adding 128 to a digit carries into the next one
 * what is over 127; then the 128s are taken off again.
 */
static inline void split_weights(int32_t *weights)
{
	static const int8_t by_digit[] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
	__m128i offset = _mm_set1_epi32(0x808080), digits = _mm_loadu_si128((const __m128i *)weights);

	digits = _mm_xor_si128(_mm_add_epi32(digits, offset), offset);
	digits = _mm_shuffle_epi8(digits, _mm_loadu_si128((const __m128i *)by_digit));
	_mm_storeu_si128((__m128i *)weights, digits);
	assert(weights[3] == 0);
}

typedef int32_t lanes __attribute__((vector_size(BYTES))); /* for what stays in registers: gcc 12 copies __m512i about (-15 %) */

/* The sums of a vector's lanes, one per digit. */
struct sums {
	lanes digit[DIGITS];
};

AVX512_INLINE struct sums begin_sums(void)
{
	return (struct sums){{(lanes){0} + RESAMPLE_ROUNDING}};
}

AVX512_INLINE void add_products(struct sums *sums, __m512i pixels, const __m512i *digits)
{
#pragma GCC unroll 4
	for (int digit = 0; digit < DIGITS; digit++)
		sums->digit[digit] = (lanes)_mm512_dpbusd_epi32((__m512i)sums->digit[digit], pixels, digits[digit]);
}

AVX512_INLINE __m512i join_sums(const struct sums *sums)
{
	return (__m512i)((((sums->digit[2] << 8) + sums->digit[1]) << 8) + sums->digit[0]);
}

/* Four vectors of sums to bytes: in each quarter of 16 bytes, the quarters of the four one after another. */
AVX512_INLINE __m512i sums_to_bytes(const __m512i *sums)
{
	__m512i values[4];

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		values[i] = _mm512_srai_epi32(sums[i], AXIS_PLAN_WEIGHT_BITS);
	return _mm512_packus_epi16(_mm512_packs_epi32(values[0], values[1]), _mm512_packs_epi32(values[2], values[3]));
}

/* ---- resample_turned.c ---- */

/* Fills in the plan's steps for across_turned() if that is the better way; *turned says so.  0 or -ENOMEM. */
int prepare_turned(struct axis_plan *x, uint32_t channels, bool *turned);

/* As across() in resample_kernels.h, for up to TURNED_ROWS rows. */
void across_turned(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
                   uint32_t rows, uint8_t *out, size_t out_stride_bytes);

#endif
