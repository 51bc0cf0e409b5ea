/*
 * decode_jpeg.h - stage 3 of 5, decode: a JPEG in memory in, its header or the pixels of a region out.
 *
 * libjpeg-turbo with its default settings (ISLOW DCT, fancy upsampling); regions equal the crop of a whole decode, byte for byte.
 * CMYK and YCCK become RGB as Pillow converts them (inverted, Adobe's convention).
 *
 * A warning about the pixels is a failure: a region is delivered whole or not at all.  What lies behind its last row in a file of
 * one scan is never read, so damage there is no failure; damage above it is, for its codes must be gone through (unless the file has
 * restart markers, see jpeg_splice.h).  A file of several scans is read to its end.  Arithmetic coding has no redundancy: cut off
 * before an end marker, its rest is not known to be wrong (Pillow does not see it either).
 *
 * Both calls read the bytes for themselves, so a region may come from other bytes than those that were probed, as long as `info` has
 * the width and height that these bytes tell.  Of a file with a gap only what lies before it is read.
 */
#ifndef CROPRING_DECODE_JPEG_H
#define CROPRING_DECODE_JPEG_H

#include "loader/decode/workspace.h"

/* As decode_probe() and decode_rows(). */
enum item_status decode_jpeg_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info);
enum item_status decode_jpeg_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                  const struct decode_want *want, const struct decode_sink *sink);

#endif
