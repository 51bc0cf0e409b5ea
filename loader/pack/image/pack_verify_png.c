/* Part of `cropring pack`: a PNG in, a hash of all its pixels out, by libpng.  Any thread. */
#include "loader/pack/image/pack_verify_png.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

struct reader {
	png_structp codec;
	png_infop header;
	jmp_buf escape;
	const uint8_t *next;
	size_t left_bytes;
	uint8_t *rows; /* one, or all of an interlaced picture */
	XXH3_state_t *state;
	char *reason;
	size_t reason_bytes;
};

static _Noreturn void on_error(png_structp codec, png_const_charp message)
{
	struct reader *reader = png_get_error_ptr(codec);

	snprintf(reader->reason, reader->reason_bytes, "%s", message);
	longjmp(reader->escape, 1);
}

static void on_warning(png_structp codec, png_const_charp message)
{
	(void)codec;
	(void)message;
}

static void on_read(png_structp codec, png_bytep to, size_t byte_count)
{
	struct reader *reader = png_get_io_ptr(codec);

	if (byte_count > reader->left_bytes)
		png_error(codec, "premature end of PNG file");
	memcpy(to, reader->next, byte_count);
	reader->next += byte_count;
	reader->left_bytes -= byte_count;
}

static void open_codec(struct reader *reader)
{
	reader->codec = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning);
	if (reader->codec)
		reader->header = png_create_info_struct(reader->codec);
	if (!reader->header) {
		snprintf(reader->reason, reader->reason_bytes, "no memory for libpng");
		longjmp(reader->escape, 1);
	}
	png_set_user_limits(reader->codec, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* the decoder has been through it */
	png_set_keep_unknown_chunks(reader->codec, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
	png_set_keep_unknown_chunks(reader->codec, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "tRNS", 1);
	png_set_crc_action(reader->codec, PNG_CRC_ERROR_QUIT, PNG_CRC_QUIET_USE);
	png_set_read_fn(reader->codec, reader, on_read);
	png_read_info(reader->codec, reader->header);
}

static void hash_header(struct reader *reader)
{
	uint32_t numbers[] = {png_get_image_width(reader->codec, reader->header),
	                      png_get_image_height(reader->codec, reader->header), png_get_bit_depth(reader->codec, reader->header),
	                      png_get_color_type(reader->codec, reader->header)};
	png_colorp palette;
	png_bytep alphas = NULL;
	png_color_16p color;
	int count;

	XXH3_128bits_update(reader->state, numbers, sizeof numbers);
	if (png_get_PLTE(reader->codec, reader->header, &palette, &count) & PNG_INFO_PLTE)
		XXH3_128bits_update(reader->state, palette, (size_t)count * sizeof *palette);
	if (!(png_get_tRNS(reader->codec, reader->header, &alphas, &count, &color) & PNG_INFO_tRNS))
		return;
	if (numbers[3] == PNG_COLOR_TYPE_PALETTE) {
		XXH3_128bits_update(reader->state, alphas, (size_t)count);
	} else {
		uint16_t values[] = {color->gray, color->red, color->green, color->blue};

		XXH3_128bits_update(reader->state, values, sizeof values);
	}
}

static void hash_rows(struct reader *reader)
{
	uint32_t row_count = png_get_image_height(reader->codec, reader->header);
	int pass_count;
	size_t row_bytes, stride_bytes;

	pass_count = png_set_interlace_handling(reader->codec);
	png_read_update_info(reader->codec, reader->header);
	row_bytes = png_get_rowbytes(reader->codec, reader->header);
	stride_bytes = pass_count > 1 ? row_bytes : 0;
	/* Zeros: libpng leaves bits behind a row's last sample as they were. */
	reader->rows = calloc(pass_count > 1 ? row_count : 1, row_bytes);
	if (!reader->rows)
		png_error(reader->codec, "no memory for rows");
	for (int pass = 1; pass <= pass_count; pass++) {
		for (uint32_t y = 0; y < row_count; y++) {
			png_read_row(reader->codec, reader->rows + y * stride_bytes, NULL);
			if (pass == pass_count)
				XXH3_128bits_update(reader->state, reader->rows + y * stride_bytes, row_bytes);
		}
	}
}

bool pack_verify_png_hash(const uint8_t *file, size_t file_bytes, XXH128_hash_t *hash, char *reason, size_t reason_bytes)
{
	XXH3_state_t state;
	struct reader reader = {
		.next = file, .left_bytes = file_bytes, .state = &state, .reason = reason, .reason_bytes = reason_bytes};
	bool is_read = setjmp(reader.escape) == 0;

	if (is_read) {
		(void)XXH3_128bits_reset(&state);
		open_codec(&reader);
		hash_header(&reader);
		hash_rows(&reader);
	}
	png_destroy_read_struct(&reader.codec, &reader.header, NULL);
	free(reader.rows);
	if (is_read)
		*hash = XXH3_128bits_digest(&state);
	return is_read;
}
