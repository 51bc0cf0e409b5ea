/* Gray JPEGs at an eighth of their size, by their DC coefficients alone, beside libjpeg; also damaged ones.  One thread. */

#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"

#include "loader/decode/jpeg_eighth.h"

enum { PICTURES = 24, DAMAGES_OF_EACH = 60 };

static struct workspace workspace;

static struct jpeg_recipe random_recipe(void)
{
	return (struct jpeg_recipe){.width_px = 200 + check_below(200),
	                            .height_px = 400 + check_below(200),
	                            .stored = JCS_GRAYSCALE,
	                            .motif = (enum jpeg_motif)check_below(3),
	                            .optimized = check_below(2),
	                            .quality = 90 + (int)check_below(11),
	                            .restart_mcus = check_below(2) ? 1 + check_below(120) : 0};
}

static struct image_info info_of(const struct jpeg_recipe *recipe)
{
	return (struct image_info){.format = IMAGE_JPEG,
	                           .width_px = recipe->width_px,
	                           .height_px = recipe->height_px,
	                           .orientation = 1,
	                           .channels = 1,
	                           .sample_bits = 8};
}

static bool read_eighth(struct file file, const struct image_info *info, const struct decode_want *want, struct kept *kept)
{
	struct file_bytes bytes = file_whole(file);

	kept_open(kept, want);
	return jpeg_eighth_rows(&workspace, &bytes, info, want, &kept->sink);
}

static void pixels_are_those_of_libjpeg(void **state)
{
	(void)state;
	for (int i = 0; i < PICTURES; i++) {
		struct jpeg_recipe recipe = random_recipe();
		struct file file = jpeg_encode(&recipe);
		struct picture full = jpeg_reference(file, 1, 1), rgb = jpeg_reference(file, 3, 1);
		struct image_info info = info_of(&recipe);

		for (int box = 0; box < 20; box++) {
			struct decode_want want = {.region = random_box(full.width_px, full.height_px),
			                           .channels = box % 2 ? 1 : 3,
			                           .scale_eighths = 1};
			struct kept kept;

			assert_true(read_eighth(file, &info, &want, &kept));
			assert_int_equal(kept.row_count, want.region.height);
			check_pixels(&kept.region, &want, box % 2 ? &full : &rgb);
			kept_close(&kept);
		}
		free(full.data);
		free(rgb.data);
		free(file.bytes);
	}
}

/* Coefficients that no encoder writes: sums far beyond black and white, where libjpeg's table wraps around. */
static void sums_beyond_white_wrap_as_those_of_libjpeg(void **state)
{
	(void)state;
	for (int i = 0; i < PICTURES; i++) {
		struct jpeg_recipe recipe = random_recipe();
		struct file file;
		struct image_info info = info_of(&recipe);
		struct decode_want want = {.channels = 1, .scale_eighths = 1};
		struct picture full;
		struct kept kept;

		recipe.motif = JPEG_MOTIF_STRIPES;
		file = jpeg_encode(&recipe);
		file.bytes[jpeg_find_marker(file, 0xdb) + 5] = (uint8_t)(100 + check_below(156)); /* divides DC coefficients */
		full = jpeg_reference(file, 1, 1);
		want.region = (struct box){0, 0, (int32_t)full.width_px, (int32_t)full.height_px};
		assert_true(read_eighth(file, &info, &want, &kept));
		check_pixels(&kept.region, &want, &full);
		kept_close(&kept);
		free(full.data);
		free(file.bytes);
	}
}

struct strict_errors {
	struct jpeg_error_mgr base;
	jmp_buf escape;
	bool has_ended_well;
};

static void give_up(j_common_ptr codec)
{
	longjmp(((struct strict_errors *)(void *)codec->err)->escape, 1);
}

static void give_up_at_warnings(j_common_ptr codec, int level)
{
	if (level < 0)
		give_up(codec);
}

/* libjpeg's rows up to `end`; false: it had something to say. */
static bool read_strictly(struct file file, uint32_t end, struct picture *picture)
{
	struct jpeg_decompress_struct codec;
	struct strict_errors errors = {.has_ended_well = false};

	codec.err = jpeg_std_error(&errors.base);
	errors.base.error_exit = give_up;
	errors.base.emit_message = give_up_at_warnings;
	jpeg_create_decompress(&codec);
	if (setjmp(errors.escape) == 0) {
		jpeg_mem_src(&codec, file.bytes, file.byte_count);
		jpeg_read_header(&codec, TRUE);
		codec.scale_num = 1;
		codec.scale_denom = 8;
		jpeg_start_decompress(&codec);
		while (codec.output_width == picture->width_px && codec.output_scanline < end) {
			JSAMPROW row = picture->data + (size_t)codec.output_scanline * picture->width_px;

			jpeg_read_scanlines(&codec, &row, 1);
		}
		errors.has_ended_well = codec.output_width == picture->width_px;
	}
	jpeg_destroy_decompress(&codec);
	return errors.has_ended_well;
}

/* What is read of a damaged file is what libjpeg makes of it, without a word. */
static void damage_is_left_to_libjpeg(void **state)
{
	uint32_t read_count = 0, left_count = 0;

	(void)state;
	for (int i = 0; i < PICTURES; i++) {
		struct jpeg_recipe recipe = random_recipe();
		struct file file = jpeg_encode(&recipe);
		struct image_info info = info_of(&recipe);
		struct picture full = jpeg_reference(file, 1, 1);

		for (int damage = 0; damage < DAMAGES_OF_EACH; damage++) {
			struct file damaged = file_copy(file.bytes, file.byte_count);
			struct decode_want want = {
				.region = random_box(full.width_px, full.height_px), .channels = 1, .scale_eighths = 1};
			struct kept kept;

			if (check_below(6) == 0)
				damaged.byte_count -= check_below((uint32_t)(file.byte_count - 600));
			for (uint32_t times = check_below(4); times > 0; times--) {
				size_t at = check_below(8) ? 600 + check_below((uint32_t)damaged.byte_count - 600)
				                           : check_below((uint32_t)damaged.byte_count);

				damaged.bytes[at] =
					(uint8_t)(check_below(2) ? check_random() : damaged.bytes[at] ^ 1u << check_below(8));
			}
			if (read_eighth(damaged, &info, &want, &kept)) {
				read_count++;
				assert_true(read_strictly(damaged, (uint32_t)(want.region.y + want.region.height), &full));
				check_pixels(&kept.region, &want, &full);
			} else {
				left_count++;
			}
			kept_close(&kept);
			free(damaged.bytes);
		}
		free(full.data);
		free(file.bytes);
	}
	assert_true(read_count > 100 && left_count > 100);
}

static void other_pictures_are_left_to_libjpeg(void **state)
{
	static const struct jpeg_recipe others[] = {
		{.stored = JCS_YCbCr},
		{.stored = JCS_GRAYSCALE, .scans = JPEG_SCANS_PROGRESSIVE},
		{.stored = JCS_GRAYSCALE, .arithmetic = true},
		{.stored = JCS_GRAYSCALE, .wide_quantizers = true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct jpeg_recipe recipe = others[i];
		struct decode_want want = {.region = {0, 0, 1, 1}, .channels = 1, .scale_eighths = 1};
		struct image_info info;
		struct file file;
		struct kept kept;

		recipe.width_px = recipe.height_px = 700;
		recipe.quality = 95;
		file = jpeg_encode(&recipe);
		info = info_of(&recipe);
		info.channels = (uint8_t)jpeg_components_of(recipe.stored);
		assert_false(read_eighth(file, &info, &want, &kept));
		kept_close(&kept);
		free(file.bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pixels_are_those_of_libjpeg),
		cmocka_unit_test(sums_beyond_white_wrap_as_those_of_libjpeg),
		cmocka_unit_test(damage_is_left_to_libjpeg),
		cmocka_unit_test(other_pictures_are_left_to_libjpeg),
	};
	int failed_count;

	check_state = seed_of_test("test_jpeg_eighth");
	failed_count = cmocka_run_group_tests(tests, NULL, NULL);
	free(workspace.rows.data);
	free(workspace.band.data);
	return failed_count;
}
