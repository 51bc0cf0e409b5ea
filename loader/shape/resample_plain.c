/*
 * resample_plain.c - stage 4 of 5, first half: the passes of a resize in C alone, written so that compilers find vectors of 16 bytes.
 *
 * The pass across lays a band of 16 rows on its side, so that it too weighs vectors that lie one behind the other.
 */
#include "loader/shape/resample_kernels.h"

#include <errno.h>
#include <string.h>

#include "loader/shape/transpose.h"

enum { LANES = 16 }; /* bytes that are summed together, and rows of a band */

typedef uint32_t quad __attribute__((vector_size(16)));

/* The sums of 16 bytes. */
struct sums {
	quad quads[LANES / 4];
};

static inline struct sums begin_sums(void)
{
	const quad rounding = (quad){0} + RESAMPLE_ROUNDING;

	return (struct sums){{rounding, rounding, rounding, rounding}};
}

static inline void add_products(struct sums *sums, const uint8_t *in, int32_t weight)
{
#pragma GCC unroll 4
	for (int i = 0; i < LANES / 4; i++)
		sums->quads[i] += (quad){in[4 * i], in[4 * i + 1], in[4 * i + 2], in[4 * i + 3]} * (uint32_t)weight;
}

static inline void end_sums(const struct sums *sums, uint8_t *out)
{
	uint32_t sum[LANES];

	memcpy(sum, sums, sizeof sum);
#pragma GCC unroll 4 /* gcc -O3 would take it apart before it looks for vectors */
	for (int lane = 0; lane < LANES; lane++)
		out[lane] = resample_sum_to_byte(sum[lane]);
}

static void copy_block(const uint8_t *in, size_t in_stride_bytes, uint8_t *out, size_t out_stride_bytes, size_t width_bytes,
                       uint32_t rows)
{
	for (uint32_t row = 0; row < rows; row++)
		memcpy(out + row * out_stride_bytes, in + row * in_stride_bytes, width_bytes);
}

/* A band of up to 16 rows on its side: byte x of row y becomes tile[x * 16 + y].  Absent rows read as 0. */
static void rows_to_tile(const uint8_t *in, size_t in_stride_bytes, uint32_t rows, size_t row_bytes, uint8_t *tile)
{
	for (size_t x = 0; x < row_bytes; x += LANES) {
		if (rows == LANES && row_bytes - x >= LANES) {
			transpose_16_bytes(in + x, (ptrdiff_t)in_stride_bytes, tile + x * LANES, LANES);
		} else {
			uint8_t square[LANES * LANES] = {0};

			copy_block(in + x, in_stride_bytes, square, LANES, row_bytes - x < LANES ? row_bytes - x : LANES, rows);
			transpose_16_bytes(square, LANES, tile + x * LANES, LANES);
		}
	}
}

/* And upright again. */
static void tile_to_rows(const uint8_t *tile, uint32_t rows, size_t row_bytes, uint8_t *out, size_t out_stride_bytes)
{
	for (size_t x = 0; x < row_bytes; x += LANES) {
		if (rows == LANES && row_bytes - x >= LANES) {
			transpose_16_bytes(tile + x * LANES, LANES, out + x, (ptrdiff_t)out_stride_bytes);
		} else {
			uint8_t square[LANES * LANES];

			transpose_16_bytes(tile + x * LANES, LANES, square, LANES);
			copy_block(square, LANES, out + x, out_stride_bytes, row_bytes - x < LANES ? row_bytes - x : LANES, rows);
		}
	}
}

static size_t out_row_bytes(const struct axis_plan *x, uint32_t channels)
{
	return (size_t)x->axis.out_px * channels;
}

/* The band on its side, before and after its sums. */
static int prepare_across(struct axis_plan *x, uint32_t channels)
{
	size_t in_row_bytes = (size_t)(x->end - x->begin) * channels;

	return scratch_reserve(&x->tile, in_row_bytes + out_row_bytes(x, channels) + 2 * LANES, LANES);
}

static void prepare_down(struct axis_plan *y)
{
	(void)y; /* the weights are as they should be */
}

static void across(const struct axis_plan *x, uint32_t channels, bool mirrored, const uint8_t *in, size_t in_stride_bytes,
                   uint32_t rows, uint8_t *out, size_t out_stride_bytes)
{
	const struct axis_span *spans = x->spans;
	size_t in_row_bytes = (size_t)(x->end - x->begin) * channels;
	uint8_t *tile = x->tile.data, *turned = tile + (in_row_bytes + LANES) * LANES;

	rows_to_tile(in, in_stride_bytes, rows, in_row_bytes, tile);
	for (uint32_t i = 0; i < x->axis.out_px; i++) {
		const int32_t *weights = x->weights + (size_t)i * x->weights_per_px;
		size_t to = (size_t)(mirrored ? x->axis.out_px - 1 - i : i) * channels;

		for (uint32_t channel = 0; channel < channels; channel++) {
			const uint8_t *from = tile + ((size_t)spans[i].first * channels + channel) * LANES;
			struct sums sums = begin_sums();

			for (uint32_t tap = 0; tap < spans[i].count; tap++, from += (size_t)channels * LANES)
				add_products(&sums, from, weights[tap]);
			end_sums(&sums, turned + (to + channel) * LANES);
		}
	}
	tile_to_rows(turned, rows, out_row_bytes(x, channels), out, out_stride_bytes);
}

static inline void down_vector(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t x, uint8_t *out)
{
	struct sums sums = begin_sums();

	for (uint32_t tap = 0; tap < count; tap++)
		add_products(&sums, rows[tap] + x, weights[tap]);
	end_sums(&sums, out + x);
}

static void down(const uint8_t *const *rows, const int32_t *weights, uint32_t count, size_t row_bytes, uint8_t *out)
{
	size_t x = 0;

	for (; row_bytes - x >= LANES; x += LANES)
		down_vector(rows, weights, count, x, out);
	if (x < row_bytes && x > 0) { /* the last vector overlaps the one before */
		down_vector(rows, weights, count, row_bytes - LANES, out);
	} else {
		for (; x < row_bytes; x++) {
			uint32_t sum = RESAMPLE_ROUNDING;

			for (uint32_t tap = 0; tap < count; tap++)
				sum += rows[tap][x] * (uint32_t)weights[tap];
			out[x] = resample_sum_to_byte(sum);
		}
	}
}

const struct resample_kernels resample_plain = {
	.band_rows = LANES, .prepare_across = prepare_across, .prepare_down = prepare_down, .across = across, .down = down};
