/*
 * orient.h - EXIF orientation: where a box of the upright picture lies in the stored one, and turning the decoded pixels upright.
 *
 * Orientation values and their meaning: EXIF 2.32, tag 0x0112; the result equals Pillow's ImageOps.exif_transpose().
 */
#ifndef CROPRING_ORIENT_H
#define CROPRING_ORIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/pixels.h"

/* True for 5 to 8: width and height change places. */
bool orient_swaps_axes(uint8_t orientation);

/* Whether the upright picture's axes run against the stored picture's axis that they come from. */
void orient_mirrors(uint8_t orientation, bool *x_mirrored, bool *y_mirrored);

/* A box of the upright picture, in the coordinates of the stored one (stored_width_px x stored_height_px). */
struct box orient_box_to_stored(uint8_t orientation, struct box upright, uint32_t stored_width_px, uint32_t stored_height_px);

/* The other way round: a box of the stored picture in the coordinates of the upright one, whose size is given. */
struct box orient_box_to_upright(uint8_t orientation, struct box stored, uint32_t upright_width_px, uint32_t upright_height_px);

/* Of 1 to 3 channels.  Turns `stored` upright into `out->data` (out has the swapped size for 5 to 8; its memory is the caller's). */
void orient_pixels(uint8_t orientation, const struct pixels *stored, struct pixels *out);

#endif
