/* pack_png_adam7.h - part of `cropring pack`: the seven pictures of an interlaced PNG in, its rows of samples out. */
#ifndef CROPRING_PACK_PNG_ADAM7_H
#define CROPRING_PACK_PNG_ADAM7_H

#include "loader/pack/image/pack_png_source.h"

/* pixels: pack_png_row_bytes() for each row, all zero.  0, -ENOMEM, or -EBADMSG after pack_png_refuse(). */
int pack_png_adam7(struct pack_png_rows *rows, uint8_t *pixels, struct packed_image *out);

/* What it takes beside the pixels. */
uint64_t pack_png_adam7_memory_bytes(const struct png_header *header);

#endif
