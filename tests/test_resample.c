/*
 * test_resample.c - resizing: equal to Pillow's bytes, the same for any window, and reading no more than it says.
 * Over 500 lines, because the golden hashes and the script that makes them stand beside their test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "loader/shape/resample.h"
#include "loader/shape/scratch.h"
#include "tests/kernel_has.h"

#define FILTERS (RESAMPLE_LANCZOS + 1)

static enum simd_level level; /* all tests run at each that this machine has */

#ifndef __has_feature
#define __has_feature(x) 0 /* clang tells of its sanitizers this way, gcc by a macro for each */
#endif
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __SANITIZE_ADDRESS__ || __SANITIZE_THREAD__
#define SANITIZED 1
#endif

/* ---- helpers ---- */

static uint64_t seed = 20260214; /* CROPRING_TEST_SEED replaces it */

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint32_t random_between(uint32_t least, uint32_t most)
{
	return least + (uint32_t)(next_random() % (most - least + 1));
}

static struct pixels make_pixels(uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	struct pixels pixels = {.data = malloc((size_t)width_px * height_px * channels),
	                        .stride_bytes = (size_t)width_px * channels,
	                        .width_px = width_px,
	                        .height_px = height_px,
	                        .channels = channels};

	assert_non_null(pixels.data);
	return pixels;
}

/* The picture that the golden hashes are of: smooth at its upper left, busy towards the lower right. */
static struct pixels make_picture(uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	struct pixels picture = make_pixels(width_px, height_px, channels);
	uint8_t *byte = picture.data;

	for (uint32_t y = 0; y < height_px; y++)
		for (uint32_t x = 0; x < width_px; x++)
			for (uint32_t channel = 0; channel < channels; channel++)
				*byte++ = (uint8_t)(x * 3 + y * 5 + channel * 85 + ((x * x + 3 * y * y) >> 4));
	return picture;
}

static struct pixels make_noise(uint32_t width_px, uint32_t height_px, uint32_t channels)
{
	struct pixels noise = make_pixels(width_px, height_px, channels);

	for (size_t i = 0; i < noise.stride_bytes * height_px; i++)
		noise.data[i] = (uint8_t)next_random();
	return noise;
}

static struct resample_axis whole_axis(uint32_t in_px, uint32_t out_px)
{
	return (struct resample_axis){.in_px = in_px, .in1 = in_px, .virtual_px = out_px, .out_px = out_px};
}

static struct resample_axis random_axis(uint32_t in_px)
{
	struct resample_axis axis = whole_axis(in_px, random_between(1, 90));
	uint32_t kind = random_between(0, 3);

	if (kind > 0) {
		axis.in0 = random_between(0, in_px - 1);
		axis.in1 = random_between((uint32_t)axis.in0 + 1, in_px);
	}
	if (kind > 1)
		axis.in0 += random_between(0, 15) / 16.0;
	if (kind > 2)
		axis.in1 -= (axis.in1 - axis.in0) / 3.0;
	if (random_between(0, 7) == 0)
		axis.virtual_px = (uint32_t)(axis.in1 - axis.in0) + 1; /* often the same size: a pass that is left out */
	axis.first = random_between(0, axis.virtual_px - 1);
	axis.out_px = random_between(1, axis.virtual_px - axis.first);
	return axis;
}

static struct pixels resize(struct resampler *resampler, enum resample_filter filter, struct resample_axis x,
                            struct resample_axis y, const struct pixels *source)
{
	struct pixels out = make_pixels(x.out_px, y.out_px, source->channels);

	assert_int_equal(resampler_run(resampler, filter, &x, &y, source, 0, 0, false, out.data, out.stride_bytes), 0);
	return out;
}

static void assert_same_pixels(const struct pixels *a, const struct pixels *b)
{
	assert_int_equal(a->width_px, b->width_px);
	assert_int_equal(a->height_px, b->height_px);
	assert_memory_equal(a->data, b->data, a->stride_bytes * a->height_px);
}

/* FNV-1a, 64 bits */
static uint64_t hash_of(const struct pixels *pixels)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < pixels->stride_bytes * pixels->height_px; i++)
		hash = (hash ^ pixels->data[i]) * 0x100000001b3u;
	return hash;
}

static int open_resampler(void **state)
{
	*state = resampler_open(level);
	return *state ? 0 : -1;
}

static int close_resampler(void **state)
{
	resampler_close(*state);
	return 0;
}

/* ---- equal to Pillow ---- */

/*
 * The hashes are those of Pillow 13.0.0, printed by the lines below.  "up" shows that Hamming's constants are float32, and the
 * fractional box that boxes are.

import numpy as np
from PIL import Image
for w, h, c, box, size, (x, y, ow, oh) in [
    (97, 83, 3, (0, 0, 97, 83), (32, 32), (0, 0, 32, 32)), (45, 49, 1, (0, 0, 45, 49), (286, 186), (0, 0, 286, 186)),
    (120, 90, 3, (11, 7, 101, 79), (64, 40), (0, 0, 64, 40)), (120, 90, 1, (10.2, 1.3, 54.6, 44.5), (37, 36), (0, 0, 37, 36)),
    (150, 100, 3, (0, 0, 150, 100), (96, 64), (16, 0, 64, 64)), (40, 300, 3, (0, 0, 40, 300), (64, 64), (0, 0, 64, 64)),
    (300, 40, 3, (0, 0, 300, 40), (33, 120), (5, 60, 17, 31))]:
    Y, X, K = np.mgrid[0:h, 0:w, 0:c]
    image = Image.fromarray(((X * 3 + Y * 5 + K * 85 + ((X * X + 3 * Y * Y) >> 4)) & 255).astype(np.uint8).squeeze())
    for f in (0, 4, 2, 5, 3, 1):
        hash = 0xcbf29ce484222325
        for byte in image.resize(size, f, box).crop((x, y, x + ow, y + oh)).tobytes():
            hash = (hash ^ byte) * 0x100000001b3 % 2**64
        print(f"{hash:#018x}")
 */
static const struct {
	const char *what;
	uint32_t channels;
	struct resample_axis x, y; /* in_px, in0, in1, virtual_px, first, out_px */
} golden[] = {
	{"down", 3, {97, 0, 97, 32, 0, 32}, {83, 0, 83, 32, 0, 32}},
	{"up", 1, {45, 0, 45, 286, 0, 286}, {49, 0, 49, 186, 0, 186}},
	{"an integer box", 3, {120, 11, 101, 64, 0, 64}, {90, 7, 79, 40, 0, 40}},
	{"a fractional box", 1, {120, 10.2, 54.6, 37, 0, 37}, {90, 1.3, 44.5, 36, 0, 36}},
	{"a centre crop", 3, {150, 0, 150, 96, 16, 64}, {100, 0, 100, 64, 0, 64}},
	{"the vertical pass first", 3, {40, 0, 40, 64, 0, 64}, {300, 0, 300, 64, 0, 64}},
	{"a window", 3, {300, 0, 300, 33, 5, 17}, {40, 0, 40, 120, 60, 31}},
};

static const uint64_t golden_hashes[][FILTERS] = {
	{0x093586570650fa1d, 0x128c8e72ca70243d, 0x963297cbb70fcab3, 0x72b1b14c272d245e, 0x7609d0db5b5fcc2c, 0x34969f9e3ff14283},
	{0x7b980b014de41791, 0x7b980b014de41791, 0xe9a2b8ac2eebfdda, 0x0417e7f2990568c3, 0x232e50780b86cdba, 0x8af7bb4524ea8b88},
	{0xd7f0ccb041107261, 0xd7145cdd7fd5f15b, 0x17628316cd3da17b, 0x87f666b8230e84f7, 0xf38ef96e91da7ee7, 0x58447be5e01f7b21},
	{0xd87d469e687a3e5a, 0xec711cfa3fa95270, 0x8f54c745c2607f99, 0xd18f9d8696dba695, 0x8a291510bc121814, 0x7e758b2d30ef9799},
	{0xb9b2d4e3477ba6bb, 0xd12961051d4a26ae, 0x4998e0091c392495, 0x3dda6e9945ae36b8, 0xf876ce318fca7e8e, 0xb28738b3eb05e16e},
	{0x9cb3f7f075953fe5, 0x10d49f870320f544, 0xd472b45a9c4b9207, 0x4efcd56b74ebbf43, 0x1c8c9fa18dcd8d9a, 0x4ea35570eca69f27},
	{0xde30c0d49e5d18bc, 0xdc1818f1a33918d5, 0xdd88a6614c66bd36, 0x0f12ed6e527f87d4, 0x71ef558845d79cb9, 0xe806b787cbb395e5},
};

static void results_equal_pillow(void **state)
{
	for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
		struct pixels picture = make_picture(golden[i].x.in_px, golden[i].y.in_px, golden[i].channels);

		for (int filter = 0; filter < FILTERS; filter++) {
			struct pixels out = resize(*state, (enum resample_filter)filter, golden[i].x, golden[i].y, &picture);

			if (hash_of(&out) != golden_hashes[i][filter])
				fail_msg("%s, filter %d: hash 0x%016jx", golden[i].what, filter, (uintmax_t)hash_of(&out));
			free(out.data);
		}
		free(picture.data);
	}
}

/* A single pass has no order, so two single-axis resizes show which order the double one took. */
static void the_vertical_pass_goes_first_when_the_height_loses_over_twice_the_pixels(void **state)
{
	static const struct {
		uint32_t in_width_px, in_height_px, out_width_px, out_height_px;
		bool vertical_first;
	} sizes[] = {
		{100, 200, 50, 99, true},   /* 50 columns go, and 101 rows */
		{100, 200, 50, 100, false}, /* 100 rows */
		{50, 60, 80, 59, true},     /* wider, and a little lower */
		{50, 60, 80, 61, false},    /* wider and higher */
		{90, 60, 40, 80, false},
	};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct resample_axis x = whole_axis(sizes[i].in_width_px, sizes[i].out_width_px), same_x, y, same_y;
		struct pixels noise = make_noise(sizes[i].in_width_px, sizes[i].in_height_px, 3), both, first, second;
		bool vertical_first = sizes[i].vertical_first;

		y = whole_axis(sizes[i].in_height_px, sizes[i].out_height_px);
		same_x = vertical_first ? whole_axis(x.in_px, x.in_px) : whole_axis(x.out_px, x.out_px);
		same_y = vertical_first ? whole_axis(y.out_px, y.out_px) : whole_axis(y.in_px, y.in_px);
		both = resize(*state, RESAMPLE_BICUBIC, x, y, &noise);
		first = resize(*state, RESAMPLE_BICUBIC, vertical_first ? same_x : x, vertical_first ? y : same_y, &noise);
		second = resize(*state, RESAMPLE_BICUBIC, vertical_first ? x : same_x, vertical_first ? same_y : y, &first);
		assert_same_pixels(&both, &second);
		free(noise.data);
		free(both.data);
		free(first.data);
		free(second.data);
	}
}

/* ---- windows, extents and offsets ---- */

static void a_window_is_a_crop_of_the_whole_result(void **state)
{
	for (int round = 0; round < 150; round++) {
		struct pixels noise = make_noise(random_between(1, 120), random_between(1, 120), random_between(0, 1) ? 3 : 1);
		struct resample_axis x = random_axis(noise.width_px), y = random_axis(noise.height_px);
		struct resample_axis all_x = x, all_y = y;

		all_x.first = all_y.first = 0;
		all_x.out_px = x.virtual_px;
		all_y.out_px = y.virtual_px;
		for (int filter = 0; filter < FILTERS; filter++) {
			struct pixels part = resize(*state, (enum resample_filter)filter, x, y, &noise);
			struct pixels all = resize(*state, (enum resample_filter)filter, all_x, all_y, &noise);

			for (uint32_t row = 0; row < y.out_px; row++)
				assert_memory_equal(part.data + row * part.stride_bytes,
				                    all.data + (y.first + row) * all.stride_bytes + (size_t)x.first * all.channels,
				                    part.stride_bytes);
			free(part.data);
			free(all.data);
		}
		free(noise.data);
	}
}

/* Copies the part [x0, x1) x [y0, y1) of the source into `out`, whose pixel (0, 0) is source pixel (left_px, top_px). */
static void copy_part(const struct pixels *source, uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1, struct pixels *out,
                      uint32_t left_px, uint32_t top_px)
{
	for (uint32_t y = y0; y < y1; y++)
		memcpy(out->data + (y - top_px) * out->stride_bytes + (size_t)(x0 - left_px) * out->channels,
		       source->data + y * source->stride_bytes + (size_t)x0 * source->channels,
		       (size_t)(x1 - x0) * source->channels);
}

/* Handed over are only the extent, in a block of its size, so that a sanitizer sees any byte too many; and noise around it. */
static void nothing_outside_the_extent_is_read(void **state)
{
	for (int round = 0; round < 150 * FILTERS; round++) {
		enum resample_filter filter = (enum resample_filter)(round % FILTERS);
		struct pixels noise = make_noise(random_between(1, 120), random_between(1, 120), random_between(0, 1) ? 3 : 1);
		struct resample_axis x = random_axis(noise.width_px), y = random_axis(noise.height_px);
		struct pixels expected = resize(*state, filter, x, y, &noise),
			      got = make_pixels(x.out_px, y.out_px, noise.channels);
		uint32_t x0, x1, y0, y1, left_px, top_px;

		resample_extent(filter, &x, &x0, &x1);
		resample_extent(filter, &y, &y0, &y1);
		assert_true(x0 < x1 && x1 <= noise.width_px && y0 < y1 && y1 <= noise.height_px);

		for (int exact = 0; exact < 2; exact++) {
			struct pixels source;

			left_px = exact ? x0 : random_between(0, x0);
			top_px = exact ? y0 : random_between(0, y0);
			source = make_noise((exact ? x1 : noise.width_px) - left_px, (exact ? y1 : noise.height_px) - top_px,
			                    noise.channels);
			copy_part(&noise, x0, x1, y0, y1, &source, left_px, top_px);
			assert_int_equal(
				resampler_run(*state, filter, &x, &y, &source, left_px, top_px, false, got.data, got.stride_bytes), 0);
			assert_same_pixels(&expected, &got);
			memset(got.data, 0, got.stride_bytes * got.height_px);
			free(source.data);
		}
		free(noise.data);
		free(expected.data);
		free(got.data);
	}
}

static void extents_are_as_wide_as_the_filter_reaches(void **state)
{
	static const struct {
		enum resample_filter filter;
		struct resample_axis axis;
		uint32_t begin, end;
	} cases[] = {
		{RESAMPLE_BOX, {100, 0, 100, 10, 4, 2}, 40, 60},      /* ten pixels each */
		{RESAMPLE_BILINEAR, {100, 0, 100, 10, 4, 2}, 35, 65}, /* centres 45 and 55, reach 10 */
		{RESAMPLE_BICUBIC, {100, 0, 100, 10, 4, 2}, 25, 75},  /* reach 20 */
		{RESAMPLE_LANCZOS, {100, 0, 100, 10, 4, 2}, 15, 85},  /* reach 30 */
		{RESAMPLE_LANCZOS, {100, 0, 100, 10, 0, 1}, 0, 35},   /* cut off at the edge */
		{RESAMPLE_NEAREST, {100, 0, 100, 10, 4, 2}, 45, 56},
		{RESAMPLE_LANCZOS, {100, 20, 80, 60, 10, 30}, 30, 60}, /* the same size: a copy */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint32_t begin, end;

		resample_extent(cases[i].filter, &cases[i].axis, &begin, &end);
		assert_int_equal(begin, cases[i].begin);
		assert_int_equal(end, cases[i].end);
	}
}

static void bytes_between_the_output_rows_are_left_alone(void **state)
{
	static const uint32_t in_px[][2] = {
		{40, 40}, {40, 30}, {30, 40}, {30, 30}}; /* to 30 x 30: two passes, one, the other, none */

	for (size_t i = 0; i < sizeof in_px / sizeof *in_px; i++) {
		for (int filter = 0; filter < FILTERS; filter++) {
			struct pixels noise = make_noise(in_px[i][0], in_px[i][1], 3);
			struct resample_axis x = whole_axis(noise.width_px, 30), y = whole_axis(noise.height_px, 30);
			uint8_t out[30 * 97];

			memset(out, 0xa5, sizeof out);
			assert_int_equal(resampler_run(*state, (enum resample_filter)filter, &x, &y, &noise, 0, 0, false, out, 97), 0);
			for (size_t row = 0; row < 30; row++)
				for (size_t byte = 90; byte < 97; byte++)
					assert_int_equal(out[row * 97 + byte], 0xa5);
			free(noise.data);
		}
	}
}

/* ---- levels and mirroring ---- */

static struct pixels mirror(const struct pixels *pixels)
{
	struct pixels mirrored = make_pixels(pixels->width_px, pixels->height_px, pixels->channels);

	for (uint32_t y = 0; y < pixels->height_px; y++)
		for (uint32_t x = 0; x < pixels->width_px; x++)
			memcpy(mirrored.data + y * mirrored.stride_bytes + (size_t)x * pixels->channels,
			       pixels->data + y * pixels->stride_bytes + (size_t)(pixels->width_px - 1 - x) * pixels->channels,
			       pixels->channels);
	return mirrored;
}

/* Everything that a level may do differently: few taps and many, rows shorter than a window, groups and bands that are not full. */
static void every_level_gives_the_plain_bytes_also_mirrored(void **state)
{
	struct resampler *plain = resampler_open(SIMD_PLAIN);

	assert_non_null(plain);
	for (int round = 0; round < 1500; round++) {
		uint32_t most_px = round % 10 ? 150 : 1500;
		enum resample_filter filter = (enum resample_filter)random_between(0, FILTERS - 1);
		struct pixels noise = make_noise(random_between(1, most_px), random_between(1, most_px), round & 1 ? 3 : 1);
		struct resample_axis x = random_axis(noise.width_px), y = random_axis(noise.height_px);
		struct pixels expected = resize(plain, filter, x, y, &noise), mirrored = mirror(&expected);
		struct pixels got = resize(*state, filter, x, y, &noise);

		assert_same_pixels(&expected, &got);
		memset(got.data, 0xa5, got.stride_bytes * got.height_px);
		assert_int_equal(resampler_run(*state, filter, &x, &y, &noise, 0, 0, true, got.data, got.stride_bytes), 0);
		assert_same_pixels(&mirrored, &got);
		free(noise.data);
		free(expected.data);
		free(mirrored.data);
		free(got.data);
	}
	resampler_close(plain);
}

/* From a dozen taps to all pixels of a row, and rows of every count modulo 16. */
static void every_level_gives_the_plain_bytes_of_wide_pictures_made_narrow(void **state)
{
	struct resampler *plain = resampler_open(SIMD_PLAIN);

	assert_non_null(plain);
	for (int round = 0; round < 200; round++) {
		enum resample_filter filter = (enum resample_filter)random_between(0, FILTERS - 1);
		struct pixels noise = make_noise(random_between(400, 4000), random_between(1, 20), round & 1 ? 3 : 1);
		struct resample_axis x = whole_axis(noise.width_px, random_between(1, 30));
		struct resample_axis y = whole_axis(noise.height_px, noise.height_px);
		struct pixels expected = resize(plain, filter, x, y, &noise), got = resize(*state, filter, x, y, &noise);

		assert_same_pixels(&expected, &got);
		free(noise.data);
		free(expected.data);
		free(got.data);
	}
	resampler_close(plain);
}

/* The largest and the smallest weights that there are, over the largest and the smallest pixels. */
static void sums_at_the_ends_of_their_range_are_exact(void **state)
{
	struct resampler *plain = resampler_open(SIMD_PLAIN);

	assert_non_null(plain);
	for (uint32_t in_px = 1; in_px <= 8; in_px++) {
		struct pixels edge = make_pixels(in_px, in_px, 3);

		for (uint32_t pattern = 0; pattern < 1u << in_px; pattern++) {
			struct resample_axis axis = whole_axis(in_px, 60);
			struct pixels expected, got;

			for (size_t i = 0; i < edge.stride_bytes * in_px; i++)
				edge.data[i] = pattern >> (i / 3 % in_px + i / edge.stride_bytes) % in_px & 1 ? 255 : 0;
			expected = resize(plain, RESAMPLE_LANCZOS, axis, axis, &edge);
			got = resize(*state, RESAMPLE_LANCZOS, axis, axis, &edge);
			assert_same_pixels(&expected, &got);
			free(expected.data);
			free(got.data);
		}
		free(edge.data);
	}
	resampler_close(plain);
}

/* ---- copies, edges and degenerate sizes ---- */

static void a_box_of_the_output_size_is_copied(void **state)
{
	struct pixels noise = make_noise(70, 50, 3);
	struct resample_axis x = {.in_px = 70, .in0 = 13, .in1 = 53, .virtual_px = 40, .first = 4, .out_px = 30};
	struct resample_axis y = {.in_px = 50, .in0 = 9, .in1 = 29, .virtual_px = 20, .first = 0, .out_px = 20};

	for (int filter = 0; filter < FILTERS; filter++) {
		struct pixels all = resize(*state, (enum resample_filter)filter, whole_axis(70, 70), whole_axis(50, 50), &noise);
		struct pixels part = resize(*state, (enum resample_filter)filter, x, y, &noise);

		assert_same_pixels(&noise, &all);
		for (size_t row = 0; row < 20; row++)
			assert_memory_equal(part.data + row * 90, noise.data + (9 + row) * 210 + 17 * 3, 90);
		free(all.data);
		free(part.data);
	}
	free(noise.data);
}

static void a_plain_surface_stays_plain(void **state)
{
	static const uint32_t sizes[][2] = {{1, 1}, {1, 2048}, {2048, 1}, {65535, 1}, {65535, 7}, {3, 700}, {700, 3}, {17, 16}};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		for (int direction = 0; direction < 2; direction++) {
			struct resample_axis along = whole_axis(sizes[i][0], sizes[i][1]), across = whole_axis(1, 2);
			struct resample_axis x = direction ? across : along, y = direction ? along : across;
			struct pixels plain = make_pixels(x.in_px, y.in_px, 3);

			for (size_t pixel = 0; pixel < (size_t)x.in_px * y.in_px; pixel++)
				memcpy(plain.data + pixel * 3, (uint8_t[]){255, 0, 77}, 3);
			for (int filter = 0; filter < FILTERS; filter++) {
				struct pixels out = resize(*state, (enum resample_filter)filter, x, y, &plain);

				for (size_t pixel = 0; pixel < (size_t)out.width_px * out.height_px; pixel++)
					assert_memory_equal(out.data + pixel * 3, ((uint8_t[]){255, 0, 77}), 3);
				free(out.data);
			}
			free(plain.data);
		}
	}
}

static void overshoot_is_clamped_to_black_and_white(void **state)
{
	struct pixels edge = make_pixels(32, 1, 1), out;

	for (int x = 0; x < 32; x++)
		edge.data[x] = x < 16 ? 0 : 255;
	out = resize(*state, RESAMPLE_LANCZOS, whole_axis(32, 320), whole_axis(1, 1), &edge);
	assert_int_equal(out.data[145], 0);   /* the filter goes below 0 here, */
	assert_int_equal(out.data[174], 255); /* and above 255 there */
	free(edge.data);
	free(out.data);
}

/* ---- one resampler for many calls ---- */

/* Calls that differ from the one before in a single number, so that none may be taken for the same. */
static void an_earlier_call_does_not_show_in_a_later_one(void **state)
{
	static const struct resample_axis axes[] = {
		{60, 5, 41, 30, 3, 27}, {42, 5, 41, 30, 3, 27}, {42, 6, 41, 30, 3, 27}, {42, 6, 40, 30, 3, 27},
		{42, 6, 40, 33, 3, 27}, {42, 6, 40, 33, 2, 27}, {42, 6, 40, 33, 2, 29}, {42, 4, 40, 33, 2, 29},
	};
	struct pixels noises[] = {make_noise(60, 60, 3), make_noise(60, 60, 1)};

	for (size_t i = 0; i < 32 * FILTERS; i++) {
		enum resample_filter filter = (enum resample_filter)(i / 16 % FILTERS);
		struct pixels noise = noises[i % 3 == 1];
		struct resample_axis x = axes[(i + 1) / 2 % 8], y = axes[i / 2 % 8];
		struct resampler *fresh = resampler_open(level);
		struct pixels expected, got;

		assert_non_null(fresh);
		expected = resize(fresh, filter, x, y, &noise);
		got = resize(*state, filter, x, y, &noise);
		assert_same_pixels(&expected, &got);
		resampler_close(fresh);
		free(expected.data);
		free(got.data);
	}
	free(noises[0].data);
	free(noises[1].data);
}

static void sizes_that_overflow_are_refused(void **state)
{
	struct scratch scratch = {0};

	(void)state;
	assert_int_equal(scratch_reserve(&scratch, SIZE_MAX / 2, 3), -ENOMEM);
	assert_int_equal(scratch_reserve(&scratch, SIZE_MAX, SIZE_MAX), -ENOMEM);
	assert_null(scratch.data);
	assert_int_equal(scratch_reserve(&scratch, 0, 8), 0);
	assert_int_equal(scratch_reserve(&scratch, 100, 8), 0);
	memset(scratch.data, 1, 800);
	scratch_free(&scratch);
}

/* Two million outputs take 16 MB of spans and 24 MB of weights. */
static void a_resampler_outlives_a_shortage_of_memory(void **state)
{
	struct resample_axis x = whole_axis(20, 2000000), y = {.in_px = 20, .in1 = 20, .virtual_px = 20, .out_px = 1};
	struct rlimit limit, low = {.rlim_cur = 40u << 20};
	struct pixels noise, out, enough_memory;
	int result;

#ifdef SANITIZED
	skip(); /* its own memory is over any limit */
#endif
	kernel_has_address_limits_or_skip();
	noise = make_noise(20, 20, 1);
	out = make_pixels(x.out_px, 1, 1);
	assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
	low.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
	result = resampler_run(*state, RESAMPLE_BILINEAR, &x, &y, &noise, 0, 0, false, out.data, out.stride_bytes);
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
	assert_int_equal(result, -ENOMEM);

	enough_memory = resize(*state, RESAMPLE_BILINEAR, x, y, &noise);
	assert_int_equal(enough_memory.data[0], noise.data[0]);
	assert_int_equal(enough_memory.data[x.out_px - 1], noise.data[19]);
	free(noise.data);
	free(out.data);
	free(enough_memory.data);
}

/* ---- bands ---- */

/* Hands out rows [0, height) of `source` in bands of 1 to most_rows, and spoils each when it has been taken. */
static void take_in_bands(struct resampler *resampler, const struct pixels *source, uint32_t height_px, uint32_t most_rows)
{
	for (uint32_t row = 0, rows; row < height_px; row += rows) {
		struct pixels band;

		rows = random_between(1, most_rows);
		rows = rows < height_px - row ? rows : height_px - row;
		band = make_pixels(source->width_px, rows, source->channels);
		memcpy(band.data, source->data + row * source->stride_bytes, rows * source->stride_bytes);
		resampler_take(resampler, &band, 0, row);
		memset(band.data, 0xa5, rows * band.stride_bytes);
		free(band.data);
	}
}

static void bands_give_the_bytes_of_a_whole_source_however_they_are_cut(void **state)
{
	for (int round = 0; round < 3000; round++) {
		uint32_t most_px = round % 10 ? 150 : 1000;
		enum resample_filter filter = (enum resample_filter)random_between(0, FILTERS - 1);
		struct pixels noise = make_noise(random_between(1, most_px), random_between(1, most_px), round & 1 ? 3 : 1);
		struct resample_axis x = random_axis(noise.width_px), y = random_axis(noise.height_px);
		bool mirrored = random_between(0, 1);
		struct pixels expected = make_pixels(x.out_px, y.out_px, noise.channels);
		struct pixels got = make_pixels(x.out_px, y.out_px, noise.channels);

		assert_int_equal(
			resampler_run(*state, filter, &x, &y, &noise, 0, 0, mirrored, expected.data, expected.stride_bytes), 0);
		assert_int_equal(resampler_begin(*state, filter, &x, &y, noise.channels, mirrored, got.data, got.stride_bytes), 0);
		if (round % 3 == 0) /* breaks off, and comes once more */
			take_in_bands(*state, &noise, random_between(1, noise.height_px), 20);
		memset(got.data, 0xa5, got.stride_bytes * got.height_px);
		take_in_bands(*state, &noise, noise.height_px, round % 4 ? 20 : 200);
		assert_same_pixels(&expected, &got);
		free(noise.data);
		free(expected.data);
		free(got.data);
	}
}

/* 1500 x 200000 to 1 x 1 reads 300 MB at once; to 1 x 8 a fourth of it, in bands. */
static void a_resize_that_would_keep_a_huge_picture_is_refused(void **state)
{
	struct resample_axis x = whole_axis(1500, 1), y = whole_axis(200000, 1);
	uint8_t out[8];

	assert_int_equal(resampler_begin(*state, RESAMPLE_BILINEAR, &x, &y, 1, false, out, 1), -ENOMEM);
	y = whole_axis(200000, 8);
	assert_int_equal(resampler_begin(*state, RESAMPLE_BILINEAR, &x, &y, 1, false, out, 1), 0);
}

int main(void)
{
	static const char *const level_names[] = {"plain", "AVX2", "AVX-512"};
	const char *given = getenv("CROPRING_TEST_SEED");
	int failed = 0;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(results_equal_pillow),
		cmocka_unit_test(the_vertical_pass_goes_first_when_the_height_loses_over_twice_the_pixels),
		cmocka_unit_test(a_window_is_a_crop_of_the_whole_result),
		cmocka_unit_test(nothing_outside_the_extent_is_read),
		cmocka_unit_test(extents_are_as_wide_as_the_filter_reaches),
		cmocka_unit_test(bytes_between_the_output_rows_are_left_alone),
		cmocka_unit_test(every_level_gives_the_plain_bytes_also_mirrored),
		cmocka_unit_test(every_level_gives_the_plain_bytes_of_wide_pictures_made_narrow),
		cmocka_unit_test(sums_at_the_ends_of_their_range_are_exact),
		cmocka_unit_test(a_box_of_the_output_size_is_copied),
		cmocka_unit_test(a_plain_surface_stays_plain),
		cmocka_unit_test(overshoot_is_clamped_to_black_and_white),
		cmocka_unit_test(an_earlier_call_does_not_show_in_a_later_one),
		cmocka_unit_test(bands_give_the_bytes_of_a_whole_source_however_they_are_cut),
		cmocka_unit_test(a_resize_that_would_keep_a_huge_picture_is_refused),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(a_resampler_outlives_a_shortage_of_memory),
	};

	if (given)
		seed = strtoull(given, NULL, 0);
	printf("CROPRING_TEST_SEED=%ju\n", (uintmax_t)seed);
	for (level = SIMD_PLAIN; level <= simd_best(); level++)
		failed += cmocka_run_group_tests_name(level_names[level], tests, open_resampler, close_resampler);
	return failed;
}
