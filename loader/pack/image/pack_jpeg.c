/*
 * Part of `cropring pack`: a JPEG in; its coefficients again, entropy-coded in restart intervals with Huffman tables of their own, out.
 * Any thread.
 *
 * The new file: SOI, JFIF and Adobe segments (they say which colours these are), metadata, then what libjpeg writes.
 */
#include "loader/pack/image/pack_jpeg.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>

#include <jpeglib.h>

#include <jerror.h>

#include "loader/decode/exif.h"
#include "loader/decode/jpeg_limits.h"
#include "loader/decode/jpeg_source.h"
#include "loader/pack/image/jpeg_interval.h"
#include "loader/pack/image/pack_jpeg_segments.h"

enum { MARKER_COM = JPEG_COM, MARKER_EXIF = JPEG_APP0 + 1, MARKER_ADOBE = JPEG_APP0 + 14 };
enum { LONGEST_SEGMENT = 0xffff, JFIF_BYTES = 14, ADOBE_BYTES = 12 };

/* Of jdphuff.c's and jdarith.c's notes of what is known: by it jdcoefct.c (2.1 and 3) smooths pictures whose last scans are missing. */
enum { SMOOTHED_COEFFICIENTS = 10 };

struct pack_jpeg {
	struct jpeg_decompress_struct in;
	struct jpeg_compress_struct to;
	struct jpeg_error_mgr errors;
	struct jpeg_source_mgr source;
	struct jpeg_destination_mgr destination;
	struct jpeg_progress_mgr progress;
	struct jpeg_limits limits;
	struct workspace workspace; /* what the limits are to know, and their words */
	jmp_buf escape;
	int rc; /* why it escaped: -ENOMEM, or 0 and out->outcome */
	bool scans_begun, has_many_scans;
	const struct pack_rules *rules;
	struct packed_image *out;
	size_t scan_bytes;            /* of the source: from the first scan to the end marker */
	struct pack_jpeg_parts parts; /* of the new file */
};

static _Noreturn void escape(struct pack_jpeg *pack, enum pack_outcome outcome, const char *reason)
{
	pack->out->outcome = outcome;
	snprintf(pack->out->reason, sizeof pack->out->reason, "%s", reason);
	longjmp(pack->escape, 1);
}

static _Noreturn void escape_without_memory(struct pack_jpeg *pack)
{
	pack->rc = -ENOMEM;
	longjmp(pack->escape, 1);
}

static _Noreturn void escape_with_codec_message(j_common_ptr codec, enum pack_outcome outcome)
{
	char message[JMSG_LENGTH_MAX];

	codec->err->format_message(codec, message);
	escape(codec->client_data, outcome, message);
}

static void on_error(j_common_ptr codec)
{
	struct pack_jpeg *pack = codec->client_data;

	switch (codec->err->msg_code) {
	case JERR_OUT_OF_MEMORY:
		escape_without_memory(pack);
	case JERR_NO_BACKING_STORE:
		escape(pack, PACK_LARGE, pack->has_many_scans ? "too large for several scans (progressive)" : "too large");
	case JERR_ARITH_NOTIMPL:
	case JERR_BAD_PRECISION: /* 12 bits */
	case JERR_CCIR601_NOTIMPL:
	case JERR_EMPTY_IMAGE: /* its height comes later, in a DNL marker */
	case JERR_IMAGE_TOO_BIG:
	case JERR_NOTIMPL:
	case JERR_SOF_UNSUPPORTED: /* lossless, hierarchical */
		escape_with_codec_message(codec, PACK_KIND);
	default:
		/* What can be read but not written: more than 10 blocks of an MCU, or coefficients that no encoder makes. */
		escape_with_codec_message(codec, codec->is_decompressor ? PACK_DAMAGED : PACK_KIND);
	}
}

static void on_message(j_common_ptr codec, int level)
{
	struct pack_jpeg *pack = codec->client_data;

	if (level < 0) /* a warning */
		escape_with_codec_message(codec, pack->scans_begun ? PACK_DAMAGED : PACK_KIND);
}

static void on_output(j_common_ptr codec)
{
	(void)codec; /* nothing is ever printed */
}

static void on_progress(j_common_ptr codec)
{
	struct pack_jpeg *pack = codec->client_data;

	if (jpeg_limits_check(&pack->limits, &pack->in) != ITEM_OK)
		escape(pack, PACK_KIND, pack->workspace.reason);
}

/* What libjpeg writes goes to the end of out->file. */

static void lend_rest(struct pack_jpeg *pack)
{
	struct bytes *file = &pack->out->file;

	pack->destination.next_output_byte = (JOCTET *)file->data + file->used_bytes;
	pack->destination.free_in_buffer = file->capacity_bytes - file->used_bytes;
}

static boolean on_full(j_compress_ptr codec)
{
	struct pack_jpeg *pack = codec->client_data;
	struct bytes *file = &pack->out->file;

	file->used_bytes = file->capacity_bytes; /* whatever is left of the buffer, libjpeg has filled it */
	if (bytes_reserve(file, 1) != 0)
		escape_without_memory(pack);
	lend_rest(pack);
	return TRUE;
}

static size_t written_bytes(struct pack_jpeg *pack)
{
	return pack->out->file.capacity_bytes - pack->destination.free_in_buffer;
}

static void on_start(j_compress_ptr codec)
{
	(void)codec;
}

static void on_end(j_compress_ptr codec)
{
	struct pack_jpeg *pack = codec->client_data;

	pack->out->file.used_bytes = written_bytes(pack);
}

static void create_codecs(struct pack_jpeg *pack, const uint8_t *source, size_t source_bytes)
{
	pack->in.err = pack->to.err = jpeg_std_error(&pack->errors);
	pack->in.client_data = pack->to.client_data = pack;
	pack->errors.error_exit = on_error;
	pack->errors.emit_message = on_message;
	pack->errors.output_message = on_output;
	pack->progress.progress_monitor = on_progress;
	pack->destination = (struct jpeg_destination_mgr){
		.init_destination = on_start, .empty_output_buffer = on_full, .term_destination = on_end};
	jpeg_create_decompress(&pack->in);
	jpeg_create_compress(&pack->to);
	pack->in.progress = &pack->progress;
	jpeg_source_init(&pack->source, source, source_bytes);
	pack->in.src = &pack->source;
	pack->to.dest = &pack->destination;
}

static const struct jpeg_marker_struct *last_marker(const struct pack_jpeg *pack)
{
	const struct jpeg_marker_struct *marker = pack->in.marker_list;

	while (marker && marker->next)
		marker = marker->next;
	return marker;
}

/* Of a progressive file, what a decoder that finds its last scans missing would look at is there. */
static bool is_complete(const struct jpeg_decompress_struct *in)
{
	for (int c = 0; in->progressive_mode && c < in->num_components; c++) {
		for (int k = 0; k < SMOOTHED_COEFFICIENTS; k++) {
			if (in->coef_bits[c][k] != 0)
				return false;
		}
	}
	return true;
}

static jvirt_barray_ptr *read_coefficients(struct pack_jpeg *pack)
{
	struct jpeg_decompress_struct *in = &pack->in;
	uint64_t most_bytes = pack->rules->most_memory_bytes;
	const struct jpeg_marker_struct *last_of_header;
	jvirt_barray_ptr *coefficients;

	for (int marker = JPEG_APP0; marker <= JPEG_APP0 + 15; marker++) {
		if (pack->rules->keep_metadata || marker == JPEG_APP0 || marker == MARKER_EXIF || marker == MARKER_ADOBE)
			jpeg_save_markers(in, marker, LONGEST_SEGMENT);
	}
	if (pack->rules->keep_metadata)
		jpeg_save_markers(in, MARKER_COM, LONGEST_SEGMENT);
	(void)jpeg_read_header(in, TRUE); /* never suspends: the source ends with an error instead */

	/* What the loader would refuse is not to become readable by being packed. */
	pack->has_many_scans = jpeg_has_multiple_scans(in);
	if (pack->has_many_scans && most_bytes > DECODE_MAX_BYTES)
		most_bytes = DECODE_MAX_BYTES;
	in->mem->max_memory_to_use = most_bytes > LONG_MAX ? LONG_MAX : most_bytes > 0 ? (long)most_bytes : 1;
	last_of_header = last_marker(pack);
	pack->scans_begun = true;
	pack->scan_bytes = pack->source.bytes_in_buffer;
	coefficients = jpeg_read_coefficients(in);
	pack->scan_bytes -= pack->source.bytes_in_buffer;
	if (!is_complete(in))
		escape(pack, PACK_KIND, "a progressive file without its last scans");
	if (pack->rules->keep_metadata && last_marker(pack) != last_of_header)
		escape(pack, PACK_KIND, "metadata between its scans");
	return coefficients;
}

/* They say which colours these are, so that they are read with the picture. */
static bool is_about_colours(const struct jpeg_marker_struct *marker)
{
	return (marker->marker == JPEG_APP0 && marker->data_length >= JFIF_BYTES && memcmp(marker->data, "JFIF", 5) == 0) ||
	       (marker->marker == MARKER_ADOBE && marker->data_length >= ADOBE_BYTES && memcmp(marker->data, "Adobe", 5) == 0);
}

static void put_colours(struct pack_jpeg *pack)
{
	for (const struct jpeg_marker_struct *marker = pack->in.marker_list; marker; marker = marker->next) {
		uint8_t jfif[JFIF_BYTES];

		if (!is_about_colours(marker))
			continue;
		if (marker->marker == JPEG_APP0 && !pack->rules->keep_metadata) {
			memcpy(jfif, marker->data, sizeof jfif);
			jfif[JFIF_BYTES - 2] = jfif[JFIF_BYTES - 1] = 0; /* no thumbnail */
			jpeg_write_marker(&pack->to, marker->marker, jfif, sizeof jfif);
		} else {
			jpeg_write_marker(&pack->to, marker->marker, marker->data, marker->data_length);
		}
	}
}

static void put_metadata(struct pack_jpeg *pack)
{
	for (const struct jpeg_marker_struct *marker = pack->in.marker_list; marker; marker = marker->next) {
		if (!is_about_colours(marker))
			jpeg_write_marker(&pack->to, marker->marker, marker->data, marker->data_length);
	}
}

/* EXIF with nothing but the tag 0x0112, unless that says what is so without it.  Only the first EXIF segment counts. */
static void put_orientation(struct pack_jpeg *pack)
{
	const struct jpeg_marker_struct *marker = pack->in.marker_list;
	uint8_t exif[] = {'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, '*', 0, 0, 0, 8, 0, 1,
	                  1,   0x12, 0,   3,   0, 0, 0,   1,   0, 1,   0, 0, 0, 0, 0, 0};

	while (marker && !(marker->marker == MARKER_EXIF && exif_marks(marker->data, marker->data_length)))
		marker = marker->next;
	if (!marker)
		return;
	exif[25] = exif_orientation(marker->data, marker->data_length);
	if (exif[25] != 1)
		jpeg_write_marker(&pack->to, MARKER_EXIF, exif, sizeof exif);
}

static uint32_t choose_interval(const struct pack_jpeg *pack)
{
	const struct jpeg_decompress_struct *in = &pack->in;
	bool is_gray = in->num_components == 1; /* whose MCU is a block, whatever its factors */
	struct jpeg_grid grid = {.width_px = in->image_width,
	                         .height_px = in->image_height,
	                         .mcu_width_px = DCTSIZE * (is_gray ? 1 : (uint32_t)in->max_h_samp_factor),
	                         .mcu_height_px = DCTSIZE * (is_gray ? 1 : (uint32_t)in->max_v_samp_factor)};

	jpeg_grid_count(&grid);
	return jpeg_interval_mcus(pack->rules, &grid, pack->scan_bytes);
}

static void write_file(struct pack_jpeg *pack, jvirt_barray_ptr *coefficients, const uint8_t *source, size_t source_bytes)
{
	struct jpeg_compress_struct *to = &pack->to;
	size_t rest_bytes = pack->source.bytes_in_buffer; /* behind the end marker */

	jpeg_copy_critical_parameters(&pack->in, to);
	if (to->num_components == 1) /* which mean nothing there, and are not everywhere understood */
		to->comp_info[0].h_samp_factor = to->comp_info[0].v_samp_factor = 1;
	to->write_JFIF_header = to->write_Adobe_marker = FALSE; /* they are put as they were */
	to->optimize_coding = TRUE;
	to->restart_interval = pack->parts.interval_mcus;
	if (bytes_reserve(&pack->out->file, source_bytes) != 0) /* which it rarely exceeds */
		escape_without_memory(pack);
	lend_rest(pack);
	jpeg_write_coefficients(to, coefficients);
	put_colours(pack);
	if (!pack->rules->keep_metadata)
		put_orientation(pack);
	pack->parts.head_bytes = written_bytes(pack);
	if (pack->rules->keep_metadata)
		put_metadata(pack);
	pack->parts.second_head_at = written_bytes(pack);
	jpeg_finish_compress(to);
	if (pack->rules->keep_metadata && bytes_append(&pack->out->file, source + (source_bytes - rest_bytes), rest_bytes) != 0)
		escape_without_memory(pack);
}

/* The body of attempt(): whatever is called from here may escape. */
static void transcode(struct pack_jpeg *pack, const uint8_t *source, size_t source_bytes)
{
	jvirt_barray_ptr *coefficients;

	jpeg_limits_begin(&pack->limits, &pack->workspace, source_bytes);
	create_codecs(pack, source, source_bytes);
	coefficients = read_coefficients(pack);
	pack->parts.interval_mcus = choose_interval(pack);
	write_file(pack, coefficients, source, source_bytes);
}

/* Runs it in the one place that libjpeg's errors come back to, and frees the codecs either way.  0, or -ENOMEM. */
static int attempt(struct pack_jpeg *pack, const uint8_t *source, size_t source_bytes)
{
	pack->out->outcome = PACK_SEGMENTED;
	if (setjmp(pack->escape) == 0)
		transcode(pack, source, source_bytes);
	jpeg_destroy_decompress(&pack->in);
	jpeg_destroy_compress(&pack->to);
	return pack->rc;
}

int pack_jpeg(const struct pack_rules *rules, const uint8_t *source, size_t source_bytes, struct packed_image *out)
{
	struct pack_jpeg pack = {.rules = rules, .out = out};
	int rc = attempt(&pack, source, source_bytes);

	if (rc == 0 && out->outcome == PACK_SEGMENTED && pack.parts.interval_mcus > 0)
		rc = pack_jpeg_segments(&pack.parts, out);
	else if (out->outcome == PACK_SEGMENTED)
		out->outcome = PACK_SMALL;
	if (rc < 0 || (out->outcome != PACK_SEGMENTED && out->outcome != PACK_SMALL) ||
	    (out->outcome == PACK_SMALL && out->file.used_bytes >= source_bytes)) {
		bytes_free(&out->file);
		bytes_free(&out->table);
	}
	return rc;
}
