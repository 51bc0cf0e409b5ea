/*
 * decode_jpeg.h - stage 3 of 5, decode: a JPEG in memory in, its header or the pixels of a region out.
 *
 * libjpeg-turbo with its default settings (ISLOW DCT, fancy upsampling).  A warning about the pixels is a failure: a picture is
 * delivered whole or not at all.  CMYK and YCCK become RGB as Pillow converts them (inverted, Adobe's convention).
 */
#ifndef CROPRING_DECODE_JPEG_H
#define CROPRING_DECODE_JPEG_H

#include "loader/decode/workspace.h"

/* As decode_probe() and decode_region(); on success *out describes memory of the workspace. */
enum item_status decode_jpeg_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info);
enum item_status decode_jpeg_region(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                    const struct decode_want *want, struct pixels *out);

#endif
