/*
 * JPEGs in segments: regions of every sampling and segment length beside a plain libjpeg decode of the whole; damaged tables, headers,
 * markers and runs.  One thread.
 *
 * An argument is how many regions to try of each file; the seed is CROPRING_TEST_SEED.
 */
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"
#include "tests/segments_recipe.h"

static int regions = 4;

static const struct kind {
	J_COLOR_SPACE stored;
	int across, down;
} kinds[] = {
	{JCS_YCbCr, 1, 1}, {JCS_YCbCr, 2, 1}, {JCS_YCbCr, 2, 2}, {JCS_YCbCr, 1, 2},     {JCS_YCbCr, 4, 1},
	{JCS_YCbCr, 3, 2}, {JCS_RGB, 1, 1},   {JCS_CMYK, 1, 1},  {JCS_GRAYSCALE, 1, 1}, {JCS_YCCK, 2, 2},
};

/* Restart intervals: of these MCUs, and of so many more than so many rows. */
static const struct {
	uint32_t rows;
	int mcus;
} lengths[] = {{0, 1}, {0, 3}, {0, 7}, {0, 10}, {0, 23}, {1, 0}, {2, 0}, {1, 3}, {3, -1}, {1, -1}};

static struct segmented make(const struct kind *kind, uint32_t width_px, uint32_t height_px, uint32_t rows, int mcus,
                             bool optimized)
{
	uint32_t across = (width_px + 8 * (uint32_t)kind->across - 1) / (8 * (uint32_t)kind->across);
	int restart_mcus = (int)(rows * across) + mcus;
	const struct jpeg_recipe recipe = {.width_px = width_px,
	                                   .height_px = height_px,
	                                   .stored = kind->stored,
	                                   .across = kind->across,
	                                   .down = kind->down,
	                                   .optimized = optimized,
	                                   .quality = 30 + (int)check_below(70),
	                                   .restart_mcus = restart_mcus > 0 ? (unsigned)restart_mcus : 1};
	static const uint8_t comment[] = {0xff, 0xfe, 0, 200};
	uint8_t metadata[202] = {0};
	struct file file = jpeg_encode(&recipe);

	memcpy(metadata, comment, sizeof comment);
	assert_true(file.byte_count > 2);
	file_insert(&file, 2, metadata, sizeof metadata);
	return check_below(2) ? segmented_jpeg(file, 2, sizeof metadata) : segmented_jpeg(file, 0, 0);
}

/* decode_runs() and what it names of the file; false: all of it. */
static bool read_region(const struct segmented *made, const struct decode_want *want, struct file_runs **runs, uint8_t **bytes)
{
	if (!decode_runs(&made->segments, want, runs))
		return false;
	*bytes = runs_read(made->file, *runs);
	return true;
}

/* Returns whether runs were enough. */
static bool check_in_runs(struct decoder *decoder, const struct segmented *made, const struct decode_want *want,
                          const struct picture *full)
{
	struct image_info info;
	struct file_runs *runs;
	struct file_bytes file;
	struct pixels out;
	uint8_t *bytes;

	if (!read_region(made, want, &runs, &bytes))
		return false;
	file = file_bytes_in_runs(bytes, runs, &made->segments);
	assert_int_equal(decode_probe(decoder, &file, &info), ITEM_OK);
	if (decode_region(decoder, &file, &info, want, &out) != ITEM_OK)
		fail_msg("%ux%u, segments of %u: %s", info.width_px, info.height_px, made->segments.header.unit,
		         decoder_reason(decoder));
	check_pixels(&out, want, full);
	free(bytes);
	free(runs);
	return true;
}

static struct box small_region(uint32_t width_px, uint32_t height_px)
{
	struct box region = random_box(width_px, height_px);

	region.width = (region.width + 3) / 4;
	region.height = (region.height + 3) / 4;
	return region;
}

static void regions_are_those_of_a_plain_decode(void **state)
{
	struct decoder *decoder = open_decoder();
	int read_count = 0, region_count = 0;

	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
			struct segmented made = make(&kinds[k], 1 + check_below(400), 1 + check_below(300), lengths[l].rows,
			                             lengths[l].mcus, check_below(2));
			uint32_t eighths = check_below(2) ? 8 : 1 + check_below(8);

			for (uint32_t channels = 1; channels <= 3; channels += 2) {
				struct picture full = jpeg_reference(made.file, channels, eighths);

				for (int i = 0; i < regions; i++, region_count++) {
					const struct decode_want want = {small_region(full.width_px, full.height_px), channels,
					                                 eighths, false};

					read_count += check_in_runs(decoder, &made, &want, &full);
				}
				free(full.data);
			}
			segmented_free(&made);
		}
	}
	assert_true(read_count > region_count / 3);
	decoder_close(decoder);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_are_those_of_a_plain_decode),
	};

	if (argc > 1)
		regions = atoi(argv[1]);
	check_state = seed_of_test("test_jpeg_segments");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
