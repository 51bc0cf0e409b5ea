/* How long restart intervals become.  One thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/pack/image/jpeg_interval.h"
#include "tests/seed.h"

static struct jpeg_grid grid_of(uint32_t width_px, uint32_t height_px, uint32_t mcu_px)
{
	struct jpeg_grid grid = {.width_px = width_px, .height_px = height_px, .mcu_width_px = mcu_px, .mcu_height_px = mcu_px};

	jpeg_grid_count(&grid);
	return grid;
}

/* bytes_per_mcu: of the entropy-coded data. */
static uint32_t automatic(uint32_t width_px, uint32_t height_px, uint32_t mcu_px, uint32_t bytes_per_mcu)
{
	struct jpeg_grid grid = grid_of(width_px, height_px, mcu_px);

	return jpeg_interval_mcus(&(struct pack_rules){0}, &grid, (uint64_t)grid.mcus_across * grid.mcu_rows * bytes_per_mcu);
}

static void the_picture_decides(void **state)
{
	(void)state;
	assert_int_equal(automatic(500, 375, 16, 48), 8);   /* of 32 across */
	assert_int_equal(automatic(500, 375, 8, 24), 9);    /* of 63 */
	assert_int_equal(automatic(4000, 4000, 16, 38), 5); /* of 250 */
	assert_int_equal(automatic(4000, 4000, 8, 19), 10); /* of 500 */
	assert_int_equal(automatic(4000, 4000, 8, 7), 20);  /* gray */
	assert_int_equal(automatic(4000, 4000, 8, 9), 20);  /* not 10, which would be 90 bytes */
	assert_int_equal(automatic(256, 256, 8, 24), 16);
	assert_int_equal(automatic(256, 256, 16, 40), 0); /* small */
	assert_int_equal(automatic(256, 256, 8, 10), 0);
	assert_int_equal(automatic(4000, 4000, 16, 1), 125); /* flat */
	assert_int_equal(automatic(4000, 16, 16, 0), 0);     /* one row */
	assert_int_equal(automatic(4000, 32, 16, 0), 250);
}

static void where_nothing_divides_a_row_it_is_a_row_or_walked_through(void **state)
{
	(void)state;
	assert_int_equal(automatic(488, 375, 8, 24), 61);
	assert_int_equal(automatic(375, 500, 8, 24), 47);
	assert_int_equal(automatic(2008, 1600, 8, 20), 24); /* of 251 */
}

static void what_is_asked_for_is_given_unless_a_divisor_is_near(void **state)
{
	static const struct {
		uint32_t width_px, asked_px, mcus;
	} cases[] = {{640, 160, 10},  {640, 144, 10},  {640, 1, 1},     {640, 24, 2},   {640, 639, 40},
	             {640, 400, 20},  {640, 480, 40},  {496, 160, 10},  {496, 496, 31}, {496, 4000000000u, 31},
	             {4000, 256, 16}, {1920, 224, 15}, {1920, 208, 12}, {1920, 272, 15}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct jpeg_grid grid = grid_of(cases[i].width_px, 480, 16);

		assert_int_equal(jpeg_interval_mcus(&(struct pack_rules){.segment_px = cases[i].asked_px}, &grid, 100000),
		                 cases[i].mcus);
	}
}

static void none_is_none(void **state)
{
	struct jpeg_grid grid = grid_of(4000, 4000, 16);

	(void)state;
	assert_int_equal(jpeg_interval_mcus(&(struct pack_rules){.segment_px = PACK_NO_SEGMENTS}, &grid, 2000000), 0);
}

/* Any header: what comes out fits into a DRI segment. */
static void any_size_gets_an_interval_that_can_be_written(void **state)
{
	uint64_t random = seed_of_test("test_jpeg_interval");

	(void)state;
	for (int i = 0; i < 20000; i++) {
		uint32_t mcu_px = 8 * (uint32_t)seed_between(&random, 1, 4);
		struct jpeg_grid grid = grid_of((uint32_t)seed_between(&random, 1, i % 2 ? 65535 : 700),
		                                (uint32_t)seed_between(&random, 1, 65535), mcu_px);
		struct pack_rules rules = {.segment_px = i % 3 ? 0 : (uint32_t)seed_between(&random, 0, UINT32_MAX)};
		uint64_t scan_bytes = seed_between(&random, 0, (uint64_t)1 << seed_between(&random, 1, 40));
		uint32_t interval = jpeg_interval_mcus(&rules, &grid, scan_bytes);

		assert_true(interval <= grid.mcus_across);
		assert_true(interval <= 65535);
		assert_true(interval < (uint64_t)grid.mcus_across * grid.mcu_rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_picture_decides),
		cmocka_unit_test(where_nothing_divides_a_row_it_is_a_row_or_walked_through),
		cmocka_unit_test(what_is_asked_for_is_given_unless_a_divisor_is_near),
		cmocka_unit_test(none_is_none),
		cmocka_unit_test(any_size_gets_an_interval_that_can_be_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
