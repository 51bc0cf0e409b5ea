/*
 * png_unfilter.h - stage 3 of 5, decode: filtered rows of a PNG in, their samples out, in the same place.
 *
 * Filters work on bytes whatever the samples are: PNG 3rd edition, section 9.
 */
#ifndef CROPRING_PNG_UNFILTER_H
#define CROPRING_PNG_UNFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/simd.h"

enum png_filter { PNG_FILTERED_NONE, PNG_FILTERED_SUB, PNG_FILTERED_UP, PNG_FILTERED_AVERAGE, PNG_FILTERED_PAETH };

/* What must lie before the row above and after the last row, in memory: vectors are read from there, and never written. */
#define PNG_UNFILTER_MARGIN_BYTES 64

/* Each row is its filter's number, one of the above, and its samples.  The row above the first lies before it. */
struct png_rows {
	uint8_t *data;
	size_t row_bytes;
	uint32_t row_count;
	uint32_t width_px; /* how many pixels of each row are wanted, from the left */
	uint32_t px_bytes; /* 1 to 4, 6 or 8; of less than a byte: 1, and width_px counts bytes */
};

void png_unfilter(const struct png_rows *rows, enum simd_level level);

/*
 * For png_unfilter.c: several rows at once, with vectors; px_bytes is up to 4.  Returns how many were unfiltered, from the first on; 0 when these rows
 * are done as fast one at a time.
 */
uint32_t png_unfilter_avx2(const struct png_rows *rows);

#endif
