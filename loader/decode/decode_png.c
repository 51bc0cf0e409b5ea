/*
 * Stage 3 of 5, decode: a PNG in memory in, its header or the pixels of a region out.  Any thread, one workspace each.
 *
 * Our own reader goes first.  What it does not read, libpng does, or says what is wrong: so statuses and words are libpng's, and a
 * damaged file costs a fourth more than with libpng alone.
 */
#include "loader/decode/decode_png.h"
#include "base/clock.h"
#include "loader/decode/png_chunks.h"
#include "loader/decode/png_fallback.h"
#include "loader/decode/png_own.h"
#include "loader/decode/png_segments.h"

/* Rows are held in memory, up to 8 bytes a pixel, three of them by libpng: one of --max-pixels would cost gigabytes. */
#define MAX_SIDE_PX 1000000u

static void describe(const struct png_header *header, struct image_info *info)
{
	info->width_px = header->width_px;
	info->height_px = header->height_px;
	info->channels = (uint8_t)header->samples_per_px;
	info->sample_bits = (uint8_t)header->sample_bits;
}

static enum item_status find_size(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct png_header header;

	if (file->runs) /* decode_describe() has told */
		return ITEM_OK;
	if (!png_chunks_header(file->data, file->byte_count, &header))
		return png_fallback_probe(workspace, file, info);
	describe(&header, info);
	return ITEM_OK;
}

enum item_status decode_png_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	enum item_status status = find_size(workspace, file, info);

	if (status != ITEM_OK)
		return status;
	if (info->width_px > MAX_SIDE_PX || info->height_px > MAX_SIDE_PX)
		return workspace_fail(workspace, ITEM_TOO_LARGE, "%ux%u pixels, over %u on one side", info->width_px,
		                      info->height_px, MAX_SIDE_PX);
	if (!file->runs)
		info->orientation = png_chunks_orientation(file->data, file->byte_count);
	return workspace_check_size(workspace, info->width_px, info->height_px);
}

enum item_status decode_png_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                 const struct decode_want *want, const struct decode_sink *sink)
{
	enum item_status status;
	struct png_header header;
	bool has_header;

	workspace->deadline_ns = 0;
	if (workspace->timeout_ms != 0)
		workspace->deadline_ns = clock_thread_cpu_ns() + workspace->timeout_ms * UINT64_C(1000000);
	has_header = png_chunks_header(file->data, file->byte_count, &header);
	if (has_header) {
		struct image_info now;

		describe(&header, &now);
		status = workspace_check_same(workspace, info, &now);
		if (status != ITEM_OK)
			return status;
	}
	if (file->runs)
		return has_header ? png_segments_rows(workspace, file, &header, want, sink)
		                  : workspace_fail(workspace, ITEM_CORRUPT,
		                                   "the header is damaged, or not what the segment table says");
	if (has_header && png_own_rows(workspace, file, &header, want, sink))
		return ITEM_OK;
	workspace->reason[0] = '\0';
	return png_fallback_rows(workspace, file, info, want, sink);
}
