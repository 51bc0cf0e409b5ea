/* bmp_recipe.h - BMP files of each kind for the tests, with random pixels. */
#ifndef CROPRING_TESTS_BMP_RECIPE_H
#define CROPRING_TESTS_BMP_RECIPE_H

#include "tests/decode_check.h"

enum { BMP_RECIPE_RLE8 = 1, BMP_RECIPE_RLE4 = 2, BMP_RECIPE_BITFIELDS = 3 };

struct bmp_recipe {
	uint32_t header_bytes, bits, compression;
	uint32_t red, green, blue; /* masks */
	uint32_t palette_entries;  /* in the header; 0: all */
	bool top_row_first;
};

static inline void bmp_append_number(struct file *file, uint32_t value, int byte_count)
{
	for (int i = 0; i < byte_count; i++)
		file_append(file, &(uint8_t){(uint8_t)(value >> 8 * i)}, 1);
}

static inline void bmp_write_number(struct file file, size_t at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		file.bytes[at + (size_t)i] = (uint8_t)(value >> 8 * i);
}

static inline void bmp_append_header(struct file *file, const struct bmp_recipe *recipe, uint32_t width_px, uint32_t height_px)
{
	uint32_t size_bytes = recipe->header_bytes == 12 ? 2 : 4;

	file_append(file, "BM\0\0\0\0\0\0\0\0\0\0\0\0", 14); /* the pixels' offset is written at the end */
	bmp_append_number(file, recipe->header_bytes, 4);
	bmp_append_number(file, width_px, (int)size_bytes);
	bmp_append_number(file, recipe->top_row_first ? 0 - height_px : height_px, (int)size_bytes);
	bmp_append_number(file, 1, 2);
	bmp_append_number(file, recipe->bits, 2);
	if (recipe->header_bytes > 12) {
		bmp_append_number(file, recipe->compression, 4);
		bmp_append_number(file, 0, 4);
		bmp_append_number(file, 2835, 4);
		bmp_append_number(file, 2835, 4);
		bmp_append_number(file, recipe->palette_entries, 4);
		bmp_append_number(file, 0, 4);
	}
	if (recipe->compression == BMP_RECIPE_BITFIELDS) {
		bmp_append_number(file, recipe->red, 4);
		bmp_append_number(file, recipe->green, 4);
		bmp_append_number(file, recipe->blue, 4);
	}
	while (file->byte_count < 14 + recipe->header_bytes)
		bmp_append_number(file, 0, 1);
}

/* A field of a pixel in 255 parts, rounded down. */
static inline uint8_t bmp_field(uint32_t pixel, uint32_t mask)
{
	uint32_t shift = 0;

	while (!(mask >> shift & 1))
		shift++;
	return (uint8_t)(((pixel & mask) >> shift) * 255 / (mask >> shift));
}

static inline void bmp_expect_pixel(const struct bmp_recipe *recipe, uint32_t pixel, uint8_t palette[256][3], uint8_t *rgb)
{
	if (recipe->bits <= 8) {
		memcpy(rgb, palette[pixel], 3);
	} else {
		bool short_pixel = recipe->bits == 16;

		rgb[0] = bmp_field(pixel, recipe->compression == BMP_RECIPE_BITFIELDS ? recipe->red
		                          : short_pixel                               ? 0x7c00
		                                                                      : 0xff0000);
		rgb[1] = bmp_field(pixel, recipe->compression == BMP_RECIPE_BITFIELDS ? recipe->green
		                          : short_pixel                               ? 0x3e0
		                                                                      : 0xff00);
		rgb[2] = bmp_field(pixel, recipe->compression == BMP_RECIPE_BITFIELDS ? recipe->blue : short_pixel ? 0x1f : 0xff);
	}
}

/* Random pixels; *expected is what they look like. */
static inline struct file bmp_encode(const struct bmp_recipe *recipe, uint32_t width_px, uint32_t height_px,
                                     struct picture *expected)
{
	struct file file = file_copy(NULL, 0);
	size_t stride_bytes = (width_px * recipe->bits + 31) / 32 * 4;
	uint8_t *row = calloc(1, stride_bytes), palette[256][3] = {{0}};

	bmp_append_header(&file, recipe, width_px, height_px);
	if (recipe->bits <= 8) {
		uint32_t entry_count = recipe->palette_entries ? recipe->palette_entries : 1u << recipe->bits;

		for (uint32_t i = 0; i < entry_count; i++) {
			for (int c = 0; c < 3; c++)
				palette[i][c] = (uint8_t)check_random();
			bmp_append_number(
				&file, (uint32_t)palette[i][2] | (uint32_t)palette[i][1] << 8 | (uint32_t)palette[i][0] << 16, 3);
			if (recipe->header_bytes > 12)
				bmp_append_number(&file, 0xee, 1);
		}
	}
	bmp_write_number(file, 10, (uint32_t)file.byte_count);

	*expected = picture_make(width_px, height_px, 3);
	for (uint32_t stored = 0; stored < height_px; stored++) {
		uint32_t y = recipe->top_row_first ? stored : height_px - 1 - stored;

		for (size_t i = 0; i < stride_bytes; i++)
			row[i] = (uint8_t)check_random();
		for (uint32_t x = 0; x < width_px; x++) {
			uint32_t pixel = 0;

			if (recipe->bits < 8) {
				size_t bit = (size_t)x * recipe->bits;

				pixel = (uint32_t)row[bit / 8] >> (8 - recipe->bits - bit % 8) & ((1u << recipe->bits) - 1);
			} else {
				for (uint32_t i = 0; i < recipe->bits / 8; i++)
					pixel |= (uint32_t)row[x * (recipe->bits / 8) + i] << 8 * i;
			}
			bmp_expect_pixel(recipe, pixel, palette, expected->data + ((size_t)y * width_px + x) * 3);
		}
		file_append(&file, row, stride_bytes);
	}
	free(row);
	return file;
}

#endif
