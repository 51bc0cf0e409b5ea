/*
 * convert.h - stage 4 of 5, second half: resampled 8-bit pixels in, final values in the slot out (dtype, layout, mean/std).
 *
 * float32 values equal torchvision's ToTensor() followed by Normalize() bit for bit: v / 255, minus mean, divided by std, each step
 * rounded to float32.  float16 is that value rounded to the nearest half, ties to even.  uint8 is left as it is.
 */
#ifndef CROPRING_CONVERT_H
#define CROPRING_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/simd.h"

enum convert_dtype { CONVERT_UINT8, CONVERT_FLOAT32, CONVERT_FLOAT16 }; /* in the order of --dtype */
enum convert_layout { CONVERT_NHWC, CONVERT_NCHW };                     /* in the order of --layout */

struct convert_spec {
	enum convert_dtype dtype;
	enum convert_layout layout;
	uint32_t width_px, height_px, channels;
	bool normalise; /* else mean and std are not looked at */
	float mean[3], std[3];
};

/* A number that two floats make up better than one. */
struct convert_pair {
	float value, rest;
};

/* A spec with its value tables: made once, then read by all threads. */
struct converter {
	struct convert_spec spec;
	float as_float32[3][256];
	uint16_t as_float16[3][256]; /* IEEE 754 binary16 bit patterns */

	/* Vectors calculate instead of looking up, where that gives the tables' very bits. */
	enum simd_level level;
	struct convert_pair per_255, per_std[3];
};

/* `level` is one that this processor has: all give the same values. */
void converter_init(struct converter *converter, const struct convert_spec *spec, enum simd_level level);

/* 1, 4 or 2 bytes. */
size_t convert_dtype_bytes(enum convert_dtype dtype);

/* True when a converted item is byte for byte its input, so that the resampler may write straight into the slot. */
bool converter_is_identity(const struct converter *converter);

/* `in`: tight rows, interleaved channels; `out`: the item's place in the slot.  They must not overlap. */
void converter_run(const struct converter *converter, const uint8_t *in, void *out);

#endif
