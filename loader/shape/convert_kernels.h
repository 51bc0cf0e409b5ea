/*
 * convert_kernels.h - the conversion of many pixels at a time.  Private to convert.c.
 *
 * A quotient is a product with the divisor's reciprocal as the sum of two floats, the large part in a fused multiplication and
 * addition; that is nearly always the rounded quotient, and converter_init() tries all values before it relies on it.
 *
 * Floats are stored past the caches where they are aligned: the slot is written once, by the time it is read the caches hold other
 * things, and without reading its lines first a 224 x 224 float32 image takes 28 us instead of 62 (float16 20 instead of 34).
 */
#ifndef CROPRING_CONVERT_KERNELS_H
#define CROPRING_CONVERT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "loader/shape/convert.h"

/*
 * Converts the first pixels of `count`, those that fill whole vectors; returns how many that were.  plane_px is the distance
 * between two planes.
 */
#if defined(__x86_64__)
size_t convert_avx2(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px);
size_t convert_avx512(const struct converter *converter, const uint8_t *in, size_t count, void *out, size_t plane_px);
#endif

#endif
