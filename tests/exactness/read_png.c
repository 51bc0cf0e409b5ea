/*
 * read_png.c - are these PNGs flawless?  Each is read to its end by libpng, which takes every warning of its own for an error here.
 *
 *   read_png FILE...
 *       Says of each what is wrong with it; the exit code is 1 if anything is.
 *
 * tests/exactness/pack.py builds and runs it.
 */
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

static _Noreturn void complain(png_structp png, png_const_charp what)
{
	fprintf(stderr, "%s: %s\n", (const char *)png_get_error_ptr(png), what);
	png_longjmp(png, 1);
}

static void complain_of_warning(png_structp png, png_const_charp what)
{
	complain(png, what);
}

/* What lies in libpng's way of long jumps is here, not in the function that it comes back to. */
struct reading {
	png_structp png;
	png_infop info;
	png_bytep row;
};

static int read_image(struct reading *reading, FILE *file)
{
	int passes;

	if (setjmp(png_jmpbuf(reading->png)))
		return 1;
	png_init_io(reading->png, file);
	png_set_benign_errors(reading->png, 0);
	png_set_crc_action(reading->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
	png_read_info(reading->png, reading->info);
	passes = png_set_interlace_handling(reading->png);
	png_read_update_info(reading->png, reading->info);
	reading->row = malloc(png_get_rowbytes(reading->png, reading->info));
	if (!reading->row)
		png_error(reading->png, "memory is short");
	for (int pass = 0; pass < passes; pass++) {
		for (png_uint_32 y = 0; y < png_get_image_height(reading->png, reading->info); y++)
			png_read_row(reading->png, reading->row, NULL);
	}
	png_read_end(reading->png, reading->info);
	if (fgetc(file) != EOF)
		png_error(reading->png, "something stands behind its end");
	return 0;
}

static int read_png(const char *path)
{
	struct reading reading = {
		.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, (void *)path, complain, complain_of_warning)};
	FILE *file = fopen(path, "rb");
	int rc = 1;

	if (reading.png)
		reading.info = png_create_info_struct(reading.png);
	if (!file || !reading.info)
		perror(path);
	else
		rc = read_image(&reading, file);
	free(reading.row);
	if (reading.png)
		png_destroy_read_struct(&reading.png, &reading.info, NULL);
	if (file)
		fclose(file);
	return rc;
}

int main(int argument_count, char **arguments)
{
	int rc = 0;

	for (int i = 1; i < argument_count; i++)
		rc |= read_png(arguments[i]);
	return rc;
}
