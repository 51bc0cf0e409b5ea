/* Stage 3 of 5, decode: compressed bytes and a wanted region in, the region's pixels out.  One decoder per thread. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/decode/decode.h"
#include "loader/decode/decode_bmp.h"
#include "loader/decode/decode_jpeg.h"
#include "loader/decode/decode_png.h"
#include "loader/decode/jpeg_segments.h"
#include "loader/decode/png_segments.h"
#include "loader/decode/sniff.h"
#include "loader/decode/workspace.h"

/* What a scratch may keep for the next image: one huge picture must not hold its memory for the rest of the run. */
#define SCRATCH_KEPT_BYTES ((size_t)16 << 20)

struct decoder {
	struct workspace workspace;
	struct scratch region; /* decode_region()'s */
};

struct decoder *decoder_open(const struct decode_limits *limits)
{
	struct decoder *decoder = calloc(1, sizeof *decoder);

	if (decoder) {
		decoder->workspace.max_pixels = limits->max_pixels;
		decoder->workspace.timeout_ms = limits->timeout_ms;
		decoder->workspace.simd = simd_best();
		decoder->workspace.jpeg_indexes = limits->jpeg_indexes;
		decoder->workspace.segment_store = limits->segment_store;
	}
	return decoder;
}

void decoder_close(struct decoder *decoder)
{
	if (!decoder)
		return;
	free(decoder->region.data);
	free(decoder->workspace.band.data);
	free(decoder->workspace.rows.data);
	free(decoder->workspace.inflate.data);
	free(decoder->workspace.splice.data);
	free(decoder);
}

const char *decoder_reason(const struct decoder *decoder)
{
	return decoder->workspace.reason;
}

enum item_status decode_probe(struct decoder *decoder, const struct file_bytes *file, struct image_info *info)
{
	struct workspace *workspace = &decoder->workspace;
	struct image_info found = {.orientation = 1};
	enum item_status status = ITEM_NOT_AN_IMAGE;
	const char *name;

	workspace->reason[0] = '\0';
	if (file->byte_count == 0)
		return ITEM_EMPTY;

	if (file->runs)
		decode_describe(file->segments, &found);
	else
		found.format = sniff(file->data, file->byte_count, &name);
	switch (found.format) {
	case IMAGE_JPEG:
		status = decode_jpeg_probe(workspace, file, &found);
		break;
	case IMAGE_PNG:
		status = decode_png_probe(workspace, file, &found);
		break;
	case IMAGE_BMP:
		status = decode_bmp_probe(workspace, file, &found);
		break;
	case IMAGE_OTHER:
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a %s file, which is not read", name);
	case IMAGE_UNKNOWN:
		return workspace_fail(workspace, ITEM_NOT_AN_IMAGE, "starts like no image format (first byte 0x%02x)",
		                      file->data[0]);
	}
	if (status == ITEM_OK)
		*info = found;
	return status;
}

/* `region` lies in a picture of the given size. */
static bool is_inside(const struct box *region, uint32_t width_px, uint32_t height_px)
{
	return region->x >= 0 && region->y >= 0 && region->width > 0 && region->height > 0 &&
	       (int64_t)region->x + region->width <= width_px && (int64_t)region->y + region->height <= height_px;
}

/* The pipeline asks for nothing else, but what it asks for becomes memory addresses. */
static enum item_status check_want(struct workspace *workspace, const struct image_info *info, const struct decode_want *want)
{
	const struct box *region = &want->region;

	if (want->as_stored && (info->channels != 1 || want->channels != (info->sample_bits == 16 ? 2 : 1)))
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "%u channels of %u bits as values of %u bytes", info->channels,
		                      info->sample_bits, want->channels);
	if ((!want->as_stored && want->channels != 1 && want->channels != 3) || want->scale_eighths < 1 || want->scale_eighths > 8)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "%u channels at %u/8 of the size", want->channels,
		                      want->scale_eighths);
	if (want->scale_eighths != 8 && info->format != IMAGE_JPEG)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "only JPEG is decoded at a reduced size");
	if (!is_inside(region, decode_scaled_px(info->width_px, want->scale_eighths),
	               decode_scaled_px(info->height_px, want->scale_eighths)))
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "region %dx%d at %d,%d is not inside %ux%u pixels at %u/8",
		                      region->width, region->height, region->x, region->y, info->width_px, info->height_px,
		                      want->scale_eighths);
	return ITEM_OK;
}

static void trim(struct scratch *scratch)
{
	if (scratch->capacity_bytes <= SCRATCH_KEPT_BYTES)
		return;
	free(scratch->data);
	*scratch = (struct scratch){0};
}

enum item_status decode_rows(struct decoder *decoder, const struct file_bytes *file, const struct image_info *info,
                             const struct decode_want *want, const struct decode_sink *sink)
{
	struct workspace *workspace = &decoder->workspace;
	enum item_status status;

	workspace->reason[0] = '\0';
	trim(&workspace->band);
	trim(&workspace->rows);
	trim(&workspace->splice);
	status = check_want(workspace, info, want);
	if (status != ITEM_OK)
		return status;

	switch (info->format) {
	case IMAGE_JPEG:
		return decode_jpeg_rows(workspace, file, info, want, sink);
	case IMAGE_PNG:
		return decode_png_rows(workspace, file, info, want, sink);
	case IMAGE_BMP:
		return decode_bmp_rows(workspace, file, info, want, sink);
	default:
		return workspace_fail(workspace, ITEM_NOT_AN_IMAGE, "was not probed");
	}
}

/* The sink of decode_region(): context is its *out. */
static void keep_rows(void *context, uint32_t first_row, const struct pixels *rows)
{
	const struct pixels *out = context;

	for (uint32_t y = 0; y < rows->height_px; y++)
		memcpy(out->data + (first_row + y) * out->stride_bytes, rows->data + y * rows->stride_bytes, out->stride_bytes);
}

enum item_status decode_region(struct decoder *decoder, const struct file_bytes *file, const struct image_info *info,
                               const struct decode_want *want, struct pixels *out)
{
	struct pixels region = {.stride_bytes = (size_t)want->region.width * want->channels,
	                        .width_px = (uint32_t)want->region.width,
	                        .height_px = (uint32_t)want->region.height,
	                        .channels = want->channels};
	enum item_status status;

	*out = (struct pixels){0};
	decoder->workspace.reason[0] = '\0';
	trim(&decoder->region);
	status = check_want(&decoder->workspace, info, want);
	if (status == ITEM_OK)
		status = workspace_reserve(&decoder->workspace, &decoder->region, region.height_px, region.stride_bytes);
	if (status != ITEM_OK)
		return status;
	region.data = decoder->region.data;
	status = decode_rows(
		decoder, file, info, want,
		&(struct decode_sink){.take = keep_rows, .context = &region, .kept_bytes = region.stride_bytes * region.height_px});
	if (status == ITEM_OK)
		*out = region;
	return status;
}

void decode_describe(const struct segments *segments, struct image_info *info)
{
	*info = (struct image_info){.format = segments->kind == SEGMENT_JPEG ? IMAGE_JPEG : IMAGE_PNG,
	                            .width_px = segments->width_px,
	                            .height_px = segments->height_px,
	                            .orientation = segments->orientation,
	                            .channels = segments->channels,
	                            .sample_bits = segments->sample_bits};
}

bool decode_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **runs)
{
	const struct box *region = &want->region;

	*runs = NULL;
	if (want->scale_eighths < 1 || want->scale_eighths > 8 ||
	    !is_inside(region, decode_scaled_px(segments->width_px, want->scale_eighths),
	               decode_scaled_px(segments->height_px, want->scale_eighths)))
		return false;
	switch (segments->kind) {
	case SEGMENT_JPEG:
		return jpeg_segments_runs(segments, want, runs);
	case SEGMENT_PNG:
		return png_segments_runs(segments, want, runs);
	default:
		return false;
	}
}

bool decode_runs_again(const struct segments *segments, const struct decode_limits *limits, const struct decode_want *want,
                       struct file_runs **runs)
{
	if (!decode_runs(segments, want, runs))
		return false;
	if (jpeg_segments_are_spliced(segments, limits->jpeg_indexes, want))
		return true;
	free(*runs);
	*runs = NULL;
	return false;
}

bool decode_part_probe(const struct file_bytes *head, const struct decode_limits *limits, struct image_info *info)
{
	struct workspace workspace = {.max_pixels = limits->max_pixels};
	const char *name;

	*info = (struct image_info){.format = sniff(head->data, head->byte_count, &name), .orientation = 1};
	return info->format == IMAGE_BMP && decode_bmp_probe(&workspace, head, info) == ITEM_OK;
}

bool decode_part(const struct file_bytes *head, const struct image_info *info, const struct decode_want *want,
                 struct file_part *part)
{
	return info->format == IMAGE_BMP && decode_bmp_part(head, info, want, part);
}
