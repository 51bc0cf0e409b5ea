/*
 * resample.h - stage 4 of 5, first half: a region of source pixels in, the output's pixels out.
 *
 * Bit for bit what Image.resize() of Pillow 13.0 computes for 8-bit images: antialiased separable filters with 22-bit fixed-point
 * weights, rounding after each of two passes; nearest by accumulated positions.  The vertical pass goes first when the height
 * loses more than twice as many pixels as the width; Pillow up to 12.1 never does that, so there the last bit differs at times.
 * Source of the formulas: Pillow, src/libImaging/Resample.c and Geometry.c.
 */
#ifndef CROPRING_RESAMPLE_H
#define CROPRING_RESAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/simd.h"
#include "loader/pixels.h"

/* In the order of --resample, but for the last. */
enum resample_filter {
	RESAMPLE_NEAREST,
	RESAMPLE_BOX,
	RESAMPLE_BILINEAR,
	RESAMPLE_HAMMING,
	RESAMPLE_BICUBIC,
	RESAMPLE_LANCZOS,
	RESAMPLE_NEAREST_16, /* nearest of values of 16 bits: Pillow multiplies there where it adds up elsewhere, and ties may differ */
};

/*
 * One axis of a resize.  [in0, in1) of in_px source pixels maps to virtual_px output pixels, of which those from `first` on,
 * out_px of them, are wanted.  A plain resize has in0 = 0, in1 = in_px, first = 0 and virtual_px = out_px; a resize followed
 * by a centre crop has a larger virtual_px, so that only the window is ever computed.
 */
struct resample_axis {
	uint32_t in_px;
	double in0, in1;
	uint32_t virtual_px, first, out_px;
};

/* The source pixels [*begin, *end) that the axis's wanted outputs read. */
void resample_extent(enum resample_filter filter, const struct resample_axis *axis, uint32_t *begin, uint32_t *end);

/* One per thread: keeps the weights and the rows between the passes. */
struct resampler;

/* At a level that this processor has: all give the same bytes.  NULL when memory is short. */
struct resampler *resampler_open(enum simd_level level);
void resampler_close(struct resampler *resampler);

/*
 * A resize whose source comes in bands: what resampler_take() makes of them are y->out_px rows of x->out_px * channels bytes in
 * `out`, out_stride_bytes apart; mirrored: each row from right to left.  Spends all the memory that is needed.  1 or 3 channels,
 * and 2, which are one value of 16 bits, for RESAMPLE_NEAREST_16.
 * 0 or -ENOMEM, also when rows would have to be kept for more than 192 MB: nearly all of a huge picture, for a few output rows.
 */
int resampler_begin(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                    const struct resample_axis *y, uint32_t channels, bool mirrored, uint8_t *out, size_t out_stride_bytes);

/*
 * The next rows, from the top down; together the bands hold at least the extents of both axes, and however they are cut, the same
 * bytes come out.  Pixel (0, 0) of `rows` is source pixel (source_x, source_y) of the axes' coordinates.  The extent's first row
 * begins anew, so a source may break off and come once more.  Nothing of `rows` is looked at later.
 */
void resampler_take(struct resampler *resampler, const struct pixels *rows, uint32_t source_x, uint32_t source_y);

/* Both, for a source that is there as a whole. */
int resampler_run(struct resampler *resampler, enum resample_filter filter, const struct resample_axis *x,
                  const struct resample_axis *y, const struct pixels *source, uint32_t source_x, uint32_t source_y, bool mirrored,
                  uint8_t *out, size_t out_stride_bytes);

#endif
