/*
 * Stage 3 of 5, decode: a JPEG in memory in, its header or the pixels of a region out.  Any thread, one workspace each.
 *
 * A codec is made for each call (0.2 us): one that is kept would lend the tables of the last picture to a file that lacks its own.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "loader/decode/decode_jpeg.h"
#include "loader/decode/exif.h"
#include "loader/decode/luma.h"

/* Coefficients of a whole progressive picture: 85 megapixels at 4:4:4. */
#define MAX_COEFFICIENT_BYTES (512L << 20)

/* Each scan costs a pass over all coefficients, however few bytes it has; encoders write about ten. */
#define MAX_SCANS 100

/*
 * libjpeg-turbo's SIMD writes a row that is aligned to 16 or 32 bytes past the cache, and we read each row back at once: from a
 * row that is not aligned, 64x64 pictures take 0.4 of the time, 500x375 ones 0.8.
 */
#define ROW_MISALIGNMENT_BYTES 8

struct decode_jpeg {
	struct jpeg_decompress_struct codec;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_progress_mgr progress;
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
	struct pixels *out;
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

		escape(jpeg, workspace_fail(jpeg->workspace, ITEM_TOO_LARGE,
		                            "progressive, and its coefficients need over %ld bytes", MAX_COEFFICIENT_BYTES));
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

	if (jpeg->codec.input_scan_number > MAX_SCANS)
		escape(jpeg, workspace_fail(jpeg->workspace, ITEM_UNSUPPORTED, "more than %d scans", MAX_SCANS));
}

static void on_source_start_or_end(j_decompress_ptr codec)
{
	(void)codec; /* all bytes are there from the start */
}

static boolean on_source_empty(j_decompress_ptr codec)
{
	/* libjpeg's own memory source makes up an end marker here, and a gray rest with it. */
	ERREXIT(codec, JERR_INPUT_EOF);
	return FALSE;
}

static void on_source_skip(j_decompress_ptr codec, long byte_count)
{
	if (byte_count <= 0)
		return;
	if ((unsigned long)byte_count > codec->src->bytes_in_buffer)
		ERREXIT(codec, JERR_INPUT_EOF);
	codec->src->next_input_byte += byte_count;
	codec->src->bytes_in_buffer -= (size_t)byte_count;
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
	on_source_skip(codec, (long)segment_bytes);
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

	jpeg->codec.mem->max_memory_to_use = MAX_COEFFICIENT_BYTES;
	jpeg->progress.progress_monitor = on_progress;
	jpeg->codec.progress = &jpeg->progress;
	jpeg->source = (struct jpeg_source_mgr){
		.next_input_byte = jpeg->bytes,
		.bytes_in_buffer = jpeg->byte_count,
		.init_source = on_source_start_or_end,
		.fill_input_buffer = on_source_empty,
		.skip_input_data = on_source_skip,
		.resync_to_restart = jpeg_resync_to_restart,
		.term_source = on_source_start_or_end,
	};
	jpeg->codec.src = &jpeg->source;
	jpeg->orientation = 1;
	jpeg_set_marker_processor(&jpeg->codec, JPEG_APP0 + 1, on_app1);
	(void)jpeg_read_header(&jpeg->codec, TRUE); /* never suspends: the source ends with an error instead */
}

/* Bodies of attempt(): whatever is called from here may escape. */

static enum item_status probe(struct decode_jpeg *jpeg)
{
	struct jpeg_decompress_struct *codec = &jpeg->codec;

	open_codec(jpeg);
	if (codec->num_components != 1 && codec->num_components != 3 && codec->num_components != 4)
		return workspace_fail(jpeg->workspace, ITEM_UNSUPPORTED, "a JPEG of %d components", codec->num_components);
	jpeg->found->width_px = codec->image_width;
	jpeg->found->height_px = codec->image_height;
	jpeg->found->orientation = jpeg->orientation;
	return workspace_check_size(jpeg->workspace, codec->image_width, codec->image_height);
}

/* Columns of a CMYK row as Pillow converts them: "CMYK;I" (inverted), then Convert.c, cmyk2rgb. */
static void convert_cmyk(const uint8_t *in, uint32_t width_px, uint32_t channels, uint8_t *out)
{
	for (uint32_t i = 0; i < width_px; i++, in += 4, out += channels) {
		int white = in[3], rgb[3];

		for (int c = 0; c < 3; c++) {
			int product = (255 - in[c]) * white + 128;

			rgb[c] = white - ((product >> 8) + product) / 256; /* product / 255, rounded; never more than white */
		}
		if (channels == 1) {
			out[0] = luma((uint32_t)rgb[0], (uint32_t)rgb[1], (uint32_t)rgb[2]);
		} else {
			for (int c = 0; c < 3; c++)
				out[c] = (uint8_t)rgb[c];
		}
	}
}

static enum item_status read_region(struct decode_jpeg *jpeg)
{
	struct jpeg_decompress_struct *codec = &jpeg->codec;
	const struct box *region = &jpeg->want->region;
	uint32_t channels = jpeg->want->channels;
	enum item_status status;

	open_codec(jpeg);
	status = workspace_check_same(jpeg->workspace, jpeg->probed, codec->image_width, codec->image_height);
	if (status != ITEM_OK)
		return status;

	bool is_cmyk = codec->num_components == 4;

	codec->out_color_space = is_cmyk ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	codec->scale_num = jpeg->want->scale_eighths;
	codec->scale_denom = 8;
	jpeg->pixels_begun = true;
	(void)jpeg_start_decompress(codec);

	status = workspace_reserve_region(jpeg->workspace, jpeg->want, jpeg->out);
	if (status != ITEM_OK)
		return status;
	status = workspace_reserve(jpeg->workspace, &jpeg->workspace->rows, 1,
	                           (size_t)codec->output_width * (size_t)codec->output_components + ROW_MISALIGNMENT_BYTES);
	if (status != ITEM_OK)
		return status;

	uint8_t *row = jpeg->workspace->rows.data + ROW_MISALIGNMENT_BYTES;
	const uint8_t *wanted = row + (size_t)region->x * (size_t)codec->output_components;

	for (int32_t y = 0; y < region->y; y++)
		(void)jpeg_read_scanlines(codec, &row, 1);
	for (uint32_t y = 0; y < jpeg->out->height_px; y++) {
		uint8_t *out = jpeg->out->data + y * jpeg->out->stride_bytes;

		(void)jpeg_read_scanlines(codec, &row, 1);
		if (is_cmyk)
			convert_cmyk(wanted, jpeg->out->width_px, channels, out);
		else
			memcpy(out, wanted, jpeg->out->stride_bytes);
	}
	return ITEM_OK;
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

enum item_status decode_jpeg_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct decode_jpeg jpeg = {.bytes = file->data, .byte_count = file->byte_count, .workspace = workspace, .found = info};

	return attempt(&jpeg, probe);
}

enum item_status decode_jpeg_region(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                    const struct decode_want *want, struct pixels *out)
{
	struct decode_jpeg jpeg = {.bytes = file->data,
	                           .byte_count = file->byte_count,
	                           .workspace = workspace,
	                           .probed = info,
	                           .want = want,
	                           .out = out};

	return attempt(&jpeg, read_region);
}
