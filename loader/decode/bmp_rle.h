/* bmp_rle.h - stage 3 of 5, decode: the runs of an RLE4 or RLE8 BMP in, the pixels of a region out. */
#ifndef CROPRING_BMP_RLE_H
#define CROPRING_BMP_RLE_H

#include "loader/decode/bmp_header.h"

/*
 * header: with its palette.  indices: memory for region.width bytes, of which nothing is kept.  Rows before the region are walked
 * and rows after it are not looked at, so a file that breaks off after it is as good as whole.
 */
enum item_status bmp_rle_region(const struct bmp_header *header, const struct file_bytes *file, const struct box *region,
                                uint8_t *indices, const struct pixels *out, struct workspace *workspace);

#endif
