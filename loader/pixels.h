/* pixels.h - the two plain structs that decode hands to shape: a box and a block of 8-bit pixels. */
#ifndef CROPRING_PIXELS_H
#define CROPRING_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* Left, top, width and height in pixels; always inside the image that it speaks of. */
struct box {
	int32_t x, y, width, height;
};

/*
 * Rows of interleaved 8-bit samples, top row first: 1 channel = luma, 3 = RGB; 2 = one value of 16 bits in the machine's order, of a
 * target.  Whoever made it owns `data`.
 */
struct pixels {
	uint8_t *data;
	size_t stride_bytes;
	uint32_t width_px, height_px, channels;
};

#endif
