/*
 * pack_png.h - part of `cropring pack`: a PNG in, the same picture as a PNG in segments out.
 *
 * A segment is one IDAT chunk of so many rows, whose first row needs none above it and whose bytes need none before them.  The
 * result is an ordinary PNG, with the source's filters in all other rows.  Deterministic; any thread.
 */
#ifndef CROPRING_PACK_PNG_H
#define CROPRING_PACK_PNG_H

#include "loader/pack/image/pack_image.h"
#include "loader/pixels.h"

/*
 * Sets all of *out, which is empty, but the checksum; if its outcome is not PACK_SEGMENTED, out->is_source and neither file nor
 * table nor image.  Not compared with the source.  -ENOMEM.
 */
int pack_png(const struct pack_rules *rules, const uint8_t *source, size_t source_bytes, struct packed_image *out);

/*
 * The same of a BMP's pixels: 3 channels are RGB, 1 is gray, or with a palette of 1 to 256 entries an index into it.  A small picture
 * becomes a PNG of one segment.
 */
int pack_png_from_pixels(const struct pack_rules *rules, const struct pixels *pixels, const uint8_t (*palette)[3],
                         uint32_t palette_count, struct packed_image *out);

/* Memory that pack_png() takes for a file that begins so, its result included; 0: it is not a PNG, or will be stored as it is. */
uint64_t pack_png_memory_bytes(const struct pack_rules *rules, const uint8_t *head, size_t head_bytes, size_t source_bytes);

#endif
