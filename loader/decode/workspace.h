/*
 * workspace.h - stage 3 of 5, decode: what its format files share: memory that is reused from image to image, and the words
 * for the last failure.  One workspace per decoder, so one thread at a time.
 */
#ifndef CROPRING_WORKSPACE_H
#define CROPRING_WORKSPACE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/simd.h"
#include "loader/decode/decode.h"

/*
 * What is handed out at a time, so that it is in the cache when it is read.  Against whole regions that saves 4 to 10 % of the time of
 * large PNGs and BMPs, and 1 % of that of large JPEGs; from 64 KB to 1 MB there is no difference.
 */
#define BAND_BYTES ((size_t)256 << 10)
#define BAND_ROWS  16u /* of rows so wide that fewer fit */

struct scratch {
	uint8_t *data;
	size_t capacity_bytes;
};

struct workspace {
	uint64_t max_pixels;
	uint32_t timeout_ms;
	uint64_t deadline_ns; /* PNG: the thread's CPU time at which its region is given up; 0: none */
	enum simd_level simd;
	struct jpeg_index_store *jpeg_indexes; /* NULL: none */
	struct segment_store *segment_store;   /* NULL: none */
	struct scratch band;                   /* the rows that are handed out */
	struct scratch inflate;                /* PNG: igzip's state */
	struct scratch rows;                   /* rows as the codec gives them, before the region's columns are taken out */
	struct scratch splice;                 /* JPEG: a file made of parts of the file */
	char reason[256];
};

/* Puts the reason into words and returns `status`, so that a failing parser reads `return workspace_fail(...);`. */
__attribute__((format(printf, 3, 4))) static inline enum item_status
workspace_fail(struct workspace *workspace, enum item_status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(workspace->reason, sizeof workspace->reason, format, arguments);
	va_end(arguments);
	return status;
}

/* The size from a header that nobody has checked yet. */
static inline enum item_status workspace_check_size(struct workspace *workspace, uint32_t width_px, uint32_t height_px)
{
	if (width_px == 0 || height_px == 0)
		return workspace_fail(workspace, ITEM_CORRUPT, "%ux%u pixels", width_px, height_px);
	if ((uint64_t)width_px * height_px > workspace->max_pixels)
		return workspace_fail(workspace, ITEM_TOO_LARGE, "%ux%u pixels, over the limit of %llu", width_px, height_px,
		                      (unsigned long long)workspace->max_pixels);
	return ITEM_OK;
}

/* A region decode trusts the probe's limits, so the header must still say what it said then. */
static inline enum item_status workspace_check_same(struct workspace *workspace, const struct image_info *info,
                                                    const struct image_info *now)
{
	if (now->width_px != info->width_px || now->height_px != info->height_px)
		return workspace_fail(workspace, ITEM_CORRUPT, "%ux%u pixels, but %ux%u when it was probed", now->width_px,
		                      now->height_px, info->width_px, info->height_px);
	if (now->channels != info->channels || now->sample_bits != info->sample_bits)
		return workspace_fail(workspace, ITEM_CORRUPT, "%u channels of %u bits, but %u of %u when it was probed",
		                      now->channels, now->sample_bits, info->channels, info->sample_bits);
	return ITEM_OK;
}

/* Memory for row_count rows, contents undefined; ITEM_TOO_LARGE when there is none. */
static inline enum item_status workspace_reserve(struct workspace *workspace, struct scratch *scratch, size_t row_count,
                                                 size_t row_bytes)
{
	size_t bytes;

	if (__builtin_mul_overflow(row_count, row_bytes, &bytes))
		bytes = SIZE_MAX;
	if (bytes <= scratch->capacity_bytes)
		return ITEM_OK;
	free(scratch->data);
	scratch->data = malloc(bytes);
	scratch->capacity_bytes = scratch->data ? bytes : 0;
	return scratch->data ? ITEM_OK : workspace_fail(workspace, ITEM_TOO_LARGE, "no memory for %zu bytes of pixels", bytes);
}

/* The same for memory that grows with the region; advice: how to save the file so that it does not. */
static inline enum item_status workspace_reserve_whole(struct workspace *workspace, const struct decode_sink *sink,
                                                       struct scratch *scratch, size_t row_count, size_t row_bytes,
                                                       const char *advice)
{
	size_t bytes;

	if (__builtin_mul_overflow(row_count, row_bytes, &bytes) || __builtin_add_overflow(bytes, sink->kept_bytes, &bytes) ||
	    bytes > DECODE_MAX_BYTES)
		return workspace_fail(workspace, ITEM_TOO_LARGE, "%zu rows of %zu bytes are kept, over %zu MB in all; %s",
		                      row_count, row_bytes, DECODE_MAX_BYTES >> 20, advice);
	return workspace_reserve(workspace, scratch, row_count, row_bytes);
}

/* Memory for some of the region's rows, how many: *row_count. */
static inline enum item_status workspace_reserve_band(struct workspace *workspace, const struct box *region, size_t stride_bytes,
                                                      uint32_t *row_count)
{
	size_t rows = BAND_BYTES / stride_bytes > BAND_ROWS ? BAND_BYTES / stride_bytes : BAND_ROWS;

	*row_count = rows < (uint32_t)region->height ? (uint32_t)rows : (uint32_t)region->height;
	return workspace_reserve(workspace, &workspace->band, *row_count, stride_bytes);
}

#endif
