/* mirror.h - a row of pixels from right to left; shared by orient.c and resample.c. */
#ifndef CROPRING_MIRROR_H
#define CROPRING_MIRROR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t mirror_bytes __attribute__((vector_size(16)));

/* `in` and `out` hold width_px pixels of 1, 2 or 3 bytes each, and must not overlap. */
static inline void mirror_row(const uint8_t *restrict in, size_t width_px, size_t channels, uint8_t *restrict out)
{
	const uint8_t *from = in + width_px * channels;
	mirror_bytes bytes;

	if (channels == 1) {
		for (; width_px >= 16; width_px -= 16, out += 16) {
			from -= 16;
			memcpy(&bytes, from, 16);
			bytes = __builtin_shufflevector(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
			memcpy(out, &bytes, 16);
		}
	} else if (channels == 3) {
		/* Five pixels at a time; the 16th byte belongs to a pixel that is still to come, and is written again then. */
		for (; width_px >= 6; width_px -= 5, out += 15) {
			from -= 15;
			memcpy(&bytes, from - 1, 16);
			bytes = __builtin_shufflevector(bytes, bytes, 13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0);
			memcpy(out, &bytes, 16);
		}
	}
	for (; width_px > 0; width_px--, out += channels) {
		from -= channels;
		memcpy(out, from, channels);
	}
}

#endif
