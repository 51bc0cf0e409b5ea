/*
 * luma.h - the gray value of an RGB pixel, as Pillow's convert("L") computes it.
 *
 * ITU-R BT.601 weights in 16-bit fixed point, rounded.  Source: Pillow, src/libImaging/Convert.c, L24.
 */
#ifndef CROPRING_LUMA_H
#define CROPRING_LUMA_H

#include <stdint.h>

static inline uint8_t luma(uint32_t red, uint32_t green, uint32_t blue)
{
	return (uint8_t)((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

#endif
