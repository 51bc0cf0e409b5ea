/* resample.c - stage 4 of 5, first half: a region of source pixels in, the output's pixels out.  One resampler per thread. */
#include "loader/shape/resample.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/shape/axis_plan.h"
#include "loader/shape/mirror.h"
#include "loader/shape/resample_kernels.h"
#include "loader/shape/scratch.h"

/*
 * Plans per axis that are remembered: enough where pictures have few sizes.  RandomResizedCrop has hundreds: with 256 plans 71 % of
 * them are found again, which takes 5 of 68 us off a picture for 10 MB more per thread; 64 plans gain nothing that can be measured.
 */
enum { PLANS = 8 };

struct resampler {
	const struct resample_kernels *kernels;
	struct axis_plan x_plans[PLANS],
		y_plans[PLANS]; /* the latest; apart, because across() and down() prepare them differently */
	uint64_t use_count;
	struct axis_plan *x, *y; /* of this run */
	struct scratch middle;   /* rows between the passes: as many as the second one needs at a time */
	struct scratch taps;     /* where the rows of one output row lie */
};

/* Rows of pixels somewhere; out rows are the whole output. */
struct source_rows {
	const uint8_t *data;
	size_t stride_bytes;
};

struct target_rows {
	uint8_t *data;
	size_t stride_bytes;
};

void resample_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end)
{
	axis_plan_extent(filter, axis, begin, end);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static size_t round_up(size_t count, size_t to)
{
	return (count + to - 1) / to * to;
}

static void copy_row(const uint8_t *in, uint32_t width_px, uint32_t channels, bool mirrored, uint8_t *out)
{
	if (mirrored)
		mirror_row(in, width_px, channels, out);
	else
		memcpy(out, in, (size_t)width_px * channels);
}

static void pick_nearest(const struct resampler *resampler, struct source_rows in, uint32_t channels, bool mirrored,
                         struct target_rows out)
{
	const struct axis_span *columns = resampler->x->spans, *rows = resampler->y->spans;
	uint32_t width_px = resampler->x->axis.out_px, in_width_px = resampler->x->end - resampler->x->begin;

	for (uint32_t i = 0; i < resampler->y->axis.out_px; i++, out.data += out.stride_bytes) {
		const uint8_t *row = in.data + rows[i].first * in.stride_bytes;
		const struct axis_span *column = mirrored ? columns + width_px - 1 : columns;
		ptrdiff_t step = mirrored ? -1 : 1;

		if (i > 0 && rows[i].first == rows[i - 1].first) {
			memcpy(out.data, out.data - out.stride_bytes, (size_t)width_px * channels);
		} else if (channels == 1) {
			for (uint32_t x = 0; x < width_px; x++, column += step)
				out.data[x] = row[column->first];
		} else {
			for (uint32_t x = 0; x < width_px; x++, column += step) {
				/* four bytes are quicker than three, but for the last pixel of either row */
				bool room = x + 1 < width_px && column->first + 1 < in_width_px;

				memcpy(out.data + (size_t)x * 3, row + (size_t)column->first * 3, room ? 4 : 3);
			}
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

/* One output row from the rows that resampler->taps names. */
static void down(const struct resampler *resampler, uint32_t output, size_t row_bytes, uint8_t *out)
{
	const struct axis_plan *y = resampler->y;

	resampler->kernels->down(resampler->taps.data, y->weights + (size_t)output * y->weights_per_px, y->spans[output].count,
	                         row_bytes, out);
}

static void name_taps(const struct resampler *resampler, uint32_t output, struct source_rows in)
{
	const struct axis_span *span = &resampler->y->spans[output];
	const uint8_t **taps = resampler->taps.data;

	for (uint32_t tap = 0; tap < span->count; tap++)
		taps[tap] = in.data + ((size_t)span->first + tap) * in.stride_bytes;
}

static int only_across(struct resampler *resampler, struct source_rows in, uint32_t channels, bool mirrored, struct target_rows out)
{
	uint32_t band = resampler->kernels->band_rows, rows = resampler->y->axis.out_px;

	for (uint32_t row = 0; row < rows; row += band)
		resampler->kernels->across(resampler->x, channels, mirrored, in.data + row * in.stride_bytes, in.stride_bytes,
		                           least(band, rows - row), out.data + row * out.stride_bytes, out.stride_bytes);
	return 0;
}

static int only_down(struct resampler *resampler, struct source_rows in, uint32_t channels, bool mirrored, struct target_rows out)
{
	uint32_t width_px = resampler->x->axis.out_px;
	size_t row_bytes = (size_t)width_px * channels;

	if (scratch_reserve(&resampler->middle, row_bytes, 1))
		return -ENOMEM;
	for (uint32_t i = 0; i < resampler->y->axis.out_px; i++) {
		name_taps(resampler, i, in);
		down(resampler, i, row_bytes, mirrored ? resampler->middle.data : out.data + i * out.stride_bytes);
		if (mirrored)
			mirror_row(resampler->middle.data, width_px, channels, out.data + i * out.stride_bytes);
	}
	return 0;
}

/* A band of rows at a time goes down and then across. */
static int down_then_across(struct resampler *resampler, struct source_rows in, uint32_t channels, bool mirrored,
                            struct target_rows out)
{
	uint32_t band = resampler->kernels->band_rows, rows = resampler->y->axis.out_px;
	size_t in_row_bytes = (size_t)(resampler->x->end - resampler->x->begin) * channels;
	uint8_t *middle;

	if (scratch_reserve(&resampler->middle, band, in_row_bytes))
		return -ENOMEM;
	middle = resampler->middle.data;
	for (uint32_t row = 0; row < rows; row += band) {
		uint32_t band_rows = least(band, rows - row);

		for (uint32_t i = 0; i < band_rows; i++) {
			name_taps(resampler, row + i, in);
			down(resampler, row + i, in_row_bytes, middle + i * in_row_bytes);
		}
		resampler->kernels->across(resampler->x, channels, mirrored, middle, in_row_bytes, band_rows,
		                           out.data + row * out.stride_bytes, out.stride_bytes);
	}
	return 0;
}

/* A band of rows at a time goes across, into a ring of as many rows as an output row sees. */
static int across_then_down(struct resampler *resampler, struct source_rows in, uint32_t channels, bool mirrored,
                            struct target_rows out)
{
	const struct axis_plan *y = resampler->y;
	uint32_t band = resampler->kernels->band_rows, rows = y->end - y->begin, made = 0;
	size_t row_bytes = (size_t)resampler->x->axis.out_px * channels;
	size_t ring_rows = round_up(least(y->weights_per_px + band, rows), band);
	const uint8_t **taps = resampler->taps.data;
	uint8_t *middle;

	if (scratch_reserve(&resampler->middle, ring_rows, row_bytes))
		return -ENOMEM;
	middle = resampler->middle.data;
	for (uint32_t i = 0; i < y->axis.out_px; i++) {
		struct axis_span span = y->spans[i];

		for (; made < span.first + span.count; made += band)
			resampler->kernels->across(resampler->x, channels, mirrored, in.data + made * in.stride_bytes,
			                           in.stride_bytes, least(band, rows - made), middle + made % ring_rows * row_bytes,
			                           row_bytes);
		for (uint32_t tap = 0; tap < span.count; tap++)
			taps[tap] = middle + (span.first + tap) % ring_rows * row_bytes;
		down(resampler, i, row_bytes, out.data + i * out.stride_bytes);
	}
	return 0;
}

/* The plan of this axis, made in place of the one that was used least recently if there is none.  NULL: no memory. */
static struct axis_plan *find_plan(struct axis_plan *plans, uint64_t use, enum resample_filter filter,
                                   const struct resample_axis *axis)
{
	struct axis_plan *plan = &plans[0];

	for (uint32_t i = 0; i < PLANS; i++) {
		if (axis_plan_is(&plans[i], filter, axis)) {
			plan = &plans[i];
			break;
		}
		if (plans[i].last_use < plan->last_use)
			plan = &plans[i];
	}
	plan->last_use = use;
	return axis_plan_make(plan, filter, axis) == 0 ? plan : NULL;
}

static int find_plans(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x_axis,
                      const struct resample_axis *y_axis, uint32_t channels)
{
	struct axis_plan *x = find_plan(resampler->x_plans, ++resampler->use_count, filter, x_axis);
	struct axis_plan *y = find_plan(resampler->y_plans, resampler->use_count, filter, y_axis);

	if (!x || !y)
		return -ENOMEM;
	resampler->x = x;
	resampler->y = y;
	if (x->weights_per_px > 0 && x->prepared_channels != channels) {
		x->prepared_channels = 0;
		if (resampler->kernels->prepare_across(x, channels))
			return -ENOMEM;
		x->prepared_channels = channels;
	}
	if (y->weights_per_px > 0 && y->prepared_channels == 0) {
		resampler->kernels->prepare_down(y);
		y->prepared_channels = channels;
	}
	return scratch_reserve(&resampler->taps, y->weights_per_px, sizeof(uint8_t *));
}

int resampler_run(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                  const struct resample_axis *y, const struct pixels *source, uint32_t source_x, uint32_t source_y, bool mirrored,
                  uint8_t *out_data, size_t out_stride_bytes)
{
	struct target_rows out = {.data = out_data, .stride_bytes = out_stride_bytes};
	struct source_rows in = {.stride_bytes = source->stride_bytes};
	uint32_t channels = source->channels;

	assert(channels == 1 || channels == 3);
	if (find_plans(resampler, filter, x, y, channels))
		return -ENOMEM;
	assert(source_x <= resampler->x->begin && resampler->x->end - source_x <= source->width_px);
	assert(source_y <= resampler->y->begin && resampler->y->end - source_y <= source->height_px);
	in.data = source->data + (resampler->y->begin - source_y) * in.stride_bytes +
	          (size_t)(resampler->x->begin - source_x) * channels;

	if (resampler->x->is_shift && resampler->y->is_shift) {
		for (uint32_t row = 0; row < y->out_px; row++)
			copy_row(in.data + row * in.stride_bytes, x->out_px, channels, mirrored, out.data + row * out.stride_bytes);
		return 0;
	}
	if (filter == RESAMPLE_NEAREST) {
		pick_nearest(resampler, in, channels, mirrored, out);
		return 0;
	}
	if (resampler->x->is_shift)
		return only_down(resampler, in, channels, mirrored, out);
	if (resampler->y->is_shift)
		return only_across(resampler, in, channels, mirrored, out);
	if (vertical_goes_first(x, y))
		return down_then_across(resampler, in, channels, mirrored, out);
	return across_then_down(resampler, in, channels, mirrored, out);
}

struct resampler *resampler_open(enum simd_level level)
{
	struct resampler *resampler = calloc(1, sizeof *resampler);

	if (!resampler)
		return NULL;
	resampler->kernels = &resample_plain;
#if defined(__x86_64__)
	if (level == SIMD_AVX2)
		resampler->kernels = &resample_avx2;
	else if (level == SIMD_AVX512)
		resampler->kernels = &resample_avx512;
#else
	(void)level;
#endif
	return resampler;
}

void resampler_close(struct resampler *resampler)
{
	if (!resampler)
		return;
	for (uint32_t i = 0; i < PLANS; i++) {
		axis_plan_free(&resampler->x_plans[i]);
		axis_plan_free(&resampler->y_plans[i]);
	}
	scratch_free(&resampler->middle);
	scratch_free(&resampler->taps);
	free(resampler);
}
