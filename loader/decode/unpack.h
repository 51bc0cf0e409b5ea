/*
 * unpack.h - stage 3 of 5, decode: a raw row of a PNG or BMP in, RGB, luma or stored values of some of its columns out.
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
	UNPACK_STORED, /* 1, 2, 4 or 8 bits, first pixel in the high bits, or 16, high byte first: the value itself */
};

struct unpack {
	enum unpack_kind kind;
	uint32_t pixel_bits;
	uint8_t red_at, green_at, blue_at; /* UNPACK_BYTES: offsets in the pixel, all the same for gray */
	uint8_t factor;                    /* UNPACK_STORED of up to 8 bits: what values are multiplied by */
	uint8_t palette[256 + 1][3];       /* UNPACK_INDEX; entries that the file lacks are black; 4 bytes of each can be read */
};

/* Pillow spreads gray of 2 and 4 bits over 0 to 255, and leaves that of 1 bit and palette indexes as they are. */
static inline uint8_t unpack_gray_factor(uint32_t sample_bits, bool is_index)
{
	return is_index || (sample_bits != 2 && sample_bits != 4) ? 1 : sample_bits == 2 ? 85 : 17;
}

/* A PNG's pixels; a palette's entries are the caller's to fill in. */
void unpack_describe_png(struct unpack *unpack, uint32_t sample_bits, uint32_t samples_per_px, bool is_index, bool as_stored);

/* Rows that already are what is wanted: 8-bit gray as luma, 8-bit RGB as RGB, values of 8 bits as stored. */
bool unpack_is_copy(const struct unpack *unpack, uint32_t channels);

/*
 * `row` points at the row's pixel 0; writes width_px * channels bytes, for the pixels from x on.  UNPACK_STORED: channels are the
 * bytes of a value, 2 of 16 bits, in the machine's order.
 */
void unpack_row(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint32_t channels, uint8_t *out);

#endif
