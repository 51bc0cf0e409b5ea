/* pack_bmp.h - part of `cropring pack --bmp-to-png`: a BMP in, the same picture as a PNG in segments out. */
#ifndef CROPRING_PACK_BMP_H
#define CROPRING_PACK_BMP_H

#include "loader/decode/decode.h"
#include "loader/pack/image/pack_image.h"

/*
 * Sets what pack_png_from_pixels() sets of *out; PACK_BMP, and no file, if the PNG would not be smaller or the picture is over
 * rules->most_memory_bytes.  Alpha, which the loader does not look at, is left out.  -ENOMEM.
 */
int pack_bmp(const struct pack_rules *rules, struct decoder *decoder, const struct file_bytes *source,
             const struct image_info *info, struct packed_image *out);

#endif
