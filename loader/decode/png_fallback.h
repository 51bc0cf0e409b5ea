/*
 * png_fallback.h - stage 3 of 5, decode: a PNG in memory in, its header or the pixels of a region out, by libpng.
 *
 * For what decode_png.c does not read itself: interlaced pictures, and whatever is damaged or odd, of which libpng is the judge.
 */
#ifndef CROPRING_PNG_FALLBACK_H
#define CROPRING_PNG_FALLBACK_H

#include "loader/decode/workspace.h"

/* Sets all but the orientation; any width and height. */
enum item_status png_fallback_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info);

/* As decode_rows(). */
enum item_status png_fallback_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                   const struct decode_want *want, const struct decode_sink *sink);

#endif
