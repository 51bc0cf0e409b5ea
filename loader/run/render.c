/* render.c - stages 3 and 4 for one row: header, box, region of pixels, resample, convert. */
#include "loader/run/render.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/run/passage.h"
#include "loader/run/render_target.h"

struct renderer {
	const struct render_spec *spec;
	struct passage *passage;
	uint8_t *resampled; /* before conversion */
};

void render_spec_init(struct render_spec *spec, const struct options *options)
{
	struct convert_spec convert = {
		.dtype = options->dtype,
		.layout = options->layout,
		.width_px = options->width_px,
		.height_px = options->height_px,
		.channels = options->channels,
		.normalise = options->normalise,
	};

	memcpy(convert.mean, options->mean, sizeof convert.mean);
	memcpy(convert.std, options->std, sizeof convert.std);
	*spec = (struct render_spec){
		.crop = {.rule = options->crop,
	                 .out_width_px = options->width_px,
	                 .out_height_px = options->height_px,
	                 .scale_min = options->scale_min,
	                 .scale_max = options->scale_max,
	                 .ratio_min = options->ratio_min,
	                 .ratio_max = options->ratio_max,
	                 .hflip = options->hflip,
	                 .short_side_px = options->short_side_px,
	                 .max_img_percent = (float)options->max_img_percent,
	                 .seed = options->seed},
		.cut = {.filter = options->resample, .fidelity = options->fidelity, .orientation = options->orientation},
		.image_bytes =
			(size_t)options->width_px * options->height_px * options->channels * convert_dtype_bytes(options->dtype),
		.target_dtype = options->target_dtype,
		.target_bytes = (size_t)options->width_px * options->height_px * (options->target_dtype == TARGET_UINT16 ? 2 : 1),
		.max_pixels = options->max_pixels,
		.item_timeout_ms = options->item_timeout_ms,
	};
	converter_init(&spec->converter, &convert, simd_best());
}

struct renderer *renderer_open(const struct render_spec *spec)
{
	const struct convert_spec *out = &spec->converter.spec;
	struct renderer *renderer = calloc(1, sizeof *renderer);

	if (!renderer)
		return NULL;
	renderer->spec = spec;
	renderer->passage = passage_open(&(struct decode_limits){.max_pixels = spec->max_pixels,
	                                                         .timeout_ms = spec->item_timeout_ms,
	                                                         .jpeg_indexes = spec->jpeg_indexes,
	                                                         .segment_store = spec->segment_store});
	renderer->resampled = malloc((size_t)out->width_px * out->height_px * out->channels);
	if (renderer->passage && renderer->resampled)
		return renderer;
	renderer_close(renderer);
	return NULL;
}

void renderer_close(struct renderer *renderer)
{
	if (!renderer)
		return;
	passage_close(renderer->passage);
	free(renderer->resampled);
	free(renderer);
}

const char *renderer_reason(const struct renderer *renderer)
{
	return passage_reason(renderer->passage);
}

static enum item_status refuse_box(struct renderer *renderer, const struct crop_ask *ask, const struct cut *cut)
{
	return passage_fail(renderer->passage, ITEM_BAD_BOX, "box %d,%d %dx%d (x,y width x height) is not inside its %ux%u pixels",
	                    ask->box.x, ask->box.y, ask->box.width, ask->box.height, cut->width_px, cut->height_px);
}

static enum item_status render_cut(struct renderer *renderer, const struct cut *cut, const struct file_bytes *file, uint8_t *image,
                                   uint64_t *shape_ns)
{
	const struct converter *converter = &renderer->spec->converter;
	bool converts = !converter_is_identity(converter);
	enum item_status status = passage_run(renderer->passage, file, cut, converter->spec.channels,
	                                      converts ? renderer->resampled : image, shape_ns);

	if (status == ITEM_OK && converts) {
		uint64_t begin_ns = clock_now_ns();

		converter_run(converter, renderer->resampled, image);
		*shape_ns += clock_now_ns() - begin_ns;
	}
	return status;
}

enum item_status renderer_run(struct renderer *renderer, const struct file_bytes *file, const struct crop_ask *ask,
                              const struct render_row *row, struct render_times *times)
{
	const struct render_spec *spec = renderer->spec;
	uint64_t begin_ns = clock_now_ns();
	enum item_status status;
	struct cut cut;

	times->shape_ns = 0;
	status = passage_probe(renderer->passage, file, &cut.info);
	if (status == ITEM_OK && !cut_choose(&spec->crop, &spec->cut, ask, &cut))
		status = refuse_box(renderer, ask, &cut);
	if (status == ITEM_OK)
		status = render_cut(renderer, &cut, file, row->image, &times->shape_ns);
	times->decode_ns = clock_now_ns() - begin_ns - times->shape_ns;
	if (status != ITEM_OK)
		return status;

	memcpy(row->box, &cut.view.box, sizeof cut.view.box);
	row->source_size[0] = (int32_t)cut.height_px;
	row->source_size[1] = (int32_t)cut.width_px;
	*row->flipped = cut.view.flipped;
	return ITEM_OK;
}

enum item_status renderer_run_target(struct renderer *renderer, const struct file_bytes *file, const struct crop_ask *ask,
                                     const struct render_row *row, struct render_times *times)
{
	uint64_t begin_ns = clock_now_ns();
	enum item_status status;

	times->shape_ns = 0;
	status = render_target(renderer->passage, renderer->spec, file, ask, row, &times->shape_ns);
	times->decode_ns = clock_now_ns() - begin_ns - times->shape_ns;
	return status;
}

/* What of the picture that info describes is wanted.  False: nothing, for the box does not lie in it. */
static bool find_want(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask,
                      const struct image_info *info, struct decode_want *want)
{
	struct cut cut = {.info = *info};
	struct cut_rule rule = half == RENDER_TARGET ? render_target_rule(spec, info) : spec->cut;

	if (!cut_choose(&spec->crop, &rule, ask, &cut))
		return false;
	*want = cut_want(&cut, spec->converter.spec.channels);
	return true;
}

bool render_part(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask, const uint8_t *head,
                 size_t head_bytes, struct file_part *part)
{
	struct file_bytes file = file_bytes_whole(head, head_bytes);
	struct image_info info;
	struct decode_want want;

	return decode_part_probe(&file, &(struct decode_limits){.max_pixels = spec->max_pixels}, &info) &&
	       find_want(spec, half, ask, &info, &want) && decode_part(&file, &info, &want, part);
}

bool render_runs(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask, const struct segments *segments,
                 struct file_runs **runs)
{
	struct image_info info;
	struct decode_want want;

	decode_describe(segments, &info);
	return find_want(spec, half, ask, &info, &want) && decode_runs(segments, &want, runs);
}

bool render_runs_again(const struct render_spec *spec, enum render_half half, const struct crop_ask *ask,
                       const struct segments *segments, struct file_runs **runs)
{
	struct image_info info;
	struct decode_want want;

	decode_describe(segments, &info);
	return find_want(spec, half, ask, &info, &want) &&
	       decode_runs_again(segments, &(struct decode_limits){.jpeg_indexes = spec->jpeg_indexes}, &want, runs);
}

void render_blank(const struct render_spec *spec, const struct render_row *row)
{
	memset(row->image, 0, spec->image_bytes);
	if (row->target)
		memset(row->target, 0, spec->target_bytes);
	memset(row->box, 0, 4 * sizeof row->box[0]);
	memset(row->source_size, 0, 2 * sizeof row->source_size[0]);
	*row->flipped = 0;
}
