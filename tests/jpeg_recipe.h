/* jpeg_recipe.h - JPEG files of each kind for the tests, made by libjpeg from a random picture. */
#ifndef CROPRING_TESTS_JPEG_RECIPE_H
#define CROPRING_TESTS_JPEG_RECIPE_H

#include "tests/decode_check.h"

#include <jpeglib.h>

enum jpeg_scans {
	JPEG_SCANS_ONE,             /* sequential */
	JPEG_SCANS_COMPONENTS,      /* sequential, one for each component */
	JPEG_SCANS_PROGRESSIVE,     /* libjpeg's own script */
	JPEG_SCANS_FIRST,           /* progressive, and the last bits and coefficients never come */
	JPEG_SCANS_PER_COEFFICIENT, /* progressive, one for each coefficient of each component */
};

enum jpeg_motif {
	JPEG_MOTIF_PHOTO,
	JPEG_MOTIF_RAMP,    /* blocks from black on the left to white on the right */
	JPEG_MOTIF_STRIPES, /* rows of blocks, dark and light in turns */
};

struct jpeg_recipe {
	uint32_t width_px, height_px;
	J_COLOR_SPACE stored;               /* JCS_GRAYSCALE, JCS_YCbCr, JCS_RGB, JCS_CMYK, JCS_YCCK; JCS_UNKNOWN: two components */
	int across, down;                   /* sampling factors of the first component; 0: 1 */
	int other_across[3], other_down[3]; /* of the others */
	enum jpeg_scans scans;
	bool arithmetic, without_tables, wide_quantizers; /* wide: of 16 bits */
	enum jpeg_motif motif;
	bool optimized; /* Huffman tables of just the symbols that occur */
	int quality;    /* 0: 80 */
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

static inline void jpeg_add_scan(struct jpeg_compress_struct *codec, int component, int first, int last, int high, int low)
{
	static jpeg_scan_info scans[4 * 64];

	if (codec->num_scans == 0)
		codec->scan_info = scans;
	scans[codec->num_scans] = (jpeg_scan_info){.comps_in_scan = 1, .Ss = first, .Se = last, .Ah = high, .Al = low};
	if (component < 0) {
		scans[codec->num_scans].comps_in_scan = codec->num_components;
		for (int c = 0; c < codec->num_components; c++)
			scans[codec->num_scans].component_index[c] = c;
	} else {
		scans[codec->num_scans].component_index[0] = component;
	}
	codec->num_scans++;
}

static inline void jpeg_add_scans(struct jpeg_compress_struct *codec, enum jpeg_scans scans)
{
	switch (scans) {
	case JPEG_SCANS_ONE:
		break;
	case JPEG_SCANS_COMPONENTS:
		for (int c = 0; c < codec->num_components; c++)
			jpeg_add_scan(codec, c, 0, 63, 0, 0);
		break;
	case JPEG_SCANS_PROGRESSIVE:
		jpeg_simple_progression(codec);
		break;
	case JPEG_SCANS_FIRST:
		jpeg_add_scan(codec, -1, 0, 0, 0, 1);
		if (check_below(2))
			jpeg_add_scan(codec, 0, 1, 5, 0, 2);
		break;
	case JPEG_SCANS_PER_COEFFICIENT:
		jpeg_add_scan(codec, -1, 0, 0, 0, 0);
		for (int c = 0; c < codec->num_components; c++) {
			for (int k = 1; k < 64; k++)
				jpeg_add_scan(codec, c, k, k, 0, 0);
		}
		break;
	}
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

static inline void jpeg_paint(enum jpeg_motif motif, struct picture *picture)
{
	for (size_t i = 0; motif != JPEG_MOTIF_PHOTO && i < (size_t)picture->width_px * picture->height_px * picture->channels; i++) {
		uint32_t x = (uint32_t)(i / picture->channels % picture->width_px);
		uint32_t y = (uint32_t)(i / picture->channels / picture->width_px);
		uint32_t level = motif == JPEG_MOTIF_RAMP ? x / 16 * 16 * 240 / picture->width_px : 70 + y / 8 % 2 * 100;

		picture->data[i] = (uint8_t)(level + check_below(16));
	}
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

	jpeg_paint(recipe->motif, &photo);
	codec.err = jpeg_std_error(&errors);
	errors.trace_level = -1; /* it warns of wide quantizers */
	jpeg_create_compress(&codec);
	jpeg_mem_dest(&codec, &encoded, &encoded_bytes);
	codec.image_width = recipe->width_px;
	codec.image_height = recipe->height_px;
	codec.input_components = jpeg_components_of(recipe->stored);
	codec.in_color_space = jpeg_input_of(recipe->stored);
	jpeg_set_defaults(&codec);
	if (recipe->stored != JCS_UNKNOWN)
		jpeg_set_colorspace(&codec, recipe->stored);
	jpeg_set_quality(&codec, recipe->wide_quantizers ? 1 : recipe->quality ? recipe->quality : 80, !recipe->wide_quantizers);
	for (int c = 0; c < codec.num_components; c++) {
		int across = c == 0 ? recipe->across : recipe->other_across[c - 1];
		int down = c == 0 ? recipe->down : recipe->other_down[c - 1];

		codec.comp_info[c].h_samp_factor = across ? across : 1;
		codec.comp_info[c].v_samp_factor = down ? down : 1;
	}
	jpeg_add_scans(&codec, recipe->scans);
	codec.arith_code = recipe->arithmetic;
	codec.optimize_coding = recipe->optimized;
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

/* Where the last marker of this kind stands. */
static inline size_t jpeg_find_marker(struct file file, uint8_t marker)
{
	for (size_t at = file.byte_count - 2; at > 0; at--) {
		if (file.bytes[at] == 0xff && file.bytes[at + 1] == marker)
			return at;
	}
	fail_msg("no marker %02x", marker);
	return 0;
}

static inline void jpeg_write_size(struct file file, uint8_t marker, uint32_t width_px, uint32_t height_px)
{
	uint8_t *frame = file.bytes + jpeg_find_marker(file, marker);

	frame[5] = (uint8_t)(height_px >> 8);
	frame[6] = (uint8_t)height_px;
	frame[7] = (uint8_t)(width_px >> 8);
	frame[8] = (uint8_t)width_px;
}

#endif
