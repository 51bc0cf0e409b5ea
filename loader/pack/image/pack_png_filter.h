/* pack_png_filter.h - part of `cropring pack`: a PNG's row of samples in, the same row filtered out.  Filters: PNG 3rd edition, section 9. */
#ifndef CROPRING_PACK_PNG_FILTER_H
#define CROPRING_PACK_PNG_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes 1 + byte_count bytes to out: the filter whose bytes, taken with a sign, have the smallest sum of absolute values, of equals the
 * first (section 12.7), and the filtered row.  above: NULL for a row that must need none above it.  trial: as large as out.
 */
void pack_png_filter(const uint8_t *row, const uint8_t *above, size_t byte_count, uint32_t px_bytes, uint8_t *out, uint8_t *trial);

/* The same for what filters do not help: palettes, and pixels of less than a byte. */
void pack_png_filter_none(const uint8_t *row, size_t byte_count, uint8_t *out);

#endif
