/* convert.c - stage 4 of 5, second half: resampled 8-bit pixels in, final values in the slot out.  Any thread. */
#include "loader/shape/convert.h"

#include <assert.h>
#include <string.h>

#include "loader/shape/convert_kernels.h"

/*
 * The half nearest to a float32, ties to even (IEEE 754-2019, 4.3.1 and 3.6: binary16 has 5 exponent and 10 fraction bits).
 * Any NaN becomes the quiet one.
 */
static uint16_t float_to_half(float value)
{
	uint32_t bits, sign, exponent, fraction, dropped_bits, half, dropped, tie;

	memcpy(&bits, &value, sizeof bits);
	sign = bits >> 16 & 0x8000;
	exponent = bits >> 23 & 0xff;
	fraction = bits & 0x7fffff;

	if (exponent == 255)
		return (uint16_t)(sign | 0x7c00 | (fraction ? 0x200 : 0));
	if (exponent < 102) /* under 2^-25, which is half of the smallest half */
		return (uint16_t)sign;

	fraction |= 0x800000;
	if (exponent >= 113) { /* normal: 2^-14 is the smallest; the hidden bit adds the 1 that the exponent is short of */
		dropped_bits = 13;
		half = ((exponent - 113) << 10) + (fraction >> 13);
	} else {
		dropped_bits = 126 - exponent;
		half = fraction >> dropped_bits;
	}
	dropped = fraction & ((1u << dropped_bits) - 1);
	tie = 1u << (dropped_bits - 1);
	if (dropped > tie || (dropped == tie && (half & 1)))
		half++; /* a carry into the exponent is right: the next binade, or infinity */
	return (uint16_t)(sign | (half < 0x7c00 ? half : 0x7c00));
}

size_t convert_dtype_bytes(enum convert_dtype dtype)
{
	static const uint8_t bytes[] = {[CONVERT_UINT8] = 1, [CONVERT_FLOAT32] = 4, [CONVERT_FLOAT16] = 2};

	return bytes[dtype];
}

bool converter_is_identity(const struct converter *converter)
{
	const struct convert_spec *spec = &converter->spec;

	return spec->dtype == CONVERT_UINT8 && (spec->layout == CONVERT_NHWC || spec->channels == 1);
}

/* in[0], in[3], in[6], ...: `count` of them. */
static void copy_every_third(const uint8_t *restrict in, size_t count, uint8_t *restrict out)
{
	typedef uint8_t vector __attribute__((vector_size(16)));
	vector parts[3];

	for (; count > 16; count -= 16, in += 48, out += 16) { /* 48 bytes are two more than 16 pixels need: a pixel must follow */
		memcpy(parts, in, 48);
		parts[0] = __builtin_shufflevector(parts[0], parts[1], 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
		parts[0] = __builtin_shufflevector(parts[0], parts[2], 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
		memcpy(out, parts, 16);
	}
	for (size_t i = 0; i < count; i++)
		out[i] = in[3 * i];
}

/*
 * One channel of a run of pixels as floats.  Steps are in elements, and constants wherever this is called, so that each combination
 * becomes a loop of its own.
 */
static inline __attribute__((always_inline)) void look_up(const struct converter *converter, size_t channel,
                                                          const uint8_t *restrict in, size_t in_step, size_t count,
                                                          void *restrict out, size_t out_first, size_t out_step)
{
	if (converter->spec.dtype == CONVERT_FLOAT32) {
		const float *table = converter->as_float32[channel];
		float *to = (float *)out + out_first;

#pragma GCC unroll 4
		for (size_t i = 0; i < count; i++)
			to[i * out_step] = table[in[i * in_step]];
	} else {
		const uint16_t *table = converter->as_float16[channel];
		uint16_t *to = (uint16_t *)out + out_first;

#pragma GCC unroll 4
		for (size_t i = 0; i < count; i++)
			to[i * out_step] = table[in[i * in_step]];
	}
}

/* `count` pixels, whose first goes to element first_px of each plane. */
static void convert_plain(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t first_px,
                          size_t plane_px)
{
	const struct convert_spec *spec = &converter->spec;

	if (spec->channels == 1) {
		look_up(converter, 0, in, 1, count, out, first_px, 1);
		return;
	}
	for (size_t channel = 0; channel < 3; channel++) {
		if (spec->dtype == CONVERT_UINT8) /* and planes are asked for: else converter_run() has copied it */
			copy_every_third(in + channel, count, (uint8_t *)out + channel * plane_px + first_px);
		else if (spec->layout == CONVERT_NCHW)
			look_up(converter, channel, in + channel, 3, count, out, channel * plane_px + first_px, 1);
		else
			look_up(converter, channel, in + channel, 3, count, out, first_px * 3 + channel, 3);
	}
}

static void convert_pixels(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px)
{
	size_t done_px = 0;

#if defined(__x86_64__)
	if (converter->level == SIMD_AVX512)
		done_px = convert_avx512(converter, in, count, out, plane_px);
	else if (converter->level == SIMD_AVX2)
		done_px = convert_avx2(converter, in, count, out, plane_px);
#endif
	convert_plain(converter, in + done_px * converter->spec.channels, count - done_px, out, done_px, plane_px);
}

static struct convert_pair reciprocal(float divisor)
{
	double whole = 1.0 / (double)divisor;
	struct convert_pair pair = {.value = (float)whole};

	pair.rest = (float)(whole - (double)pair.value);
	return pair;
}

/* Whether this level gives the tables' values for all there are: mean and std may be anything. */
static bool calculates_exactly(const struct converter *converter)
{
	enum {
		VALUES = 256,
		MOST_PX = VALUES + 16,
		MOST_BYTES = MOST_PX * 3 * 4
	}; /* more than VALUES: they all stand in vectors */
	uint8_t pixels[MOST_PX * 3], expected[MOST_BYTES], got[MOST_BYTES];

	for (size_t i = 0; i < sizeof pixels; i++)
		pixels[i] = (uint8_t)(i / converter->spec.channels);
	memset(expected, 0, sizeof expected);
	memset(got, 0, sizeof got);
	convert_plain(converter, pixels, MOST_PX, expected, 0, MOST_PX);
	convert_pixels(converter, pixels, MOST_PX, got, MOST_PX);
	return memcmp(expected, got, sizeof expected) == 0;
}

void converter_init(struct converter *converter, const struct convert_spec *spec, enum simd_level level)
{
	assert(spec->channels == 1 || spec->channels == 3);
	*converter = (struct converter){.spec = *spec, .level = level, .per_255 = reciprocal(255.0f)};
	for (uint32_t channel = 0; channel < spec->channels; channel++) {
		converter->per_std[channel] = reciprocal(spec->std[channel]);
		for (int value = 0; value < 256; value++) {
			float scaled = (float)value / 255.0f;

			if (spec->normalise)
				scaled = (scaled - spec->mean[channel]) / spec->std[channel];
			converter->as_float32[channel][value] = scaled;
			converter->as_float16[channel][value] = float_to_half(scaled);
		}
	}
	if (!converter_is_identity(converter) && !calculates_exactly(converter))
		converter->level = SIMD_PLAIN;
}

void converter_run(const struct converter *converter, const uint8_t *in, void *out)
{
	const struct convert_spec *spec = &converter->spec;
	size_t pixel_count = (size_t)spec->width_px * spec->height_px;

	if (converter_is_identity(converter))
		memcpy(out, in, pixel_count * spec->channels);
	else
		convert_pixels(converter, in, pixel_count, out, pixel_count);
}
