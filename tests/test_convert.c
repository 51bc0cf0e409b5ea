/* test_convert.c - pixels to values: torchvision's float32, the nearest half, and every layout at every level of vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loader/shape/convert.h"

static uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static float from_bits(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof value);
	return value;
}

/* ---- values ---- */

/*
 * float32 operations one by one, as ToTensor() and Normalize() do them: pixel / 255, minus mean, divided by std.  Written down by

import numpy as np
f = np.float32
for mean, std in ((f(0.485), f(0.229)), (f(0.456), f(0.224)), (f(0.406), f(0.225))):
    print([hex(int(((f(v) / f(255) - mean) / std).view(np.uint32))) for v in (0, 1, 77, 128, 254, 255)])
 */
static void float32_equals_to_tensor_and_normalize(void **state)
{
	static const struct convert_spec spec = {.dtype = CONVERT_FLOAT32,
	                                         .channels = 3,
	                                         .width_px = 1,
	                                         .height_px = 1,
	                                         .normalise = true,
	                                         .mean = {0.485f, 0.456f, 0.406f},
	                                         .std = {0.229f, 0.224f, 0.225f}};
	static const uint8_t pixels[] = {0, 1, 77, 128, 254, 255};
	static const uint32_t expected[3][6] = {
		{0xc0078bbd, 0xc006732b, 0xbf4c9ec9, 0x3d97af32, 0x400ed58a, 0x400fee1d},
		{0xc0024924, 0xc0012a4f, 0xbf300b78, 0x3e521b48, 0x401a4ee0, 0x401b6db7},
		{0xbfe6f809, 0xbfe4bcea, 0xbeecbf39, 0x3eda5d3c, 0x4027d834, 0x4028f5c3},
	};
	struct converter converter;

	(void)state;
	converter_init(&converter, &spec, SIMD_PLAIN);
	for (int channel = 0; channel < 3; channel++)
		for (int i = 0; i < 6; i++)
			assert_int_equal(bits_of(converter.as_float32[channel][pixels[i]]), expected[channel][i]);
}

static void without_normalisation_black_is_0_and_white_is_1(void **state)
{
	static const struct convert_spec spec = {
		.dtype = CONVERT_FLOAT32, .channels = 1, .width_px = 1, .height_px = 1, .mean = {5}, .std = {0}};
	struct converter converter;

	(void)state;
	converter_init(&converter, &spec, SIMD_PLAIN);
	assert_true(converter.as_float32[0][0] == 0.0f && converter.as_float32[0][255] == 1.0f);
	assert_int_equal(converter.as_float16[0][0], 0x0000);
	assert_int_equal(converter.as_float16[0][255], 0x3c00);
}

/* The value of a finite half, from its definition. */
static float value_of_half(uint16_t half)
{
	int exponent = half >> 10 & 31, fraction = half & 1023;
	float magnitude = exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);

	return half & 0x8000 ? -magnitude : magnitude;
}

/* Passes a number through the table: pixel 0 is (0 / 255 - mean) / std, which is -mean for a std of 1. */
static uint16_t half_of(float value)
{
	struct convert_spec spec = {
		.channels = 1, .width_px = 1, .height_px = 1, .normalise = true, .mean = {-value}, .std = {1.0f}};
	static struct converter converter;

	converter_init(&converter, &spec, SIMD_PLAIN);
	return converter.as_float16[0][0];
}

/* For -0.0 see below: 0 - 0 is +0. */
static void every_half_comes_back_as_itself(void **state)
{
	(void)state;
	for (uint32_t half = 0; half < 0x10000; half++)
		if ((half & 0x7c00) != 0x7c00 && half != 0x8000)
			assert_int_equal(half_of(value_of_half((uint16_t)half)), half);
	assert_int_equal(half_of(INFINITY), 0x7c00);
	assert_int_equal(half_of(-INFINITY), 0xfc00);
	assert_true((half_of(NAN) & 0x7fff) > 0x7c00);
	assert_true((half_of(from_bits(0x7f800001)) & 0x7fff) > 0x7c00);
}

/* Between neighbours: the middle goes to the even one, the float32 next to the middle to the nearer one. */
static void halves_are_rounded_to_nearest_and_ties_to_even(void **state)
{
	(void)state;
	for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
		for (uint32_t lower = 0; lower < 0x7c00; lower++) {
			uint32_t upper = lower + 1, even = lower & 1 ? upper : lower;
			float upper_value =
				upper == 0x7c00 ? 65536.0f : value_of_half((uint16_t)upper); /* as if there was one more */
			float middle = (value_of_half((uint16_t)lower) + upper_value) / 2.0f;
			float side = sign ? -1.0f : 1.0f;

			assert_int_equal(half_of(side * middle), sign | even);
			assert_int_equal(half_of(side * nextafterf(middle, INFINITY)), sign | upper);
			if (lower > 0 || !sign)
				assert_int_equal(half_of(side * nextafterf(middle, 0.0f)), sign | lower);
		}
	}
	assert_int_equal(half_of(from_bits(1)), 0); /* the smallest float32 */
	assert_int_equal(half_of(1e30f), 0x7c00);
}

static void minus_zero_keeps_its_sign(void **state)
{
	static const struct convert_spec spec = {.channels = 1, .normalise = true, .std = {-1.0f}};
	struct converter converter;

	(void)state;
	converter_init(&converter, &spec, SIMD_PLAIN);
	assert_int_equal(converter.as_float16[0][0], 0x8000);
}

/* ---- layouts ---- */

/* Where a value belongs, written from the meaning of the words. */
static size_t place_of(const struct convert_spec *spec, uint32_t x, uint32_t y, uint32_t channel)
{
	if (spec->layout == CONVERT_NHWC)
		return ((size_t)y * spec->width_px + x) * spec->channels + channel;
	return ((size_t)channel * spec->height_px + y) * spec->width_px + x;
}

/* `aligned`: as slots are, where vectors store past the caches. */
static void check_item(const struct convert_spec *spec, enum simd_level level, bool aligned)
{
	size_t count = (size_t)spec->width_px * spec->height_px * spec->channels, bytes = convert_dtype_bytes(spec->dtype);
	/* exact, so that sanitizers see overruns */
	uint8_t *in = malloc(count), *value = malloc(bytes), *memory = NULL, *out;
	struct converter converter;

	assert_true(in && value && posix_memalign((void **)&memory, 64, count * bytes + (aligned ? 0 : bytes)) == 0);
	out = memory + (aligned ? 0 : bytes);
	for (size_t i = 0; i < count; i++)
		in[i] = (uint8_t)(i * 89 + i / 251);
	memset(out, 0xee, count * bytes);
	converter_init(&converter, spec, level);
	converter_run(&converter, in, out);

	for (uint32_t y = 0; y < spec->height_px; y++) {
		for (uint32_t x = 0; x < spec->width_px; x++) {
			for (uint32_t channel = 0; channel < spec->channels; channel++) {
				uint8_t pixel = in[((size_t)y * spec->width_px + x) * spec->channels + channel];

				if (spec->dtype == CONVERT_UINT8)
					*value = pixel;
				else if (spec->dtype == CONVERT_FLOAT32)
					memcpy(value, &converter.as_float32[channel][pixel], bytes);
				else
					memcpy(value, &converter.as_float16[channel][pixel], bytes);
				assert_memory_equal(out + place_of(spec, x, y, channel) * bytes, value, bytes);
			}
		}
	}
	if (converter_is_identity(&converter))
		assert_memory_equal(in, out, count);
	free(in);
	free(memory);
	free(value);
}

static void every_value_lands_where_the_layout_says(void **state)
{
	static const uint32_t widths_px[] = {1, 2, 5, 6, 7, 15, 16, 17, 18, 33, 224, 255, 256, 257, 600};

	(void)state;
	for (size_t i = 0; i < sizeof widths_px / sizeof *widths_px; i++) {
		for (int combination = 0; combination < 12; combination++) {
			struct convert_spec spec = {.dtype = (enum convert_dtype)(combination % 3),
			                            .layout = (enum convert_layout)(combination / 3 % 2),
			                            .width_px = widths_px[i],
			                            .height_px = widths_px[i] % 3 + 1,
			                            .channels = combination / 6 % 2 ? 3 : 1,
			                            .mean = {0.1f, 0.2f, 0.3f},
			                            .std = {0.5f, 0.6f, 0.7f}};

			for (enum simd_level level = SIMD_PLAIN; level <= simd_best(); level++) {
				for (int kind = 0; kind < 4; kind++) {
					spec.normalise = kind & 1;
					check_item(&spec, level, kind & 2);
				}
			}
		}
	}
}

/* Divisors whose reciprocal is no help: the table's values come out all the same. */
static void any_mean_and_std_give_the_values_of_the_table(void **state)
{
	static const float numbers[] = {0.0f,  -0.0f,  0.229f, 0.224f, 0.225f, 0.5f,     0.3f,      1.0f,
	                                3e38f, 1e-38f, 1e-45f, -7.3f,  255.0f, INFINITY, -INFINITY, NAN};
	const size_t count = sizeof numbers / sizeof *numbers;

	(void)state;
	for (size_t i = 0; i < 4 * count * count; i++) {
		struct convert_spec spec = {.dtype = i & 1 ? CONVERT_FLOAT32 : CONVERT_FLOAT16,
		                            .layout = i & 2 ? CONVERT_NCHW : CONVERT_NHWC,
		                            .width_px = 61,
		                            .height_px = 5,
		                            .channels = 3,
		                            .normalise = true,
		                            .mean = {numbers[i / 4 % count], 0.456f, numbers[i / 4 / count]},
		                            .std = {0.229f, numbers[i / 4 / count], numbers[i / 4 % count]}};

		for (enum simd_level level = SIMD_PLAIN; level <= simd_best(); level++)
			check_item(&spec, level, i & 1);
	}
}

/* What is asked for in practice is calculated: were it looked up, nothing but the time would tell. */
static void the_usual_means_and_stds_are_calculated_by_vectors(void **state)
{
	static const float usual[][2][3] = {
		{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}},          /* ImageNet */
		{{0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}},                      /* -1 to 1 */
		{{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}},    /* CIFAR-10 */
		{{0.4815f, 0.4578f, 0.4082f}, {0.26863f, 0.26130f, 0.27577f}}, /* CLIP */
		{{0, 0, 0}, {1, 1, 1}},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof usual / sizeof *usual; i++) {
		struct convert_spec spec = {.dtype = i & 1 ? CONVERT_FLOAT32 : CONVERT_FLOAT16, .channels = 3, .normalise = true};
		struct converter converter;

		memcpy(spec.mean, usual[i / 2][0], sizeof spec.mean);
		memcpy(spec.std, usual[i / 2][1], sizeof spec.std);
		for (enum simd_level level = SIMD_PLAIN; level <= simd_best(); level++) {
			converter_init(&converter, &spec, level);
			assert_int_equal(converter.level, level);
		}
	}
}

static void only_bytes_in_their_own_order_are_an_identity(void **state)
{
	(void)state;
	for (int combination = 0; combination < 12; combination++) {
		struct convert_spec spec = {.dtype = (enum convert_dtype)(combination % 3),
		                            .layout = (enum convert_layout)(combination / 3 % 2),
		                            .width_px = 4,
		                            .height_px = 4,
		                            .channels = combination / 6 % 2 ? 3 : 1};
		struct converter converter;
		bool expected = spec.dtype == CONVERT_UINT8 && (spec.channels == 1 || spec.layout == CONVERT_NHWC);

		converter_init(&converter, &spec, SIMD_PLAIN);
		assert_int_equal(converter_is_identity(&converter), expected);
	}
}

static void a_value_takes_1_4_or_2_bytes(void **state)
{
	(void)state;
	assert_int_equal(convert_dtype_bytes(CONVERT_UINT8), 1);
	assert_int_equal(convert_dtype_bytes(CONVERT_FLOAT32), 4);
	assert_int_equal(convert_dtype_bytes(CONVERT_FLOAT16), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(float32_equals_to_tensor_and_normalize),
		cmocka_unit_test(without_normalisation_black_is_0_and_white_is_1),
		cmocka_unit_test(every_half_comes_back_as_itself),
		cmocka_unit_test(halves_are_rounded_to_nearest_and_ties_to_even),
		cmocka_unit_test(minus_zero_keeps_its_sign),
		cmocka_unit_test(every_value_lands_where_the_layout_says),
		cmocka_unit_test(any_mean_and_std_give_the_values_of_the_table),
		cmocka_unit_test(the_usual_means_and_stds_are_calculated_by_vectors),
		cmocka_unit_test(only_bytes_in_their_own_order_are_an_identity),
		cmocka_unit_test(a_value_takes_1_4_or_2_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
