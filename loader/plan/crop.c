/*
 * crop.c - end of stage 1 of 5, once the picture's size is known: (what is asked, width, height) in, the box to cut out and the
 * mirror bit out.  Pure functions, any thread.
 *
 * Source of the rules: torchvision, transforms/transforms.py (RandomResizedCrop.get_params) and transforms/functional.py (resize,
 * center_crop); for CROP_WINDOW the crate parallel_image_crop.
 */
#include "loader/plan/crop.h"

#include <assert.h>
#include <math.h>

#include "loader/plan/philox.h"
#include "loader/plan/portable.h"

#define RANDOM_RESIZED_TRIES 10

static struct box box_of(uint32_t x, uint32_t y, uint32_t width, uint32_t height)
{
	return (struct box){(int32_t)x, (int32_t)y, (int32_t)width, (int32_t)height};
}

static uint32_t clamped(uint64_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : (uint32_t)value;
}

static double uniform(uint32_t word, double from, double to)
{
	return from + philox_unit(word) * (to - from);
}

/* A box of that size anywhere in the picture, every place alike. */
static struct box random_place(uint32_t word_x, uint32_t word_y, uint32_t width, uint32_t height, uint32_t source_width,
                               uint32_t source_height)
{
	return box_of(philox_below(word_x, source_width - width + 1), philox_below(word_y, source_height - height + 1), width,
	              height);
}

/* What is left when all tries failed: the whole picture, or the middle of it when its shape is beyond the ratios. */
static struct box central_fallback(const struct crop_spec *spec, uint32_t source_width, uint32_t source_height)
{
	double ratio = (double)source_width / source_height;
	uint32_t width = source_width, height = source_height;

	/* torchvision may round a side to 0 here, and then fails. */
	if (ratio < spec->ratio_min)
		height = clamped(portable_round(width / spec->ratio_min), 1, source_height);
	else if (ratio > spec->ratio_max)
		width = clamped(portable_round(height * spec->ratio_max), 1, source_width);
	return box_of((source_width - width) / 2, (source_height - height) / 2, width, height);
}

static struct box random_resized_box(const struct crop_spec *spec, uint32_t epoch, uint64_t key, uint32_t source_width,
                                     uint32_t source_height)
{
	double area = (double)source_width * source_height;
	double log_ratio_min = portable_log(spec->ratio_min), log_ratio_max = portable_log(spec->ratio_max);

	for (uint32_t attempt = 0; attempt < RANDOM_RESIZED_TRIES; attempt++) {
		struct philox_words random = philox_draw(spec->seed, epoch, key, PHILOX_CROP, attempt);
		double target_area = area * uniform(random.word[0], spec->scale_min, spec->scale_max);
		double aspect_ratio = portable_exp(uniform(random.word[1], log_ratio_min, log_ratio_max));
		uint64_t width = portable_round(sqrt(target_area * aspect_ratio));
		uint64_t height = portable_round(sqrt(target_area / aspect_ratio));

		if (0 < width && width <= source_width && 0 < height && height <= source_height)
			return random_place(random.word[3], random.word[2], (uint32_t)width, (uint32_t)height, source_width,
			                    source_height);
	}
	return central_fallback(spec, source_width, source_height);
}

static struct box random_box(const struct crop_spec *spec, uint32_t epoch, uint64_t key, uint32_t source_width,
                             uint32_t source_height)
{
	struct philox_words random = philox_draw(spec->seed, epoch, key, PHILOX_CROP, 0);
	uint32_t width = spec->out_width_px, height = spec->out_height_px;

	if (width > source_width || height > source_height) {
		/* The largest box of the output's shape: it touches the sides across which the picture is the tighter one. */
		double out_ratio = (double)spec->out_width_px / spec->out_height_px;

		if ((uint64_t)source_width * spec->out_height_px <= (uint64_t)source_height * spec->out_width_px) {
			width = source_width;
			height = clamped(portable_round(source_width / out_ratio), 1, source_height);
		} else {
			width = clamped(portable_round(source_height * out_ratio), 1, source_width);
			height = source_height;
		}
	}
	return random_place(random.word[1], random.word[0], width, height, source_width, source_height);
}

/*
 * The longer side once the shorter one is short_side: int(short_side * long / short).  Pillow's sizes are ints, so it has no larger
 * picture than INT32_MAX; a longer one (over 8 million times longer than wide at short_side 256) is squeezed into that.
 */
static uint32_t resized_long_side(uint32_t short_side, uint32_t source_long, uint32_t source_short)
{
	return clamped((uint64_t)short_side * source_long / source_short, short_side, INT32_MAX);
}

/* int(round((resized - size) / 2.0)) */
static uint32_t center_offset(uint32_t resized, uint32_t size)
{
	return (uint32_t)portable_round((resized - size) / 2.0);
}

/* Where the outputs [first, first + count) of virtual_px lie on a side of source_px, rounded outwards. */
static void outline(uint32_t first, uint32_t count, uint32_t virtual_px, uint32_t source_px, int32_t *begin, int32_t *extent)
{
	uint64_t from = (uint64_t)first * source_px / virtual_px;
	uint64_t to = ((uint64_t)(first + count) * source_px + virtual_px - 1) / virtual_px;

	*begin = (int32_t)from;
	*extent = (int32_t)(to - from);
}

static void center_view(const struct crop_spec *spec, uint32_t source_width, uint32_t source_height, struct crop_view *view)
{
	uint32_t short_side = spec->short_side_px;

	assert(short_side >= spec->out_width_px && short_side >= spec->out_height_px && short_side <= INT32_MAX);
	if (source_width <= source_height) {
		view->virtual_width_px = short_side;
		view->virtual_height_px = resized_long_side(short_side, source_height, source_width);
	} else {
		view->virtual_width_px = resized_long_side(short_side, source_width, source_height);
		view->virtual_height_px = short_side;
	}
	view->resized = box_of(0, 0, source_width, source_height);
	view->window_x = center_offset(view->virtual_width_px, spec->out_width_px);
	view->window_y = center_offset(view->virtual_height_px, spec->out_height_px);
	outline(view->window_x, spec->out_width_px, view->virtual_width_px, source_width, &view->box.x, &view->box.width);
	outline(view->window_y, spec->out_height_px, view->virtual_height_px, source_height, &view->box.y, &view->box.height);
}

static bool box_is_inside(struct box box, uint32_t source_width, uint32_t source_height)
{
	return box.x >= 0 && box.y >= 0 && box.width >= 1 && box.height >= 1 && (uint32_t)box.width <= source_width &&
	       (uint32_t)box.height <= source_height && (uint32_t)box.x <= source_width - (uint32_t)box.width &&
	       (uint32_t)box.y <= source_height - (uint32_t)box.height;
}

/* floor(share * source_px) in float32, as the crate has it; a share of 1 of a long side may round to more than the side. */
static uint32_t share_of(float share, uint32_t source_px)
{
	float px = share * (float)source_px;

	return px >= (float)source_px ? source_px : (uint32_t)px;
}

/* Crop size max(2, floor(side * share)), but no more than the side; begin min(floor(side * place), side - size). */
static void window_side(float place, float share, uint32_t source_px, int32_t *begin, int32_t *extent)
{
	uint32_t size = share_of(share, source_px), from = share_of(place, source_px);

	size = size < 2 ? 2 : size;
	size = size > source_px ? source_px : size;
	*begin = (int32_t)(from > source_px - size ? source_px - size : from);
	*extent = (int32_t)size;
}

static struct box window_box(const struct crop_spec *spec, struct crop_window window, uint32_t source_width, uint32_t source_height)
{
	float share = window.scale < spec->max_img_percent ? window.scale : spec->max_img_percent;
	struct box box;

	assert(window.x >= 0 && window.x <= 1 && window.y >= 0 && window.y <= 1 && window.scale >= 0 && window.scale <= 1);
	window_side(window.x, share, source_width, &box.x, &box.width);
	window_side(window.y, share, source_height, &box.y, &box.height);
	return box;
}

static bool draw_flip(const struct crop_spec *spec, uint32_t epoch, uint64_t key)
{
	struct philox_words random = philox_draw(spec->seed, epoch, key, PHILOX_FLIP, 0);

	return philox_unit(random.word[0]) < spec->hflip;
}

bool crop_choose(const struct crop_spec *spec, const struct crop_ask *ask, uint32_t source_width_px, uint32_t source_height_px,
                 struct crop_view *view)
{
	assert(source_width_px >= 1 && source_width_px <= INT32_MAX && source_height_px >= 1 && source_height_px <= INT32_MAX);
	assert(spec->out_width_px >= 1 && spec->out_height_px >= 1);

	*view = (struct crop_view){
		.virtual_width_px = spec->out_width_px,
		.virtual_height_px = spec->out_height_px,
		.flipped = draw_flip(spec, ask->epoch, ask->key),
	};
	switch (ask->rule) {
	case CROP_RANDOM_RESIZED:
		view->resized = random_resized_box(spec, ask->epoch, ask->key, source_width_px, source_height_px);
		break;
	case CROP_RANDOM:
		view->resized = random_box(spec, ask->epoch, ask->key, source_width_px, source_height_px);
		break;
	case CROP_CENTER:
		center_view(spec, source_width_px, source_height_px, view);
		return true;
	case CROP_RESIZE:
		view->resized = box_of(0, 0, source_width_px, source_height_px);
		break;
	case CROP_BOX:
		if (!box_is_inside(ask->box, source_width_px, source_height_px))
			return false;
		view->resized = ask->box;
		break;
	case CROP_WINDOW:
		view->resized = window_box(spec, ask->window, source_width_px, source_height_px);
		break;
	}
	view->box = view->resized;
	return true;
}
