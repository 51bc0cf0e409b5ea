/*
 * png_pieces.h - stage 3 of 5, decode: a PNG's filtered rows in, from the first one that is needed, the pixels of a region out.
 *
 * What reading a file from its begin (png_own.h) and from one of its segments (png_segments.h) have in common.
 */
#ifndef CROPRING_PNG_PIECES_H
#define CROPRING_PNG_PIECES_H

#include "loader/decode/png_chunks.h"
#include "loader/decode/workspace.h"

/* Rows that follow one another: each is its filter's number and its samples. */
struct png_row_source {
	/* Fills in the next row_count rows; on a failure workspace->reason says why. */
	enum item_status (*read)(void *context, uint8_t *to, uint32_t row_count, size_t row_bytes);
	void *context;
	uint32_t first_row; /* of the picture: not after the region's first, and either row 0 or one that needs none above it */
};

/* As decode_rows(), of a picture that is not interlaced.  ITEM_CORRUPT as well for a filter that there is not. */
enum item_status png_pieces_rows(struct workspace *workspace, const struct png_header *header, const struct png_row_source *source,
                                 const struct decode_want *want, const struct decode_sink *sink);

#endif
