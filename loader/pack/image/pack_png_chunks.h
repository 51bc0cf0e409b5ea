/*
 * pack_png_chunks.h - part of `cropring pack`: a PNG's chunks in, those of the packed one before and after its pixels out.
 *
 * What makes the picture (IHDR, PLTE, tRNS) is kept; of the rest only the EXIF orientation, or all with keep_metadata.  Then metadata
 * lie outside of the table's two head runs, as far as PNG's order permits (3rd edition, section 5.6): what must come before PLTE
 * lies between them, all else behind.  Chunks of unknown types that must not be copied to a changed file (section 14.2) are left out.
 */
#ifndef CROPRING_PACK_PNG_CHUNKS_H
#define CROPRING_PACK_PNG_CHUNKS_H

#include "loader/pack/image/pack_png_source.h"
#include "loader/segment_table.h"

/* Appends signature and IHDR of a picture that is not interlaced. */
int pack_png_chunks_begin(const struct png_header *header, struct bytes *file);

int pack_png_chunks_append(const char type[4], const uint8_t *data, uint32_t data_bytes, struct bytes *file);

/* All that comes before the pixels; sets the table's head runs and data_at. */
int pack_png_chunks_head(const struct pack_png_source *source, bool keep_metadata, struct bytes *file,
                         struct segment_table_header *table);

/* All that comes after them; with keep_metadata what follows IEND as well. */
int pack_png_chunks_tail(const struct pack_png_source *source, bool keep_metadata, struct bytes *file);

#endif
