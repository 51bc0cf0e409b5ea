/*
 * resample_avx2.c - stage 4 of 5, first half: the passes of a resize with AVX2.
 *
 * vpmaddwd multiplies two 16-bit numbers by two others in each lane, so a weight is two signed digits to the base 65536.
 */
#include "loader/shape/resample_kernels.h"

#if defined(__x86_64__)

#include <errno.h>
#include <immintrin.h>
#include <string.h>

#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline)) AVX2

/* Gray from 512 px to 32, 200 rows: added up 17 us, not added up 20; from 384 px 17 and 16.  RGB has nothing to add up. */
enum { MANY_TAPS = 36 };

/* Across, a vector is 4 lanes of each of two rows. */
enum { LANES = 4, WINDOW_BYTES = 16, BYTES = 32, BAND_ROWS = 4, TAPS = AXIS_STEPS_TAPS };

/*
 * Four weights give way to their digits: two ones, two 65536s, of the first two and of the last two.  Adding 32768 to the ones
 * carries what is over 32767; then it is taken off again.
 */
static inline void split_weights(int32_t *weights)
{
	static const int8_t by_digit[] = {0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15};
	__m128i offset = _mm_set1_epi32(0x8000), digits = _mm_loadu_si128((const __m128i *)weights);

	digits = _mm_xor_si128(_mm_add_epi32(digits, offset), offset);
	digits = _mm_shuffle_epi8(digits, _mm_loadu_si128((const __m128i *)by_digit));
	_mm_storeu_si128((__m128i *)weights, digits);
}

struct sums {
	__m256i low, high;
};

AVX2_INLINE struct sums begin_sums(void)
{
	return (struct sums){_mm256_set1_epi32(RESAMPLE_ROUNDING), _mm256_setzero_si256()};
}

AVX2_INLINE void add_products(struct sums *sums, __m256i pixels, __m256i low, __m256i high)
{
	sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pixels, low));
	sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pixels, high));
}

AVX2_INLINE __m256i join_sums(const struct sums *sums)
{
	return _mm256_add_epi32(_mm256_slli_epi32(sums->high, 16), sums->low);
}

/* ---- across ---- */

/* Two of the four taps at a time: for each byte of the vector which one of the window it is, and what it is multiplied by. */
struct record {
	struct {
		uint32_t from[LANES], low[LANES], high[LANES];
	} pairs[TAPS / 2];
};

/* Lanes that have no column do as the first one does; nobody looks at them. */
static void write_record(struct axis_take *takes, uint32_t columns, uint32_t channels, void *memory)
{
	struct record *record = memory;

	for (uint32_t column = 0; column < columns; column++)
		split_weights(takes[column].weights);
	for (uint32_t lane = 0; lane < LANES; lane++) {
		const struct axis_take *take = &takes[channels == 1 && lane < columns ? lane : 0];
		uint32_t from = take->from + (channels == 1 ? 0 : lane);

		for (uint32_t pair = 0; pair < TAPS / 2; pair++, from += 2 * channels) {
			/* a byte number over 127 gives 0; numbers beyond the window have weight 0 */
			record->pairs[pair].from[lane] = 0x80008000 | ((from + channels) & 15) << 16 | (from & 15);
			record->pairs[pair].low[lane] = (uint32_t)take->weights[2 * pair];
			record->pairs[pair].high[lane] = (uint32_t)take->weights[2 * pair + 1];
		}
	}
}

static int prepare_across(struct axis_plan *x, uint32_t channels)
{
	static const struct axis_steps_form form = {.lanes = LANES,
	                                            .window_bytes = WINDOW_BYTES,
	                                            .many_taps = MANY_TAPS,
	                                            .record_bytes = sizeof(struct record),
	                                            .write = write_record};

	return axis_steps_make(&x->steps, x, channels, &form);
}

/* The same window of two rows. */
AVX2_INLINE __m256i load_windows(const uint8_t *one, const uint8_t *two, bool narrow, size_t row_bytes)
{
	__m128i window[2] = {_mm_setzero_si128(), _mm_setzero_si128()};

	if (narrow) {
		memcpy(&window[0], one, row_bytes);
		memcpy(&window[1], two, row_bytes);
	} else {
		window[0] = _mm_loadu_si128((const __m128i *)one);
		window[1] = _mm_loadu_si128((const __m128i *)two);
	}
	return _mm256_inserti128_si256(_mm256_castsi128_si256(window[0]), window[1], 1);
}

AVX2_INLINE __m256i broadcast(const uint32_t *lanes)
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)lanes));
}

/* Adds up the columns of one output: its lane comes to stand first.  RGB has a single column. */
AVX2_INLINE __m256i add_columns(__m256i sum)
{
	sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
	sum = _mm256_add_epi32(sum, _mm256_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
	return _mm256_sub_epi32(sum, _mm256_set1_epi32((LANES - 1) * RESAMPLE_ROUNDING));
}

/* The finished sums of a group, two rows in each of two vectors. */
AVX2_INLINE void sum_group(const struct axis_steps *steps, uint32_t group, uint32_t channels, bool narrow, const uint8_t *const *in,
                           __m256i *values)
{
	const struct record *records = (const struct record *)steps->records;
	struct sums sums[2] = {begin_sums(), begin_sums()};

	for (uint32_t step = steps->first_step[group]; step < steps->first_step[group + 1]; step++) {
		size_t window = steps->windows[step];
		__m256i rows[2] = {load_windows(in[0] + window, in[1] + window, narrow, steps->row_bytes),
		                   load_windows(in[2] + window, in[3] + window, narrow, steps->row_bytes)};

#pragma GCC unroll 4
		for (int pair = 0; pair < TAPS / 2; pair++) {
			__m256i from = broadcast(records[step].pairs[pair].from);
			__m256i low = broadcast(records[step].pairs[pair].low), high = broadcast(records[step].pairs[pair].high);

			add_products(&sums[0], _mm256_shuffle_epi8(rows[0], from), low, high);
			add_products(&sums[1], _mm256_shuffle_epi8(rows[1], from), low, high);
		}
	}
#pragma GCC unroll 4
	for (int half = 0; half < 2; half++) {
		__m256i sum = join_sums(&sums[half]);

		if (channels == 1 && steps->outputs_per_group == 1)
			sum = add_columns(sum);
		values[half] = _mm256_srai_epi32(sum, AXIS_PLAN_WEIGHT_BITS);
	}
}

/* Which bytes of four groups, four of each, are the `count` pixels of a block in the order of the output. */
AVX2_INLINE __m256i block_order(uint32_t count, uint32_t per_group, uint32_t channels, bool mirrored)
{
	uint8_t order[WINDOW_BYTES] = {0};

	for (uint32_t i = 0; i < count * channels; i++) {
		uint32_t pixel = mirrored ? count - 1 - i / channels : i / channels;

		order[i] = (uint8_t)(pixel / per_group * LANES + pixel % per_group * channels + i % channels);
	}
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)order));
}

/* Writes the first `bytes`, or 16 where there is room: what is too much is written again later. */
AVX2_INLINE void store_block(uint8_t *out, __m128i block, size_t bytes, bool room)
{
	uint8_t all[WINDOW_BYTES];

	if (room) {
		_mm_storeu_si128((__m128i *)out, block);
	} else {
		_mm_storeu_si128((__m128i *)all, block);
		memcpy(out, all, bytes);
	}
}

/* In blocks of four groups, from left to right in the output. */
AVX2_INLINE void across_rows(const struct axis_plan *x, uint32_t channels, bool mirrored, bool narrow, const uint8_t *const *in,
                             uint8_t *const *out)
{
	const struct axis_steps *steps = &x->steps;
	uint32_t per_group = steps->outputs_per_group, per_block = 4 * per_group, out_px = x->axis.out_px;
	uint32_t block_count = (out_px - 1) / per_block + 1;
	__m256i whole_order = block_order(per_block, per_group, channels, mirrored);

	for (uint32_t i = 0; i < block_count; i++) {
		uint32_t block = mirrored ? block_count - 1 - i : i, output = block * per_block;
		uint32_t count = out_px - output < per_block ? out_px - output : per_block;
		size_t to = (size_t)(mirrored ? out_px - output - count : output) * channels;
		__m256i values[4][2], order = count == per_block ? whole_order : block_order(count, per_group, channels, mirrored);
		bool room = (size_t)out_px * channels - to >= WINDOW_BYTES;

#pragma GCC unroll 4
		for (uint32_t group = 0; group < 4; group++) /* groups that are not there: the last one once more */
			sum_group(steps, 4 * block + group < steps->group_count ? 4 * block + group : steps->group_count - 1,
			          channels, narrow, in, values[group]);
#pragma GCC unroll 4
		for (int half = 0; half < 2; half++) {
			__m256i left = _mm256_packs_epi32(values[0][half], values[1][half]);
			__m256i right = _mm256_packs_epi32(values[2][half], values[3][half]);
			__m256i bytes = _mm256_shuffle_epi8(_mm256_packus_epi16(left, right), order);

			store_block(out[2 * half] + to, _mm256_castsi256_si128(bytes), count * channels, room);
			store_block(out[2 * half + 1] + to, _mm256_extracti128_si256(bytes, 1), count * channels, room);
		}
	}
}

AVX2 static void across(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
                        uint32_t rows, uint8_t *out, size_t out_stride_bytes)
{
	const uint8_t *in_rows[BAND_ROWS];
	uint8_t *out_rows[BAND_ROWS];

	for (uint32_t i = 0; i < BAND_ROWS; i++) { /* rows that are not there: the last one once more */
		in_rows[i] = in + (i < rows ? i : rows - 1) * in_stride_bytes;
		out_rows[i] = out + (i < rows ? i : rows - 1) * out_stride_bytes;
	}
	if (x->steps.row_bytes < WINDOW_BYTES)
		across_rows(x, channels, mirrored, true, in_rows, out_rows);
	else if (channels == 1)
		across_rows(x, 1, mirrored, false, in_rows, out_rows);
	else
		across_rows(x, 3, mirrored, false, in_rows, out_rows);
}

/* ---- down ---- */

static void prepare_down(struct axis_plan *y)
{
	for (size_t i = 0; i < (size_t)y->axis.out_px * y->weights_per_px; i += TAPS)
		split_weights(y->weights + i);
}

AVX2_INLINE void down_vector(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t x, uint8_t *out)
{
	struct sums sums[4] = {begin_sums(), begin_sums(), begin_sums(), begin_sums()};
	__m256i zero = _mm256_setzero_si256(), values[4];

	for (uint32_t tap = 0; tap < count; tap += 2) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(rows[tap] + x));
		__m256i b = _mm256_loadu_si256((const __m256i *)(rows[tap + (tap + 1 < count)] + x)); /* or any row, times 0 */
		__m256i low = _mm256_set1_epi32(weights[tap]), high = _mm256_set1_epi32(weights[tap + 1]);
		__m256i left = _mm256_unpacklo_epi8(a, b), right = _mm256_unpackhi_epi8(a, b);

		add_products(&sums[0], _mm256_unpacklo_epi8(left, zero), low, high);
		add_products(&sums[1], _mm256_unpackhi_epi8(left, zero), low, high);
		add_products(&sums[2], _mm256_unpacklo_epi8(right, zero), low, high);
		add_products(&sums[3], _mm256_unpackhi_epi8(right, zero), low, high);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 4; i++)
		values[i] = _mm256_srai_epi32(join_sums(&sums[i]), AXIS_PLAN_WEIGHT_BITS);
	/* packing puts back what unpacking took apart */
	_mm256_storeu_si256((__m256i *)(out + x), _mm256_packus_epi16(_mm256_packs_epi32(values[0], values[1]),
	                                                              _mm256_packs_epi32(values[2], values[3])));
}

/* What is left of a short row. */
static uint8_t down_byte(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t x)
{
	uint32_t sum = RESAMPLE_ROUNDING;

	for (uint32_t tap = 0; tap < count; tap++) {
		int16_t low[2], high[2];

		memcpy(low, weights + (tap & ~1u), sizeof low);
		memcpy(high, weights + (tap | 1u), sizeof high);
		sum += rows[tap][x] * (((uint32_t)high[tap & 1] << 16) + (uint32_t)low[tap & 1]);
	}
	return resample_sum_to_byte(sum);
}

AVX2 static void down(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t row_bytes, uint8_t *out)
{
	size_t x = 0;

	for (; row_bytes - x >= BYTES; x += BYTES)
		down_vector(rows, weights, count, x, out);
	if (x < row_bytes && x > 0) /* the last vector overlaps the one before */
		down_vector(rows, weights, count, row_bytes - BYTES, out);
	else
		for (; x < row_bytes; x++)
			out[x] = down_byte(rows, weights, count, x);
}

const struct resample_kernels resample_avx2 = {
	.band_rows = BAND_ROWS, .prepare_across = prepare_across, .prepare_down = prepare_down, .across = across, .down = down};

#endif
