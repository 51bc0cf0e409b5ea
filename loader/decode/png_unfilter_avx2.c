/*
 * Stage 3 of 5, decode: filtered rows of a PNG in, their samples out, several at once.  Any thread, on processors with AVX2.
 *
 * A pixel needs its left neighbour, so a row alone goes a pixel at a time.  But row r can be at column t - r while the row above
 * is at t - r + 1: each lane of a vector holds a pixel of one row, "left" is the vector of the step before, "above" is the same
 * moved up by a lane, and "corner" is the "above" of the step before.  A block of 16 columns (8 or 4 of wider pixels) is loaded row
 * by row, transposed, stepped through, transposed back and stored.  A group is two vectors of rows, which the processor steps
 * through side by side.
 *
 * Vectors have 16 bytes, since moving lanes up is cheap in these alone.  AVX-512's other 16 registers make all of a picture 1 %
 * faster, which was not worth a second copy.
 */
#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "loader/decode/png_unfilter.h"

#define VECTOR_BYTES 16
#define VECTORS      2
#define INLINE       static inline __attribute__((always_inline))

/* Two blocks of this many rows cost as much as one row at a time: measured on gray and RGB. */
#define LEAST_CHAINED_ROWS 3

/* A lane is a pixel, those of 3 bytes with a fourth that is not used. */
struct shape {
	int px_bytes, lane_bytes, lanes;
};

INLINE struct shape shape_of(int px_bytes)
{
	int lane_bytes = px_bytes == 3 ? 4 : px_bytes;

	return (struct shape){px_bytes, lane_bytes, VECTOR_BYTES / lane_bytes};
}

/* The lanes of `vector` one up, and in the lowest the highest of `next`. */
INLINE __m128i shift_in(__m128i vector, __m128i next, int lane_bytes)
{
	if (lane_bytes == 1)
		return _mm_alignr_epi8(vector, next, 15);
	if (lane_bytes == 2)
		return _mm_alignr_epi8(vector, next, 14);
	return _mm_alignr_epi8(vector, next, 12);
}

INLINE __m128i interleave_low(__m128i a, __m128i b, int lane_bytes)
{
	if (lane_bytes == 1)
		return _mm_unpacklo_epi8(a, b);
	return lane_bytes == 2 ? _mm_unpacklo_epi16(a, b) : _mm_unpacklo_epi32(a, b);
}

INLINE __m128i interleave_high(__m128i a, __m128i b, int lane_bytes)
{
	if (lane_bytes == 1)
		return _mm_unpackhi_epi8(a, b);
	return lane_bytes == 2 ? _mm_unpackhi_epi16(a, b) : _mm_unpackhi_epi32(a, b);
}

/* Each round of interleaving the upper with the lower half turns the bits of a lane's (row, column) by one place. */
INLINE void transpose(__m128i *rows, struct shape shape)
{
#pragma GCC unroll 4
	for (int round = 1; round < shape.lanes; round *= 2) {
		__m128i turned[VECTOR_BYTES];

#pragma GCC unroll 8
		for (int i = 0; i < shape.lanes / 2; i++) {
			turned[2 * i] = interleave_low(rows[i], rows[i + shape.lanes / 2], shape.lane_bytes);
			turned[2 * i + 1] = interleave_high(rows[i], rows[i + shape.lanes / 2], shape.lane_bytes);
		}
#pragma GCC unroll 16
		for (int i = 0; i < shape.lanes; i++)
			rows[i] = turned[i];
	}
}

/*
 * The Paeth predictor in 8 bits.  With d = high - low of left and above, and a corner between them, the corner is taken when it is
 * more than d / 3 from both; else the one that is farther from the corner, as also with a corner outside.
 */
INLINE __m128i predict_paeth(__m128i left, __m128i above, __m128i corner)
{
	__m128i low = _mm_min_epu8(left, above), high = _mm_max_epu8(left, above);
	__m128i over_low = _mm_subs_epu8(corner, low), under_high = _mm_subs_epu8(high, corner);
	__m128i take_high = _mm_cmpeq_epi8(_mm_subs_epu8(over_low, _mm_subs_epu8(under_high, over_low)), _mm_setzero_si128());
	__m128i take_low = _mm_cmpeq_epi8(_mm_subs_epu8(under_high, _mm_subs_epu8(over_low, under_high)), _mm_setzero_si128());
	__m128i not_low = _mm_xor_si128(take_low, _mm_set1_epi8(-1));

	return _mm_min_epu8(_mm_max_epu8(corner, _mm_and_si128(high, take_high)), _mm_or_si128(low, not_low));
}

INLINE __m128i predict_average(__m128i left, __m128i above)
{
	__m128i odd = _mm_and_si128(_mm_xor_si128(left, above), _mm_set1_epi8(1));

	return _mm_sub_epi8(_mm_avg_epu8(left, above), odd); /* which rounds up */
}

/* All ones in the lanes of the rows with a filter. */
struct masks {
	__m128i sub, up, average, paeth;
};

INLINE __m128i predict(__m128i left, __m128i above, __m128i corner, const struct masks *masks, bool all_paeth)
{
	__m128i paeth = predict_paeth(left, above, corner);

	if (all_paeth)
		return paeth;

	__m128i simple = _mm_or_si128(_mm_and_si128(left, masks->sub), _mm_and_si128(above, masks->up));
	__m128i other = _mm_or_si128(simple, _mm_and_si128(predict_average(left, above), masks->average));

	return _mm_or_si128(other, _mm_and_si128(paeth, masks->paeth));
}

INLINE void make_masks(const struct png_rows *rows, struct shape shape, int vector, struct masks *masks)
{
	uint8_t filters[VECTOR_BYTES];

	for (int i = 0; i < VECTOR_BYTES; i++)
		filters[i] = rows->data[(size_t)(vector * shape.lanes + i / shape.lane_bytes) * rows->row_bytes];

	__m128i filter = _mm_loadu_si128((const __m128i *)filters);

	masks->sub = _mm_cmpeq_epi8(filter, _mm_set1_epi8(PNG_FILTERED_SUB));
	masks->up = _mm_cmpeq_epi8(filter, _mm_set1_epi8(PNG_FILTERED_UP));
	masks->average = _mm_cmpeq_epi8(filter, _mm_set1_epi8(PNG_FILTERED_AVERAGE));
	masks->paeth = _mm_cmpeq_epi8(filter, _mm_set1_epi8(PNG_FILTERED_PAETH));
}

/* Of the bytes from `at` on, those that lie in a row of `end` bytes. */
INLINE __m128i inside(ptrdiff_t at, ptrdiff_t end)
{
	static const uint8_t window[3 * VECTOR_BYTES] = {[VECTOR_BYTES... 2 * VECTOR_BYTES - 1] = 0xff};
	ptrdiff_t skipped = at < 0 ? -at : 0, left = end - at;

	skipped = skipped > VECTOR_BYTES ? VECTOR_BYTES : skipped;
	left = left < 0 ? 0 : left > VECTOR_BYTES ? VECTOR_BYTES : left;
	return _mm_and_si128(_mm_loadu_si128((const __m128i *)(window + VECTOR_BYTES - skipped)),
	                     _mm_loadu_si128((const __m128i *)(window + 2 * VECTOR_BYTES - left)));
}

INLINE __m128i spread(__m128i packed, struct shape shape)
{
	if (shape.px_bytes != 3)
		return packed;
	return _mm_shuffle_epi8(packed, _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
}

INLINE __m128i pack(__m128i spread_out, struct shape shape)
{
	if (shape.px_bytes != 3)
		return spread_out;
	return _mm_shuffle_epi8(spread_out, _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
}

/* The pixels of the row above, the last lane first, so that shifting brings one after the other into the highest lane. */
INLINE __m128i reverse(__m128i lanes, int lane_bytes)
{
	if (lane_bytes == 1)
		return _mm_shuffle_epi8(lanes, _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
	if (lane_bytes == 2)
		return _mm_shuffle_epi8(lanes, _mm_setr_epi8(14, 15, 12, 13, 10, 11, 8, 9, 6, 7, 4, 5, 2, 3, 0, 1));
	return _mm_shuffle_epi32(lanes, 0x1b);
}

/* Left of a row all samples count as 0, and so do predictions there. */
INLINE __m128i load(const uint8_t *row, ptrdiff_t at, bool edge, struct shape shape)
{
	__m128i packed = _mm_loadu_si128((const __m128i *)(row + at));

	if (edge)
		packed = _mm_and_si128(packed, inside(at, at + VECTOR_BYTES));
	return spread(packed, shape);
}

INLINE void store(uint8_t *row, ptrdiff_t at, ptrdiff_t row_end, __m128i lanes, bool edge, struct shape shape)
{
	__m128i packed = pack(lanes, shape);

	if (edge) {
		ptrdiff_t block_end = at + shape.lanes * shape.px_bytes;
		__m128i mask = inside(at, block_end < row_end ? block_end : row_end);
		__m128i old = _mm_loadu_si128((const __m128i *)(row + at));

		_mm_storeu_si128((__m128i *)(row + at), _mm_blendv_epi8(old, packed, mask));
	} else if (shape.px_bytes == 3) {
		uint32_t last = (uint32_t)_mm_extract_epi32(packed, 2);

		_mm_storel_epi64((__m128i *)(row + at), packed);
		memcpy(row + at + 8, &last, sizeof last);
	} else {
		_mm_storeu_si128((__m128i *)(row + at), packed);
	}
}

/* What the lanes hand from step to step. */
struct lanes {
	__m128i left[VECTORS], corner[VECTORS];
	struct masks masks[VECTORS];
};

/* The columns [first_px - lane, first_px - lane + shape.lanes) of each lane's row; `edge`: some are outside of the row. */
INLINE void unfilter_block(const struct png_rows *rows, struct shape shape, ptrdiff_t first_px, struct lanes *lanes, bool all_paeth,
                           bool edge)
{
	uint8_t *first_row = rows->data + 1;
	ptrdiff_t row_end = (ptrdiff_t)rows->width_px * shape.px_bytes;
	__m128i block[VECTORS][VECTOR_BYTES];
	__m128i above = reverse(load(first_row - rows->row_bytes, first_px * shape.px_bytes, false, shape), shape.lane_bytes);

#pragma GCC unroll 2
	for (int v = 0; v < VECTORS; v++) {
#pragma GCC unroll 16
		for (int i = 0; i < shape.lanes; i++) {
			int row = v * shape.lanes + i;

			block[v][i] =
				load(first_row + (size_t)row * rows->row_bytes, (first_px - row) * shape.px_bytes, edge, shape);
		}
		transpose(block[v], shape);
	}
#pragma GCC unroll 16
	for (int i = 0; i < shape.lanes; i++) {
		__m128i next = above;

		above = shift_in(above, above, shape.lane_bytes);
#pragma GCC unroll 2
		for (int v = 0; v < VECTORS; v++) {
			__m128i left = lanes->left[v], now_above = shift_in(left, next, shape.lane_bytes);
			__m128i predicted = predict(left, now_above, lanes->corner[v], &lanes->masks[v], all_paeth);

			lanes->left[v] = block[v][i] = _mm_add_epi8(block[v][i], predicted);
			lanes->corner[v] = now_above;
			next = left;
		}
	}
#pragma GCC unroll 2
	for (int v = 0; v < VECTORS; v++) {
		transpose(block[v], shape);
#pragma GCC unroll 16
		for (int i = 0; i < shape.lanes; i++) {
			int row = v * shape.lanes + i;

			store(first_row + (size_t)row * rows->row_bytes, (first_px - row) * shape.px_bytes, row_end, block[v][i],
			      edge, shape);
		}
	}
}

INLINE void unfilter_group(const struct png_rows *rows, struct shape shape, bool all_paeth)
{
	ptrdiff_t width_px = rows->width_px, row_count = VECTORS * shape.lanes;
	struct lanes lanes = {0};

	for (int v = 0; v < VECTORS; v++)
		make_masks(rows, shape, v, &lanes.masks[v]);
	/* The last row is behind by as many columns as there are rows. */
	for (ptrdiff_t x = 0; x < width_px + row_count - 1; x += shape.lanes) {
		if (x >= row_count - 1 && x + shape.lanes <= width_px)
			unfilter_block(rows, shape, x, &lanes, all_paeth, false);
		else
			unfilter_block(rows, shape, x, &lanes, all_paeth, true);
	}
}

INLINE uint32_t unfilter_rows(const struct png_rows *rows, int px_bytes)
{
	struct shape shape = shape_of(px_bytes);
	uint32_t group = (uint32_t)(VECTORS * shape.lanes), paeth_count = 0, average_count = 0;

	if (rows->row_count < group)
		return 0;
	for (uint32_t i = 0; i < group; i++) {
		paeth_count += rows->data[i * rows->row_bytes] == PNG_FILTERED_PAETH;
		average_count += rows->data[i * rows->row_bytes] == PNG_FILTERED_AVERAGE;
	}
	if (paeth_count + average_count < LEAST_CHAINED_ROWS)
		return 0;
	if (paeth_count == group)
		unfilter_group(rows, shape, true);
	else
		unfilter_group(rows, shape, false);
	return group;
}

uint32_t png_unfilter_avx2(const struct png_rows *rows)
{
	switch (rows->px_bytes) {
	case 1:
		return unfilter_rows(rows, 1);
	case 2:
		return unfilter_rows(rows, 2);
	case 3:
		return unfilter_rows(rows, 3);
	default:
		return unfilter_rows(rows, 4);
	}
}

#endif
