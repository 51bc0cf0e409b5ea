/*
 * cut.h - what of a picture a row needs: the box by the crop rule, the resize of it, the region that must be decoded.
 *
 * Pure: the picture's header in, numbers out.  Where plan, decode and shape agree on coordinates.
 */
#ifndef CROPRING_CUT_H
#define CROPRING_CUT_H

#include "loader/decode/decode.h"
#include "loader/options.h"
#include "loader/plan/crop.h"
#include "loader/shape/resample.h"

struct cut_rule {
	enum resample_filter filter;
	enum fidelity fidelity;
	enum orientation_rule orientation;
	bool as_stored; /* see decode_want */
};

/* A picture as the crop rule sees it, and the region of it that the output needs. */
struct cut {
	struct image_info info;
	enum resample_filter filter;
	bool as_stored;
	uint8_t orientation;
	uint32_t width_px, height_px; /* upright */
	uint32_t scale_eighths;
	struct crop_view view;
	struct resample_axis x, y;
	uint32_t origin_x, origin_y; /* where the axes' pixel 0 lies in the upright (scaled) picture */
	struct box region;           /* upright, in the pixels of the (scaled) picture */
};

/* The cut of the picture that cut->info describes.  False: what is asked for does not lie in it; its size is there all the same. */
bool cut_choose(const struct crop_spec *crop, const struct cut_rule *rule, const struct crop_ask *ask, struct cut *cut);

/* The cut's region in the pixels of the stored picture. */
struct decode_want cut_want(const struct cut *cut, uint32_t channels);

#endif
