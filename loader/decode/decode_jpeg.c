/*
 * Stage 3 of 5, decode: a JPEG in memory in, its header or the pixels of a region out.  Any thread, one workspace each.
 *
 * A codec is made for each call: one that is kept from picture to picture would lend the tables of the last one to a file that lacks
 * its own.  Nor is it kept from a probe to the region: a second look at the header is 2.6 us of 1230 for an ImageNet picture.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "loader/decode/bands.h"
#include "loader/decode/decode_jpeg.h"
#include "loader/decode/exif.h"
#include "loader/decode/jpeg_cmyk.h"
#include "loader/decode/jpeg_eighth.h"
#include "loader/decode/jpeg_limits.h"
#include "loader/decode/jpeg_segments.h"
#include "loader/decode/jpeg_source.h"

/*
 * libjpeg-turbo's SIMD writes a row that is aligned to 16 or 32 bytes past the cache, and the next stage reads it back at once:
 * with rows that are not aligned, decoding and reading 128x128 pictures takes 0.77 of the time.
 */
#define ROW_MISALIGNMENT_BYTES 8

/* What crop_columns() adds to a region's columns. */
#define UPSAMPLING_CONTEXT_PX    8
#define SMOOTHING_CONTEXT_BLOCKS 2

struct decode_jpeg {
	struct jpeg_decompress_struct codec;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
	struct jpeg_limits limits;
	jmp_buf escape;
	enum item_status failure; /* why it escaped */
	bool pixels_begun;        /* a warning is about pixels from here on */
	bool exif_seen;
	uint8_t orientation;
	const uint8_t *bytes;
	size_t byte_count;
	struct workspace *workspace;
	struct image_info *found;        /* probe only */
	const struct image_info *probed; /* region only, as the next two */
	const struct decode_want *want;
	const struct decode_sink *sink;
};

_Static_assert(sizeof((struct workspace *)0)->reason >= JMSG_LENGTH_MAX, "libjpeg's messages fit");

static _Noreturn void escape(struct decode_jpeg *jpeg, enum item_status status)
{
	jpeg->failure = status;
	longjmp(jpeg->escape, 1);
}

static _Noreturn void escape_with_codec_message(j_common_ptr codec, enum item_status status)
{
	struct decode_jpeg *jpeg = codec->client_data;

	codec->err->format_message(codec, jpeg->workspace->reason);
	escape(jpeg, status);
}

/* libjpeg's errors. */
static void on_error(j_common_ptr codec)
{
	switch (codec->err->msg_code) {
	case JERR_INPUT_EOF:
		escape_with_codec_message(codec, ITEM_TRUNCATED);
	case JERR_OUT_OF_MEMORY:
		escape_with_codec_message(codec, ITEM_TOO_LARGE);
	case JERR_NO_BACKING_STORE: {
		struct decode_jpeg *jpeg = codec->client_data;

		escape(jpeg, jpeg_limits_fail_memory(&jpeg->limits, &jpeg->codec));
	}
	case JERR_ARITH_NOTIMPL:
	case JERR_BAD_PRECISION: /* 12 bits */
	case JERR_CCIR601_NOTIMPL:
	case JERR_CONVERSION_NOTIMPL:
	case JERR_EMPTY_IMAGE: /* its height comes later, in a DNL marker */
	case JERR_FRACT_SAMPLE_NOTIMPL:
	case JERR_IMAGE_TOO_BIG: /* over 65500 a side */
	case JERR_NOTIMPL:
	case JERR_SOF_UNSUPPORTED: /* lossless, hierarchical */
		escape_with_codec_message(codec, ITEM_UNSUPPORTED);
	default:
		escape_with_codec_message(codec, ITEM_CORRUPT);
	}
}

/* libjpeg's warnings (level -1) and chat.  libjpeg would go on after a warning, with gray or shifted pixels. */
static void on_message(j_common_ptr codec, int level)
{
	struct decode_jpeg *jpeg = codec->client_data;
	int code = codec->err->msg_code;

	if (level >= 0 || !jpeg->pixels_begun)
		return;
	/* Padding between a complete last scan and the end marker harms nothing. */
	if (code == JWRN_EXTRANEOUS_DATA && codec->err->msg_parm.i[1] == JPEG_EOI)
		return;
	if (code == JWRN_HIT_MARKER && jpeg->codec.unread_marker == JPEG_EOI)
		escape_with_codec_message(codec, ITEM_TRUNCATED);
	escape_with_codec_message(codec, ITEM_CORRUPT);
}

static void on_output(j_common_ptr codec)
{
	(void)codec; /* nothing is ever printed */
}

static void on_progress(j_common_ptr codec)
{
	struct decode_jpeg *jpeg = codec->client_data;
	enum item_status status = jpeg_limits_check(&jpeg->limits, &jpeg->codec);

	if (status != ITEM_OK)
		escape(jpeg, status);
}

/* Looks at an APP1 segment where it lies; libjpeg would copy it. */
static boolean on_app1(j_decompress_ptr codec)
{
	struct decode_jpeg *jpeg = codec->client_data;
	const uint8_t *segment = codec->src->next_input_byte;
	size_t segment_bytes; /* with its own two bytes of length */

	if (codec->src->bytes_in_buffer < 2)
		ERREXIT(codec, JERR_INPUT_EOF);
	segment_bytes = (size_t)segment[0] << 8 | segment[1];
	if (segment_bytes < 2)
		segment_bytes = 2; /* as libjpeg takes it */
	codec->src->skip_input_data(codec, (long)segment_bytes);
	if (!jpeg->exif_seen && exif_marks(segment + 2, segment_bytes - 2)) {
		jpeg->exif_seen = true;
		jpeg->orientation = exif_orientation(segment + 2, segment_bytes - 2);
	}
	return TRUE;
}

static void open_codec(struct decode_jpeg *jpeg)
{
	jpeg->codec.err = jpeg_std_error(&jpeg->errors);
	jpeg->codec.client_data = jpeg;
	jpeg->errors.error_exit = on_error;
	jpeg->errors.emit_message = on_message;
	jpeg->errors.output_message = on_output;
	jpeg_create_decompress(&jpeg->codec);

	jpeg->progress.progress_monitor = on_progress;
	jpeg->codec.progress = &jpeg->progress;
	jpeg_source_init(&jpeg->source, jpeg->bytes, jpeg->byte_count);
	jpeg->codec.src = &jpeg->source;
	jpeg->orientation = 1;
	jpeg_set_marker_processor(&jpeg->codec, JPEG_APP0 + 1, on_app1);
	(void)jpeg_read_header(&jpeg->codec, TRUE); /* never suspends: the source ends with an error instead */
}

/* Bodies of attempt(): whatever is called from here may escape. */

static void describe(const struct jpeg_decompress_struct *codec, struct image_info *info)
{
	info->width_px = codec->image_width;
	info->height_px = codec->image_height;
	info->channels = (uint8_t)codec->num_components;
	info->sample_bits = 8;
}

static enum item_status probe(struct decode_jpeg *jpeg)
{
	struct jpeg_decompress_struct *codec = &jpeg->codec;

	open_codec(jpeg);
	if (codec->num_components != 1 && codec->num_components != 3 && codec->num_components != 4)
		return workspace_fail(jpeg->workspace, ITEM_UNSUPPORTED, "a JPEG of %d components", codec->num_components);
	describe(codec, jpeg->found);
	jpeg->found->orientation = jpeg->orientation;
	return workspace_check_size(jpeg->workspace, codec->image_width, codec->image_height);
}

/* Columns of the picture that libjpeg is told to give, counted from 0 and at the wanted scale. */
struct columns {
	JDIMENSION first, count;
};

/*
 * The region's columns, and those beside it that libjpeg needs to give them the pixels that they have in the whole picture:
 * - upsampling looks at one sample to each side, which stands for up to 2 pixels, and takes a plainer filter for a component of
 *   fewer than 3 samples;
 * - smoothing, which is for progressive files whose last scans are missing, looks at two blocks to each side, but at those
 *   to the left only from the third block on.
 * At a reduced size, jpeg_crop_scanline() of libjpeg-turbo before 3.0 miscounts the samples of a component that its DCT enlarges by
 * less than upsampling must (its issue 669): there it gets the whole width.
 */
static void crop_columns(struct jpeg_decompress_struct *codec, const struct decode_want *want, struct columns *columns)
{
	JDIMENSION mcu_px = (JDIMENSION)codec->max_h_samp_factor * want->scale_eighths;
	JDIMENSION beside = codec->max_h_samp_factor > 1 ? UPSAMPLING_CONTEXT_PX : 0;
	JDIMENSION before = beside + (codec->progressive_mode ? SMOOTHING_CONTEXT_BLOCKS * mcu_px : 0);
	JDIMENSION begin = (JDIMENSION)want->region.x, end = begin + (JDIMENSION)want->region.width;

	*columns = (struct columns){.count = codec->output_width};
	if (want->scale_eighths != 8 && (codec->max_h_samp_factor > 2 || codec->max_v_samp_factor > 2))
		return;
	columns->first = begin > before ? begin - before : 0;
	columns->count = (codec->output_width - end > beside ? end + beside : codec->output_width) - columns->first;
	jpeg_crop_scanline(codec, &columns->first, &columns->count); /* moves the first one to the left, to where an MCU begins */
}

static void read_rows(struct jpeg_decompress_struct *codec, uint8_t *first, size_t stride_bytes, JDIMENSION row_count)
{
	JSAMPROW rows[MAX_SAMP_FACTOR]; /* more than that many never come at once */

	for (JDIMENSION done = 0; done < row_count;) {
		JDIMENSION asked = row_count - done < MAX_SAMP_FACTOR ? row_count - done : MAX_SAMP_FACTOR;

		for (JDIMENSION i = 0; i < asked; i++)
			rows[i] = first + (done + i) * stride_bytes;
		done += jpeg_read_scanlines(codec, rows, asked);
	}
}

static size_t row_stride_bytes(size_t row_bytes)
{
	return (row_bytes + ROW_MISALIGNMENT_BYTES + 31) / 32 * 32;
}

/* Rows are handed out where libjpeg writes them, between the columns beside the region. */
static enum item_status read_pixels(struct decode_jpeg *jpeg, const struct columns *columns)
{
	struct workspace *workspace = jpeg->workspace;
	const struct box *region = &jpeg->want->region;
	uint32_t channels = jpeg->want->channels, row_count = (uint32_t)region->height, band_rows;
	struct pixels rows = {.stride_bytes = row_stride_bytes((size_t)columns->count * channels),
	                      .width_px = (uint32_t)region->width,
	                      .channels = channels};
	enum item_status status = workspace_reserve_band(workspace, region, rows.stride_bytes, &band_rows);
	uint8_t *first;

	if (status != ITEM_OK)
		return status;
	first = workspace->band.data + ROW_MISALIGNMENT_BYTES;
	rows.data = first + (size_t)((JDIMENSION)region->x - columns->first) * channels;
	for (uint32_t y = 0; y < row_count; y += rows.height_px) {
		rows.height_px = row_count - y < band_rows ? row_count - y : band_rows;
		read_rows(&jpeg->codec, first, rows.stride_bytes, rows.height_px);
		jpeg->sink->take(jpeg->sink->context, y, &rows);
	}
	return ITEM_OK;
}

static enum item_status read_cmyk(struct decode_jpeg *jpeg, const struct columns *columns)
{
	struct workspace *workspace = jpeg->workspace;
	const struct box *region = &jpeg->want->region;
	struct bands bands;
	enum item_status status = bands_open(&bands, workspace, jpeg->want, jpeg->sink);
	uint8_t *row;

	if (status == ITEM_OK)
		status = workspace_reserve(workspace, &workspace->rows, 1, row_stride_bytes((size_t)columns->count * 4));
	if (status != ITEM_OK)
		return status;
	row = workspace->rows.data + ROW_MISALIGNMENT_BYTES;
	for (int32_t line = 0; line < region->height; line++) {
		read_rows(&jpeg->codec, row, 0, 1);
		jpeg_cmyk_convert(row + ((size_t)(JDIMENSION)region->x - columns->first) * 4, (uint32_t)region->width,
		                  jpeg->want->channels, bands_next_row(&bands));
	}
	bands_close(&bands);
	return ITEM_OK;
}

static enum item_status read_region(struct decode_jpeg *jpeg)
{
	struct jpeg_decompress_struct *codec = &jpeg->codec;
	const struct decode_want *want = jpeg->want;
	struct columns columns;
	struct image_info now;
	enum item_status status;
	bool is_cmyk;

	jpeg_limits_begin(&jpeg->limits, jpeg->workspace, jpeg->byte_count);
	open_codec(jpeg);
	describe(codec, &now);
	status = workspace_check_same(jpeg->workspace, jpeg->probed, &now);
	if (status != ITEM_OK)
		return status;
	is_cmyk = codec->num_components == 4;
	codec->out_color_space = is_cmyk ? JCS_CMYK : want->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	codec->scale_num = want->scale_eighths;
	codec->scale_denom = 8;
	jpeg_limits_bound_memory(codec, jpeg->sink->kept_bytes);
	jpeg->pixels_begun = true;
	(void)jpeg_start_decompress(codec);
	on_progress((j_common_ptr)codec); /* which reports nothing while it skips rows */

	crop_columns(codec, want, &columns);
	/*
	 * The faults of this call (libjpeg-turbo's issue 915, and older ones) are about a skip that begins in the middle of the
	 * picture.  From the top it is exact: it goes through the codes of the rows above, and decodes up to one row of MCUs
	 * as context.
	 */
	(void)jpeg_skip_scanlines(codec, (JDIMENSION)want->region.y);
	return is_cmyk ? read_cmyk(jpeg, &columns) : read_pixels(jpeg, &columns);
}

/* Runs a body in the one place that libjpeg's errors come back to, and frees the codec either way. */
static enum item_status attempt(struct decode_jpeg *jpeg, enum item_status (*body)(struct decode_jpeg *))
{
	enum item_status status;

	if (setjmp(jpeg->escape) == 0)
		status = body(jpeg);
	else
		status = jpeg->failure;
	jpeg_destroy_decompress(&jpeg->codec);
	return status;
}

static size_t bytes_before_gap(const struct file_bytes *file)
{
	return file->gap_at < file->byte_count ? file->gap_at : file->byte_count;
}

enum item_status decode_jpeg_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct decode_jpeg jpeg = {
		.bytes = file->data, .byte_count = bytes_before_gap(file), .workspace = workspace, .found = info};

	if (file->runs) /* decode_describe() has told */
		return workspace_check_size(workspace, info->width_px, info->height_px);
	return attempt(&jpeg, probe);
}

static enum item_status decode_file(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                    const struct decode_want *want, const struct decode_sink *sink)
{
	struct decode_jpeg jpeg = {.bytes = file->data,
	                           .byte_count = bytes_before_gap(file),
	                           .workspace = workspace,
	                           .probed = info,
	                           .want = want,
	                           .sink = sink};

	return jpeg_eighth_rows(workspace, file, info, want, sink) ? ITEM_OK : attempt(&jpeg, read_region);
}

enum item_status decode_jpeg_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                  const struct decode_want *want, const struct decode_sink *sink)
{
	struct jpeg_splice splice;

	if (file->runs) {
		enum item_status status = jpeg_segments_splice(workspace, file, info, want, &splice);

		return status == ITEM_OK ? decode_file(workspace, &splice.file, &splice.info, &splice.want, sink) : status;
	}
	if (jpeg_splice(workspace, file, info, want, &splice)) {
		enum item_status status = decode_file(workspace, &splice.file, &splice.info, &splice.want, sink);

		/* What is wrong with a file is told of the whole file. */
		if (status == ITEM_OK || status == ITEM_TIMEOUT)
			return status;
	}
	workspace->reason[0] = '\0';
	return decode_file(workspace, file, info, want, sink);
}
