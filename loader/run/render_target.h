/*
 * render_target.h - stages 3 and 4 for a row's target: the second picture of a sample, cut like its image, its values untouched.
 *
 * What an image is made of are colours, which may be blended; what a target holds are numbers, which may only be moved.
 */
#ifndef CROPRING_RENDER_TARGET_H
#define CROPRING_RENDER_TARGET_H

#include "loader/run/passage.h"
#include "loader/run/render.h"

/* What such a target is cut by: the image's crop and orientation, nearest, never at a reduced size. */
struct cut_rule render_target_rule(const struct render_spec *spec, const struct image_info *info);

/*
 * Fills row->target.  The row holds its image already, of row->source_size, whose cut follows from `ask`: a target of that size is
 * cut in the same place.
 */
enum item_status render_target(struct passage *passage, const struct render_spec *spec, const struct file_bytes *file,
                               const struct crop_ask *ask, const struct render_row *row, uint64_t *shape_ns);

#endif
