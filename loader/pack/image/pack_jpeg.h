/* pack_jpeg.h - part of `cropring pack`: a JPEG in; a baseline JPEG with the same coefficients, in restart intervals, out. */
#ifndef CROPRING_PACK_JPEG_H
#define CROPRING_PACK_JPEG_H

#include "loader/pack/image/pack_image.h"

/*
 * Sets file, table, outcome and reason of *out, which is empty.  A file is there if the outcome is PACK_SEGMENTED or PACK_SMALL; of
 * the latter it is there only if it is smaller than the source.  -ENOMEM, and *out is to be closed all the same.
 *
 * Progressive, arithmetic-coded and non-interleaved files become baseline ones of one scan.  Where libjpeg warns of anything, the file
 * is stored as it is.
 */
int pack_jpeg(const struct pack_rules *rules, const uint8_t *source, size_t source_bytes, struct packed_image *out);

#endif
