/*
 * test_crop.c - boxes lie inside the picture, follow torchvision's rules and the distributions that these promise, and never
 * change.
 *
 * The fixed numbers come from an independent program: torchvision's lines in Python, with a Philox of its own and Python's exp and
 * log.  Over 500 lines, as the tables are written out.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/crop.h"
#include "tests/seed.h"

/* The defaults of the command line. */
static struct crop_spec usual_spec(enum crop_rule rule)
{
	return (struct crop_spec){
		.rule = rule,
		.out_width_px = 224,
		.out_height_px = 224,
		.scale_min = 0.08,
		.scale_max = 1,
		.ratio_min = 3.0 / 4,
		.ratio_max = 4.0 / 3,
		.hflip = 0.5,
		.short_side_px = 256,
		.seed = 42,
	};
}

static void choose(const struct crop_spec *spec, uint32_t epoch, uint64_t sample, uint32_t width, uint32_t height,
                   struct crop_view *view)
{
	struct crop_ask ask = crop_usual_ask(spec, epoch, sample);

	assert_true(crop_choose(spec, &ask, width, height, view));
}

static void assert_box(struct box got, struct box expected)
{
	assert_int_equal(got.x, expected.x);
	assert_int_equal(got.y, expected.y);
	assert_int_equal(got.width, expected.width);
	assert_int_equal(got.height, expected.height);
}

static bool is_inside(struct box box, uint32_t width, uint32_t height)
{
	return box.x >= 0 && box.y >= 0 && box.width >= 1 && box.height >= 1 && (int64_t)box.x + box.width <= width &&
	       (int64_t)box.y + box.height <= height;
}

static double random_unit(uint64_t *random)
{
	return (double)(seed_next(random) >> 11) * 0x1p-53;
}

/* Of every order of magnitude alike. */
static uint32_t random_length(uint64_t *random, double most)
{
	return (uint32_t)exp(random_unit(random) * log(most));
}

static struct crop_spec random_spec(uint64_t *random)
{
	struct crop_spec spec = {
		.rule = (enum crop_rule)seed_between(random, CROP_RANDOM_RESIZED, CROP_RESIZE),
		.out_width_px = random_length(random, 5000),
		.out_height_px = random_length(random, 5000),
		.scale_min = random_unit(random),
		.ratio_min = exp(random_unit(random) * 20 - 10),
		.hflip = random_unit(random),
		.seed = seed_next(random),
	};

	spec.scale_max = spec.scale_min + random_unit(random);
	spec.ratio_max = spec.ratio_min * exp(random_unit(random) * 3);
	spec.short_side_px = spec.out_width_px > spec.out_height_px ? spec.out_width_px : spec.out_height_px;
	spec.short_side_px += random_length(random, 1000) - 1;
	return spec;
}

static void every_view_stays_inside_the_picture(void **state)
{
	uint64_t random = seed_of_test("every_view_stays_inside_the_picture");

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct crop_spec spec = random_spec(&random);
		double most = i % 10 ? 65536 : INT32_MAX;
		uint32_t width = i % 7 ? random_length(&random, most) : 1;
		uint32_t height = i % 11 ? random_length(&random, most) : 1;
		struct crop_view view;

		choose(&spec, (uint32_t)seed_next(&random), seed_next(&random), width, height, &view);
		if (!is_inside(view.box, width, height) || !is_inside(view.resized, width, height))
			fail_msg("case %d: rule %d, picture %u x %u", i, (int)spec.rule, width, height);
		assert_true((uint64_t)view.window_x + spec.out_width_px <= view.virtual_width_px);
		assert_true((uint64_t)view.window_y + spec.out_height_px <= view.virtual_height_px);
		if (spec.rule != CROP_CENTER) {
			assert_box(view.box, view.resized);
			assert_int_equal(view.virtual_width_px, spec.out_width_px);
			assert_int_equal(view.virtual_height_px, spec.out_height_px);
		}
	}
}

/* A later change of the numbers drawn, or of their order, must be noticed: seeds are promises. */
static void boxes_of_a_seed_never_change(void **state)
{
	static const struct {
		uint32_t width, height;
		uint64_t sample;
		struct box box;
		bool flipped;
	} known[] = {
		{500, 375, 0, {69, 15, 353, 296}, false},
		{500, 375, 123456789012, {236, 120, 203, 154}, true},
		{375, 500, 0, {10, 38, 353, 296}, false},
		{375, 500, 123456789012, {137, 187, 203, 154}, true},
		{4000, 3000, 0, {553, 119, 2822, 2370}, false},
		{4000, 3000, 123456789012, {1885, 958, 1627, 1230}, true},
		{100, 100, 0, {9, 6, 81, 68}, false},
		{64, 1000, 0, {0, 457, 64, 85}, false},
		{33, 7, 0, {22, 0, 7, 6}, false},
		{33, 7, 123456789012, {21, 1, 7, 5}, true},
	};
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	struct crop_view view;

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		choose(&spec, 3, known[i].sample, known[i].width, known[i].height, &view);
		assert_box(view.box, known[i].box);
		assert_int_equal(view.flipped, known[i].flipped);
	}
	spec.rule = CROP_RANDOM;
	choose(&spec, 3, 0, 500, 375, &view);
	assert_box(view.box, (struct box){222, 78, 224, 224});
}

static void pictures_of_extreme_shape_get_the_central_fallback(void **state)
{
	static const struct {
		uint32_t width, height;
		struct box box;
	} known[] = {
		{1, 65535, {0, 32767, 1, 1}},    {65535, 1, {32767, 0, 1, 1}}, {1000, 100, {433, 0, 133, 100}},
		{100, 1000, {0, 433, 100, 133}}, {2, 65535, {0, 32766, 2, 3}}, {1, 1, {0, 0, 1, 1}},
	};
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	struct crop_view view;

	(void)state;
	spec.scale_min = 1;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		choose(&spec, 0, i, known[i].width, known[i].height, &view);
		assert_box(view.box, known[i].box);
	}
}

static void tries_that_cannot_succeed_end_with_the_whole_picture(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	struct crop_view view;

	(void)state;
	spec.scale_min = 2;
	spec.scale_max = 3;
	choose(&spec, 0, 0, 640, 480, &view);
	assert_box(view.box, (struct box){0, 0, 640, 480});
}

static void a_fallback_side_is_never_rounded_to_0(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	struct crop_view view;

	(void)state;
	spec.scale_min = spec.scale_max = 1;
	spec.ratio_min = spec.ratio_max = 100;
	choose(&spec, 0, 0, 3, 50, &view);
	assert_box(view.box, (struct box){0, 24, 3, 1});
	spec.ratio_min = spec.ratio_max = 0.01;
	choose(&spec, 0, 0, 50, 3, &view);
	assert_box(view.box, (struct box){24, 0, 1, 3});
}

/* Ratios at which areas and sides overflow doubles or integers. */
static void absurd_ratios_are_survived(void **state)
{
	static const double ratios[] = {1e-300, 1e-12, 1, 1e12, 1e300};
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	struct crop_view view;

	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t j = i; j < 5; j++) {
			spec.ratio_min = ratios[i];
			spec.ratio_max = ratios[j];
			for (uint64_t sample = 0; sample < 20; sample++) {
				choose(&spec, 0, sample, INT32_MAX, INT32_MAX, &view);
				assert_true(is_inside(view.box, INT32_MAX, INT32_MAX));
				choose(&spec, 0, sample, 1, INT32_MAX, &view);
				assert_true(is_inside(view.box, 1, INT32_MAX));
			}
		}
}

static int compare_doubles(const void *left, const void *right)
{
	double l = *(const double *)left, r = *(const double *)right;

	return (l > r) - (l < r);
}

/*
 * The largest distance between the distribution of `values` and the uniform one on [0, 1], times sqrt(count), is over 2.2 once
 * in 8,000 times (Kolmogorov: 2 exp(-2 x^2)).
 */
static void assert_uniform(const char *what, double *values, size_t count)
{
	double largest = 0;

	qsort(values, count, sizeof *values, compare_doubles);
	for (size_t i = 0; i < count; i++) {
		largest = fmax(largest, fabs(values[i] - (double)i / (double)count));
		largest = fmax(largest, fabs(values[i] - (double)(i + 1) / (double)count));
	}
	printf("%s: Kolmogorov-Smirnov %.3f\n", what, largest * sqrt((double)count));
	assert_true(largest * sqrt((double)count) < 2.2);
}

enum { DRAWS = 40000 };

/* In a picture so large that rounding does not matter, at a scale where the first try always succeeds. */
static void area_ratio_and_place_are_distributed_as_promised(void **state)
{
	const double side = 1 << 20;
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);
	static double areas[DRAWS], ratios[DRAWS], lefts[DRAWS], tops[DRAWS];

	(void)state;
	spec.seed = seed_of_test("area_ratio_and_place_are_distributed_as_promised");
	spec.scale_max = 0.5;
	for (uint64_t i = 0; i < DRAWS; i++) {
		struct crop_view view;

		choose(&spec, 0, i, 1 << 20, 1 << 20, &view);
		areas[i] = ((double)view.box.width * view.box.height / side / side - 0.08) / (0.5 - 0.08);
		ratios[i] = log((double)view.box.width / view.box.height / spec.ratio_min) / log(spec.ratio_max / spec.ratio_min);
		lefts[i] = view.box.x / (side - view.box.width);
		tops[i] = view.box.y / (side - view.box.height);
	}
	assert_uniform("share of the area", areas, DRAWS);
	assert_uniform("logarithm of the ratio", ratios, DRAWS);
	assert_uniform("left", lefts, DRAWS);
	assert_uniform("top", tops, DRAWS);
}

/* First and last place included. */
static void a_random_box_comes_equally_often_at_every_place(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RANDOM);
	uint32_t frequency[4][6] = {{0}};

	(void)state;
	spec.seed = seed_of_test("a_random_box_comes_equally_often_at_every_place");
	for (uint64_t i = 0; i < 24 * 1000; i++) {
		struct crop_view view;

		choose(&spec, 0, i, 224 + 5, 224 + 3, &view);
		assert_int_equal(view.box.width, 224);
		assert_int_equal(view.box.height, 224);
		frequency[view.box.y][view.box.x]++;
	}
	for (int i = 0; i < 24; i++)
		assert_in_range(frequency[i / 6][i % 6], 850, 1150);
}

static void a_random_box_of_a_small_picture_is_the_largest_of_the_shape(void **state)
{
	static const struct {
		uint32_t out_width, out_height, width, height, box_width, box_height;
	} known[] = {
		{224, 224, 100, 80, 80, 80},    {224, 224, 500, 80, 80, 80},
		{320, 240, 200, 200, 200, 150}, {320, 240, 100, 1000, 100, 75},
		{320, 240, 330, 60, 80, 60},    {240, 320, 60, 200, 60, 80},
		{1000, 1, 10, 10, 10, 1},       {1, 1000, 10, 10, 1, 10},
		{224, 224, 1, 65535, 1, 1},     {3, 2, 2, 2, 2, 1},
		{224, 224, 224, 224, 224, 224},
	};

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct crop_spec spec = usual_spec(CROP_RANDOM);

		spec.out_width_px = known[i].out_width;
		spec.out_height_px = known[i].out_height;
		for (uint64_t sample = 0; sample < 50; sample++) {
			struct crop_view view;

			choose(&spec, 0, sample, known[i].width, known[i].height, &view);
			assert_int_equal(view.box.width, known[i].box_width);
			assert_int_equal(view.box.height, known[i].box_height);
			assert_true(is_inside(view.box, known[i].width, known[i].height));
		}
	}
}

static void center_follows_torchvision(void **state)
{
	static const struct {
		uint32_t width, height, short_side, out_width, out_height;
		uint32_t virtual_width, virtual_height, window_x, window_y;
		struct box box;
	} known[] = {
		{500, 375, 256, 224, 224, 341, 256, 58, 16, {85, 23, 329, 329}},
		{375, 500, 256, 224, 224, 256, 341, 16, 58, {23, 85, 329, 329}},
		{333, 500, 256, 224, 224, 256, 384, 16, 80, {20, 104, 293, 292}},
		{500, 500, 256, 224, 224, 256, 256, 16, 16, {31, 31, 438, 438}},
		{257, 256, 256, 224, 224, 257, 256, 16, 16, {16, 16, 224, 224}},
		{640, 427, 255, 224, 224, 382, 255, 79, 16, {132, 26, 376, 376}},
		{640, 427, 257, 224, 160, 385, 257, 80, 48, {132, 79, 374, 267}},
		{224, 224, 224, 224, 224, 224, 224, 0, 0, {0, 0, 224, 224}},
		{1, 65535, 256, 224, 224, 256, 16776960, 16, 8388368, {0, 32767, 1, 1}},
		{65535, 1, 256, 224, 224, 16776960, 256, 8388368, 16, {32767, 0, 1, 1}},
		{1023, 769, 232, 224, 224, 308, 232, 42, 4, {139, 13, 745, 743}},
		{3, 2, 37, 32, 31, 55, 37, 12, 3, {0, 0, 3, 2}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		struct crop_spec spec = usual_spec(CROP_CENTER);
		struct crop_view view;

		spec.short_side_px = known[i].short_side;
		spec.out_width_px = known[i].out_width;
		spec.out_height_px = known[i].out_height;
		choose(&spec, 0, 0, known[i].width, known[i].height, &view);
		assert_int_equal(view.virtual_width_px, known[i].virtual_width);
		assert_int_equal(view.virtual_height_px, known[i].virtual_height);
		assert_int_equal(view.window_x, known[i].window_x);
		assert_int_equal(view.window_y, known[i].window_y);
		assert_box(view.box, known[i].box);
		assert_box(view.resized, (struct box){0, 0, (int32_t)known[i].width, (int32_t)known[i].height});
	}
}

static void center_of_an_endless_strip_is_squeezed_into_an_int(void **state)
{
	struct crop_spec spec = usual_spec(CROP_CENTER);
	struct crop_view view;

	(void)state;
	choose(&spec, 0, 0, INT32_MAX, 1, &view);
	assert_int_equal(view.virtual_width_px, INT32_MAX);
	assert_int_equal(view.virtual_height_px, 256);
	assert_int_equal(view.window_x, (INT32_MAX - 224) / 2 + 1); /* a half, rounded to the even number */
	assert_true(is_inside(view.box, INT32_MAX, 1));
}

static void resize_takes_the_whole_picture(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RESIZE);
	struct crop_view view;

	(void)state;
	choose(&spec, 5, 6, 123, 4567, &view);
	assert_box(view.box, (struct box){0, 0, 123, 4567});
	assert_box(view.resized, view.box);
	assert_int_equal(view.virtual_width_px, 224);
	assert_int_equal(view.window_x, 0);
}

static uint32_t count_flips(double hflip, uint64_t seed)
{
	struct crop_spec spec = usual_spec(CROP_RESIZE);
	uint32_t flips = 0;

	spec.hflip = hflip;
	spec.seed = seed;
	for (uint64_t i = 0; i < DRAWS; i++) {
		struct crop_view view;

		choose(&spec, 0, i, 10, 10, &view);
		flips += view.flipped;
	}
	return flips;
}

static void pictures_are_mirrored_as_often_as_asked(void **state)
{
	uint64_t seed = seed_of_test("pictures_are_mirrored_as_often_as_asked");

	(void)state;
	assert_int_equal(count_flips(0, seed), 0);
	assert_int_equal(count_flips(1, seed), DRAWS);
	/* Five standard deviations. */
	assert_in_range(count_flips(0.5, seed), DRAWS / 2 - 500, DRAWS / 2 + 500);
	assert_in_range(count_flips(0.1, seed), DRAWS / 10 - 300, DRAWS / 10 + 300);
}

/* Of seed 42, this is the first sample that draws the number 0. */
static void the_smallest_number_drawn_mirrors_at_any_probability_but_0(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RESIZE);
	struct crop_view view;

	(void)state;
	spec.hflip = 0;
	choose(&spec, 0, 418752124, 10, 10, &view);
	assert_false(view.flipped);
	spec.hflip = 0x1p-40;
	choose(&spec, 0, 418752124, 10, 10, &view);
	assert_true(view.flipped);
}

static void mirroring_is_independent_of_rule_and_box(void **state)
{
	uint32_t left_flips = 0, left_boxes = 0;

	(void)state;
	for (uint64_t i = 0; i < DRAWS; i++) {
		struct crop_view views[4];

		for (int rule = CROP_RANDOM_RESIZED; rule <= CROP_RESIZE; rule++) {
			struct crop_spec spec = usual_spec((enum crop_rule)rule);

			choose(&spec, 1, i, 1000, 1000, &views[rule]);
			assert_int_equal(views[rule].flipped, views[0].flipped);
		}
		if (views[CROP_RANDOM].box.x < (1000 - 224) / 2) {
			left_boxes++;
			left_flips += views[CROP_RANDOM].flipped;
		}
	}
	assert_in_range(left_flips, left_boxes / 2 - 400, left_boxes / 2 + 400);
}

static void seed_epoch_and_sample_each_change_the_box(void **state)
{
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED), other_spec = spec;
	struct crop_view plain, other[3];

	(void)state;
	other_spec.seed ^= UINT64_C(1) << 63;
	choose(&spec, 1, 1, 65535, 65535, &plain);
	choose(&other_spec, 1, 1, 65535, 65535, &other[0]);
	choose(&spec, 2, 1, 65535, 65535, &other[1]);
	choose(&spec, 1, 1 | UINT64_C(1) << 40, 65535, 65535, &other[2]);
	for (int i = 0; i < 3; i++)
		assert_memory_not_equal(&plain.box, &other[i].box, sizeof plain.box);
}

enum { THREADS = 4, SHARED_SAMPLES = 20000 };

struct chooser {
	pthread_t thread;
	uint32_t first;
	struct box *boxes;
};

/* All samples, each thread beginning with another one. */
static void *choose_all(void *argument)
{
	struct chooser *chooser = argument;
	struct crop_spec spec = usual_spec(CROP_RANDOM_RESIZED);

	for (uint32_t i = 0; i < SHARED_SAMPLES; i++) {
		uint32_t sample = (i * 7919 + chooser->first) % SHARED_SAMPLES;
		struct crop_view view;

		choose(&spec, 9, sample, 640, 480, &view);
		chooser->boxes[sample] = view.box;
	}
	return NULL;
}

static void boxes_do_not_depend_on_thread_or_order(void **state)
{
	struct chooser choosers[THREADS];

	(void)state;
	for (uint32_t i = 0; i < THREADS; i++) {
		choosers[i].first = i * 4999;
		choosers[i].boxes = calloc(SHARED_SAMPLES, sizeof *choosers[i].boxes);
		assert_non_null(choosers[i].boxes);
		assert_int_equal(pthread_create(&choosers[i].thread, NULL, choose_all, &choosers[i]), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(choosers[i].thread, NULL);
	for (uint32_t i = 0; i < THREADS; i++)
		assert_memory_equal(choosers[i].boxes, choosers[0].boxes, SHARED_SAMPLES * sizeof *choosers[i].boxes);
	for (uint32_t i = 0; i < SHARED_SAMPLES; i++)
		assert_true(is_inside(choosers[0].boxes[i], 640, 480));
	for (uint32_t i = 0; i < THREADS; i++)
		free(choosers[i].boxes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_view_stays_inside_the_picture),
		cmocka_unit_test(boxes_of_a_seed_never_change),
		cmocka_unit_test(pictures_of_extreme_shape_get_the_central_fallback),
		cmocka_unit_test(tries_that_cannot_succeed_end_with_the_whole_picture),
		cmocka_unit_test(a_fallback_side_is_never_rounded_to_0),
		cmocka_unit_test(absurd_ratios_are_survived),
		cmocka_unit_test(area_ratio_and_place_are_distributed_as_promised),
		cmocka_unit_test(a_random_box_comes_equally_often_at_every_place),
		cmocka_unit_test(a_random_box_of_a_small_picture_is_the_largest_of_the_shape),
		cmocka_unit_test(center_follows_torchvision),
		cmocka_unit_test(center_of_an_endless_strip_is_squeezed_into_an_int),
		cmocka_unit_test(resize_takes_the_whole_picture),
		cmocka_unit_test(pictures_are_mirrored_as_often_as_asked),
		cmocka_unit_test(the_smallest_number_drawn_mirrors_at_any_probability_but_0),
		cmocka_unit_test(mirroring_is_independent_of_rule_and_box),
		cmocka_unit_test(seed_epoch_and_sample_each_change_the_box),
		cmocka_unit_test(boxes_do_not_depend_on_thread_or_order),
	};

	return cmocka_run_group_tests_name("crop", tests, NULL, NULL);
}
