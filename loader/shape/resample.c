/*
 * resample.c - stage 4 of 5, first half: a region of source pixels in, the output's pixels out.  One resampler per thread.
 *
 * Both passes are one sum: 16 neighbouring bytes at a time, each the weighted total of the same byte of a few source vectors.
 * The vertical pass finds its vectors in the rows as they lie.  The horizontal pass first turns bands of 16 rows on their side,
 * so that 16 rows of one column stand together, and turns the results back.
 */
#include "loader/shape/resample.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/shape/axis_plan.h"
#include "loader/shape/scratch.h"

enum { LANES = 16 }; /* bytes that are summed together, and rows of a band */

struct resampler {
	struct axis_plan x, y;
	struct scratch middle;       /* what the first pass hands to the second */
	struct scratch tile, turned; /* a band on its side, before and after the horizontal sums */
};

void resample_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end)
{
	axis_plan_extent(filter, axis, begin, end);
}

/* A finished sum, rounded and clamped.  Sums are unsigned because in theory they wrap; as int32_t they are what they should be. */
static inline uint8_t sum_to_byte(uint32_t sum)
{
	int32_t value = (int32_t)sum >> AXIS_PLAN_WEIGHT_BITS;

	value = value < 0 ? 0 : value;
	value = value > 255 ? 255 : value;
	return (uint8_t)value;
}

static const uint32_t half = 1u << (AXIS_PLAN_WEIGHT_BITS - 1);

static uint8_t weigh_1(const uint8_t *in, size_t stride_bytes, const int32_t *weights, uint32_t count)
{
	uint32_t sum = half;

	for (uint32_t tap = 0; tap < count; tap++, in += stride_bytes)
		sum += *in * (uint32_t)weights[tap];
	return sum_to_byte(sum);
}

typedef uint32_t quad __attribute__((vector_size(16)));

/* Adds up `count` vectors of 16 bytes, stride_bytes apart, each times its weight. */
static inline void weigh_16(const uint8_t *restrict in, size_t stride_bytes, const int32_t *restrict weights, uint32_t count,
                            uint8_t *restrict out)
{
	quad quads[LANES / 4] = {(quad){0} + half, (quad){0} + half, (quad){0} + half, (quad){0} + half};
	uint32_t sums[LANES];

	for (uint32_t tap = 0; tap < count; tap++, in += stride_bytes)
#pragma GCC unroll 4
		for (int i = 0; i < LANES / 4; i++)
			quads[i] += (quad){in[4 * i], in[4 * i + 1], in[4 * i + 2], in[4 * i + 3]} * (uint32_t)weights[tap];
	memcpy(sums, quads, sizeof sums);
#pragma GCC unroll 4 /* gcc -O3 would take it apart before it looks for vectors */
	for (int lane = 0; lane < LANES; lane++)
		out[lane] = sum_to_byte(sums[lane]);
}

static void copy_block(const uint8_t *in, size_t in_stride_bytes, uint8_t *out, size_t out_stride_bytes, size_t width_bytes,
                       uint32_t rows)
{
	for (uint32_t row = 0; row < rows; row++)
		memcpy(out + row * out_stride_bytes, in + row * in_stride_bytes, width_bytes);
}

typedef uint8_t byte_row __attribute__((vector_size(LANES)));

/*
 * Transposes a square of 16 x 16 bytes: byte x of row y becomes byte y of row x.  Interleaving rows i and i + 8 for all i rotates
 * the eight bits of every byte's address (row, column) by one; after four times row and column have changed places.
 */
static void turn_square(const uint8_t *in, size_t in_stride_bytes, uint8_t *out, size_t out_stride_bytes)
{
	byte_row rows[LANES], woven[LANES];

#pragma GCC unroll 16
	for (int i = 0; i < LANES; i++)
		memcpy(&rows[i], in + (size_t)i * in_stride_bytes, LANES);
#pragma GCC unroll 4
	for (int round = 0; round < 4; round++) {
#pragma GCC unroll 8
		for (int i = 0; i < LANES / 2; i++) {
			woven[2 * i] = __builtin_shufflevector(rows[i], rows[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6,
			                                       22, 7, 23);
			woven[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13,
			                                           29, 14, 30, 15, 31);
		}
		memcpy(rows, woven, sizeof rows);
	}
#pragma GCC unroll 16
	for (int i = 0; i < LANES; i++)
		memcpy(out + (size_t)i * out_stride_bytes, &rows[i], LANES);
}

/* A band of up to 16 rows on its side: byte x of row y becomes tile[x * 16 + y].  Absent rows read as 0. */
static void rows_to_tile(const uint8_t *in, size_t in_stride_bytes, uint32_t rows, size_t row_bytes, uint8_t *tile)
{
	for (size_t x = 0; x < row_bytes; x += LANES) {
		if (rows == LANES && row_bytes - x >= LANES) {
			turn_square(in + x, in_stride_bytes, tile + x * LANES, LANES);
		} else {
			uint8_t square[LANES * LANES] = {0};

			copy_block(in + x, in_stride_bytes, square, LANES, row_bytes - x < LANES ? row_bytes - x : LANES, rows);
			turn_square(square, LANES, tile + x * LANES, LANES);
		}
	}
}

/* And upright again. */
static void tile_to_rows(const uint8_t *tile, uint32_t rows, size_t row_bytes, uint8_t *out, size_t out_stride_bytes)
{
	for (size_t x = 0; x < row_bytes; x += LANES) {
		if (rows == LANES && row_bytes - x >= LANES) {
			turn_square(tile + x * LANES, LANES, out + x, out_stride_bytes);
		} else {
			uint8_t square[LANES * LANES];

			turn_square(tile + x * LANES, LANES, square, LANES);
			copy_block(square, LANES, out + x, out_stride_bytes, row_bytes - x < LANES ? row_bytes - x : LANES, rows);
		}
	}
}

/* `in`: `rows` rows of the x extent; `out`: as many rows of x->axis.out_px pixels. */
static int pass_horizontally(struct resampler *resampler, const uint8_t *in, size_t in_stride_bytes, uint32_t rows,
                             uint32_t channels, uint8_t *out, size_t out_stride_bytes)
{
	const struct axis_plan *x = &resampler->x;
	const struct axis_span *spans = x->spans;
	size_t in_row_bytes = (size_t)(x->end - x->begin) * channels, out_row_bytes = (size_t)x->axis.out_px * channels;
	uint8_t *tile, *turned;

	if (scratch_reserve(&resampler->tile, in_row_bytes + LANES, LANES) ||
	    scratch_reserve(&resampler->turned, out_row_bytes + LANES, LANES))
		return -ENOMEM;
	tile = resampler->tile.data;
	turned = resampler->turned.data;

	for (uint32_t row = 0; row < rows; row += LANES) {
		uint32_t band_rows = rows - row < LANES ? rows - row : LANES;

		rows_to_tile(in + row * in_stride_bytes, in_stride_bytes, band_rows, in_row_bytes, tile);
		for (uint32_t i = 0; i < x->axis.out_px; i++) {
			const int32_t *weights = x->weights + (size_t)i * x->weights_per_px;

			for (uint32_t channel = 0; channel < channels; channel++)
				weigh_16(tile + ((size_t)spans[i].first * channels + channel) * LANES, (size_t)channels * LANES,
				         weights, spans[i].count, turned + ((size_t)i * channels + channel) * LANES);
		}
		tile_to_rows(turned, band_rows, out_row_bytes, out + row * out_stride_bytes, out_stride_bytes);
	}
	return 0;
}

/* `in`: the rows of the y extent, row_bytes each; `out`: y->out_px such rows. */
static void pass_vertically(const struct axis_plan *y, const uint8_t *in, size_t in_stride_bytes, size_t row_bytes, uint8_t *out,
                            size_t out_stride_bytes)
{
	const struct axis_span *spans = y->spans;

	for (uint32_t i = 0; i < y->axis.out_px; i++, out += out_stride_bytes) {
		const uint8_t *top = in + spans[i].first * in_stride_bytes;
		const int32_t *weights = y->weights + (size_t)i * y->weights_per_px;
		size_t x = 0;

		for (; row_bytes - x >= LANES; x += LANES)
			weigh_16(top + x, in_stride_bytes, weights, spans[i].count, out + x);
		if (x < row_bytes && x > 0) { /* the last vector overlaps the one before */
			x = row_bytes - LANES;
			weigh_16(top + x, in_stride_bytes, weights, spans[i].count, out + x);
		} else {
			for (; x < row_bytes; x++)
				out[x] = weigh_1(top + x, in_stride_bytes, weights, spans[i].count);
		}
	}
}

static void pick_nearest(const struct resampler *resampler, const uint8_t *in, size_t in_stride_bytes, uint32_t channels,
                         uint8_t *out, size_t out_stride_bytes)
{
	const struct axis_span *columns = resampler->x.spans, *rows = resampler->y.spans;
	uint32_t width_px = resampler->x.axis.out_px;
	uint32_t wide =
		0; /* columns from the left that may be copied as 4 bytes: neither side of the copy is the last of its row */

	while (wide + 1 < width_px && columns[wide].first + 1 < resampler->x.end - resampler->x.begin)
		wide++;

	for (uint32_t i = 0; i < resampler->y.axis.out_px; i++, out += out_stride_bytes) {
		const uint8_t *row = in + rows[i].first * in_stride_bytes;

		if (i > 0 && rows[i].first == rows[i - 1].first) {
			memcpy(out, out - out_stride_bytes, (size_t)width_px * channels);
		} else if (channels == 1) {
			for (uint32_t x = 0; x < width_px; x++)
				out[x] = row[columns[x].first];
		} else {
			for (uint32_t x = 0; x < wide; x++)
				memcpy(out + (size_t)x * 3, row + (size_t)columns[x].first * 3, 4);
			for (uint32_t x = wide; x < width_px; x++)
				memcpy(out + (size_t)x * 3, row + (size_t)columns[x].first * 3, 3);
		}
	}
}

/*
 * Which pass goes first changes the last bit, because each pass rounds.  Pillow 13.0 lets the vertical one go first when the
 * height loses more than twice as many pixels as the width does.  (12.2 and 12.3 did so only for images over 100 times as high as
 * wide, and 12.1 never.)
 */
static bool vertical_goes_first(const struct resample_axis *x, const struct resample_axis *y)
{
	int64_t lost_columns = (int64_t)x->in_px - x->virtual_px, lost_rows = (int64_t)y->in_px - y->virtual_px;

	return lost_rows > 0 && lost_rows > 2 * lost_columns;
}

int resampler_run(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                  const struct resample_axis *y, const struct pixels *source, uint32_t source_x, uint32_t source_y, uint8_t *out,
                  size_t out_stride_bytes)
{
	uint32_t channels = source->channels;
	size_t in_stride_bytes = source->stride_bytes, in_row_bytes, out_row_bytes = (size_t)x->out_px * channels;
	const uint8_t *in;

	if (axis_plan_make(&resampler->x, filter, x) || axis_plan_make(&resampler->y, filter, y))
		return -ENOMEM;
	assert(channels == 1 || channels == 3);
	assert(source_x <= resampler->x.begin && resampler->x.end - source_x <= source->width_px);
	assert(source_y <= resampler->y.begin && resampler->y.end - source_y <= source->height_px);
	in = source->data + (resampler->y.begin - source_y) * in_stride_bytes + (size_t)(resampler->x.begin - source_x) * channels;
	in_row_bytes = (size_t)(resampler->x.end - resampler->x.begin) * channels;

	if (resampler->x.is_shift && resampler->y.is_shift) {
		copy_block(in, in_stride_bytes, out, out_stride_bytes, out_row_bytes, y->out_px);
	} else if (filter == RESAMPLE_NEAREST) {
		pick_nearest(resampler, in, in_stride_bytes, channels, out, out_stride_bytes);
	} else if (resampler->x.is_shift) {
		pass_vertically(&resampler->y, in, in_stride_bytes, out_row_bytes, out, out_stride_bytes);
	} else if (resampler->y.is_shift) {
		return pass_horizontally(resampler, in, in_stride_bytes, y->out_px, channels, out, out_stride_bytes);
	} else if (vertical_goes_first(x, y)) {
		if (scratch_reserve(&resampler->middle, y->out_px, in_row_bytes))
			return -ENOMEM;
		pass_vertically(&resampler->y, in, in_stride_bytes, in_row_bytes, resampler->middle.data, in_row_bytes);
		return pass_horizontally(resampler, resampler->middle.data, in_row_bytes, y->out_px, channels, out,
		                         out_stride_bytes);
	} else {
		uint32_t rows = resampler->y.end - resampler->y.begin;

		if (scratch_reserve(&resampler->middle, rows, out_row_bytes) ||
		    pass_horizontally(resampler, in, in_stride_bytes, rows, channels, resampler->middle.data, out_row_bytes))
			return -ENOMEM;
		pass_vertically(&resampler->y, resampler->middle.data, out_row_bytes, out_row_bytes, out, out_stride_bytes);
	}
	return 0;
}

struct resampler *resampler_open(void)
{
	return calloc(1, sizeof(struct resampler));
}

void resampler_close(struct resampler *resampler)
{
	if (!resampler)
		return;
	axis_plan_free(&resampler->x);
	axis_plan_free(&resampler->y);
	scratch_free(&resampler->middle);
	scratch_free(&resampler->tile);
	scratch_free(&resampler->turned);
	free(resampler);
}
