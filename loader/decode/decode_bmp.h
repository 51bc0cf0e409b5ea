/*
 * decode_bmp.h - stage 3 of 5, decode: a BMP in memory in, its header or the pixels of a region out.
 *
 * A reader of its own for files of 1, 4, 8, 16, 24 and 32 bits, of which only the region's rows need be there, and for the
 * run-length encoded ones of up to 8 bits, which are read from their start to the region's end.
 */
#ifndef CROPRING_DECODE_BMP_H
#define CROPRING_DECODE_BMP_H

#include "loader/decode/workspace.h"

/* As decode_probe() and decode_rows(). */
enum item_status decode_bmp_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info);
enum item_status decode_bmp_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                 const struct decode_want *want, const struct decode_sink *sink);

/* As decode_part(). */
bool decode_bmp_part(const struct file_bytes *head, const struct image_info *info, const struct decode_want *want,
                     struct file_part *part);

#endif
