/* Unfiltering at each SIMD level beside the formulas of the PNG specification.  One thread. */
#include "tests/png_recipe.h"

#include "loader/decode/png_unfilter.h"

enum { MARGIN = PNG_UNFILTER_MARGIN_BYTES };

/* Section 9, a byte at a time, only the wanted columns. */
static void unfilter_by_formula(const struct png_rows *rows)
{
	for (uint32_t y = 0; y < rows->row_count; y++) {
		uint8_t *row = rows->data + y * rows->row_bytes + 1, *above = row - rows->row_bytes;

		for (size_t i = 0; i < (size_t)rows->width_px * rows->px_bytes; i++) {
			int left = i < rows->px_bytes ? 0 : row[i - rows->px_bytes];
			int corner = i < rows->px_bytes ? 0 : above[i - rows->px_bytes];

			row[i] = (uint8_t)(row[i] + png_predict(row[-1], left, above[i], corner));
		}
	}
}

static void check_rows(const struct png_rows *shape, const struct png_recipe *filters)
{
	size_t byte_count = 2 * MARGIN + (shape->row_count + 1) * shape->row_bytes;
	uint8_t *filtered = malloc(byte_count), *expected = malloc(byte_count), *found = malloc(byte_count);
	struct png_rows rows = *shape;

	assert_true(filtered && expected && found);
	for (size_t i = 0; i < byte_count; i++)
		filtered[i] = (uint8_t)check_random();
	for (uint32_t y = 0; y < rows.row_count; y++)
		filtered[MARGIN + (y + 1) * rows.row_bytes] = (uint8_t)png_choose_filter(filters);
	memcpy(expected, filtered, byte_count);
	rows.data = expected + MARGIN + rows.row_bytes;
	unfilter_by_formula(&rows);

	for (int level = SIMD_PLAIN; level <= (int)simd_best(); level++) {
		memcpy(found, filtered, byte_count);
		rows.data = found + MARGIN + rows.row_bytes;
		png_unfilter(&rows, (enum simd_level)level);
		/* And nothing else is touched: margins, the row above, columns that are not wanted. */
		if (memcmp(found, expected, byte_count) != 0)
			fail_msg("level %d: %u of %zu pixels of %u bytes, %u rows, filter %d", level, rows.width_px,
			         (rows.row_bytes - 1) / rows.px_bytes, rows.px_bytes, rows.row_count, filters->filter);
	}
	free(filtered);
	free(expected);
	free(found);
}

static void all_levels_unfilter_as_the_formulas_say(void **state)
{
	(void)state;
	for (uint32_t px_bytes = 1; px_bytes <= 8; px_bytes += px_bytes < 4 ? 1 : 2) {
		for (uint8_t filter = 0; filter < FILTER_CHOICES; filter++) {
			for (int round = 0; round < 40; round++) {
				struct png_recipe filters = {.filter = filter};
				uint32_t width_px = 1 + check_below(round < 15 ? 12 : 150);
				struct png_rows rows = {.row_bytes = 1 + width_px * px_bytes,
				                        .row_count = 1 + check_below(70),
				                        .width_px = 1 + check_below(width_px),
				                        .px_bytes = px_bytes};

				if (round % 3 == 0)
					rows.width_px = width_px;
				check_rows(&rows, &filters);
			}
		}
	}
}

/* A row alone has one predictor to get right for each of 2^24 triples; three bytes a step are all of them. */
static void the_paeth_predictor_is_right_for_all_neighbours(void **state)
{
	enum { ROWS = 32, PAIRS = 256 };
	struct png_rows rows = {.row_bytes = 1 + 2 * PAIRS, .row_count = ROWS, .width_px = 2 * PAIRS, .px_bytes = 1};
	size_t byte_count = 2 * MARGIN + (ROWS + 1) * rows.row_bytes;
	uint8_t *filtered = malloc(byte_count), *found = malloc(byte_count);

	(void)state;
	if (simd_best() == SIMD_PLAIN)
		skip();
	assert_true(filtered && found);
	memset(filtered, 0, byte_count);
	/* Each row's odd pixels are predicted from its left one, and a pair above: of 256 x 256 x 256, 8192 x 32 at a time by chance. */
	for (int round = 0; round < 300; round++) {
		for (size_t i = MARGIN; i < byte_count - MARGIN; i++)
			filtered[i] = (uint8_t)check_random();
		for (uint32_t y = 0; y < ROWS; y++)
			filtered[MARGIN + (y + 1) * rows.row_bytes] = PNG_FILTERED_PAETH;
		memcpy(found, filtered, byte_count);
		rows.data = found + MARGIN + rows.row_bytes;
		png_unfilter(&rows, SIMD_PLAIN);
		rows.data = filtered + MARGIN + rows.row_bytes;
		png_unfilter(&rows, simd_best());
		assert_memory_equal(filtered, found, byte_count);
	}
	free(filtered);
	free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_levels_unfilter_as_the_formulas_say),
		cmocka_unit_test(the_paeth_predictor_is_right_for_all_neighbours),
	};

	check_state = seed_of_test("test_png_unfilter");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
