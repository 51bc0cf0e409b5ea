/*
 * crop.h - which part of a picture becomes the sample: pure functions of the picture's size and of counter-based random numbers.
 *
 * Only +, -, *, / and sqrt on doubles decide a box (no libm function whose last bit differs between machines), so the same
 * sample of the same epoch has the same box everywhere.
 */
#ifndef CROPRING_CROP_H
#define CROPRING_CROP_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/pixels.h"

/* In the order of --crop. */
enum crop_rule {
	CROP_RANDOM_RESIZED, /* torchvision's RandomResizedCrop: ten tries of area and log-ratio, then the central fallback */
	CROP_RANDOM, /* a box of the output's size at a random place; of a smaller picture the largest of that shape, enlarged */
	CROP_CENTER, /* torchvision's Resize(short_side_px) followed by CenterCrop(output) */
	CROP_RESIZE, /* the whole picture */
};

struct crop_spec {
	enum crop_rule rule;
	uint32_t out_width_px, out_height_px;
	double scale_min, scale_max; /* CROP_RANDOM_RESIZED: share of the picture's area */
	double ratio_min, ratio_max; /* CROP_RANDOM_RESIZED: width / height */
	double hflip;                /* probability of mirroring, 0 to 1; drawn for every rule */
	uint32_t short_side_px;      /* CROP_CENTER; at least the larger output side */
	uint64_t seed;
};

/*
 * What to compute: source box `resized` scaled to virtual_width_px x virtual_height_px, of which the output is the window that
 * begins at (window_x, window_y).  For every rule but CROP_CENTER the window is the whole of it.
 */
struct crop_view {
	struct box box;     /* what readers see in batch.box: for CROP_CENTER the window's outline in source pixels, outwards */
	struct box resized; /* what Pillow would crop before it resizes; the whole picture for CROP_CENTER */
	uint32_t virtual_width_px, virtual_height_px;
	uint32_t window_x, window_y;
	bool flipped;
};

/* `sample` is the sample's number in the dataset; the picture is at least 1 x 1. */
void crop_choose(const struct crop_spec *spec, uint32_t epoch, uint64_t sample, uint32_t source_width_px, uint32_t source_height_px,
                 struct crop_view *view);

#endif
