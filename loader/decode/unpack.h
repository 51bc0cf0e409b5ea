/*
 * unpack.h - stage 3 of 5, decode: a raw row of a PNG or BMP in, RGB or luma of some of its columns out.
 *
 * Alpha is dropped.  16-bit samples keep their high byte, which is what Pillow does for colour; for 16-bit gray, where Pillow's
 * convert("RGB") cuts everything over 255 to white, we keep the high byte as well.
 */
#ifndef CROPRING_UNPACK_H
#define CROPRING_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a pixel is stored. */
enum unpack_kind {
	UNPACK_INDEX, /* 1, 2, 4 or 8 bits, first pixel in the high bits: number of a palette entry */
	UNPACK_BYTES, /* red, green and blue are bytes of the pixel */
	UNPACK_555,   /* 16 bits, little endian: 1 unused, red, green, blue */
	UNPACK_565,
};

struct unpack {
	enum unpack_kind kind;
	uint32_t pixel_bits;
	uint8_t red_at, green_at, blue_at; /* UNPACK_BYTES: offsets in the pixel, all the same for gray */
	uint8_t palette[256 + 1][3];       /* UNPACK_INDEX; entries that the file lacks are black; 4 bytes of each can be read */
};

/* Rows that already are what is wanted: 8-bit gray as luma, 8-bit RGB as RGB. */
bool unpack_is_copy(const struct unpack *unpack, uint32_t channels);

/* `row` points at the row's pixel 0; writes width_px * channels bytes, for the pixels from x on. */
void unpack_row(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint32_t channels, uint8_t *out);

#endif
