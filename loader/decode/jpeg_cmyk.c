/*
 * Stage 3 of 5, decode: a row of inverted CMYK in, RGB or gray out.  Any thread.
 *
 * Formula: Pillow, src/libImaging/Unpack.c ("CMYK;I") and Convert.c (cmyk2rgb).
 */
#include "loader/decode/jpeg_cmyk.h"

#include "loader/decode/luma.h"

void jpeg_cmyk_convert(const uint8_t *cmyk, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	for (uint32_t i = 0; i < width_px; i++, cmyk += 4, out += channels) {
		int white = cmyk[3], rgb[3];

		for (int c = 0; c < 3; c++) {
			int product = (255 - cmyk[c]) * white + 128;

			rgb[c] = white - ((product >> 8) + product) / 256; /* product / 255, rounded; never more than white */
		}
		if (channels == 1) {
			out[0] = luma((uint32_t)rgb[0], (uint32_t)rgb[1], (uint32_t)rgb[2]);
		} else {
			for (int c = 0; c < 3; c++)
				out[c] = (uint8_t)rgb[c];
		}
	}
}
