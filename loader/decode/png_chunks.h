/*
 * png_chunks.h - stage 3 of 5, decode: the bytes of a PNG in, its header and the pieces of its compressed pixels out.
 *
 * Says yes only to what libpng takes as well; where it says no, libpng is asked and finds the words.  Format: PNG 3rd edition,
 * sections 5 and 11.2.
 */
#ifndef CROPRING_PNG_CHUNKS_H
#define CROPRING_PNG_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum png_color { PNG_GRAY = 0, PNG_RGB = 2, PNG_PALETTE = 3, PNG_GRAY_ALPHA = 4, PNG_RGBA = 6 };

struct png_header {
	uint32_t width_px, height_px;
	enum png_color color;
	uint32_t sample_bits, samples_per_px;
	bool interlaced;
	const uint8_t *palette; /* of color PNG_PALETTE: RGB, 1 to 256 entries */
	uint32_t palette_count;
	size_t idat_at; /* where the first IDAT chunk begins */
};

/* Reads up to the first IDAT.  Width and height are 1 to 2^31 - 1: limits are the caller's. */
bool png_chunks_header(const uint8_t *bytes, size_t byte_count, struct png_header *header);

/* Orientation from an eXIf chunk, which may stand before or after the pixels (section 11.3.4.3); 1 without one. */
uint8_t png_chunks_orientation(const uint8_t *bytes, size_t byte_count);

/* The data of the IDAT chunks, which follow one another. */
struct png_idat {
	const uint8_t *next;
	size_t left_bytes; /* of the file */
	uint32_t chunk_left_bytes, crc;
	bool in_chunk, damaged;
};

/* bytes begin with one of them. */
void png_idat_open(struct png_idat *idat, const uint8_t *bytes, size_t byte_count);

/* The next 1 to most_bytes bytes, all of one chunk; 0 at another chunk, at one that is cut off, and after a wrong CRC. */
uint32_t png_idat_next(struct png_idat *idat, uint32_t most_bytes, const uint8_t **data);

/* All chunks so far have the right CRC, after what png_idat_next() has left of the last one. */
bool png_idat_finish(struct png_idat *idat);

#endif
