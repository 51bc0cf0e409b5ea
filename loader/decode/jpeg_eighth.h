/*
 * jpeg_eighth.h - stage 3 of 5, decode: a gray JPEG and a region at an eighth of its size in, that region's pixels out.
 */
#ifndef CROPRING_JPEG_EIGHTH_H
#define CROPRING_JPEG_EIGHTH_H

#include "loader/decode/workspace.h"

/*
 * The pixels that libjpeg gives.  False: let libjpeg decode it, for it is of another kind, or not as it should be up to the region's
 * last row, or little would be won; rows that were handed out do not count.
 */
bool jpeg_eighth_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                      const struct decode_want *want, const struct decode_sink *sink);

#endif
