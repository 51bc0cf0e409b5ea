/*
 * luma.h - the gray value of an RGB pixel, as Pillow's convert("L") computes it.
 *
 * ITU-R BT.601 weights in 16-bit fixed point, rounded.  Source: Pillow, src/libImaging/Convert.c, L24.
 */
#ifndef CROPRING_LUMA_H
#define CROPRING_LUMA_H

#include <stdint.h>

enum { LUMA_RED = 19595, LUMA_GREEN = 38470, LUMA_BLUE = 7471, LUMA_HALF = 0x8000 };

static inline uint8_t luma(uint32_t red, uint32_t green, uint32_t blue)
{
	return (uint8_t)((red * LUMA_RED + green * LUMA_GREEN + blue * LUMA_BLUE + LUMA_HALF) >> 16);
}

#endif
