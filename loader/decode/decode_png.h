/*
 * decode_png.h - stage 3 of 5, decode: a PNG in memory in, its header or the pixels of a region out.
 *
 * Nothing after the region's last row is inflated, nothing but IHDR, PLTE and IDAT is looked at (and eXIf when probing).  With the
 * picture's last row the end of its data is read too; more than 64 KB there are refused.  Gamma, profiles and transparency are
 * ignored; alpha is dropped.
 */
#ifndef CROPRING_DECODE_PNG_H
#define CROPRING_DECODE_PNG_H

#include "loader/decode/workspace.h"

/* As decode_probe() and decode_rows(). */
enum item_status decode_png_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info);
enum item_status decode_png_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                 const struct decode_want *want, const struct decode_sink *sink);

#endif
