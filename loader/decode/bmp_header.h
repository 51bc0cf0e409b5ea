/*
 * bmp_header.h - stage 3 of 5, decode: the headers of a BMP in, what they say and where its rows lie out.
 *
 * Reads nothing but the start of the file, so that fetch can be told which rows to read.
 */
#ifndef CROPRING_BMP_HEADER_H
#define CROPRING_BMP_HEADER_H

#include <stdbool.h>

#include "loader/decode/unpack.h"
#include "loader/decode/workspace.h"

enum bmp_compression { BMP_PLAIN = 0, BMP_RLE8 = 1, BMP_RLE4 = 2, BMP_BITFIELDS = 3 }; /* the numbers are the file's */

struct bmp_header {
	uint32_t header_bytes; /* of the info header */
	uint32_t width_px, height_px;
	bool top_row_first;
	uint32_t compression; /* an enum bmp_compression */
	uint32_t palette_entries, palette_entry_bytes;
	uint64_t palette_at, palette_end, pixels_at; /* all may lie past the end of the file */
	uint64_t stride_bytes;                       /* of rows that are not run-length encoded */
	struct unpack unpack;                        /* the palette is left out */
};

/* ITEM_OK: the size is within the workspace's limits, and the pixels are of a kind that is read here. */
enum item_status bmp_header_parse(struct bmp_header *header, const struct file_bytes *file, struct workspace *workspace);

/* Fills header->unpack in for a picture of up to 8 bits; colours that the file lacks stay black. */
void bmp_header_read_palette(struct bmp_header *header, const struct file_bytes *file);

static inline bool bmp_header_has_runs(const struct bmp_header *header)
{
	return header->compression == BMP_RLE8 || header->compression == BMP_RLE4;
}

/* The number of the picture's row y, 0 at the top, in the order of the file. */
static inline uint32_t bmp_header_stored_row(const struct bmp_header *header, uint32_t y)
{
	return header->top_row_first ? y : header->height_px - 1 - y;
}

#endif
