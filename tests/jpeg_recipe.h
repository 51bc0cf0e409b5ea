/* jpeg_recipe.h - JPEG files of each kind for the tests, made by libjpeg from a random picture. */
#ifndef CROPRING_TESTS_JPEG_RECIPE_H
#define CROPRING_TESTS_JPEG_RECIPE_H

#include "tests/decode_check.h"

#include <jpeglib.h>

struct jpeg_recipe {
	uint32_t width_px, height_px;
	J_COLOR_SPACE stored; /* JCS_GRAYSCALE, JCS_YCbCr, JCS_RGB, JCS_CMYK, JCS_YCCK; JCS_UNKNOWN: two components */
	int across, down;     /* sampling factors of the first component */
	bool progressive, scan_per_coefficient, without_tables;
	unsigned restart_mcus;
	uint8_t orientation; /* 0: no EXIF */
};

static inline int jpeg_components_of(J_COLOR_SPACE space)
{
	return space == JCS_GRAYSCALE ? 1 : space == JCS_UNKNOWN ? 2 : space == JCS_CMYK || space == JCS_YCCK ? 4 : 3;
}

static inline J_COLOR_SPACE jpeg_input_of(J_COLOR_SPACE stored)
{
	return stored == JCS_YCbCr ? JCS_RGB : stored == JCS_YCCK ? JCS_CMYK : stored;
}

/* One scan for all DC coefficients and one for each AC coefficient of each component: 190. */
static inline void jpeg_script_many_scans(struct jpeg_compress_struct *codec)
{
	static jpeg_scan_info scans[1 + 3 * 63];
	int scan_count = 0;

	scans[scan_count++] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}};
	for (int component = 0; component < 3; component++) {
		for (int k = 1; k < 64; k++)
			scans[scan_count++] =
				(jpeg_scan_info){.comps_in_scan = 1, .component_index = {component}, .Ss = k, .Se = k};
	}
	codec->scan_info = scans;
	codec->num_scans = scan_count;
}

static inline void jpeg_write_exif(struct jpeg_compress_struct *codec, uint8_t orientation)
{
	static const uint8_t xmp[] = "http://ns.adobe.com/xap/1.0/";
	uint8_t exif[] = {'E', 'x',  'i', 'f', 0, 0, 'M', 'M', 0, '*',         0, 0, 0, 8, 0, 1,
	                  1,   0x12, 0,   3,   0, 0, 0,   1,   0, orientation, 0, 0, 0, 0, 0, 0};

	jpeg_write_marker(codec, JPEG_APP0 + 1, xmp, sizeof xmp);
	jpeg_write_marker(codec, JPEG_APP0 + 1, exif, sizeof exif);
	exif[25] = 2; /* only the first one counts */
	jpeg_write_marker(codec, JPEG_APP0 + 1, exif, sizeof exif);
}

static inline struct file jpeg_encode(const struct jpeg_recipe *recipe)
{
	struct jpeg_compress_struct codec;
	struct jpeg_error_mgr errors;
	struct picture photo =
		picture_make_photo(recipe->width_px, recipe->height_px, (uint32_t)jpeg_components_of(recipe->stored));
	unsigned char *encoded = NULL;
	unsigned long encoded_bytes = 0;
	struct file file;

	codec.err = jpeg_std_error(&errors);
	jpeg_create_compress(&codec);
	jpeg_mem_dest(&codec, &encoded, &encoded_bytes);
	codec.image_width = recipe->width_px;
	codec.image_height = recipe->height_px;
	codec.input_components = jpeg_components_of(recipe->stored);
	codec.in_color_space = jpeg_input_of(recipe->stored);
	jpeg_set_defaults(&codec);
	if (recipe->stored != JCS_UNKNOWN)
		jpeg_set_colorspace(&codec, recipe->stored);
	jpeg_set_quality(&codec, 80, TRUE);
	if (recipe->across) {
		codec.comp_info[0].h_samp_factor = recipe->across;
		codec.comp_info[0].v_samp_factor = recipe->down;
	}
	if (recipe->progressive)
		jpeg_simple_progression(&codec);
	if (recipe->scan_per_coefficient)
		jpeg_script_many_scans(&codec);
	codec.restart_interval = recipe->restart_mcus;
	if (recipe->without_tables)
		jpeg_suppress_tables(&codec, TRUE);
	jpeg_start_compress(&codec, !recipe->without_tables);
	if (recipe->orientation)
		jpeg_write_exif(&codec, recipe->orientation);
	for (uint32_t y = 0; y < recipe->height_px; y++) {
		JSAMPROW row = photo.data + (size_t)y * recipe->width_px * photo.channels;

		jpeg_write_scanlines(&codec, &row, 1);
	}
	jpeg_finish_compress(&codec);
	jpeg_destroy_compress(&codec);
	file = file_copy(encoded, encoded_bytes);
	free(encoded);
	free(photo.data);
	return file;
}

#endif
