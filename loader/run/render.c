/* render.c - stages 3 and 4 for one row: header, box, region of pixels, resample, convert. */
#include "loader/run/render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/shape/orient.h"
#include "loader/shape/scratch.h"

struct renderer {
	const struct render_spec *spec;
	struct decoder *decoder;
	struct resampler *resampler;
	uint8_t *resampled; /* before conversion */
	struct scratch upright;
	const char *reason; /* ours; "" when the decoder has it */
	char text[128];     /* a reason with numbers in it */
};

/* One huge picture that is turned must not hold its memory for the rest of the run. */
#define UPRIGHT_KEPT_BYTES ((size_t)16 << 20)

/* The weights of a resize grow with the side, to gigabytes for one of --max-pixels.  Only BMPs have such sides. */
#define MAX_SIDE_PX 1000000u

/* A picture as the crop rule sees it, and the region of it that the output needs. */
struct cut {
	struct image_info info;
	uint8_t orientation;
	uint32_t width_px, height_px; /* upright */
	uint32_t scale_eighths;
	struct crop_view view;
	struct resample_axis x, y;
	uint32_t origin_x, origin_y; /* where the axes' pixel 0 lies in the upright (scaled) picture */
	struct box region;           /* upright, in the pixels of the (scaled) picture */
};

/* A picture between decode and shape: where its rows go. */
struct passage {
	struct renderer *renderer;
	const struct cut *cut;
	struct pixels upright; /* the region, if EXIF turns it: no output row is known before all of it is decoded */
	uint64_t shape_ns;
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
		.filter = options->resample,
		.fidelity = options->fidelity,
		.orientation = options->orientation,
		.image_bytes =
			(size_t)options->width_px * options->height_px * options->channels * convert_dtype_bytes(options->dtype),
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
	renderer->reason = "";
	renderer->decoder = decoder_open(&(struct decode_limits){
		.max_pixels = spec->max_pixels, .timeout_ms = spec->item_timeout_ms, .jpeg_indexes = spec->jpeg_indexes});
	renderer->resampler = resampler_open(simd_best());
	renderer->resampled = malloc((size_t)out->width_px * out->height_px * out->channels);
	if (renderer->decoder && renderer->resampler && renderer->resampled)
		return renderer;
	renderer_close(renderer);
	return NULL;
}

void renderer_close(struct renderer *renderer)
{
	if (!renderer)
		return;
	if (renderer->decoder)
		decoder_close(renderer->decoder);
	if (renderer->resampler)
		resampler_close(renderer->resampler);
	free(renderer->resampled);
	scratch_free(&renderer->upright);
	free(renderer);
}

const char *renderer_reason(const struct renderer *renderer)
{
	return renderer->reason[0] != '\0' ? renderer->reason : decoder_reason(renderer->decoder);
}

/*
 * The largest DCT-domain reduction that still leaves the box at least as large as what it is resized to.  Halves only: libjpeg-turbo
 * takes longer for 7/8 to 5/8 than for the whole (bench/README.md, fidelity), and gains next to nothing from 4/8 to 3/8.
 */
static uint32_t choose_scale_eighths(const struct render_spec *spec, const struct image_info *info, const struct crop_view *view)
{
	uint32_t eighths = 8;

	if (spec->fidelity != FIDELITY_FAST || info->format != IMAGE_JPEG)
		return 8;
	while (eighths > 1 && (uint64_t)view->resized.width * (eighths / 2) >= (uint64_t)view->virtual_width_px * 8 &&
	       (uint64_t)view->resized.height * (eighths / 2) >= (uint64_t)view->virtual_height_px * 8)
		eighths /= 2;
	return eighths;
}

/*
 * exact: the axis is the box alone, as if it had been cropped first (Pillow's crop().resize()).
 * Scaled: the axis is the whole reduced picture, of which the box is a fractional part (Pillow's resize(box=)).  A reduced pixel
 * stands for 8/eighths source pixels, the last one perhaps for fewer; on a mirrored axis that one comes first.
 */
static struct resample_axis make_axis(int32_t box_begin, int32_t box_px, uint32_t full_px, bool mirrored, uint32_t scale_eighths,
                                      uint32_t virtual_px, uint32_t window_begin, uint32_t out_px)
{
	struct resample_axis axis = {.virtual_px = virtual_px, .first = window_begin, .out_px = out_px};

	if (scale_eighths == 8) {
		axis.in_px = (uint32_t)box_px;
		axis.in1 = box_px;
	} else {
		double scale = scale_eighths / 8.0, begin;

		axis.in_px = decode_scaled_px(full_px, scale_eighths);
		begin = mirrored ? axis.in_px - full_px * scale : 0;
		axis.in0 = begin + box_begin * scale;
		axis.in1 = begin + (box_begin + box_px) * scale;
	}
	return axis;
}

/* False: what is asked for does not lie in the picture. */
static bool choose_cut(const struct render_spec *spec, const struct crop_ask *ask, struct cut *cut)
{
	const struct convert_spec *out = &spec->converter.spec;
	uint32_t left, right, top, bottom;
	const struct crop_view *view = &cut->view;
	bool swapped, x_mirrored, y_mirrored;

	cut->orientation = spec->orientation == ORIENTATION_EXIF ? cut->info.orientation : 1;
	swapped = orient_swaps_axes(cut->orientation);
	orient_mirrors(cut->orientation, &x_mirrored, &y_mirrored);
	cut->width_px = swapped ? cut->info.height_px : cut->info.width_px;
	cut->height_px = swapped ? cut->info.width_px : cut->info.height_px;
	if (!crop_choose(&spec->crop, ask, cut->width_px, cut->height_px, &cut->view))
		return false;

	cut->scale_eighths = choose_scale_eighths(spec, &cut->info, view);
	cut->x = make_axis(view->resized.x, view->resized.width, cut->width_px, x_mirrored, cut->scale_eighths,
	                   view->virtual_width_px, view->window_x, out->width_px);
	cut->y = make_axis(view->resized.y, view->resized.height, cut->height_px, y_mirrored, cut->scale_eighths,
	                   view->virtual_height_px, view->window_y, out->height_px);
	cut->origin_x = cut->scale_eighths == 8 ? (uint32_t)view->resized.x : 0;
	cut->origin_y = cut->scale_eighths == 8 ? (uint32_t)view->resized.y : 0;

	resample_extent(spec->filter, &cut->x, &left, &right);
	resample_extent(spec->filter, &cut->y, &top, &bottom);
	cut->region = (struct box){.x = (int32_t)(cut->origin_x + left),
	                           .y = (int32_t)(cut->origin_y + top),
	                           .width = (int32_t)(right - left),
	                           .height = (int32_t)(bottom - top)};
	return true;
}

/* The cut in the pixels of the stored picture. */
static struct decode_want stored_want(const struct render_spec *spec, const struct cut *cut)
{
	return (struct decode_want){
		.region = orient_box_to_stored(cut->orientation, cut->region,
	                                       decode_scaled_px(cut->info.width_px, cut->scale_eighths),
	                                       decode_scaled_px(cut->info.height_px, cut->scale_eighths)),
		.channels = spec->converter.spec.channels,
		.scale_eighths = cut->scale_eighths,
	};
}

static void resample_rows(struct renderer *renderer, const struct cut *cut, uint32_t first_row, const struct pixels *rows)
{
	resampler_take(renderer->resampler, rows, (uint32_t)cut->region.x - cut->origin_x,
	               (uint32_t)cut->region.y - cut->origin_y + first_row);
}

/* Rows of the stored region, turned to where they belong. */
static void turn_rows(struct passage *passage, uint32_t first_row, const struct pixels *rows)
{
	const struct cut *cut = passage->cut;
	const struct pixels *upright = &passage->upright;
	struct box band = orient_box_to_upright(
		cut->orientation, (struct box){0, (int32_t)first_row, (int32_t)rows->width_px, (int32_t)rows->height_px},
		upright->width_px, upright->height_px);
	struct pixels turned = {.data = upright->data + (size_t)band.y * upright->stride_bytes + (size_t)band.x * upright->channels,
	                        .stride_bytes = upright->stride_bytes,
	                        .width_px = (uint32_t)band.width,
	                        .height_px = (uint32_t)band.height,
	                        .channels = upright->channels};

	orient_pixels(cut->orientation, rows, &turned);
}

/* The decoder's sink. */
static void take_rows(void *context, uint32_t first_row, const struct pixels *rows)
{
	struct passage *passage = context;
	uint64_t begin_ns = clock_now_ns();

	if (passage->upright.data)
		turn_rows(passage, first_row, rows);
	else
		resample_rows(passage->renderer, passage->cut, first_row, rows);
	passage->shape_ns += clock_now_ns() - begin_ns;
}

static enum item_status fail(struct renderer *renderer, const char *reason)
{
	renderer->reason = reason;
	return ITEM_TOO_LARGE;
}

static enum item_status refuse_box(struct renderer *renderer, const struct crop_ask *ask, const struct cut *cut)
{
	snprintf(renderer->text, sizeof renderer->text, "box %d,%d %dx%d (x,y width x height) is not inside its %ux%u pixels",
	         ask->box.x, ask->box.y, ask->box.width, ask->box.height, cut->width_px, cut->height_px);
	renderer->reason = renderer->text;
	return ITEM_BAD_BOX;
}

/* Spends the memory that shaping needs. */
static enum item_status begin_passage(struct passage *passage, struct renderer *renderer, const struct cut *cut, uint8_t *image)
{
	const struct convert_spec *out = &renderer->spec->converter.spec;
	struct pixels *upright = &passage->upright;

	*passage = (struct passage){.renderer = renderer, .cut = cut};
	if (resampler_begin(renderer->resampler, renderer->spec->filter, &cut->x, &cut->y, out->channels, cut->view.flipped,
	                    converter_is_identity(&renderer->spec->converter) ? image : renderer->resampled,
	                    (size_t)out->width_px * out->channels))
		return fail(renderer, "no memory to resize it");
	if (cut->orientation == 1)
		return ITEM_OK;
	*upright = (struct pixels){.stride_bytes = (size_t)cut->region.width * out->channels,
	                           .width_px = (uint32_t)cut->region.width,
	                           .height_px = (uint32_t)cut->region.height,
	                           .channels = out->channels};
	if (upright->height_px > DECODE_MAX_BYTES / upright->stride_bytes)
		return fail(renderer, "over 208 MB to turn it by its EXIF orientation; store it upright");
	if (scratch_reserve(&renderer->upright, upright->height_px, upright->stride_bytes))
		return fail(renderer, "no memory to turn it");
	upright->data = renderer->upright.data;
	return ITEM_OK;
}

static enum item_status decode_cut(struct passage *passage, const struct file_bytes *file)
{
	struct decode_want want = stored_want(passage->renderer->spec, passage->cut);
	struct decode_sink sink = {.take = take_rows, .context = passage};

	if (passage->upright.data)
		sink.kept_bytes = passage->upright.stride_bytes * passage->upright.height_px;
	return decode_rows(passage->renderer->decoder, file, &passage->cut->info, &want, &sink);
}

/* What is left to do when all rows are there. */
static void end_passage(struct passage *passage, uint8_t *image)
{
	const struct converter *converter = &passage->renderer->spec->converter;

	if (passage->upright.data)
		resample_rows(passage->renderer, passage->cut, 0, &passage->upright);
	if (!converter_is_identity(converter))
		converter_run(converter, passage->renderer->resampled, image);
}

static enum item_status render_cut(struct renderer *renderer, const struct cut *cut, const struct file_bytes *file, uint8_t *image,
                                   uint64_t *shape_ns)
{
	uint64_t begin_ns = clock_now_ns(), end_ns;
	struct passage passage;
	enum item_status status = begin_passage(&passage, renderer, cut, image);

	passage.shape_ns = clock_now_ns() - begin_ns;
	if (status == ITEM_OK)
		status = decode_cut(&passage, file);
	end_ns = clock_now_ns();
	if (status == ITEM_OK)
		end_passage(&passage, image);
	if (renderer->upright.capacity_bytes > UPRIGHT_KEPT_BYTES)
		scratch_free(&renderer->upright);
	*shape_ns = passage.shape_ns + (clock_now_ns() - end_ns);
	return status;
}

enum item_status renderer_run(struct renderer *renderer, const struct file_bytes *file, const struct crop_ask *ask,
                              const struct render_row *row, struct render_times *times)
{
	uint64_t begin_ns = clock_now_ns();
	enum item_status status;
	struct cut cut;

	renderer->reason = "";
	times->shape_ns = 0;
	status = decode_probe(renderer->decoder, file, &cut.info);
	if (status == ITEM_OK && (cut.info.width_px > MAX_SIDE_PX || cut.info.height_px > MAX_SIDE_PX))
		status = fail(renderer, "over 1000000 pixels on one side");
	if (status == ITEM_OK && !choose_cut(renderer->spec, ask, &cut))
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

bool render_part(const struct render_spec *spec, const struct crop_ask *ask, const uint8_t *head, size_t head_bytes,
                 struct file_part *part)
{
	struct file_bytes file = file_bytes_whole(head, head_bytes);
	struct decode_want want;
	struct cut cut;

	if (!decode_part_probe(&file, &(struct decode_limits){.max_pixels = spec->max_pixels}, &cut.info))
		return false;
	if (!choose_cut(spec, ask, &cut))
		return false;
	want = stored_want(spec, &cut);
	return decode_part(&file, &cut.info, &want, part);
}

void render_blank(const struct render_spec *spec, const struct render_row *row)
{
	memset(row->image, 0, spec->image_bytes);
	memset(row->box, 0, 4 * sizeof row->box[0]);
	memset(row->source_size, 0, 2 * sizeof row->source_size[0]);
	*row->flipped = 0;
}
