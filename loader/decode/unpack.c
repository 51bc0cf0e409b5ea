/* Stage 3 of 5, decode: a raw row of a PNG or BMP in, RGB or luma of some of its columns out.  Any thread. */
#include <string.h>

#include "loader/decode/luma.h"
#include "loader/decode/unpack.h"

struct rgb {
	uint8_t red, green, blue;
};

static inline uint8_t *put(struct rgb pixel, uint32_t channels, uint8_t *out)
{
	if (channels == 1) {
		*out++ = luma(pixel.red, pixel.green, pixel.blue);
	} else {
		*out++ = pixel.red;
		*out++ = pixel.green;
		*out++ = pixel.blue;
	}
	return out;
}

static void unpack_indices(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint32_t channels,
                           uint8_t *out)
{
	unsigned mask = (1u << unpack->pixel_bits) - 1;

	for (uint32_t i = 0; i < width_px; i++) {
		size_t bit = ((size_t)x + i) * unpack->pixel_bits;
		unsigned byte = row[bit / 8];
		const uint8_t *entry = unpack->palette[byte >> (8 - unpack->pixel_bits - bit % 8) & mask];

		out = put((struct rgb){entry[0], entry[1], entry[2]}, channels, out);
	}
}

/* A value of `max` parts in 255; Pillow rounds down too (Unpack.c, BGR;15 and BGR;16). */
static uint8_t widen(unsigned value, unsigned max)
{
	return (uint8_t)(value * 255 / max);
}

static void unpack_16_bits(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	for (uint32_t i = 0; i < width_px; i++, in += 2) {
		unsigned value = in[0] | (unsigned)in[1] << 8;
		struct rgb pixel = {.blue = widen(value & 31, 31)};

		if (unpack->kind == UNPACK_565) {
			pixel.green = widen(value >> 5 & 63, 63);
			pixel.red = widen(value >> 11, 31);
		} else {
			pixel.green = widen(value >> 5 & 31, 31);
			pixel.red = widen(value >> 10 & 31, 31);
		}
		out = put(pixel, channels, out);
	}
}

static void unpack_bytes(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	size_t pixel_bytes = unpack->pixel_bits / 8;

	for (uint32_t i = 0; i < width_px; i++, in += pixel_bytes)
		out = put((struct rgb){in[unpack->red_at], in[unpack->green_at], in[unpack->blue_at]}, channels, out);
}

bool unpack_is_copy(const struct unpack *unpack, uint32_t channels)
{
	return unpack->kind == UNPACK_BYTES && unpack->pixel_bits == 8 * channels && unpack->red_at == 0 &&
	       (channels == 1 || (unpack->green_at == 1 && unpack->blue_at == 2));
}

void unpack_row(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	const uint8_t *in = row + (size_t)x * (unpack->pixel_bits / 8);

	switch (unpack->kind) {
	case UNPACK_INDEX:
		unpack_indices(unpack, row, x, width_px, channels, out);
		break;
	case UNPACK_BYTES:
		if (unpack_is_copy(unpack, channels))
			memcpy(out, in, (size_t)width_px * channels);
		else
			unpack_bytes(unpack, in, width_px, channels, out);
		break;
	case UNPACK_555:
	case UNPACK_565:
		unpack_16_bits(unpack, in, width_px, channels, out);
		break;
	}
}
