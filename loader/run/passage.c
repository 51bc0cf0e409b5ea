/* passage.c - stages 3 and 4 for one picture: bands of decoded rows, turned upright if need be, resized on the way. */
#include "loader/run/passage.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "loader/shape/orient.h"
#include "loader/shape/scratch.h"

/* One huge picture that is turned must not hold its memory for the rest of the run. */
#define UPRIGHT_KEPT_BYTES ((size_t)16 << 20)

/* The weights of a resize grow with the side, to gigabytes for one of --max-pixels.  Only BMPs have such sides. */
#define MAX_SIDE_PX 1000000u

struct passage {
	struct decoder *decoder;
	struct resampler *resampler;
	struct scratch upright_memory;
	char reason[192]; /* ours; "" when the decoder has it */

	/* The picture that is on its way. */
	const struct cut *cut;
	struct pixels upright; /* the region, if EXIF turns it: no output row is known before all of it is decoded */
	uint64_t shape_ns;
};

struct passage *passage_open(const struct decode_limits *limits)
{
	struct passage *passage = calloc(1, sizeof *passage);

	if (!passage)
		return NULL;
	passage->decoder = decoder_open(limits);
	passage->resampler = resampler_open(simd_best());
	if (passage->decoder && passage->resampler)
		return passage;
	passage_close(passage);
	return NULL;
}

void passage_close(struct passage *passage)
{
	if (!passage)
		return;
	if (passage->decoder)
		decoder_close(passage->decoder);
	if (passage->resampler)
		resampler_close(passage->resampler);
	scratch_free(&passage->upright_memory);
	free(passage);
}

const char *passage_reason(const struct passage *passage)
{
	return passage->reason[0] != '\0' ? passage->reason : decoder_reason(passage->decoder);
}

enum item_status passage_fail(struct passage *passage, enum item_status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(passage->reason, sizeof passage->reason, format, arguments);
	va_end(arguments);
	return status;
}

enum item_status passage_probe(struct passage *passage, const struct file_bytes *file, struct image_info *info)
{
	enum item_status status;

	passage->reason[0] = '\0';
	status = decode_probe(passage->decoder, file, info);
	if (status == ITEM_OK && (info->width_px > MAX_SIDE_PX || info->height_px > MAX_SIDE_PX))
		return passage_fail(passage, ITEM_TOO_LARGE, "over 1000000 pixels on one side");
	return status;
}

static void resample_rows(struct passage *passage, uint32_t first_row, const struct pixels *rows)
{
	const struct cut *cut = passage->cut;

	resampler_take(passage->resampler, rows, (uint32_t)cut->region.x - cut->origin_x,
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
		resample_rows(passage, first_row, rows);
	passage->shape_ns += clock_now_ns() - begin_ns;
}

/* Spends the memory that shaping needs. */
static enum item_status begin(struct passage *passage, const struct cut *cut, uint32_t channels, uint8_t *out)
{
	struct pixels *upright = &passage->upright;

	passage->cut = cut;
	*upright = (struct pixels){0};
	if (resampler_begin(passage->resampler, cut->filter, &cut->x, &cut->y, channels, cut->view.flipped, out,
	                    (size_t)cut->x.out_px * channels))
		return passage_fail(passage, ITEM_TOO_LARGE, "no memory to resize it");
	if (cut->orientation == 1)
		return ITEM_OK;
	*upright = (struct pixels){.stride_bytes = (size_t)cut->region.width * channels,
	                           .width_px = (uint32_t)cut->region.width,
	                           .height_px = (uint32_t)cut->region.height,
	                           .channels = channels};
	if (upright->height_px > DECODE_MAX_BYTES / upright->stride_bytes)
		return passage_fail(passage, ITEM_TOO_LARGE, "over 208 MB to turn it by its EXIF orientation; store it upright");
	if (scratch_reserve(&passage->upright_memory, upright->height_px, upright->stride_bytes))
		return passage_fail(passage, ITEM_TOO_LARGE, "no memory to turn it");
	upright->data = passage->upright_memory.data;
	return ITEM_OK;
}

static enum item_status decode_cut(struct passage *passage, const struct file_bytes *file, uint32_t channels)
{
	struct decode_want want = cut_want(passage->cut, channels);
	struct decode_sink sink = {.take = take_rows, .context = passage};

	if (passage->upright.data)
		sink.kept_bytes = passage->upright.stride_bytes * passage->upright.height_px;
	return decode_rows(passage->decoder, file, &passage->cut->info, &want, &sink);
}

enum item_status passage_run(struct passage *passage, const struct file_bytes *file, const struct cut *cut, uint32_t channels,
                             uint8_t *out, uint64_t *shape_ns)
{
	uint64_t begin_ns = clock_now_ns(), end_ns;
	enum item_status status;

	passage->reason[0] = '\0';
	status = begin(passage, cut, channels, out);
	passage->shape_ns = clock_now_ns() - begin_ns;
	if (status == ITEM_OK)
		status = decode_cut(passage, file, channels);
	end_ns = clock_now_ns();
	if (status == ITEM_OK && passage->upright.data)
		resample_rows(passage, 0, &passage->upright);
	if (passage->upright_memory.capacity_bytes > UPRIGHT_KEPT_BYTES)
		scratch_free(&passage->upright_memory);
	*shape_ns = passage->shape_ns + (clock_now_ns() - end_ns);
	return status;
}
