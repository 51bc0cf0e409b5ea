/*
 * JPEG regions beside a plain libjpeg decode of the whole file: every sampling, coding and reduction, boxes at the edges of
 * everything.  One thread.
 *
 * An argument is how many pictures to try; the seed is CROPRING_TEST_SEED.
 */
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"

static int pictures = 120;

struct sampling {
	int across, down, other_across[3], other_down[3];
};

static const struct sampling samplings[] = {
	{.across = 1, .down = 1}, /* 4:4:4 */
	{.across = 2, .down = 2}, /* 4:2:0 */
	{.across = 2, .down = 1}, /* 4:2:2 */
	{.across = 1, .down = 2}, /* 4:4:0 */
	{.across = 4, .down = 1}, /* 4:1:1 */
	{.across = 4, .down = 2}, /* 4:1:0 */
	{.across = 1, .down = 4}, /* and rarer */
	{.across = 2, .down = 4},
	{.across = 3, .down = 1},
	{.across = 1, .down = 3},
	{.across = 3, .down = 2},
	{.across = 1, .down = 1, .other_across = {2}, .other_down = {1}}, /* luma is not the finest */
	{.across = 1, .down = 1, .other_across = {1, 2}, .other_down = {2, 1}},
	{.across = 2, .down = 2, .other_across = {1, 2}, .other_down = {2, 1}},
	{.across = 4, .down = 1, .other_across = {2, 1}, .other_down = {1, 1}},
	{.across = 2, .down = 2, .other_across = {2, 2, 2}, .other_down = {1, 2, 1}},
	{.across = 2, .down = 2, .other_across = {1, 1, 2}, .other_down = {1, 1, 2}}, /* YCCK 4:2:0 as Adobe writes it */
};

static struct jpeg_recipe random_recipe(void)
{
	static const J_COLOR_SPACE spaces[] = {JCS_YCbCr, JCS_YCbCr, JCS_YCbCr, JCS_GRAYSCALE, JCS_RGB, JCS_CMYK, JCS_YCCK};
	const struct sampling *sampling = &samplings[check_below(sizeof samplings / sizeof samplings[0])];
	struct jpeg_recipe recipe = {
		.width_px = 1 + check_below(check_below(4) ? 150 : 20),
		.height_px = 1 + check_below(check_below(4) ? 150 : 20),
		.stored = spaces[check_below(sizeof spaces / sizeof spaces[0])],
		.across = sampling->across,
		.down = sampling->down,
		.scans = check_below(3) ? JPEG_SCANS_ONE : (enum jpeg_scans)check_below(JPEG_SCANS_FIRST + 1),
		.arithmetic = check_below(5) == 0,
		.wide_quantizers = check_below(8) == 0,
		.restart_mcus = check_below(3) ? 0 : 1 + check_below(9),
		.orientation = (uint8_t)check_below(9),
	};

	int blocks = sampling->across * sampling->down;

	for (int c = 0; c < 3; c++) {
		recipe.other_across[c] = sampling->other_across[c];
		recipe.other_down[c] = sampling->other_down[c];
		if (c + 1 < jpeg_components_of(recipe.stored))
			blocks += (recipe.other_across[c] ? recipe.other_across[c] : 1) *
			          (recipe.other_down[c] ? recipe.other_down[c] : 1);
	}
	if (blocks > C_MAX_BLOCKS_IN_MCU) /* no scan may have them all */
		recipe.scans = JPEG_SCANS_COMPONENTS;
	return recipe;
}

/* Where an edge of a box hurts: at a multiple of 8, one beside it, or anywhere. */
static int32_t random_edge(uint32_t bound)
{
	int32_t at = (int32_t)check_below(bound);

	if (check_below(2))
		at = at / 8 * 8 + (int32_t)check_below(3) - 1;
	return at < 0 ? 0 : at >= (int32_t)bound ? (int32_t)bound - 1 : at;
}

static void choose_side(uint32_t bound, int32_t *begin, int32_t *length)
{
	int32_t other;

	*begin = random_edge(bound);
	other = check_below(4) ? random_edge(bound) : *begin;
	if (other < *begin) {
		int32_t swapped = *begin;

		*begin = other;
		other = swapped;
	}
	*length = other - *begin + 1;
}

static struct box hard_box(uint32_t width_px, uint32_t height_px)
{
	struct box box;

	choose_side(width_px, &box.x, &box.width);
	choose_side(height_px, &box.y, &box.height);
	return box;
}

static void check_picture(struct decoder *decoder, const struct jpeg_recipe *recipe, uint32_t eighths)
{
	struct file file = jpeg_encode(recipe);
	struct image_info info = probe_ok(decoder, file);

	assert_int_equal(info.format, IMAGE_JPEG);
	assert_int_equal(info.width_px, recipe->width_px);
	assert_int_equal(info.height_px, recipe->height_px);
	assert_int_equal(info.orientation, recipe->orientation ? recipe->orientation : 1);
	for (uint32_t channels = 1; channels <= 3; channels += 2) {
		struct picture full = jpeg_reference(file, channels, eighths);

		assert_int_equal(full.width_px, decode_scaled_px(info.width_px, eighths));
		assert_int_equal(full.height_px, decode_scaled_px(info.height_px, eighths));
		check_regions(decoder, file, &info, &full, eighths, 2);
		for (int i = 0; i < 10; i++) {
			struct decode_want want = {hard_box(full.width_px, full.height_px), channels, eighths, false};

			check_region(decoder, file, &info, &want, &full);
		}
		free(full.data);
	}
	free(file.bytes);
}

static void a_region_equals_the_crop_of_a_plain_decode(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int i = 0; i < pictures; i++) {
		struct jpeg_recipe recipe = random_recipe();

		check_picture(decoder, &recipe, 8);
	}
	decoder_close(decoder);
}

static void a_reduced_region_equals_the_crop_of_a_reduced_decode(void **state)
{
	static const uint32_t reductions[] = {4, 2, 1, 4, 2, 1, 3, 5, 6, 7}; /* render asks for the first three */
	struct decoder *decoder = open_decoder();

	(void)state;
	for (int i = 0; i < pictures; i++) {
		struct jpeg_recipe recipe = random_recipe();

		check_picture(decoder, &recipe, reductions[(size_t)i % (sizeof reductions / sizeof reductions[0])]);
	}
	decoder_close(decoder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_equals_the_crop_of_a_plain_decode),
		cmocka_unit_test(a_reduced_region_equals_the_crop_of_a_reduced_decode),
	};

	if (argc > 1)
		pictures = atoi(argv[1]);
	check_state = seed_of_test("test_decode_jpeg_regions");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
