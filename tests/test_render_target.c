/* test_render_target.c - a target is cut where its image was, in values of the asked-for size, or says why it cannot be. */
#include "tests/bmp_recipe.h"

#include "loader/run/render.h"

enum { WIDTH = 60, HEIGHT = 40, OUT_WIDTH = 13, OUT_HEIGHT = 9 };

struct row_values {
	uint8_t image[OUT_WIDTH * OUT_HEIGHT * 3], flipped;
	_Alignas(2) uint8_t target[OUT_WIDTH * OUT_HEIGHT * 2];
	int32_t box[4], source_size[2];
};

static struct options small_options(enum target_dtype dtype)
{
	return (struct options){.batch_size = 1,
	                        .width_px = OUT_WIDTH,
	                        .height_px = OUT_HEIGHT,
	                        .crop = CROP_RANDOM_RESIZED,
	                        .scale_min = 0.08,
	                        .scale_max = 1,
	                        .ratio_min = 0.75,
	                        .ratio_max = 4.0 / 3,
	                        .max_img_percent = 1,
	                        .hflip = 0.5,
	                        .short_side_px = OUT_WIDTH,
	                        .resample = RESAMPLE_NEAREST,
	                        .fidelity = FIDELITY_FAST,
	                        .channels = 1,
	                        .max_pixels = 1 << 20,
	                        .target_dtype = dtype};
}

/* 8 bits with a gray palette: as an image it has the pixels that it has as a target. */
static struct file write_gray(uint32_t width_px, uint32_t height_px)
{
	struct bmp_recipe recipe = {.header_bytes = 40, .bits = 8};
	struct picture colours;
	struct file file = bmp_encode(&recipe, width_px, height_px, &colours);

	for (uint32_t i = 0; i < 256; i++)
		memset(file.bytes + 54 + 4 * i, (int)i, 3);
	free(colours.data);
	return file;
}

struct rig {
	struct render_spec spec;
	struct renderer *renderer;
	struct row_values values;
	struct render_row row;
	struct render_times times;
};

static void rig_open(struct rig *rig, const struct options *options)
{
	*rig = (struct rig){.times = {0, 0}};
	render_spec_init(&rig->spec, options);
	rig->renderer = renderer_open(&rig->spec);
	assert_non_null(rig->renderer);
	rig->row = (struct render_row){.image = rig->values.image,
	                               .box = rig->values.box,
	                               .source_size = rig->values.source_size,
	                               .flipped = &rig->values.flipped,
	                               .target = rig->values.target};
}

static enum item_status run_image(struct rig *rig, struct file file, const struct crop_ask *ask)
{
	struct file_bytes bytes = file_whole(file);

	return renderer_run(rig->renderer, &bytes, ask, &rig->row, &rig->times);
}

static enum item_status run_target(struct rig *rig, struct file file, const struct crop_ask *ask)
{
	struct file_bytes bytes = file_whole(file);

	return renderer_run_target(rig->renderer, &bytes, ask, &rig->row, &rig->times);
}

/* One file as image and as target, so that any difference is one of place. */
static void the_cut_is_that_of_the_image(void **state)
{
	struct file file = write_gray(WIDTH, HEIGHT);

	(void)state;
	for (int dtype = TARGET_UINT8; dtype <= TARGET_UINT16; dtype++) {
		struct options options = small_options((enum target_dtype)dtype);
		uint32_t flips = 0;
		struct rig rig;

		rig_open(&rig, &options);
		for (uint64_t key = 0; key < 300; key++) {
			struct crop_ask ask = {.rule = (enum crop_rule)(key % (CROP_WINDOW + 1)), .epoch = 3, .key = key};

			if (ask.rule == CROP_BOX)
				ask.box = random_box(WIDTH, HEIGHT);
			if (ask.rule == CROP_WINDOW)
				ask.window = (struct crop_window){0.25f, 0.5f, (float)check_below(100) / 100};
			assert_int_equal(run_image(&rig, file, &ask), ITEM_OK);
			assert_int_equal(run_target(&rig, file, &ask), ITEM_OK);
			for (int i = 0; i < OUT_WIDTH * OUT_HEIGHT; i++) {
				uint16_t wide;

				memcpy(&wide, rig.values.target + 2 * i, sizeof wide);
				assert_int_equal(dtype == TARGET_UINT16 ? wide : rig.values.target[i], rig.values.image[i]);
			}
			flips += rig.values.flipped;
		}
		assert_true(flips > 0 && flips < 300);
		renderer_close(rig.renderer);
	}
	free(file.bytes);
}

static void another_size_is_a_mismatch_that_names_both(void **state)
{
	struct options options = small_options(TARGET_UINT8);
	struct file image = write_gray(WIDTH, HEIGHT), target = write_gray(WIDTH - 1, HEIGHT);
	struct crop_ask ask = {.rule = CROP_BOX, .box = {0, 0, WIDTH, HEIGHT}};
	struct rig rig;

	(void)state;
	rig_open(&rig, &options);
	for (int i = 0; i < 2; i++) { /* a box that lies in the image alone, and one that lies in both */
		ask.box.width = i == 0 ? WIDTH : 5;
		assert_int_equal(run_image(&rig, image, &ask), ITEM_OK);
		assert_int_equal(run_target(&rig, target, &ask), ITEM_MISMATCH);
		assert_string_equal(renderer_reason(rig.renderer), "it has 59x40 pixels (width x height), but its image 60x40");
	}
	ask.box.width = WIDTH;
	assert_int_equal(run_image(&rig, image, &ask), ITEM_OK);
	rig.values.source_size[1] = WIDTH - 1; /* a reader may write there */
	assert_int_equal(run_target(&rig, target, &ask), ITEM_MISMATCH);
	renderer_close(rig.renderer);
	free(image.bytes);
	free(target.bytes);
}

static void a_colour_target_is_refused(void **state)
{
	struct options options = small_options(TARGET_UINT8);
	struct bmp_recipe recipe = {.header_bytes = 40, .bits = 24};
	struct crop_ask ask = {.rule = CROP_RESIZE};
	struct picture colours;
	struct file file = bmp_encode(&recipe, WIDTH, HEIGHT, &colours);
	struct rig rig;

	(void)state;
	rig_open(&rig, &options);
	assert_int_equal(run_image(&rig, file, &ask), ITEM_OK);
	assert_int_equal(run_target(&rig, file, &ask), ITEM_UNSUPPORTED);
	assert_string_equal(renderer_reason(rig.renderer), "it has 3 channels; a palette or gray image is expected");
	renderer_close(rig.renderer);
	free(colours.data);
	free(file.bytes);
}

/* Under --resample lanczos an image needs more of the file than its target does. */
static void of_a_large_file_only_the_rows_of_the_cut_are_needed(void **state)
{
	enum { HEAD_BYTES = 4096, SIDE = 700 };
	struct options options = small_options(TARGET_UINT8);
	struct crop_ask ask = {.rule = CROP_BOX, .box = {100, 300, 4 * OUT_WIDTH, 20 * OUT_HEIGHT}};
	struct file file = write_gray(SIDE, SIDE);
	struct file_part image_part, part;
	struct rig rig;

	(void)state;
	options.resample = RESAMPLE_LANCZOS;
	rig_open(&rig, &options);
	assert_true(render_part(&rig.spec, RENDER_IMAGE, &ask, file.bytes, HEAD_BYTES, &image_part));
	assert_true(render_part(&rig.spec, RENDER_TARGET, &ask, file.bytes, HEAD_BYTES, &part));
	assert_true(part.row_count > 1 && part.row_count < image_part.row_count);

	struct row_values whole;
	size_t part_bytes = (size_t)(part.row_count * part.row_bytes);
	struct file pieces = file_copy(file.bytes, HEAD_BYTES);

	for (uint32_t row = 0; row < part.row_count; row++) {
		uint32_t in_file = part.last_row_first ? part.row_count - 1 - row : row;

		file_append(&pieces, file.bytes + part.offset + in_file * part.stride_bytes, (size_t)part.row_bytes);
	}
	assert_int_equal(pieces.byte_count, HEAD_BYTES + part_bytes);
	assert_int_equal(run_image(&rig, file, &ask), ITEM_OK);
	assert_int_equal(run_target(&rig, file, &ask), ITEM_OK);
	whole = rig.values;
	memset(rig.values.target, 0xee, sizeof rig.values.target);

	struct file_bytes bytes = file_bytes_with_part(pieces.bytes, pieces.byte_count, HEAD_BYTES, &part);

	assert_int_equal(renderer_run_target(rig.renderer, &bytes, &ask, &rig.row, &rig.times), ITEM_OK);
	assert_memory_equal(rig.values.target, whole.target, OUT_WIDTH * OUT_HEIGHT);
	renderer_close(rig.renderer);
	free(pieces.bytes);
	free(file.bytes);
}

static void a_blank_row_has_a_blank_target(void **state)
{
	for (int dtype = TARGET_UINT8; dtype <= TARGET_UINT16; dtype++) {
		struct options options = small_options((enum target_dtype)dtype);
		struct rig rig;

		(void)state;
		rig_open(&rig, &options);
		memset(&rig.values, 0xee, sizeof rig.values);
		render_blank(&rig.spec, &rig.row);
		for (size_t i = 0; i < sizeof rig.values.target; i++)
			assert_int_equal(rig.values.target[i], i < rig.spec.target_bytes ? 0 : 0xee);
		renderer_close(rig.renderer);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cut_is_that_of_the_image),
		cmocka_unit_test(another_size_is_a_mismatch_that_names_both),
		cmocka_unit_test(a_colour_target_is_refused),
		cmocka_unit_test(of_a_large_file_only_the_rows_of_the_cut_are_needed),
		cmocka_unit_test(a_blank_row_has_a_blank_target),
	};

	check_state = seed_of_test("test_render_target");
	return cmocka_run_group_tests_name("render_target", tests, NULL, NULL);
}
