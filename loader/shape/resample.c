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

/* Rows that later output rows read, but that their band takes away with it; see resampler_begin(). */
#define CARRY_MAX_BYTES  ((size_t)192 << 20)
#define CARRY_KEPT_BYTES ((size_t)16 << 20) /* for the next picture */

/* Rows of the y extent: from `first` to `end`, counted from the extent's first one; data: where row `first` lies. */
struct band {
	const uint8_t *data;
	size_t stride_bytes;
	uint32_t first, end;
};

struct resampler {
	const struct resample_kernels *kernels;
	struct axis_plan x_plans[PLANS],
		y_plans[PLANS]; /* the latest; apart, because across() and down() prepare them differently */
	uint64_t use_count;
	struct scratch middle; /* rows between the passes: as many as the second one needs at a time */
	struct scratch carry;  /* a ring of source rows from earlier bands */
	struct scratch taps;   /* where the rows of one output row lie */

	/* The resize that has begun. */
	void (*take)(struct resampler *resampler, const struct band *band);
	struct axis_plan *x, *y;
	uint32_t channels;
	bool mirrored;
	uint8_t *out;
	size_t out_stride_bytes;
	size_t row_bytes;                 /* of a row in `carry` or `middle` */
	uint32_t carry_rows, middle_rows; /* rings, of so many rows */
	uint32_t taken;                   /* rows of the y extent */
	uint32_t made;                    /* rows that went across into `middle` */
	uint32_t done;                    /* output rows */
};

void resample_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end)
{
	axis_plan_extent(filter, axis, begin, end);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static uint32_t round_up(uint32_t count, uint32_t to)
{
	return (count + to - 1) / to * to;
}

static uint8_t *out_row(const struct resampler *resampler, uint32_t output)
{
	return resampler->out + output * resampler->out_stride_bytes;
}

static const uint8_t *band_row(const struct band *band, uint32_t row)
{
	return band->data + (size_t)(row - band->first) * band->stride_bytes;
}

static void take_copied(struct resampler *resampler, const struct band *band)
{
	uint32_t width_px = resampler->x->axis.out_px, channels = resampler->channels;

	for (uint32_t row = band->first; row < band->end; row++) {
		if (resampler->mirrored)
			mirror_row(band_row(band, row), width_px, channels, out_row(resampler, row));
		else
			memcpy(out_row(resampler, row), band_row(band, row), (size_t)width_px * channels);
	}
}

static void pick_columns(const struct resampler *resampler, const uint8_t *row, uint8_t *out)
{
	const struct axis_plan *plan = resampler->x;
	uint32_t width_px = plan->axis.out_px, in_width_px = plan->end - plan->begin;
	const struct axis_span *column = resampler->mirrored ? plan->spans + width_px - 1 : plan->spans;
	ptrdiff_t step = resampler->mirrored ? -1 : 1;

	if (resampler->channels == 1) {
		for (uint32_t x = 0; x < width_px; x++, column += step)
			out[x] = row[column->first];
		return;
	}
	if (resampler->channels == 2) {
		for (uint32_t x = 0; x < width_px; x++, column += step)
			memcpy(out + (size_t)x * 2, row + (size_t)column->first * 2, 2);
		return;
	}
	for (uint32_t x = 0; x < width_px; x++, column += step) {
		/* four bytes are quicker than three, but for the last pixel of either row */
		bool room = x + 1 < width_px && column->first + 1 < in_width_px;

		memcpy(out + (size_t)x * 3, row + (size_t)column->first * 3, room ? 4 : 3);
	}
}

static void take_nearest(struct resampler *resampler, const struct band *band)
{
	const struct axis_plan *y = resampler->y;

	for (; resampler->done < y->axis.out_px && y->spans[resampler->done].first < band->end; resampler->done++) {
		uint32_t i = resampler->done, row = y->spans[i].first;

		if (i > 0 && row == y->spans[i - 1].first)
			memcpy(out_row(resampler, i), out_row(resampler, i - 1),
			       (size_t)resampler->x->axis.out_px * resampler->channels);
		else
			pick_columns(resampler, band_row(band, row), out_row(resampler, i));
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
static void down(const struct resampler *resampler, uint32_t output, uint8_t *out)
{
	const struct axis_plan *y = resampler->y;

	resampler->kernels->down(resampler->taps.data, y->weights + (size_t)output * y->weights_per_px, y->spans[output].count,
	                         resampler->row_bytes, out);
}

static void across(const struct resampler *resampler, const uint8_t *in, size_t in_stride_bytes, uint32_t row_count, uint8_t *out,
                   size_t out_stride_bytes)
{
	resampler->kernels->across(resampler->x, resampler->channels, resampler->mirrored, in, in_stride_bytes, row_count, out,
	                           out_stride_bytes);
}

static uint8_t *ring_row(const struct resampler *resampler, const struct scratch *ring, uint32_t ring_rows, uint32_t row)
{
	return (uint8_t *)ring->data + row % ring_rows * resampler->row_bytes;
}

static void name_taps(const struct resampler *resampler, const struct band *band, const struct axis_span *span)
{
	const uint8_t **taps = resampler->taps.data;

	for (uint32_t row = span->first; row < span->first + span->count; row++)
		*taps++ = row < band->first ? ring_row(resampler, &resampler->carry, resampler->carry_rows, row)
		                            : band_row(band, row);
}

/* The next output row's column of taps, if the band completes it. */
static bool find_taps(const struct resampler *resampler, const struct band *band)
{
	const struct axis_plan *y = resampler->y;
	const struct axis_span *span = &y->spans[resampler->done];

	if (resampler->done == y->axis.out_px || span->first + span->count > band->end)
		return false;
	name_taps(resampler, band, span);
	return true;
}

/* Keeps what the output rows that are not done yet read of the band: fewer rows than one of them reads. */
static void carry_on(struct resampler *resampler, const struct band *band)
{
	const struct axis_plan *y = resampler->y;

	if (resampler->done == y->axis.out_px)
		return;
	for (uint32_t row = most(band->first, y->spans[resampler->done].first); row < band->end; row++)
		memcpy(ring_row(resampler, &resampler->carry, resampler->carry_rows, row), band_row(band, row),
		       resampler->row_bytes);
}

static void take_across(struct resampler *resampler, const struct band *band)
{
	uint32_t row_count = resampler->kernels->band_rows;

	for (uint32_t row = band->first; row < band->end; row += row_count)
		across(resampler, band_row(band, row), band->stride_bytes, least(row_count, band->end - row),
		       out_row(resampler, row), resampler->out_stride_bytes);
}

static void take_down(struct resampler *resampler, const struct band *band)
{
	for (; find_taps(resampler, band); resampler->done++) {
		uint8_t *out = out_row(resampler, resampler->done);

		down(resampler, resampler->done, resampler->mirrored ? resampler->middle.data : out);
		if (resampler->mirrored)
			mirror_row(resampler->middle.data, resampler->x->axis.out_px, resampler->channels, out);
	}
	carry_on(resampler, band);
}

/* As many rows as across() likes go down, and then across. */
static void take_down_then_across(struct resampler *resampler, const struct band *band)
{
	while (find_taps(resampler, band)) {
		uint32_t i = resampler->done++, in_middle = i % resampler->middle_rows;

		down(resampler, i, ring_row(resampler, &resampler->middle, resampler->middle_rows, i));
		if (in_middle + 1 == resampler->middle_rows || resampler->done == resampler->y->axis.out_px)
			across(resampler, resampler->middle.data, resampler->row_bytes, in_middle + 1,
			       out_row(resampler, i - in_middle), resampler->out_stride_bytes);
	}
	carry_on(resampler, band);
}

/* Rows go across, into a ring of as many as an output row reads, as soon as one needs them, and at the latest before they are gone. */
static void take_across_then_down(struct resampler *resampler, const struct band *band)
{
	const struct axis_plan *y = resampler->y;
	const uint8_t **taps = resampler->taps.data;

	for (; resampler->done < y->axis.out_px; resampler->done++) {
		struct axis_span span = y->spans[resampler->done];
		uint32_t end = least(span.first + span.count, band->end), row_count;

		for (; resampler->made < end; resampler->made += row_count) {
			row_count = least(resampler->kernels->band_rows, band->end - resampler->made);
			row_count = least(row_count, resampler->middle_rows - resampler->made % resampler->middle_rows);
			across(resampler, band_row(band, resampler->made), band->stride_bytes, row_count,
			       ring_row(resampler, &resampler->middle, resampler->middle_rows, resampler->made),
			       resampler->row_bytes);
		}
		if (span.first + span.count > band->end)
			return;
		for (uint32_t tap = 0; tap < span.count; tap++)
			taps[tap] = ring_row(resampler, &resampler->middle, resampler->middle_rows, span.first + tap);
		down(resampler, resampler->done, out_row(resampler, resampler->done));
	}
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

static int reserve_carry(struct resampler *resampler, size_t row_bytes)
{
	const struct axis_plan *y = resampler->y;
	uint32_t row_count = least(y->weights_per_px, y->end - y->begin);

	resampler->row_bytes = row_bytes;
	resampler->carry_rows = row_count;
	if (row_bytes > CARRY_MAX_BYTES / row_count)
		return -ENOMEM;
	return scratch_reserve(&resampler->carry, row_count, row_bytes);
}

static int reserve_middle(struct resampler *resampler, uint32_t row_count, size_t row_bytes)
{
	resampler->row_bytes = row_bytes;
	resampler->middle_rows = row_count;
	return scratch_reserve(&resampler->middle, row_count, row_bytes);
}

/* Chooses the passes. */
static int choose_take(struct resampler *resampler)
{
	const struct axis_plan *x = resampler->x, *y = resampler->y;
	uint32_t band_rows = resampler->kernels->band_rows, rows = y->end - y->begin;
	size_t in_row_bytes = (size_t)(x->end - x->begin) * resampler->channels;
	size_t out_row_bytes = (size_t)x->axis.out_px * resampler->channels;

	if (x->is_shift && y->is_shift) {
		resampler->take = take_copied;
		return 0;
	}
	if (x->filter == RESAMPLE_NEAREST || x->filter == RESAMPLE_NEAREST_16) {
		resampler->take = take_nearest;
		return 0;
	}
	if (y->is_shift) {
		resampler->take = take_across;
		return 0;
	}
	if (x->is_shift) {
		resampler->take = take_down;
		return reserve_carry(resampler, out_row_bytes) ? -ENOMEM : reserve_middle(resampler, 1, out_row_bytes);
	}
	if (vertical_goes_first(&x->axis, &y->axis)) {
		resampler->take = take_down_then_across;
		return reserve_carry(resampler, in_row_bytes) ? -ENOMEM : reserve_middle(resampler, band_rows, in_row_bytes);
	}
	resampler->take = take_across_then_down;
	return reserve_middle(resampler, round_up(least(y->weights_per_px + band_rows, rows), band_rows), out_row_bytes);
}

int resampler_begin(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                    const struct resample_axis *y, uint32_t channels, bool mirrored, uint8_t *out, size_t out_stride_bytes)
{
	assert(filter == RESAMPLE_NEAREST_16 ? channels == 2 : channels == 1 || channels == 3);
	if (resampler->carry.capacity_bytes > CARRY_KEPT_BYTES)
		scratch_free(&resampler->carry);
	if (find_plans(resampler, filter, x, y, channels))
		return -ENOMEM;
	resampler->channels = channels;
	resampler->mirrored = mirrored;
	resampler->out = out;
	resampler->out_stride_bytes = out_stride_bytes;
	return choose_take(resampler);
}

void resampler_take(struct resampler *resampler, const struct pixels *rows, uint32_t source_x, uint32_t source_y)
{
	const struct axis_plan *x = resampler->x, *y = resampler->y;
	uint32_t first = most(source_y, y->begin), end = least(source_y + rows->height_px, y->end);

	assert(rows->channels == resampler->channels);
	assert(source_x <= x->begin && x->end - source_x <= rows->width_px);
	if (first >= end)
		return;
	if (first == y->begin)
		resampler->taken = resampler->made = resampler->done = 0;
	assert(first == y->begin + resampler->taken);
	resampler->taken = end - y->begin;
	resampler->take(resampler, &(struct band){.data = rows->data + (size_t)(first - source_y) * rows->stride_bytes +
	                                                  (size_t)(x->begin - source_x) * rows->channels,
	                                          .stride_bytes = rows->stride_bytes,
	                                          .first = first - y->begin,
	                                          .end = end - y->begin});
}

int resampler_run(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                  const struct resample_axis *y, const struct pixels *source, uint32_t source_x, uint32_t source_y, bool mirrored,
                  uint8_t *out, size_t out_stride_bytes)
{
	if (resampler_begin(resampler, filter, x, y, source->channels, mirrored, out, out_stride_bytes))
		return -ENOMEM;
	resampler_take(resampler, source, source_x, source_y);
	return 0;
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
	scratch_free(&resampler->carry);
	scratch_free(&resampler->taps);
	free(resampler);
}
