/* jpeg_reference.h - a whole JPEG by plain libjpeg calls: what regions are compared with. */
#ifndef CROPRING_TESTS_JPEG_REFERENCE_H
#define CROPRING_TESTS_JPEG_REFERENCE_H

#include "tests/decode_check.h"

#include <jpeglib.h>

/* CMYK as Adobe stores it (inverted): each ink takes its share of what black leaves, rounded. */
static inline void jpeg_reference_cmyk(struct picture *picture)
{
	struct picture rgb = picture_make(picture->width_px, picture->height_px, 3);

	for (size_t i = 0; i < (size_t)rgb.width_px * rgb.height_px; i++) {
		const uint8_t *cmyk = picture->data + 4 * i;

		for (int c = 0; c < 3; c++)
			rgb.data[3 * i + (size_t)c] = (uint8_t)(cmyk[3] - (2 * (255 - cmyk[c]) * cmyk[3] + 255) / 510);
	}
	free(picture->data);
	*picture = rgb;
}

/* The whole file by plain libjpeg calls. */
static inline struct picture jpeg_reference(struct file file, uint32_t channels, unsigned eighths)
{
	struct jpeg_decompress_struct codec;
	struct jpeg_error_mgr errors;
	struct picture picture;

	codec.err = jpeg_std_error(&errors);
	jpeg_create_decompress(&codec);
	jpeg_mem_src(&codec, file.bytes, file.byte_count);
	jpeg_read_header(&codec, TRUE);
	codec.out_color_space = codec.num_components == 4 ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
	codec.scale_num = eighths;
	codec.scale_denom = 8;
	jpeg_start_decompress(&codec);
	picture = picture_make(codec.output_width, codec.output_height, (uint32_t)codec.output_components);
	while (codec.output_scanline < codec.output_height) {
		JSAMPROW row = picture.data + (size_t)codec.output_scanline * picture.width_px * picture.channels;

		jpeg_read_scanlines(&codec, &row, 1);
	}
	jpeg_finish_decompress(&codec);
	assert_int_equal(errors.num_warnings, 0);
	jpeg_destroy_decompress(&codec);
	if (picture.channels == 4) {
		jpeg_reference_cmyk(&picture);
		if (channels == 1) {
			struct picture luma = picture_make_luma(&picture);

			free(picture.data);
			picture = luma;
		}
	}
	return picture;
}

#endif
