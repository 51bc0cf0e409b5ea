/* contact_sheet.c - crops to a PNG by libpng, one row of pixels at a time. */
#include "loader/shell/contact_sheet.h"

#include <errno.h>
#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

struct shape {
	uint64_t columns, rows;
};

static size_t crop_bytes(const struct contact_sheet *sheet)
{
	return (size_t)sheet->height_px * sheet->width_px * sheet->channels;
}

/* A sheet of columns * width by rows * height is as near to a square as columns = sqrt(count * height / width). */
static struct shape shape_of(const struct contact_sheet *sheet, uint64_t count)
{
	struct shape shape = {.columns = sheet->columns};

	if (!shape.columns)
		shape.columns = (uint64_t)ceil(sqrt((double)count * sheet->height_px / sheet->width_px));
	if (shape.columns > count)
		shape.columns = count;
	shape.rows = (count + shape.columns - 1) / shape.columns;
	return shape;
}

int contact_sheet_check(const struct contact_sheet *sheet, uint64_t count, struct err *err)
{
	struct shape shape = shape_of(sheet, count);
	uint64_t width_px = shape.columns * sheet->width_px, height_px = shape.rows * sheet->height_px;

	if (count > CONTACT_SHEET_BYTES / crop_bytes(sheet))
		return err_fail(
			err, -EINVAL,
			"%llu crops of %ux%u are more than the %d MB that a contact sheet may have; write a .npy, or a smaller "
			"--window",
			(unsigned long long)count, sheet->height_px, sheet->width_px, CONTACT_SHEET_BYTES >> 20);
	if (width_px > CONTACT_SHEET_SIDE_PX || height_px > CONTACT_SHEET_SIDE_PX)
		return err_fail(
			err, -EINVAL,
			"a contact sheet of %llu by %llu crops would be %llux%llu pixels large, over %d; say other --columns",
			(unsigned long long)shape.rows, (unsigned long long)shape.columns, (unsigned long long)height_px,
			(unsigned long long)width_px, CONTACT_SHEET_SIDE_PX);
	return 0;
}

static int make_room(struct contact_sheet *sheet, uint64_t count, struct err *err)
{
	uint64_t capacity = sheet->capacity ? sheet->capacity : 64;
	uint8_t *grown;

	while (capacity < count)
		capacity *= 2;
	if (capacity == sheet->capacity)
		return 0;
	grown = reallocarray(sheet->pixels, capacity, crop_bytes(sheet));
	if (!grown)
		return err_fail(err, -ENOMEM, "out of memory for %llu crops", (unsigned long long)count);
	sheet->pixels = grown;
	sheet->capacity = capacity;
	return 0;
}

int contact_sheet_add(struct contact_sheet *sheet, const uint8_t *pixels, uint64_t count, struct err *err)
{
	int rc = contact_sheet_check(sheet, sheet->count + count, err);

	if (rc == 0)
		rc = make_room(sheet, sheet->count + count, err);
	if (rc < 0)
		return rc;
	memcpy(sheet->pixels + sheet->count * crop_bytes(sheet), pixels, count * crop_bytes(sheet));
	sheet->count += count;
	return 0;
}

/* Row y of the sheet. */
static void gather_row(const struct contact_sheet *sheet, const struct shape *shape, uint64_t y, uint8_t *row)
{
	size_t part_bytes = (size_t)sheet->width_px * sheet->channels;
	uint64_t first = y / sheet->height_px * shape->columns;

	for (uint64_t column = 0; column < shape->columns; column++) {
		uint64_t crop = first + column;

		if (crop < sheet->count)
			memcpy(row + column * part_bytes,
			       sheet->pixels + crop * crop_bytes(sheet) + y % sheet->height_px * part_bytes, part_bytes);
		else
			memset(row + column * part_bytes, 0, part_bytes);
	}
}

/* What changes while libpng may jump. */
struct writing {
	png_structp png;
	png_infop info;
	uint8_t *row;
};

static int write_all(const struct contact_sheet *sheet, const struct shape *shape, struct writing *writing, FILE *file)
{
	uint64_t height_px = shape->rows * sheet->height_px;

	errno = 0;
	if (setjmp(png_jmpbuf(writing->png)))
		return errno ? -errno : -EIO;
	png_init_io(writing->png, file);
	png_set_IHDR(writing->png, writing->info, (png_uint_32)(shape->columns * sheet->width_px), (png_uint_32)height_px, 8,
	             sheet->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
	             PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(writing->png, writing->info);
	for (uint64_t y = 0; y < height_px; y++) {
		gather_row(sheet, shape, y, writing->row);
		png_write_row(writing->png, writing->row);
	}
	png_write_end(writing->png, NULL);
	return 0;
}

static void be_silent(png_structp png, png_const_charp text)
{
	(void)png; /* errors come back as such */
	(void)text;
}

static void jump_silently(png_structp png, png_const_charp text)
{
	(void)text;
	png_longjmp(png, 1);
}

int contact_sheet_write(const struct contact_sheet *sheet, FILE *file)
{
	struct shape shape = shape_of(sheet, sheet->count);
	struct writing writing = {.png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, jump_silently, be_silent)};
	int rc = -ENOMEM;

	if (writing.png)
		writing.info = png_create_info_struct(writing.png);
	writing.row = malloc(shape.columns * sheet->width_px * sheet->channels);
	if (writing.info && writing.row)
		rc = write_all(sheet, &shape, &writing, file);
	png_destroy_write_struct(&writing.png, &writing.info);
	free(writing.row);
	return rc;
}

void contact_sheet_close(struct contact_sheet *sheet)
{
	free(sheet->pixels);
}
