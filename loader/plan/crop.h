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
	CROP_BOX,    /* the box that is asked for */
	CROP_WINDOW, /* the rule of the crate parallel_image_crop: a share of the picture at a place told in shares of it */
};

/* What is the same for every sample. */
struct crop_spec {
	enum crop_rule rule; /* of samples that ask for none of their own */
	uint32_t out_width_px, out_height_px;
	double scale_min, scale_max; /* CROP_RANDOM_RESIZED: share of the picture's area */
	double ratio_min, ratio_max; /* CROP_RANDOM_RESIZED: width / height */
	double hflip;                /* probability of mirroring, 0 to 1; drawn for every rule */
	uint32_t short_side_px;      /* CROP_CENTER; at least the larger output side */
	float max_img_percent;       /* CROP_WINDOW: no window has a larger share of each side */
	uint64_t seed;
};

/* Where a window begins and how large it is, as shares of the picture's sides, each in [0, 1]. */
struct crop_window {
	float x, y, scale;
};

/* What is asked for one sample. */
struct crop_ask {
	enum crop_rule rule;
	uint32_t epoch;
	uint64_t
		key; /* with the epoch, the counter of the random numbers: the sample's number, or another where it comes several times */
	union {
		struct box box;            /* CROP_BOX */
		struct crop_window window; /* CROP_WINDOW */
	};
};

/* What --crop asks for each sample; not for CROP_BOX and CROP_WINDOW, where each sample has numbers of its own. */
static inline struct crop_ask crop_usual_ask(const struct crop_spec *spec, uint32_t epoch, uint64_t sample)
{
	return (struct crop_ask){.rule = spec->rule, .epoch = epoch, .key = sample};
}

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

/* The picture is at least 1 x 1.  False: CROP_BOX, and the box does not lie in the picture. */
bool crop_choose(const struct crop_spec *spec, const struct crop_ask *ask, uint32_t source_width_px, uint32_t source_height_px,
                 struct crop_view *view);

#endif
