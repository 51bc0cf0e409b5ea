/*
 * Stage 3 of 5, decode: a PNG in memory in, its header or the pixels of a region out.  Any thread, one workspace each.
 *
 * Only libpng's row interface is used, without any of its transformations and without png_read_end(): that is where its known
 * faults lie, and unpack.h does the same for the region's columns alone.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#include <png.h>

#include "base/clock.h"
#include "loader/decode/bands.h"
#include "loader/decode/png_fallback.h"
#include "loader/decode/unpack.h"

struct png_fallback {
	png_structp codec;
	png_infop header;
	jmp_buf escape;
	enum item_status failure; /* why it escaped */
	const uint8_t *next;      /* what libpng has not read yet */
	size_t left_bytes;
	size_t unlooked_bytes; /* read since the last look at the clock */
	size_t surplus_bytes;  /* read after the last row */
	struct workspace *workspace;
	struct image_info *found;        /* probe only */
	const struct image_info *probed; /* region only, as the next two */
	const struct decode_want *want;
	const struct decode_sink *sink;
};

static _Noreturn void escape(struct png_fallback *png, enum item_status status)
{
	png->failure = status;
	longjmp(png->escape, 1);
}

/* libpng has no error numbers: its messages are all there is. */
static _Noreturn void on_error(png_structp codec, png_const_charp message)
{
	struct png_fallback *png = png_get_error_ptr(codec);
	enum item_status status = ITEM_CORRUPT;

	if (strstr(message, "Not enough image data"))
		status = ITEM_TRUNCATED;
	else if (strcasestr(message, "memory")) /* "Out of memory", "IDAT: insufficient memory to read chunk", ... */
		status = ITEM_TOO_LARGE;
	escape(png, workspace_fail(png->workspace, status, "%s", message));
}

/* Warnings are about chunks that are not looked at, and about data after the image's end. */
static void on_warning(png_structp codec, png_const_charp message)
{
	(void)codec;
	(void)message;
}

/* A look at the clock is a system call of 0.3 us; so many bytes may take libpng 6 ms, or 0.3 s if they are a bomb. */
#define BYTES_PER_LOOK 65536u

static void check_clock(struct png_fallback *png, size_t byte_count)
{
	struct workspace *workspace = png->workspace;

	png->unlooked_bytes += byte_count;
	if (workspace->deadline_ns == 0 || png->unlooked_bytes < BYTES_PER_LOOK)
		return;
	png->unlooked_bytes = 0;
	if (clock_thread_cpu_ns() >= workspace->deadline_ns)
		escape(png, workspace_fail(workspace, ITEM_TIMEOUT, "not decoded within %u ms of CPU time", workspace->timeout_ms));
}

/* What the last row leaves to read: an end of block and a checksum.  So many bytes may hold 64 MB, which take 70 ms. */
#define SURPLUS_MAX_BYTES 65536u

/* With the last row libpng inflates all that is left, as does Pillow, although nothing comes of it. */
static void check_surplus(struct png_fallback *png, size_t byte_count)
{
	bool all_rows_are_there = png->probed && (png_get_current_row_number(png->codec) == png->probed->height_px ||
	                                          png_get_current_pass_number(png->codec) == PNG_INTERLACE_ADAM7_PASSES);

	if (!all_rows_are_there)
		return;
	png->surplus_bytes += byte_count;
	if (png->surplus_bytes > SURPLUS_MAX_BYTES)
		escape(png, workspace_fail(png->workspace, ITEM_CORRUPT, "over %u bytes of compressed data after the last row",
		                           SURPLUS_MAX_BYTES));
}

static void on_read(png_structp codec, png_bytep to, size_t byte_count)
{
	struct png_fallback *png = png_get_io_ptr(codec);

	if (byte_count > png->left_bytes)
		escape(png, workspace_fail(png->workspace, ITEM_TRUNCATED, "premature end of PNG file"));
	check_clock(png, byte_count);
	check_surplus(png, byte_count);
	memcpy(to, png->next, byte_count);
	png->next += byte_count;
	png->left_bytes -= byte_count;
}

/* Reads up to the first IDAT, whose CRC and those of IHDR and PLTE must be right. */
static void open_codec(struct png_fallback *png, uint32_t max_width_px, uint32_t max_height_px)
{
	png->codec = png_create_read_struct(PNG_LIBPNG_VER_STRING, png, on_error, on_warning);
	if (png->codec)
		png->header = png_create_info_struct(png->codec);
	if (!png->header)
		escape(png, workspace_fail(png->workspace, ITEM_TOO_LARGE, "no memory for libpng"));

	png_set_user_limits(png->codec, max_width_px, max_height_px);
	/* Skips everything but IHDR, PLTE, IDAT and IEND: nothing else is inflated, kept or found fault with. */
	png_set_keep_unknown_chunks(png->codec, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	png_set_keep_unknown_chunks(png->codec, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
	png_set_crc_action(png->codec, PNG_CRC_ERROR_QUIT, PNG_CRC_QUIET_USE);
	png_set_read_fn(png->codec, png, on_read);
	png_read_info(png->codec, png->header);
}

/* Bodies of attempt(): whatever is called from here may escape. */

static void describe(const struct png_fallback *png, struct image_info *info)
{
	info->width_px = png_get_image_width(png->codec, png->header);
	info->height_px = png_get_image_height(png->codec, png->header);
	info->channels = png_get_channels(png->codec, png->header);
	info->sample_bits = png_get_bit_depth(png->codec, png->header);
}

static enum item_status probe(struct png_fallback *png)
{
	open_codec(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
	describe(png, png->found);
	return ITEM_OK;
}

static void describe_palette(const struct png_fallback *png, struct unpack *unpack)
{
	png_colorp entries = NULL;
	int entry_count = 0;

	(void)png_get_PLTE(png->codec, png->header, &entries, &entry_count); /* libpng insists on a PLTE before IDAT */
	for (int i = 0; i < entry_count; i++) {
		unpack->palette[i][0] = entries[i].red;
		unpack->palette[i][1] = entries[i].green;
		unpack->palette[i][2] = entries[i].blue;
	}
}

static void describe_pixels(const struct png_fallback *png, struct unpack *unpack)
{
	bool is_index = png_get_color_type(png->codec, png->header) == PNG_COLOR_TYPE_PALETTE;

	unpack_describe_png(unpack, png_get_bit_depth(png->codec, png->header), png_get_channels(png->codec, png->header), is_index,
	                    png->want->as_stored);
	if (is_index)
		describe_palette(png, unpack);
}

/* Rows [0, end_row) of one pass; those outside of the region are decoded, since others build upon them, and dropped. */
static void mix_in_pass(struct png_fallback *png, uint32_t end_row, size_t row_bytes)
{
	uint32_t first_row = (uint32_t)png->want->region.y, row_count = (uint32_t)png->want->region.height;

	for (uint32_t y = 0; y < end_row; y++) {
		bool wanted = y >= first_row && y - first_row < row_count;

		png_read_row(png->codec, wanted ? png->workspace->rows.data + (y - first_row) * row_bytes : NULL, NULL);
	}
}

/* Each pass of an interlaced picture mixes its pixels into the rows, so all of the region's are kept until the last. */
static enum item_status mix_passes(struct png_fallback *png, int pass_count, size_t row_bytes)
{
	const struct box *region = &png->want->region;
	enum item_status status = workspace_reserve_whole(png->workspace, png->sink, &png->workspace->rows, (size_t)region->height,
	                                                  row_bytes, "save the PNG without interlacing");

	if (status != ITEM_OK)
		return status;
	memset(png->workspace->rows.data, 0, (size_t)region->height * row_bytes);
	for (int pass = 1; pass < pass_count; pass++)
		mix_in_pass(png, png->probed->height_px, row_bytes);
	mix_in_pass(png, (uint32_t)(region->y + region->height), row_bytes);
	return ITEM_OK;
}

/* Unpacks the region's rows, each read just before unless all are there. */
static enum item_status hand_out(struct png_fallback *png, bool all_there, size_t row_bytes, const struct unpack *unpack)
{
	const struct box *region = &png->want->region;
	uint8_t *row = png->workspace->rows.data;
	struct bands bands;
	enum item_status status = bands_open(&bands, png->workspace, png->want, png->sink);

	if (status != ITEM_OK)
		return status;
	for (int32_t line = 0; line < region->height; line++) {
		if (!all_there)
			png_read_row(png->codec, row, NULL);
		unpack_row(unpack, row, (uint32_t)region->x, (uint32_t)region->width, png->want->channels, bands_next_row(&bands));
		if (all_there)
			row += row_bytes;
	}
	bands_close(&bands);
	return ITEM_OK;
}

static enum item_status read_region(struct png_fallback *png)
{
	struct unpack unpack;
	enum item_status status;
	struct image_info now;

	open_codec(png, png->probed->width_px, png->probed->height_px);
	describe(png, &now);
	status = workspace_check_same(png->workspace, png->probed, &now);
	if (status != ITEM_OK)
		return status;
	describe_pixels(png, &unpack);

	int pass_count = png_set_interlace_handling(png->codec);
	bool interlaced = pass_count > 1;

	png_start_read_image(png->codec);

	size_t row_bytes = png_get_rowbytes(png->codec, png->header);

	if (interlaced)
		status = mix_passes(png, pass_count, row_bytes);
	else
		status = workspace_reserve(png->workspace, &png->workspace->rows, 1, row_bytes);
	if (status != ITEM_OK)
		return status;
	for (int32_t y = 0; !interlaced && y < png->want->region.y; y++)
		png_read_row(png->codec, NULL, NULL);
	return hand_out(png, interlaced, row_bytes, &unpack);
}

/* Runs a body in the one place that libpng's errors come back to, and frees the codec either way. */
static enum item_status attempt(struct png_fallback *png, enum item_status (*body)(struct png_fallback *))
{
	enum item_status status;

	if (setjmp(png->escape) == 0)
		status = body(png);
	else
		status = png->failure;
	png_destroy_read_struct(&png->codec, &png->header, NULL);
	return status;
}

enum item_status png_fallback_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct png_fallback png = {.next = file->data, .left_bytes = file->byte_count, .workspace = workspace, .found = info};

	return attempt(&png, probe);
}

enum item_status png_fallback_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                   const struct decode_want *want, const struct decode_sink *sink)
{
	struct png_fallback png = {.next = file->data,
	                           .left_bytes = file->byte_count,
	                           .workspace = workspace,
	                           .probed = info,
	                           .want = want,
	                           .sink = sink};

	return attempt(&png, read_region);
}
