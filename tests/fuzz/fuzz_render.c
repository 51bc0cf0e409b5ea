/*
 * fuzz_render.c - hostile files through all that happens to a sample's bytes: box, region, resample, mirror, dtype, layout.
 *
 * A file that is an image is its own target then, whose values are cut like it.
 *
 * The input is a file whose last bytes choose one of many settings.  Each has a renderer of its own that sees files for as long as
 * the fuzzer runs; now and then a new one has to come to the same row.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/run/render.h"

enum { SETTING_COUNT = 96, MAX_ROW_BYTES = 40 * 40 * 3 * 4, MAX_TARGET_BYTES = 40 * 40 * 2, MAX_PIXELS = 1 << 16 };

struct setting {
	struct render_spec spec;
	struct renderer *renderer;
};

struct row_values {
	_Alignas(64) uint8_t image[MAX_ROW_BYTES];
	_Alignas(64) uint8_t target[MAX_TARGET_BYTES];
	int32_t box[4], source_size[2];
	uint8_t flipped;
	enum item_status status, target_status;
	char reason[256], target_reason[256];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static volatile uint64_t sum_of_bytes;

static void must(bool truth, const char *what)
{
	if (!truth) {
		fprintf(stderr, "broken promise: %s\n", what);
		abort();
	}
}

/* Every rule, filter, dtype and so on with each other somewhere: their periods have no factors in common, or few. */
static struct options options_of(uint32_t number)
{
	struct options options = {
		.crop = (enum crop_rule)(number % (CROP_RESIZE + 1)),
		.resample = (enum resample_filter)(number % (RESAMPLE_LANCZOS + 1)),
		.fidelity = number / 2 % 3 == 0 ? FIDELITY_FAST : FIDELITY_EXACT,
		.orientation = number % 5 < 2 ? ORIENTATION_RAW : ORIENTATION_EXIF,
		.dtype = (enum convert_dtype)(number / 4 % 3),
		.layout = number % 7 < 4 ? CONVERT_NHWC : CONVERT_NCHW,
		.channels = number % 3 == 0 ? 1 : 3,
		.width_px = 1 + number * 7 % 40,
		.height_px = 1 + number * 11 % 40,
		.scale_min = 0.001,
		.scale_max = 1,
		.ratio_min = 0.1,
		.ratio_max = 10,
		.hflip = 0.5,
		.normalise = number % 2,
		.mean = {0.5f, 0.4f, 0.3f},
		.std = {0.2f, 0.3f, 0.4f},
		.max_pixels = MAX_PIXELS,
		.seed = number,
		.target_dtype = number % 4 < 2 ? TARGET_UINT16 : TARGET_UINT8,
	};

	options.short_side_px = options.width_px > options.height_px ? options.width_px : options.height_px;
	return options;
}

static struct setting *setting_of(uint32_t number)
{
	static struct setting settings[SETTING_COUNT];
	struct setting *setting = &settings[number];
	struct options options = options_of(number);

	if (!setting->renderer) {
		render_spec_init(&setting->spec, &options);
		must(setting->spec.image_bytes <= MAX_ROW_BYTES, "the row is larger than its place");
		setting->renderer = renderer_open(&setting->spec);
		must(setting->renderer != NULL, "no renderer");
	}
	return setting;
}

static void run_target(struct renderer *renderer, const struct render_spec *spec, const struct file_bytes *file,
                       const struct crop_ask *ask, const struct render_row *row, uint8_t fill, struct row_values *values)
{
	struct render_times times;
	uint64_t sum = 0;

	values->target_status = renderer_run_target(renderer, file, ask, row, &times);
	snprintf(values->target_reason, sizeof values->target_reason, "%s", renderer_reason(renderer));
	must(values->target_status != ITEM_MISMATCH, "a picture has another size than itself");
	must(values->target_status == ITEM_OK || values->target_reason[0] != '\0', "a target failed without a reason");
	for (size_t i = 0; values->target_status == ITEM_OK && i < spec->target_bytes; i++)
		sum = sum * 31 + values->target[i];
	for (size_t i = spec->target_bytes; i < MAX_TARGET_BYTES; i++)
		must(values->target[i] == fill, "written past the target");
	sum_of_bytes = sum;
}

static void run(struct renderer *renderer, const struct render_spec *spec, const struct file_bytes *file, uint8_t fill,
                struct row_values *values)
{
	struct render_row row = {.image = values->image,
	                         .box = values->box,
	                         .source_size = values->source_size,
	                         .flipped = &values->flipped,
	                         .target = values->target};
	struct crop_ask ask = crop_usual_ask(&spec->crop, 1, file->byte_count);
	struct render_times times;
	uint64_t sum = 0;

	memset(values, fill, sizeof *values);
	values->status = renderer_run(renderer, file, &ask, &row, &times);
	snprintf(values->reason, sizeof values->reason, "%s", renderer_reason(renderer));
	if (values->status != ITEM_OK) {
		must(file->byte_count == 0 || values->reason[0] != '\0', "failed without a reason");
		return;
	}
	must(values->box[0] >= 0 && values->box[1] >= 0 && values->box[2] > 0 && values->box[3] > 0 &&
	             values->box[2] <= values->source_size[1] - values->box[0] &&
	             values->box[3] <= values->source_size[0] - values->box[1],
	     "the box leaves the picture");
	for (size_t i = 0; i < spec->image_bytes; i++)
		sum = sum * 31 + values->image[i];
	for (size_t i = spec->image_bytes; i < MAX_ROW_BYTES; i++)
		must(values->image[i] == fill, "written past the row");
	sum_of_bytes = sum;
	run_target(renderer, spec, file, &ask, &row, fill, values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static struct row_values used, fresh;
	uint32_t number = byte_count < 2 ? 0 : (uint32_t)(data[byte_count - 1] << 8 | data[byte_count - 2]);
	struct setting *setting = setting_of(number % SETTING_COUNT);
	struct file_bytes file = file_bytes_whole(data, byte_count);
	struct renderer *renderer;

	run(setting->renderer, &setting->spec, &file, 0x5a, &used);
	if (number / SETTING_COUNT % 8 != 0)
		return 0;
	renderer = renderer_open(&setting->spec);
	must(renderer != NULL, "no renderer");
	run(renderer, &setting->spec, &file, 0xc3, &fresh);
	renderer_close(renderer);
	must(used.status == fresh.status && strcmp(used.reason, fresh.reason) == 0, "another status in a used renderer");
	must(used.status != ITEM_OK || memcmp(used.image, fresh.image, setting->spec.image_bytes) == 0,
	     "other values in a used renderer");
	if (used.status != ITEM_OK)
		return 0;
	must(used.target_status == fresh.target_status && strcmp(used.target_reason, fresh.target_reason) == 0,
	     "another status of the target in a used renderer");
	must(used.target_status != ITEM_OK || memcmp(used.target, fresh.target, setting->spec.target_bytes) == 0,
	     "other values of the target in a used renderer");
	return 0;
}
