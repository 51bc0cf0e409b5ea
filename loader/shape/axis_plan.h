/*
 * axis_plan.h - what resample.c knows about one axis: which source pixels each output pixel reads, and with which weights.
 *
 * Private to resample.c.  The formulas are Pillow's (src/libImaging/Resample.c, precompute_coeffs and normalize_coeffs_8bpc;
 * Geometry.c, ImagingScaleAffine): every rounding is where it is there, or results would differ in the last bit.
 */
#ifndef CROPRING_AXIS_PLAN_H
#define CROPRING_AXIS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/shape/axis_steps.h"
#include "loader/shape/resample.h"
#include "loader/shape/scratch.h"

enum { AXIS_PLAN_TAPS = 4 };         /* weights_per_px is a multiple of it */
enum { AXIS_PLAN_WEIGHT_BITS = 22 }; /* a weight of 1.0 is 1 << 22: 8 bits of pixel and 2 of headroom are left in an int32 */

/* What one output pixel reads: `count` source pixels from `first` on, counted from the axis's extent. */
struct axis_span {
	uint32_t first, count;
};

/* All zero is an empty plan. */
struct axis_plan {
	bool ready; /* it holds what the next two ask for */
	enum resample_filter filter;
	struct resample_axis axis;
	uint64_t last_use; /* its owner's */

	uint32_t begin, end; /* the extent: the source pixels that are read */
	bool is_shift;       /* output i is source pixel begin + i whatever the filter: no weights, and spans only for nearest */
	uint32_t
		weights_per_px; /* the distance between two outputs' weights; span.count of them are in use, the rest are 0.  0: no weights */
	struct axis_span *spans; /* axis.out_px of them, as of the weights */
	int32_t *weights;
	struct scratch spans_memory, weights_memory, values_memory;

	uint32_t
		prepared_channels; /* by resample_kernels.h, whose prepare_across() fills in one of these; 0: it has not been yet */
	struct axis_steps steps;   /* for vectors that go across */
	struct scratch tile;       /* for plain C that goes across */
};

/* resample_extent() */
void axis_plan_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end);

/* Whether this is the plan that is there. */
bool axis_plan_is(const struct axis_plan *plan, enum resample_filter filter, const struct resample_axis *axis);

/* Makes the plan, unless it is the one that is there.  0 or -ENOMEM. */
int axis_plan_make(struct axis_plan *plan, enum resample_filter filter, const struct resample_axis *axis);
void axis_plan_free(struct axis_plan *plan);

#endif
