/*
 * resample_avx512.c - stage 4 of 5, first half: the passes of a resize with AVX-512, VNNI and VBMI.
 *
 * Across there are two: windows of four rows, here, for few taps; sixteen rows turned, in resample_turned.c, for many.
 */
#include "loader/shape/resample_kernels.h"

#if defined(__x86_64__)

#include <errno.h>
#include <string.h>

#include "loader/shape/resample_avx512.h"

enum { WINDOW_ROWS = 4 };

/* ---- across ---- */

/*
 * For rows that are not turned.  To 32 px, 200 rows.  Added up: gray 28 us, RGB 43 from 768 px, 49 from 1024; not added up: 18 and 35, 27
 * and 66.
 */
enum { MANY_TAPS_GRAY = 64, MANY_TAPS_RGB = 56 };

/* from: for each byte of a vector, which byte of the window it is. */
struct record {
	uint8_t from[BYTES], digits[DIGITS][BYTES];
};

static void write_record(struct axis_take *takes, uint32_t columns, uint32_t channels, void *memory)
{
	uint32_t from[LANES] = {0}, digits[DIGITS][LANES] = {{0}};
	struct record *record = memory;

	for (uint32_t column = 0; column < columns; column++) {
		split_weights(takes[column].weights);
		for (uint32_t channel = 0; channel < channels; channel++) {
			uint32_t lane = column * channels + channel;

			from[lane] = 0x01010101 * (takes[column].from + channel) + 0x03020100 * channels;
#pragma GCC unroll 4
			for (int digit = 0; digit < DIGITS; digit++)
				digits[digit][lane] = (uint32_t)takes[column].weights[digit];
		}
	}
	memcpy(record->from, from, sizeof from);
	memcpy(record->digits, digits, sizeof digits);
}

static int prepare_across(struct axis_plan *x, uint32_t channels)
{
	const struct axis_steps_form form = {.lanes = LANES,
	                                     .window_bytes = BYTES,
	                                     .many_taps = channels == 1 ? MANY_TAPS_GRAY : MANY_TAPS_RGB,
	                                     .record_bytes = sizeof(struct record),
	                                     .write = write_record};

	int rc = prepare_turned(x, channels, &x->steps.turned);

	return rc || x->steps.turned ? rc : axis_steps_make(&x->steps, x, channels, &form);
}

/* How the bytes of sums_to_bytes() become a quarter for each row, its `count` pixels in the order of the output. */
AVX512_INLINE __m512i row_order(uint32_t count, uint32_t channels, bool mirrored)
{
	uint8_t order[LANES] = {0};
	__m512i lane, first_of_row = _mm512_set_epi32(12, 12, 12, 12, 8, 8, 8, 8, 4, 4, 4, 4, 0, 0, 0, 0);

	for (uint32_t i = 0; i < count * channels; i++)
		order[i] = (uint8_t)(mirrored ? (count - 1 - i / channels) * channels + i % channels : i);
	lane = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)order));
	/* lane 4 a + b of row r is byte 16 a + 4 r + b */
	lane = _mm512_add_epi8(_mm512_and_si512(lane, _mm512_set1_epi8(3)),
	                       _mm512_slli_epi16(_mm512_and_si512(lane, _mm512_set1_epi8(12)), 2));
	return _mm512_add_epi8(lane, _mm512_mullo_epi32(first_of_row, _mm512_set1_epi32(0x01010101)));
}

/* Adds up the columns of one output: its lanes come to stand first. */
AVX512_INLINE __m512i add_columns(__m512i sum, uint32_t channels)
{
	if (channels == 1) {
		sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, sum, 8));
		sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, sum, 4));
		sum = _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, sum, 2));
		return _mm512_add_epi32(sum, _mm512_alignr_epi32(sum, sum, 1));
	}
	return _mm512_add_epi32(
		_mm512_add_epi32(_mm512_add_epi32(sum, _mm512_alignr_epi32(sum, sum, 3)),
	                         _mm512_add_epi32(_mm512_alignr_epi32(sum, sum, 6), _mm512_alignr_epi32(sum, sum, 9))),
		_mm512_alignr_epi32(sum, sum, 12));
}

AVX512_INLINE void across_rows(const struct axis_plan *x, uint32_t channels, bool mirrored, bool narrow, const uint8_t *const *in,
                               uint8_t *const *out)
{
	const struct axis_steps *steps = &x->steps;
	const struct record *records = (const struct record *)steps->records;
	uint32_t per_group = steps->outputs_per_group, last = x->axis.out_px - (steps->group_count - 1) * per_group;
	__m512i whole_order = row_order(per_group, channels, mirrored), order = whole_order;
	__mmask64 in_row = narrow ? ((__mmask64)1 << steps->row_bytes) - 1 : ~(__mmask64)0;
	__mmask16 written = (__mmask16)((1u << per_group * channels) - 1);

	for (uint32_t group = 0; group < steps->group_count; group++) {
		uint32_t output = group * per_group, count = per_group;
		struct sums sums[WINDOW_ROWS] = {begin_sums(), begin_sums(), begin_sums(), begin_sums()};
		__m512i joined[WINDOW_ROWS], bytes;
		size_t to;

		for (uint32_t step = steps->first_step[group]; step < steps->first_step[group + 1]; step++) {
			__m512i from = _mm512_loadu_si512(records[step].from), digits[DIGITS];
			size_t window = steps->windows[step];

#pragma GCC unroll 4
			for (int digit = 0; digit < DIGITS; digit++)
				digits[digit] = _mm512_loadu_si512(records[step].digits[digit]);
#pragma GCC unroll 4
			for (int row = 0; row < WINDOW_ROWS; row++) {
				__m512i pixels = narrow ? _mm512_maskz_loadu_epi8(in_row, in[row] + window)
				                        : _mm512_loadu_si512(in[row] + window);

				add_products(&sums[row], _mm512_permutexvar_epi8(from, pixels), digits);
			}
		}
		if (group == steps->group_count - 1 && last != per_group) {
			count = last;
			order = row_order(count, channels, mirrored);
			written = (__mmask16)((1u << count * channels) - 1);
		}
#pragma GCC unroll 4
		for (int row = 0; row < WINDOW_ROWS; row++)
			joined[row] = join_sums(&sums[row]);
		if (per_group == 1)
#pragma GCC unroll 4
			for (int row = 0; row < WINDOW_ROWS; row++)
				joined[row] = _mm512_sub_epi32(add_columns(joined[row], channels),
				                               _mm512_set1_epi32((LANES / (int)channels - 1) * RESAMPLE_ROUNDING));
		bytes = _mm512_permutexvar_epi8(order, sums_to_bytes(joined));
		to = (size_t)(mirrored ? x->axis.out_px - output - count : output) * channels;
		_mm_mask_storeu_epi8(out[0] + to, written, _mm512_castsi512_si128(bytes));
		_mm_mask_storeu_epi8(out[1] + to, written, _mm512_extracti32x4_epi32(bytes, 1));
		_mm_mask_storeu_epi8(out[2] + to, written, _mm512_extracti32x4_epi32(bytes, 2));
		_mm_mask_storeu_epi8(out[3] + to, written, _mm512_extracti32x4_epi32(bytes, 3));
	}
}

/* Up to WINDOW_ROWS rows. */
AVX512 static void across_windows(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in,
                                  size_t in_stride_bytes, uint32_t rows, uint8_t *out, size_t out_stride_bytes)
{
	const uint8_t *in_rows[WINDOW_ROWS];
	uint8_t *out_rows[WINDOW_ROWS];

	for (uint32_t i = 0; i < WINDOW_ROWS; i++) { /* rows that are not there: the last one once more */
		in_rows[i] = in + (i < rows ? i : rows - 1) * in_stride_bytes;
		out_rows[i] = out + (i < rows ? i : rows - 1) * out_stride_bytes;
	}
	if (x->steps.row_bytes < BYTES)
		across_rows(x, channels, mirrored, true, in_rows, out_rows);
	else if (channels == 1)
		across_rows(x, 1, mirrored, false, in_rows, out_rows);
	else
		across_rows(x, 3, mirrored, false, in_rows, out_rows);
}

static void across(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
                   uint32_t rows, uint8_t *out, size_t out_stride_bytes)
{
	if (x->steps.turned) {
		across_turned(x, channels, mirrored, in, in_stride_bytes, rows, out, out_stride_bytes);
		return;
	}
	for (uint32_t row = 0; row < rows; row += WINDOW_ROWS)
		across_windows(x, channels, mirrored, in + row * in_stride_bytes, in_stride_bytes,
		               rows - row < WINDOW_ROWS ? rows - row : WINDOW_ROWS, out + row * out_stride_bytes, out_stride_bytes);
}

/* ---- down ---- */

static void prepare_down(struct axis_plan *y)
{
	for (size_t i = 0; i < (size_t)y->axis.out_px * y->weights_per_px; i += TAPS)
		split_weights(y->weights + i);
}

AVX512_INLINE __m512i load(const uint8_t *bytes, bool whole, __mmask64 in_row)
{
	return whole ? _mm512_loadu_si512(bytes) : _mm512_maskz_loadu_epi8(in_row, bytes);
}

/* Up to 64 bytes of the row. */
AVX512_INLINE void down_vector(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t x, bool whole,
                               __mmask64 in_row, uint8_t *out)
{
	struct sums sums[4] = {begin_sums(), begin_sums(), begin_sums(), begin_sums()};
	__m512i joined[4];

	for (uint32_t tap = 0; tap < count; tap += TAPS) {
		uint32_t last = count - 1 - tap; /* rows beyond it have weight 0: any row will do */
		__m512i a = load(rows[tap] + x, whole, in_row), b = load(rows[tap + (last < 1 ? last : 1)] + x, whole, in_row);
		__m512i c = load(rows[tap + (last < 2 ? last : 2)] + x, whole, in_row);
		__m512i d = load(rows[tap + (last < 3 ? last : 3)] + x, whole, in_row), digits[DIGITS];
		__m512i ab_low = _mm512_unpacklo_epi8(a, b), ab_high = _mm512_unpackhi_epi8(a, b);
		__m512i cd_low = _mm512_unpacklo_epi8(c, d), cd_high = _mm512_unpackhi_epi8(c, d);

#pragma GCC unroll 4
		for (int digit = 0; digit < DIGITS; digit++)
			digits[digit] = _mm512_set1_epi32(weights[tap + (uint32_t)digit]);
		add_products(&sums[0], _mm512_unpacklo_epi16(ab_low, cd_low), digits);
		add_products(&sums[1], _mm512_unpackhi_epi16(ab_low, cd_low), digits);
		add_products(&sums[2], _mm512_unpacklo_epi16(ab_high, cd_high), digits);
		add_products(&sums[3], _mm512_unpackhi_epi16(ab_high, cd_high), digits);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		joined[i] = join_sums(&sums[i]);
	if (whole) /* packing puts back what unpacking took apart */
		_mm512_storeu_si512(out + x, sums_to_bytes(joined));
	else
		_mm512_mask_storeu_epi8(out + x, in_row, sums_to_bytes(joined));
}

AVX512 static void down(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t row_bytes, uint8_t *out)
{
	size_t x = 0;

	for (; row_bytes - x >= BYTES; x += BYTES)
		down_vector(rows, weights, count, x, true, 0, out);
	if (x < row_bytes)
		down_vector(rows, weights, count, x, false, ((__mmask64)1 << (row_bytes - x)) - 1, out);
}

const struct resample_kernels resample_avx512 = {
	.band_rows = TURNED_ROWS, .prepare_across = prepare_across, .prepare_down = prepare_down, .across = across, .down = down};

#endif
