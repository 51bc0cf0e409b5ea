/* jpeg_cmyk.h - stage 3 of 5, decode: CMYK pixels as Adobe stores them in, RGB or gray as Pillow converts them out. */
#ifndef CROPRING_JPEG_CMYK_H
#define CROPRING_JPEG_CMYK_H

#include <stdint.h>

/* A row of width_px pixels; `channels` is 3 for RGB, 1 for the luma of that RGB. */
void jpeg_cmyk_convert(const uint8_t *cmyk, uint32_t width_px, uint32_t channels, uint8_t *out);

#endif
