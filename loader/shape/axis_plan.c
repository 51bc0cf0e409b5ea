/* axis_plan.c - stage 4 of 5, first half: one axis of a resize in, spans and weights out.  One plan per thread and axis. */
#include "loader/shape/axis_plan.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

typedef double doubles __attribute__((vector_size(16))); /* what every x86-64 and arm64 has */
typedef int64_t longs __attribute__((vector_size(16)));
typedef int32_t ints __attribute__((vector_size(8)));

enum { VECTOR_TAPS = 2 };
static_assert(AXIS_PLAN_TAPS % VECTOR_TAPS == 0, "there is room for whole vectors");

/* ---- filters: the value at a distance from the centre, in source pixels (downscaling: in output pixels) ---- */

static double box_value(double distance)
{
	return distance > -0.5 && distance <= 0.5 ? 1.0 : 0.0;
}

static double bilinear_value(double distance)
{
	distance = fabs(distance);
	return distance < 1.0 ? 1.0 - distance : 0.0;
}

/* A Hann-like window times sinc.  The two constants are float32 in Pillow, and the last bits show. */
static double hamming_value(double distance)
{
	distance = fabs(distance);
	if (distance == 0.0)
		return 1.0;
	if (distance >= 1.0)
		return 0.0;
	distance *= M_PI;
	return sin(distance) / distance * ((double)0.54f + (double)0.46f * cos(distance));
}

/* Keys' cubic convolution with a = -0.5. */
static double bicubic_value(double distance)
{
	const double a = -0.5;

	distance = fabs(distance);
	if (distance < 1.0)
		return ((a + 2.0) * distance - (a + 3.0)) * distance * distance + 1.0;
	if (distance < 2.0)
		return (((distance - 5.0) * distance + 8.0) * distance - 4.0) * a;
	return 0.0;
}

static double sinc(double distance)
{
	if (distance == 0.0)
		return 1.0;
	distance *= M_PI;
	return sin(distance) / distance;
}

static double lanczos_value(double distance)
{
	return -3.0 <= distance && distance < 3.0 ? sinc(distance) * sinc(distance / 3.0) : 0.0;
}

static const struct {
	double (*value)(double distance);
	double support;
} filters[] = {
	[RESAMPLE_BOX] = {box_value, 0.5},         [RESAMPLE_BILINEAR] = {bilinear_value, 1.0},
	[RESAMPLE_HAMMING] = {hamming_value, 1.0}, [RESAMPLE_BICUBIC] = {bicubic_value, 2.0},
	[RESAMPLE_LANCZOS] = {lanczos_value, 3.0}, [RESAMPLE_NEAREST_16] = {NULL, 0.0},
};

static inline double lesser(double a, double b)
{
	return a < b ? a : b; /* fmin() and fmax() are calls, because of what they do with NaN */
}

/* An axis in the numbers that every formula below starts from.  Pillow takes boxes as float32: so does this. */
struct geometry {
	float in0, in1;
	double scale;          /* source pixels per output pixel */
	double stretch, reach; /* the filter's widening, at least 1, and how far it sees then */
	bool is_shift;         /* output i is source pixel i + in0, whatever the filter: every other weight is 0 */
};

static struct geometry measure_axis(enum resample_filter filter, const struct resample_axis *axis)
{
	struct geometry geometry = {.in0 = (float)axis->in0, .in1 = (float)axis->in1};

	geometry.scale = (double)(geometry.in1 - geometry.in0) / axis->virtual_px;
	geometry.stretch = fmax(geometry.scale, 1.0);
	geometry.reach = filters[filter].support * geometry.stretch;
	geometry.is_shift = geometry.scale == 1.0 && geometry.in0 == floorf(geometry.in0);
	return geometry;
}

static inline double centre_of(const struct geometry *geometry, uint32_t output)
{
	return geometry->in0 + (output + 0.5) * geometry->scale;
}

/* The span of one output, in source pixels.  Clamping before the conversion keeps every double inside uint32_t. */
static inline struct axis_span span_of(const struct geometry *geometry, uint32_t in_px, uint32_t output)
{
	double centre = centre_of(geometry, output);
	double begin = centre - geometry->reach + 0.5;
	uint32_t first = (uint32_t)lesser(begin > 0.0 ? begin : 0.0, in_px);
	uint32_t end = (uint32_t)lesser(centre + geometry->reach + 0.5, in_px);

	return (struct axis_span){.first = first, .count = end - first};
}

static double nearest_start(const struct geometry *geometry)
{
	return geometry->in0 + geometry->scale * 0.5;
}

/* Nearest adds up its position step by step, rounding each time, so there is no shortcut to a far one. */
static double advance(double position, double step, uint32_t count)
{
	while (count--)
		position += step;
	return position;
}

/* The rounding of advance() stays below half a step for any axis under 2^26 outputs; the clamp is for the others. */
static uint32_t pixel_at(double position, uint32_t in_px)
{
	return (uint32_t)lesser(position, in_px - 1.0);
}

void axis_plan_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end)
{
	struct geometry geometry = measure_axis(filter, axis);

	if (geometry.is_shift) {
		*begin = (uint32_t)geometry.in0 + axis->first;
		*end = *begin + axis->out_px;
	} else if (filter == RESAMPLE_NEAREST) {
		double position = advance(nearest_start(&geometry), geometry.scale, axis->first);

		*begin = pixel_at(position, axis->in_px);
		*end = pixel_at(advance(position, geometry.scale, axis->out_px - 1), axis->in_px) + 1;
	} else if (filter == RESAMPLE_NEAREST_16) {
		*begin = pixel_at(centre_of(&geometry, axis->first), axis->in_px);
		*end = pixel_at(centre_of(&geometry, axis->first + axis->out_px - 1), axis->in_px) + 1;
	} else {
		struct axis_span span = span_of(&geometry, axis->in_px, axis->first + axis->out_px - 1);

		*begin = span_of(&geometry, axis->in_px, axis->first).first;
		*end = span.first + span.count;
	}
}

static void plan_nearest(struct axis_plan *plan, const struct geometry *geometry)
{
	double position = advance(nearest_start(geometry), geometry->scale, plan->axis.first);

	for (uint32_t i = 0; i < plan->axis.out_px; i++, position += geometry->scale)
		plan->spans[i] = (struct axis_span){.first = pixel_at(position, plan->axis.in_px) - plan->begin, .count = 1};
}

static void plan_nearest_16(struct axis_plan *plan, const struct geometry *geometry)
{
	for (uint32_t i = 0; i < plan->axis.out_px; i++)
		plan->spans[i] = (struct axis_span){
			.first = pixel_at(centre_of(geometry, plan->axis.first + i), plan->axis.in_px) - plan->begin, .count = 1};
}

/* The taps of one output and their sum, which is added up in their order.  A last value beyond an odd count is of no account. */
static inline double compute_values(enum resample_filter filter, double first, uint32_t count, double centre, double per_stretch,
                                    double *values)
{
	double total = 0.0;

	if (filter == RESAMPLE_BILINEAR) { /* two at a time; in the others the filter itself is what takes long */
		for (uint32_t tap = 0; tap < count; tap += VECTOR_TAPS) {
			doubles distance = ((doubles){0, 1} + (first + tap) - centre + 0.5) * per_stretch;
			doubles value = 1.0 - (doubles)((longs)distance & INT64_MAX);

			value = (doubles)((longs)value & (value > 0.0));
			memcpy(values + tap, &value, sizeof value);
		}
	} else {
		for (uint32_t tap = 0; tap < count; tap++)
			values[tap] = filters[filter].value((first + tap - centre + 0.5) * per_stretch);
		values[count] = 0.0;
	}
	for (uint32_t tap = 0; tap < count; tap++)
		total += values[tap];
	return total;
}

/* Values to parts of their sum, rounded half away from zero to 22-bit fixed point. */
static inline void round_values(const double *values, uint32_t count, double total, int32_t *weights)
{
	double divisor = total != 0.0 ? total : 1.0;

	for (uint32_t tap = 0; tap < count; tap += VECTOR_TAPS) {
		doubles value, half = {0.5, 0.5};
		ints rounded;

		memcpy(&value, values + tap, sizeof value);
		value = value / divisor * (1 << AXIS_PLAN_WEIGHT_BITS);
		half = (doubles)((longs)half | ((longs)value & INT64_MIN)); /* with the value's sign */
		rounded = __builtin_convertvector(value + half, ints);
		memcpy(weights + tap, &rounded, sizeof rounded);
	}
}

static int plan_weighted(struct axis_plan *plan, const struct geometry *geometry)
{
	const struct resample_axis *axis = &plan->axis;
	double per_stretch = 1.0 / geometry->stretch;
	size_t weight_count;
	int32_t *weights;

	plan->weights_per_px = (uint32_t)lesser(2.0 * ceil(geometry->reach) + 1.0, axis->in_px);
	plan->weights_per_px = (plan->weights_per_px + AXIS_PLAN_TAPS - 1) / AXIS_PLAN_TAPS * AXIS_PLAN_TAPS;
	if (__builtin_mul_overflow((size_t)axis->out_px, plan->weights_per_px, &weight_count) ||
	    scratch_reserve(&plan->weights_memory, weight_count, sizeof *weights) ||
	    scratch_reserve(&plan->values_memory, plan->weights_per_px + 1, sizeof(double)))
		return -ENOMEM;
	plan->weights = weights = plan->weights_memory.data;

	for (uint32_t i = 0; i < axis->out_px; i++, weights += plan->weights_per_px) {
		struct axis_span span = span_of(geometry, axis->in_px, axis->first + i);
		double *values = plan->values_memory.data, total;

		assert(span.count <= plan->weights_per_px);
		total = compute_values(plan->filter, span.first, span.count, centre_of(geometry, axis->first + i), per_stretch,
		                       values);
		round_values(values, span.count, total, weights);
		for (uint32_t tap = span.count; tap < plan->weights_per_px; tap++)
			weights[tap] = 0;
		plan->spans[i] = (struct axis_span){.first = span.first - plan->begin, .count = span.count};
	}
	return 0;
}

static bool same_axis(const struct resample_axis *a, const struct resample_axis *b)
{
	return a->in_px == b->in_px && a->in0 == b->in0 && a->in1 == b->in1 && a->virtual_px == b->virtual_px &&
	       a->first == b->first && a->out_px == b->out_px;
}

bool axis_plan_is(const struct axis_plan *plan, enum resample_filter filter, const struct resample_axis *axis)
{
	return plan->ready && plan->filter == filter && same_axis(&plan->axis, axis);
}

int axis_plan_make(struct axis_plan *plan, enum resample_filter filter, const struct resample_axis *axis)
{
	struct geometry geometry = measure_axis(filter, axis);

	assert(axis->out_px > 0 && axis->out_px <= axis->virtual_px && axis->first <= axis->virtual_px - axis->out_px);
	assert(axis->in_px <= INT32_MAX);
	assert(0 <= axis->in0 && axis->in0 < axis->in1 && axis->in1 <= axis->in_px);
	if (axis_plan_is(plan, filter, axis))
		return 0;

	plan->ready = false;
	plan->prepared_channels = 0;
	plan->filter = filter;
	plan->axis = *axis;
	plan->is_shift = geometry.is_shift;
	plan->weights_per_px = 0;
	axis_plan_extent(filter, axis, &plan->begin, &plan->end);
	if (scratch_reserve(&plan->spans_memory, axis->out_px, sizeof *plan->spans))
		return -ENOMEM;
	plan->spans = plan->spans_memory.data;
	if (filter == RESAMPLE_NEAREST)
		plan_nearest(plan, &geometry);
	else if (filter == RESAMPLE_NEAREST_16)
		plan_nearest_16(plan, &geometry);
	else if (!plan->is_shift && plan_weighted(plan, &geometry))
		return -ENOMEM;
	plan->ready = true;
	return 0;
}

void axis_plan_free(struct axis_plan *plan)
{
	scratch_free(&plan->spans_memory);
	scratch_free(&plan->weights_memory);
	scratch_free(&plan->values_memory);
	axis_steps_free(&plan->steps);
	scratch_free(&plan->tile);
	*plan = (struct axis_plan){0};
}
