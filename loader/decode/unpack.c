/* Stage 3 of 5, decode: a raw row of a PNG or BMP in, RGB, luma or values of some columns out.  Any thread. */
#include <string.h>
#if defined(__SSSE3__)
#include <tmmintrin.h>
#endif

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

/* Four bytes at a time, of which the next pixel overwrites the last: 3.3 times as fast. */
static void look_up_rgb(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint8_t *out)
{
	for (uint32_t i = 0; i + 1 < width_px; i++, out += 3)
		memcpy(out, unpack->palette[in[i]], 4);
	memcpy(out, unpack->palette[in[width_px - 1]], 3);
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

#if defined(__SSSE3__)
/*
 * 16 bytes at a time, which every x86-64-v2 has: 3 to 6 times as fast as the plain loop, 4 of the 17 us that a quarter of 512x512
 * took.  Both return how many pixels they did; the last few of a row are left, lest a step reads or writes past it.
 */
static uint32_t shuffle_to_rgb(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint8_t *out)
{
	uint32_t pixel_bytes = unpack->pixel_bits / 8, step_px = pixel_bytes < 4 ? 5 : 4, done_px = 0;
	uint64_t in_bytes = (uint64_t)width_px * pixel_bytes, out_bytes = (uint64_t)width_px * 3;
	_Alignas(16) uint8_t from[16] = {0};
	__m128i order;

	for (uint32_t i = 0; i < step_px; i++) {
		from[3 * i] = (uint8_t)(i * pixel_bytes + unpack->red_at);
		from[3 * i + 1] = (uint8_t)(i * pixel_bytes + unpack->green_at);
		from[3 * i + 2] = (uint8_t)(i * pixel_bytes + unpack->blue_at);
	}
	order = _mm_load_si128((const __m128i *)from);
	for (; done_px * (uint64_t)pixel_bytes + 16 <= in_bytes && done_px * (uint64_t)3 + 16 <= out_bytes; done_px += step_px) {
		__m128i pixels = _mm_loadu_si128((const __m128i *)(in + (size_t)done_px * pixel_bytes));

		_mm_storeu_si128((__m128i *)(out + (size_t)done_px * 3), _mm_shuffle_epi8(pixels, order));
	}
	return done_px;
}

/* luma(), whose weights are 16 bits with a sign here: green comes twice, at half its weight. */
static uint32_t shuffle_to_luma(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint8_t *out)
{
	const __m128i red_green_weights = _mm_set1_epi32(LUMA_RED | LUMA_GREEN / 2 << 16);
	const __m128i green_blue_weights = _mm_set1_epi32(LUMA_GREEN / 2 | LUMA_BLUE << 16);
	uint32_t pixel_bytes = unpack->pixel_bits / 8, done_px = 0;
	uint64_t in_bytes = (uint64_t)width_px * pixel_bytes;
	_Alignas(16) uint8_t from[2][16];
	__m128i red_green, green_blue;

	memset(from, 0x80, sizeof from); /* gives 0 */
	for (uint32_t i = 0; i < 4; i++) {
		from[0][4 * i] = (uint8_t)(i * pixel_bytes + unpack->red_at);
		from[0][4 * i + 2] = from[1][4 * i] = (uint8_t)(i * pixel_bytes + unpack->green_at);
		from[1][4 * i + 2] = (uint8_t)(i * pixel_bytes + unpack->blue_at);
	}
	red_green = _mm_load_si128((const __m128i *)from[0]);
	green_blue = _mm_load_si128((const __m128i *)from[1]);
	for (; (done_px + UINT64_C(12)) * pixel_bytes + 16 <= in_bytes; done_px += 16) {
		__m128i gray[4];

		for (uint32_t i = 0; i < 4; i++) {
			__m128i pixels = _mm_loadu_si128((const __m128i *)(in + ((size_t)done_px + 4 * i) * pixel_bytes));
			__m128i sum = _mm_add_epi32(_mm_madd_epi16(_mm_shuffle_epi8(pixels, red_green), red_green_weights),
			                            _mm_madd_epi16(_mm_shuffle_epi8(pixels, green_blue), green_blue_weights));

			gray[i] = _mm_srli_epi32(_mm_add_epi32(sum, _mm_set1_epi32(LUMA_HALF)), 16);
		}
		_mm_storeu_si128((__m128i *)(out + done_px),
		                 _mm_packus_epi16(_mm_packs_epi32(gray[0], gray[1]), _mm_packs_epi32(gray[2], gray[3])));
	}
	return done_px;
}
#endif

static void unpack_bytes(const struct unpack *unpack, const uint8_t *in, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	size_t pixel_bytes = unpack->pixel_bits / 8;
	uint32_t done_px = 0;

#if defined(__SSSE3__)
	if (pixel_bytes <= 4)
		done_px = channels == 3 ? shuffle_to_rgb(unpack, in, width_px, out) : shuffle_to_luma(unpack, in, width_px, out);
#endif
	in += done_px * pixel_bytes;
	out += (size_t)done_px * channels;
	for (; done_px < width_px; done_px++, in += pixel_bytes)
		out = put((struct rgb){in[unpack->red_at], in[unpack->green_at], in[unpack->blue_at]}, channels, out);
}

static void swap_bytes(const uint8_t *in, uint32_t width_px, uint8_t *out)
{
	for (; width_px > 0; width_px--, in += 2, out += 2) {
		uint16_t value = (uint16_t)(in[0] << 8 | in[1]);

		memcpy(out, &value, sizeof value);
	}
}

/*
 * Values of `bits` bits, a constant wherever this is inlined, so that whole bytes need no loop: 125 us for 512x512 pixels of 1 bit,
 * which took 285 with shifts that are known only when it runs.
 */
static inline __attribute__((always_inline)) void take_apart(const uint8_t *row, unsigned bits, unsigned factor, uint32_t x,
                                                             uint32_t width_px, uint8_t *out)
{
	const unsigned byte_px = 8 / bits, mask = (1u << bits) - 1;
	uint32_t end = x + width_px;

	while (x < end) {
		unsigned byte = row[x / byte_px];

		if (x % byte_px == 0 && end - x >= byte_px) {
#pragma GCC unroll 8
			for (unsigned i = 0; i < byte_px; i++)
				out[i] = (uint8_t)((byte >> (8 - bits - i * bits) & mask) * factor);
			x += byte_px;
			out += byte_px;
		} else {
			*out++ = (uint8_t)((byte >> (8 - bits - x % byte_px * bits) & mask) * factor);
			x++;
		}
	}
}

static void unpack_stored(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint8_t *out)
{
	switch (unpack->pixel_bits) {
	case 1:
		take_apart(row, 1, unpack->factor, x, width_px, out);
		break;
	case 2:
		take_apart(row, 2, unpack->factor, x, width_px, out);
		break;
	case 4:
		take_apart(row, 4, unpack->factor, x, width_px, out);
		break;
	case 8:
		memcpy(out, row + x, width_px);
		break;
	case 16:
		swap_bytes(row + (size_t)x * 2, width_px, out);
		break;
	}
}

/* Gray of fewer than 8 bits is an index into a ramp. */
static void make_gray_ramp(struct unpack *unpack)
{
	unsigned white = (1u << unpack->pixel_bits) - 1;

	for (unsigned i = 0; i <= white; i++)
		memset(unpack->palette[i], (int)(i * 255 / white), 3);
}

void unpack_describe_png(struct unpack *unpack, uint32_t sample_bits, uint32_t samples_per_px, bool is_index, bool as_stored)
{
	*unpack = (struct unpack){.pixel_bits = sample_bits * samples_per_px};
	if (as_stored) {
		unpack->kind = UNPACK_STORED;
		unpack->factor = unpack_gray_factor(sample_bits, is_index);
	} else if (is_index) {
		unpack->kind = UNPACK_INDEX;
	} else if (sample_bits < 8) {
		unpack->kind = UNPACK_INDEX;
		make_gray_ramp(unpack);
	} else {
		unpack->kind = UNPACK_BYTES;
		if (samples_per_px >= 3) {
			unpack->green_at = (uint8_t)(sample_bits / 8);
			unpack->blue_at = (uint8_t)(2 * sample_bits / 8);
		}
	}
}

bool unpack_is_copy(const struct unpack *unpack, uint32_t channels)
{
	if (unpack->kind == UNPACK_STORED)
		return unpack->pixel_bits == 8;
	return unpack->kind == UNPACK_BYTES && unpack->pixel_bits == 8 * channels && unpack->red_at == 0 &&
	       (channels == 1 || (unpack->green_at == 1 && unpack->blue_at == 2));
}

void unpack_row(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	const uint8_t *in = row + (size_t)x * (unpack->pixel_bits / 8);

	switch (unpack->kind) {
	case UNPACK_INDEX:
		if (unpack->pixel_bits == 8 && channels == 3)
			look_up_rgb(unpack, in, width_px, out);
		else
			unpack_indices(unpack, row, x, width_px, channels, out);
		break;
	case UNPACK_STORED:
		unpack_stored(unpack, row, x, width_px, out);
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
