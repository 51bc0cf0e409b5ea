/* cut.c - a picture's header in, the region to decode and the resize of it out.  Any thread. */
#include "loader/run/cut.h"

#include "loader/shape/orient.h"

/*
 * The largest DCT-domain reduction that still leaves the box at least as large as what it is resized to.  Halves only: libjpeg-turbo
 * takes longer for 7/8 to 5/8 than for the whole (bench/README.md, fidelity), and gains next to nothing from 4/8 to 3/8.
 */
static uint32_t choose_scale_eighths(enum fidelity fidelity, const struct image_info *info, const struct crop_view *view)
{
	uint32_t eighths = 8;

	if (fidelity != FIDELITY_FAST || info->format != IMAGE_JPEG)
		return 8;
	while (eighths > 1 && (uint64_t)view->resized.width * (eighths / 2) >= (uint64_t)view->virtual_width_px * 8 &&
	       (uint64_t)view->resized.height * (eighths / 2) >= (uint64_t)view->virtual_height_px * 8)
		eighths /= 2;
	return eighths;
}

/*
 * exact: the axis is the box alone, as if it had been cropped first (Pillow's crop().resize()).
 * Scaled: the axis is the whole reduced picture, of which the box is a fractional part (Pillow's resize(box=)).  A reduced pixel
 * stands for 8/eighths source pixels, the last one perhaps for fewer; on a mirrored axis that one comes first.
 */
static struct resample_axis make_axis(int32_t box_begin, int32_t box_px, uint32_t full_px, bool mirrored, uint32_t scale_eighths,
                                      uint32_t virtual_px, uint32_t window_begin, uint32_t out_px)
{
	struct resample_axis axis = {.virtual_px = virtual_px, .first = window_begin, .out_px = out_px};

	if (scale_eighths == 8) {
		axis.in_px = (uint32_t)box_px;
		axis.in1 = box_px;
	} else {
		double scale = scale_eighths / 8.0, begin;

		axis.in_px = decode_scaled_px(full_px, scale_eighths);
		begin = mirrored ? axis.in_px - full_px * scale : 0;
		axis.in0 = begin + box_begin * scale;
		axis.in1 = begin + (box_begin + box_px) * scale;
	}
	return axis;
}

bool cut_choose(const struct crop_spec *crop, const struct cut_rule *rule, const struct crop_ask *ask, struct cut *cut)
{
	uint32_t left, right, top, bottom;
	const struct crop_view *view = &cut->view;
	bool swapped, x_mirrored, y_mirrored;

	cut->filter = rule->filter;
	cut->as_stored = rule->as_stored;
	cut->orientation = rule->orientation == ORIENTATION_EXIF ? cut->info.orientation : 1;
	swapped = orient_swaps_axes(cut->orientation);
	orient_mirrors(cut->orientation, &x_mirrored, &y_mirrored);
	cut->width_px = swapped ? cut->info.height_px : cut->info.width_px;
	cut->height_px = swapped ? cut->info.width_px : cut->info.height_px;
	if (!crop_choose(crop, ask, cut->width_px, cut->height_px, &cut->view))
		return false;

	cut->scale_eighths = choose_scale_eighths(rule->fidelity, &cut->info, view);
	cut->x = make_axis(view->resized.x, view->resized.width, cut->width_px, x_mirrored, cut->scale_eighths,
	                   view->virtual_width_px, view->window_x, crop->out_width_px);
	cut->y = make_axis(view->resized.y, view->resized.height, cut->height_px, y_mirrored, cut->scale_eighths,
	                   view->virtual_height_px, view->window_y, crop->out_height_px);
	cut->origin_x = cut->scale_eighths == 8 ? (uint32_t)view->resized.x : 0;
	cut->origin_y = cut->scale_eighths == 8 ? (uint32_t)view->resized.y : 0;

	resample_extent(cut->filter, &cut->x, &left, &right);
	resample_extent(cut->filter, &cut->y, &top, &bottom);
	cut->region = (struct box){.x = (int32_t)(cut->origin_x + left),
	                           .y = (int32_t)(cut->origin_y + top),
	                           .width = (int32_t)(right - left),
	                           .height = (int32_t)(bottom - top)};
	return true;
}

struct decode_want cut_want(const struct cut *cut, uint32_t channels)
{
	return (struct decode_want){
		.region = orient_box_to_stored(cut->orientation, cut->region,
	                                       decode_scaled_px(cut->info.width_px, cut->scale_eighths),
	                                       decode_scaled_px(cut->info.height_px, cut->scale_eighths)),
		.channels = channels,
		.scale_eighths = cut->scale_eighths,
		.as_stored = cut->as_stored,
	};
}
