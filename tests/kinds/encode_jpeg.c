/*
 * encode_jpeg.c - raw samples from stdin, a JPEG of any kind that libjpeg can write to stdout: what Pillow cannot write.
 *
 *   encode_jpeg WIDTH HEIGHT STORED [NAME=VALUE]...
 *
 * STORED is gray, ycc, rgb, cmyk, ycck or two (components without a meaning); the samples are gray, RGB, CMYK or pairs.
 *   quality=1..100   sampling=2x2,1x1,1x1 (across x down, one for each component)   optimize=1   arithmetic=1
 *   restart=MCUS     restart_rows=ROWS     progressive=1     separate=1 (one scan for each component)
 *   scans=N          progressive, in as many of the 2,090 scans of one coefficient's one bit as asked for (ycc only)
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { MOST_COMPONENTS = 4, LARGEST_AL = 10, SCAN_LIMIT = (1 + 3 * 63) * (1 + LARGEST_AL) };

struct stored_kind {
	const char *name;
	J_COLOR_SPACE in, stored;
	int components;
};

static const struct stored_kind kinds[] = {
	{"gray", JCS_GRAYSCALE, JCS_GRAYSCALE, 1}, {"ycc", JCS_RGB, JCS_YCbCr, 3},  {"rgb", JCS_RGB, JCS_RGB, 3},
	{"cmyk", JCS_CMYK, JCS_CMYK, 4},           {"ycck", JCS_CMYK, JCS_YCCK, 4}, {"two", JCS_UNKNOWN, JCS_UNKNOWN, 2},
};

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "encode_jpeg: %s: %s\n", what, value);
	exit(2);
}

static const struct stored_kind *find_kind(const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	refuse("no such kind", name);
}

static void set_sampling(struct jpeg_compress_struct *codec, const char *list)
{
	for (int i = 0; i < codec->num_components; i++) {
		char *end;

		codec->comp_info[i].h_samp_factor = (int)strtol(list, &end, 10);
		if (*end != 'x')
			refuse("sampling is not like 2x2,1x1,1x1", list);
		codec->comp_info[i].v_samp_factor = (int)strtol(end + 1, &end, 10);
		list = *end == ',' ? end + 1 : end;
	}
}

/* Every coefficient of every component alone, its bits from the highest down: a bit of DC for all, then of each AC. */
static void set_scans(struct jpeg_compress_struct *codec, int scan_count)
{
	static jpeg_scan_info scans[SCAN_LIMIT];
	int made = 0;

	for (int low = LARGEST_AL; low >= 0; low--) {
		int high = low == LARGEST_AL ? 0 : low + 1;

		scans[made++] = (jpeg_scan_info){.comps_in_scan = 3, .component_index = {0, 1, 2}, .Ah = high, .Al = low};
		for (int component = 0; component < 3; component++) {
			for (int k = 1; k < DCTSIZE2; k++)
				scans[made++] = (jpeg_scan_info){.comps_in_scan = 1,
				                                 .component_index = {component},
				                                 .Ss = k,
				                                 .Se = k,
				                                 .Ah = high,
				                                 .Al = low};
		}
	}
	codec->scan_info = scans;
	codec->num_scans = scan_count < SCAN_LIMIT ? scan_count : SCAN_LIMIT;
}

static void set_separate_scans(struct jpeg_compress_struct *codec)
{
	static jpeg_scan_info scans[MOST_COMPONENTS];

	for (int i = 0; i < codec->num_components; i++)
		scans[i] = (jpeg_scan_info){.comps_in_scan = 1, .component_index = {i}, .Se = DCTSIZE2 - 1};
	codec->scan_info = scans;
	codec->num_scans = codec->num_components;
}

static bool is_named(const char *option, size_t name_bytes, const char *name)
{
	return strlen(name) == name_bytes && memcmp(option, name, name_bytes) == 0;
}

static void set_option(struct jpeg_compress_struct *codec, const char *option)
{
	const char *value = strchr(option, '=');
	size_t name_bytes = value ? (size_t)(value - option) : 0;
	int number = value ? atoi(value + 1) : 0;

	if (name_bytes == 0)
		refuse("not NAME=VALUE", option);
	else if (is_named(option, name_bytes, "quality"))
		jpeg_set_quality(codec, number, TRUE);
	else if (is_named(option, name_bytes, "sampling"))
		set_sampling(codec, value + 1);
	else if (is_named(option, name_bytes, "optimize"))
		codec->optimize_coding = number != 0;
	else if (is_named(option, name_bytes, "arithmetic"))
		codec->arith_code = number != 0;
	else if (is_named(option, name_bytes, "restart"))
		codec->restart_interval = (unsigned)number;
	else if (is_named(option, name_bytes, "restart_rows"))
		codec->restart_in_rows = number;
	else if (is_named(option, name_bytes, "progressive"))
		jpeg_simple_progression(codec);
	else if (is_named(option, name_bytes, "separate"))
		set_separate_scans(codec);
	else if (is_named(option, name_bytes, "scans"))
		set_scans(codec, number);
	else
		refuse("no such option", option);
}

int main(int argc, char **argv)
{
	struct jpeg_compress_struct codec;
	struct jpeg_error_mgr errors;
	const struct stored_kind *kind;
	size_t row_bytes;
	JSAMPLE *row;

	if (argc < 4)
		refuse("usage", "encode_jpeg WIDTH HEIGHT STORED [NAME=VALUE]...");
	kind = find_kind(argv[3]);
	codec.err = jpeg_std_error(&errors); /* which prints and exits */
	jpeg_create_compress(&codec);
	jpeg_stdio_dest(&codec, stdout);
	codec.image_width = (JDIMENSION)strtoul(argv[1], NULL, 10);
	codec.image_height = (JDIMENSION)strtoul(argv[2], NULL, 10);
	codec.input_components = kind->components;
	codec.in_color_space = kind->in;
	jpeg_set_defaults(&codec);
	if (kind->stored != JCS_UNKNOWN)
		jpeg_set_colorspace(&codec, kind->stored);
	for (int i = 4; i < argc; i++)
		set_option(&codec, argv[i]);

	row_bytes = (size_t)codec.image_width * (size_t)kind->components;
	row = malloc(row_bytes);
	if (!row)
		refuse("no memory for a row of width", argv[1]);
	jpeg_start_compress(&codec, TRUE);
	for (JDIMENSION y = 0; y < codec.image_height; y++) {
		if (fread(row, 1, row_bytes, stdin) != row_bytes)
			refuse("too few samples for the height", argv[2]);
		(void)jpeg_write_scanlines(&codec, &row, 1); /* it takes one row, or exits */
	}
	jpeg_finish_compress(&codec);
	jpeg_destroy_compress(&codec);
	free(row);
	return fflush(stdout) == 0 ? 0 : 1;
}
