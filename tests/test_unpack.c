/* Every kind of row, from every column on and of every width, beside its definition; no byte beside it is read or written.  One thread. */
#include "tests/decode_check.h"

#include "loader/decode/unpack.h"

enum { LONGEST_PX = 90 };

/* The pixel as RGB, byte by byte. */
static void expect_rgb(const struct unpack *unpack, const uint8_t *row, uint32_t x, uint8_t rgb[3])
{
	uint32_t bits = unpack->pixel_bits;
	const uint8_t *pixel = row + (size_t)x * bits / 8;

	if (unpack->kind == UNPACK_INDEX) {
		memcpy(rgb, unpack->palette[pixel[0] >> (8 - bits - x * bits % 8) & ((1u << bits) - 1)], 3);
	} else if (unpack->kind == UNPACK_BYTES) {
		rgb[0] = pixel[unpack->red_at];
		rgb[1] = pixel[unpack->green_at];
		rgb[2] = pixel[unpack->blue_at];
	} else {
		uint32_t value = pixel[0] | (uint32_t)pixel[1] << 8, green_max = unpack->kind == UNPACK_565 ? 63 : 31;

		rgb[0] = (uint8_t)((unpack->kind == UNPACK_565 ? value >> 11 : value >> 10 & 31) * 255 / 31);
		rgb[1] = (uint8_t)((value >> 5 & green_max) * 255 / green_max);
		rgb[2] = (uint8_t)((value & 31) * 255 / 31);
	}
}

static void check_row(const struct unpack *unpack, uint32_t x, uint32_t width_px, uint32_t channels)
{
	size_t row_bytes = ((x + width_px) * unpack->pixel_bits + 7) / 8;
	uint8_t *row = malloc(row_bytes), *out = malloc((size_t)width_px * channels);

	for (size_t i = 0; i < row_bytes; i++)
		row[i] = (uint8_t)check_random();
	unpack_row(unpack, row, x, width_px, channels, out);
	for (uint32_t i = 0; i < width_px; i++) {
		uint8_t rgb[3], gray;

		expect_rgb(unpack, row, x + i, rgb);
		gray = luma_by_formula(rgb);
		if (memcmp(out + (size_t)i * channels, channels == 3 ? rgb : &gray, channels) != 0)
			fail_msg("kind %d of %u bits, %u channels, %u pixels from %u on: pixel %u differs", unpack->kind,
			         unpack->pixel_bits, channels, width_px, x, i);
	}
	free(out);
	free(row);
}

static void check_kind(struct unpack unpack)
{
	for (int i = 0; i < 256; i++) {
		for (int c = 0; c < 3; c++)
			unpack.palette[i][c] = (uint8_t)check_random();
	}
	for (uint32_t width_px = 1; width_px <= LONGEST_PX; width_px++) {
		for (uint32_t channels = 1; channels <= 3; channels += 2)
			check_row(&unpack, check_below(20), width_px, channels);
	}
}

static void indices_are_looked_up(void **state)
{
	(void)state;
	for (uint32_t bits = 1; bits <= 8; bits *= 2)
		check_kind((struct unpack){.kind = UNPACK_INDEX, .pixel_bits = bits});
}

static void bytes_of_a_pixel_are_put_in_order(void **state)
{
	(void)state;
	for (uint32_t bytes = 1; bytes <= 8; bytes++) {
		for (uint32_t order = 0; order < bytes * bytes * bytes; order += bytes < 5 ? 1 : 7)
			check_kind((struct unpack){.kind = UNPACK_BYTES,
			                           .pixel_bits = 8 * bytes,
			                           .red_at = (uint8_t)(order % bytes),
			                           .green_at = (uint8_t)(order / bytes % bytes),
			                           .blue_at = (uint8_t)(order / bytes / bytes)});
	}
}

static void pixels_of_16_bits_are_widened(void **state)
{
	(void)state;
	check_kind((struct unpack){.kind = UNPACK_555, .pixel_bits = 16});
	check_kind((struct unpack){.kind = UNPACK_565, .pixel_bits = 16});
}

/* A seventh of all 2^24 colours. */
static void a_colours_luma_is_that_of_the_formula(void **state)
{
	struct unpack unpack = {.kind = UNPACK_BYTES, .pixel_bits = 24, .green_at = 1, .blue_at = 2};
	uint8_t row[256][3], out[256];

	(void)state;
	for (int red_green = 0; red_green < 65536; red_green += 7) {
		for (int blue = 0; blue < 256; blue++) {
			row[blue][0] = (uint8_t)(red_green >> 8);
			row[blue][1] = (uint8_t)red_green;
			row[blue][2] = (uint8_t)blue;
		}
		unpack_row(&unpack, row[0], 0, 256, 1, out);
		for (int blue = 0; blue < 256; blue++) {
			if (out[blue] != luma_by_formula(row[blue]))
				fail_msg("%d, %d, %d gives %d", row[blue][0], row[blue][1], blue, out[blue]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(indices_are_looked_up),
		cmocka_unit_test(bytes_of_a_pixel_are_put_in_order),
		cmocka_unit_test(pixels_of_16_bits_are_widened),
		cmocka_unit_test(a_colours_luma_is_that_of_the_formula),
	};

	check_state = seed_of_test("test_unpack");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
