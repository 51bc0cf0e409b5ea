/* bmp_rle.h - stage 3 of 5, decode: the runs of an RLE4 or RLE8 BMP in, the indices of a region's pixels out. */
#ifndef CROPRING_BMP_RLE_H
#define CROPRING_BMP_RLE_H

#include "loader/decode/bmp_header.h"

/*
 * indices: memory for a byte of each of the region's pixels, which becomes the number of its palette entry.  Rows before the region are walked
 * and rows after it are not looked at, so a file that breaks off after it is as good as whole.
 */
enum item_status bmp_rle_region(const struct bmp_header *header, const struct file_bytes *file, const struct box *region,
                                uint8_t *indices, struct workspace *workspace);

#endif
