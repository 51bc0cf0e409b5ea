/*
 * pack_png_idat.h - part of `cropring pack`: a PNG's filtered rows in, its IDAT chunks out, one for each segment.
 *
 * One deflate stream over all rows.  After each segment it is flushed and forgets what came before (Z_FULL_FLUSH).
 */
#ifndef CROPRING_PACK_PNG_IDAT_H
#define CROPRING_PACK_PNG_IDAT_H

#include <zlib.h>

#include "loader/pack/image/pack_image.h"

struct pack_png_idat {
	struct packed_image *out;      /* chunks are appended to out->file */
	size_t most_bytes;             /* which must not become larger than this */
	uint32_t unit, height_px, row; /* rows of a segment; of the picture; that are there */
	size_t row_bytes;              /* with the filter */
	size_t data_at, chunk_at;      /* the first segment; the one that is being written */
	uint64_t *ends;                /* of the segments, from data_at on */
	uint32_t segment_count;        /* that are there */
	int level;
	uint8_t *buffer;
	z_stream stream;
};

/* All: 0, -ENOMEM, or -EBADMSG after pack_png_refuse().  Close it in any case. */
int pack_png_idat_open(struct pack_png_idat *idat, const struct pack_rules *rules, uint32_t unit, uint32_t height_px,
                       size_t row_bytes, size_t most_bytes, struct packed_image *out);
/* With the last row the stream ends.  How a segment is deflated is chosen by those of its rows that come first in one call. */
int pack_png_idat_add(struct pack_png_idat *idat, const uint8_t *rows, uint32_t row_count);
void pack_png_idat_close(struct pack_png_idat *idat);

/* What it takes beside the file. */
uint64_t pack_png_idat_memory_bytes(uint32_t segment_count);

#endif
