/*
 * resample_turned.c - stage 4 of 5, first half: the pass across with AVX-512 for many taps, sixteen rows at a time.  Threads: any.
 *
 * The rows are turned so that a lane is a row: a vector holds four neighbouring pixels' bytes of one channel, a "quad", of all
 * sixteen.  An output is then the sum of its quads times its digits, the same for every lane, and nothing is left to be added up
 * from lane to lane.  Turning costs the same for any number of taps.  Quads lie in a ring, from where two outputs can both take one.
 */
#if defined(__x86_64__)

#include <errno.h>
#include <string.h>

#include "loader/shape/resample_avx512.h"

enum {
	QUAD_PX = AXIS_STEPS_TAPS,
	UNIT = 4,           /* outputs at a time: their bytes fill a vector */
	RING_BYTES = 32768, /* most of the first-level cache's 48 KiB */
};

/*
 * Fewer weights_per_px are for windows.  Microseconds with these and without, bilinear from 1000 x 1000: gray to 100 px (24 weights)
 * 99 and 111, to 50 (44) 80 and 145; RGB to 140 (20) 278 and 362, to 64 (36) 229 and 351.  RGB from 600 to 100 (16): 103 and 92.
 */
enum { LEAST_TAPS_GRAY = 24, LEAST_TAPS_RGB = 20 };

/* What a quad of pixels is multiplied by: the digits of four weights, which are split_weights()'s, and zeros. */
struct quad_digits {
	int32_t digit[DIGITS + 1];
};

/* Quads are turned as many at a time as a load of 16 bytes holds. */
static inline uint32_t quads_per_turn(uint32_t channels)
{
	return channels == 1 ? 4 : 1;
}

/* A power of 2, so that a quad's place is its number modulo this. */
static inline uint32_t ring_quads(uint32_t channels)
{
	return RING_BYTES / BYTES / (channels == 1 ? 1u : 4u);
}

static inline uint32_t first_quad(const struct axis_span *span)
{
	return span->first / QUAD_PX;
}

static inline uint32_t end_quad(const struct axis_span *span)
{
	return (span->first + span->count + QUAD_PX - 1) / QUAD_PX;
}

static bool is_better(const struct axis_plan *x, uint32_t channels)
{
	uint32_t most_quads = ring_quads(channels) - 2 * quads_per_turn(channels);

	if (x->axis.out_px < UNIT || x->weights_per_px < (channels == 1 ? LEAST_TAPS_GRAY : LEAST_TAPS_RGB))
		return false;
	for (uint32_t i = 0; i <= x->axis.out_px - UNIT; i++)
		if (end_quad(&x->spans[i + UNIT - 1]) - first_quad(&x->spans[i]) > most_quads)
			return false;
	return true;
}

int prepare_turned(struct axis_plan *x, uint32_t channels, bool *turned)
{
	struct axis_steps *steps = &x->steps;
	uint32_t *first_step, count = 0;
	struct quad_digits *records;

	*turned = is_better(x, channels);
	if (!*turned)
		return 0;
	if (scratch_reserve(&steps->first_step_memory, (size_t)x->axis.out_px + 1, sizeof *first_step))
		return -ENOMEM;
	first_step = steps->first_step_memory.data;
	for (uint32_t i = 0; i < x->axis.out_px; i++) {
		first_step[i] = count;
		count += end_quad(&x->spans[i]) - first_quad(&x->spans[i]);
	}
	first_step[x->axis.out_px] = count;
	if (scratch_reserve(&steps->records_memory, count, sizeof *records))
		return -ENOMEM;
	records = steps->records_memory.data;
	memset(records, 0, count * sizeof *records);
	for (uint32_t i = 0; i < x->axis.out_px; i++) {
		struct quad_digits *own = records + first_step[i];

		memcpy(&own->digit[x->spans[i].first % QUAD_PX], x->weights + (size_t)i * x->weights_per_px,
		       x->spans[i].count * sizeof *x->weights);
		for (uint32_t quad = 0; quad < first_step[i + 1] - first_step[i]; quad++)
			split_weights(own[quad].digit);
	}
	steps->first_step = first_step;
	steps->records = steps->records_memory.data;
	return 0;
}

/*
 * Sixteen rows: those of quarter q of a vector are stride_bytes apart, from quarters[q] on.  Sixteen pointers would be more than there
 * are registers.
 */
struct rows_in {
	const uint8_t *quarters[4];
	size_t stride_bytes;
};

struct rows_out {
	uint8_t *quarters[4];
	size_t stride_bytes;
};

AVX512_INLINE __m128i load_16(const uint8_t *bytes, bool whole, __mmask16 in_row)
{
	return whole ? _mm_loadu_si128((const __m128i *)bytes) : _mm_maskz_loadu_epi8(in_row, bytes);
}

/* Four quads of gray, or one of three channels, from `at` on. */
AVX512_INLINE void turn(const uint8_t *const *quarters, size_t stride_bytes, size_t at, uint32_t channels, bool whole,
                        __mmask16 in_row, __m512i *quads)
{
	const __m512i planes = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, -1, -1, -1, -1));
	__m512i by_row[4], low[2], high[2]; /* by_row[i]: row i of each quarter */

#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) {
		size_t from = at + (size_t)i * stride_bytes;
		__m512i four = _mm512_castsi128_si512(load_16(quarters[0] + from, whole, in_row));

		four = _mm512_inserti32x4(four, load_16(quarters[1] + from, whole, in_row), 1);
		four = _mm512_inserti32x4(four, load_16(quarters[2] + from, whole, in_row), 2);
		four = _mm512_inserti32x4(four, load_16(quarters[3] + from, whole, in_row), 3);
		by_row[i] = channels == 1 ? four : _mm512_shuffle_epi8(four, planes);
	}
#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) {
		low[i] = _mm512_unpacklo_epi32(by_row[2 * i], by_row[2 * i + 1]);
		high[i] = _mm512_unpackhi_epi32(by_row[2 * i], by_row[2 * i + 1]);
	}
	_mm512_store_si512(quads, _mm512_unpacklo_epi64(low[0], low[1]));
	_mm512_store_si512(quads + 1, _mm512_unpackhi_epi64(low[0], low[1]));
	_mm512_store_si512(quads + 2, _mm512_unpacklo_epi64(high[0], high[1]));
	if (channels == 1)
		_mm512_store_si512(quads + 3, _mm512_unpackhi_epi64(high[0], high[1]));
}

/* Turns quads from..end and a few more; returns the number of the first one after them. */
AVX512_INLINE uint32_t turn_until(const struct rows_in *rows, size_t row_bytes, uint32_t channels, uint32_t from, uint32_t end,
                                  __m512i *ring)
{
	const uint32_t per_turn = quads_per_turn(channels), quads = ring_quads(channels);
	const uint8_t *quarters[] = {rows->quarters[0], rows->quarters[1], rows->quarters[2], rows->quarters[3]};

	for (; from < end; from += per_turn) {
		size_t at = (size_t)from * QUAD_PX * channels, left = row_bytes - at;
		__m512i *to = ring + from % quads * channels;

		/* or else gcc calculates sixteen addresses ahead, and has no registers to keep them */
		__asm__("" : "+r"(quarters[0]), "+r"(quarters[1]), "+r"(quarters[2]), "+r"(quarters[3]));
		if (left >= 16)
			turn(quarters, rows->stride_bytes, at, channels, true, 0, to);
		else
			turn(quarters, rows->stride_bytes, at, channels, false, (__mmask16)((1u << left) - 1), to);
	}
	return from;
}

static __attribute__((noinline)) AVX512 uint32_t turn_gray(const struct rows_in *rows, size_t row_bytes, uint32_t from,
                                                           uint32_t end, __m512i *ring)
{
	return turn_until(rows, row_bytes, 1, from, end, ring);
}

static __attribute__((noinline)) AVX512 uint32_t turn_rgb(const struct rows_in *rows, size_t row_bytes, uint32_t from, uint32_t end,
                                                          __m512i *ring)
{
	return turn_until(rows, row_bytes, 3, from, end, ring);
}

AVX512_INLINE void add_quad(const struct quad_digits *digits, const __m512i *quad, uint32_t channels, struct sums *sums)
{
	__m512i every_lane[DIGITS];

#pragma GCC unroll 4
	for (int digit = 0; digit < DIGITS; digit++)
		every_lane[digit] = _mm512_set1_epi32(digits->digit[digit]);
#pragma GCC unroll 4
	for (uint32_t channel = 0; channel < channels; channel++)
		add_products(&sums[channel], _mm512_load_si512(quad + channel), every_lane);
}

/* One output of all rows, channel by channel. */
AVX512_INLINE void sum_up(const struct quad_digits *digits, uint32_t first, uint32_t count, uint32_t channels, const __m512i *ring,
                          __m512i joined[][UNIT], int output)
{
	struct sums sums[3] = {begin_sums(), begin_sums(), begin_sums()};
	const uint32_t quads = ring_quads(channels);
	uint32_t i = 0;

	if (channels == 1) { /* two chains of sums: 56 us for 59, from 880 x 880 to 32 x 32 */
		struct sums others = {{{0}}};

		for (; i + 1 < count; i += 2) {
			add_quad(digits + i, ring + (first + i) % quads, 1, sums);
			add_quad(digits + i + 1, ring + (first + i + 1) % quads, 1, &others);
		}
#pragma GCC unroll 4
		for (int digit = 0; digit < DIGITS; digit++)
			sums[0].digit[digit] += others.digit[digit];
	}
	for (; i < count; i++)
		add_quad(digits + i, ring + (first + i) % quads * channels, channels, sums);
#pragma GCC unroll 4
	for (uint32_t channel = 0; channel < channels; channel++)
		joined[channel][output] = join_sums(&sums[channel]);
}

/* UNIT outputs of all rows: sums_to_bytes() leaves four rows in a quarter, output by output. */
AVX512_INLINE void write_gray(__m512i bytes, bool mirrored, const struct rows_out *out, size_t to)
{
	const __m128i forth = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
	const __m128i back = _mm_setr_epi8(12, 8, 4, 0, 13, 9, 5, 1, 14, 10, 6, 2, 15, 11, 7, 3);
	_Alignas(BYTES) uint8_t by_row[TURNED_ROWS][UNIT];

	_mm512_store_si512(by_row, _mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(mirrored ? back : forth)));
#pragma GCC unroll 16
	for (int row = 0; row < TURNED_ROWS; row++)
		memcpy(out->quarters[row / 4] + to + (size_t)row % 4 * out->stride_bytes, by_row[row], UNIT);
}

AVX512_INLINE void write_rgb(__m512i red, __m512i green, __m512i blue, bool mirrored, const struct rows_out *out, size_t to)
{
	/* of two rows: red and green of each output, output by output, and blue in the same order */
	const __m128i forth = _mm_setr_epi8(0, 1, 8, 2, 3, 9, 4, 5, 10, 6, 7, 11, -1, -1, -1, -1);
	const __m128i back = _mm_setr_epi8(6, 7, 11, 4, 5, 10, 2, 3, 9, 0, 1, 8, -1, -1, -1, -1);
	const __m512i by_row = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
	const __m512i order = _mm512_broadcast_i32x4(mirrored ? back : forth);
	const __mmask8 twelve_bytes = 0x7; /* memcpy() of twelve would wait for a store of 64 (-10 %) */
	__m512i red_green[2], blues[2];

	red = _mm512_shuffle_epi8(red, by_row);
	green = _mm512_shuffle_epi8(green, by_row);
	blue = _mm512_shuffle_epi8(blue, by_row);
	red_green[0] = _mm512_unpacklo_epi8(red, green);
	red_green[1] = _mm512_unpackhi_epi8(red, green);
	blues[0] = _mm512_unpacklo_epi32(blue, blue);
	blues[1] = _mm512_unpackhi_epi32(blue, blue);
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++) { /* row i of each quarter */
		size_t at = to + (size_t)i * out->stride_bytes;
		__m512i four = i % 2 == 0 ? _mm512_unpacklo_epi64(red_green[i / 2], blues[i / 2])
		                          : _mm512_unpackhi_epi64(red_green[i / 2], blues[i / 2]);

		four = _mm512_shuffle_epi8(four, order);
		_mm_mask_storeu_epi32(out->quarters[0] + at, twelve_bytes, _mm512_castsi512_si128(four));
		_mm_mask_storeu_epi32(out->quarters[1] + at, twelve_bytes, _mm512_extracti32x4_epi32(four, 1));
		_mm_mask_storeu_epi32(out->quarters[2] + at, twelve_bytes, _mm512_extracti32x4_epi32(four, 2));
		_mm_mask_storeu_epi32(out->quarters[3] + at, twelve_bytes, _mm512_extracti32x4_epi32(four, 3));
	}
}

AVX512_INLINE void across_rows(const struct axis_plan *x, uint32_t channels, bool mirrored, const struct rows_in *in,
                               const struct rows_out *out)
{
	const struct quad_digits *records = (const struct quad_digits *)x->steps.records;
	const uint32_t *first_step = x->steps.first_step;
	uint32_t out_px = x->axis.out_px, turned = 0, mask = ~(quads_per_turn(channels) - 1);
	size_t row_bytes = (size_t)(x->end - x->begin) * channels;
	__m512i ring[RING_BYTES / BYTES];

	for (uint32_t done = 0; done < out_px; done += UNIT) {
		uint32_t output = done < out_px - UNIT ? done : out_px - UNIT; /* the last unit does some once more */
		uint32_t begin = first_quad(&x->spans[output]) & mask, end = end_quad(&x->spans[output + UNIT - 1]);
		__m512i joined[3][UNIT];
		size_t to = (size_t)(mirrored ? out_px - UNIT - output : output) * channels;

		turned = turned > begin ? turned : begin;
		turned = channels == 1 ? turn_gray(in, row_bytes, turned, end, ring) : turn_rgb(in, row_bytes, turned, end, ring);
#pragma GCC unroll 4
		for (int i = 0; i < UNIT; i++) {
			uint32_t of = output + (uint32_t)i;

			sum_up(records + first_step[of], first_quad(&x->spans[of]), first_step[of + 1] - first_step[of], channels,
			       ring, joined, i);
		}
		if (channels == 1)
			write_gray(sums_to_bytes(joined[0]), mirrored, out, to);
		else
			write_rgb(sums_to_bytes(joined[0]), sums_to_bytes(joined[1]), sums_to_bytes(joined[2]), mirrored, out, to);
	}
}

AVX512 void across_turned(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
                          uint32_t rows, uint8_t *out, size_t out_stride_bytes)
{
	struct rows_in from = {.stride_bytes = rows < 4 ? 0 : in_stride_bytes};
	struct rows_out to = {.stride_bytes = rows < 4 ? 0 : out_stride_bytes};

	for (uint32_t i = 0; i < 4; i++) { /* rows that are not there: others once more */
		uint32_t row = rows < 4 ? (i < rows ? i : rows - 1) : (4 * i < rows - 4 ? 4 * i : rows - 4);

		from.quarters[i] = in + row * in_stride_bytes;
		to.quarters[i] = out + row * out_stride_bytes;
	}
	if (channels == 1)
		across_rows(x, 1, mirrored, &from, &to);
	else
		across_rows(x, 3, mirrored, &from, &to);
}

#endif
