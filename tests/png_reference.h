/* png_reference.h - a PNG as libpng reads it: all rows as they are stored, palette, transparency, and whether it had anything to say. */
#ifndef CROPRING_TESTS_PNG_REFERENCE_H
#define CROPRING_TESTS_PNG_REFERENCE_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

struct png_reference {
	uint32_t width_px, height_px;
	int sample_bits, color, interlaced, entry_count, alpha_count;
	size_t row_bytes;
	uint8_t *rows; /* from malloc; deinterlaced; bits after a row's last pixel are 0 */
	png_color entries[256];
	uint8_t alpha[256];
	png_color_16 transparent;
	bool is_read, has_warned;
	char words[200]; /* the last that it said */

	/* What libpng reads from, and where it comes back to. */
	const uint8_t *next;
	size_t left_bytes;
	jmp_buf escape;
};

static void png_reference_fail(png_structp codec, png_const_charp message)
{
	struct png_reference *png = png_get_error_ptr(codec);

	snprintf(png->words, sizeof png->words, "%s", message);
	longjmp(png->escape, 1);
}

static void png_reference_warn(png_structp codec, png_const_charp message)
{
	struct png_reference *png = png_get_error_ptr(codec);

	snprintf(png->words, sizeof png->words, "%s", message);
	png->has_warned = true;
}

static void png_reference_take(png_structp codec, png_bytep to, size_t byte_count)
{
	struct png_reference *png = png_get_io_ptr(codec);

	if (byte_count > png->left_bytes)
		png_error(codec, "the file ends");
	memcpy(to, png->next, byte_count);
	png->next += byte_count;
	png->left_bytes -= byte_count;
}

static inline void png_reference_read_header(struct png_reference *png, png_structp codec, png_infop info)
{
	png_color_16p transparent = NULL;
	png_colorp entries = NULL;
	png_bytep alpha = NULL;

	png_read_info(codec, info);
	(void)png_get_IHDR(codec, info, &png->width_px, &png->height_px, &png->sample_bits, &png->color, &png->interlaced, NULL,
	                   NULL);
	if (png_get_PLTE(codec, info, &entries, &png->entry_count))
		memcpy(png->entries, entries, (size_t)png->entry_count * sizeof *entries);
	if (png_get_tRNS(codec, info, &alpha, &png->alpha_count, &transparent)) {
		if (alpha)
			memcpy(png->alpha, alpha, (size_t)png->alpha_count);
		else
			png->transparent = *transparent;
	}
}

/* Bits that mean nothing are not to differ. */
static inline void png_reference_clear_ends(struct png_reference *png, unsigned px_bits)
{
	unsigned last_bits = (unsigned)((uint64_t)png->width_px * px_bits % 8);

	for (uint32_t y = 0; last_bits > 0 && y < png->height_px; y++)
		png->rows[(y + 1) * png->row_bytes - 1] &= (uint8_t)(0xff00u >> last_bits);
}

/* all_chunks: metadata are looked at as well.  Over most_bytes of rows: not read. */
static inline void png_reference_open(struct png_reference *png, const uint8_t *bytes, size_t byte_count, bool all_chunks,
                                      size_t most_bytes)
{
	png_structp codec;
	png_infop info;

	*png = (struct png_reference){.next = bytes, .left_bytes = byte_count};
	codec = png_create_read_struct(PNG_LIBPNG_VER_STRING, png, png_reference_fail, png_reference_warn);
	info = codec ? png_create_info_struct(codec) : NULL;
	if (!info)
		abort();
	if (setjmp(png->escape) == 0) {
		if (!all_chunks) {
			png_set_keep_unknown_chunks(codec, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
			png_set_keep_unknown_chunks(codec, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "tRNS", 1);
		}
		png_set_read_fn(codec, png, png_reference_take);
		png_reference_read_header(png, codec, info);

		int pass_count = png_set_interlace_handling(codec);

		png_read_update_info(codec, info);
		png->row_bytes = png_get_rowbytes(codec, info);
		if (png->row_bytes > most_bytes / png->height_px)
			png_error(codec, "too many rows");
		png->rows = calloc(png->height_px, png->row_bytes);
		if (!png->rows)
			abort();
		for (int pass = 0; pass < pass_count; pass++) {
			for (uint32_t y = 0; y < png->height_px; y++)
				png_read_row(codec, png->rows + y * png->row_bytes, NULL);
		}
		png_read_end(codec, NULL);
		png_reference_clear_ends(png, (unsigned)png->sample_bits * png_get_channels(codec, info));
		png->is_read = true;
	}
	png_destroy_read_struct(&codec, &info, NULL);
}

static inline void png_reference_close(struct png_reference *png)
{
	free(png->rows);
}

/* The same picture: all but whether it is interlaced. */
static inline bool png_reference_equals(const struct png_reference *a, const struct png_reference *b)
{
	return a->is_read && b->is_read && a->width_px == b->width_px && a->height_px == b->height_px &&
	       a->sample_bits == b->sample_bits && a->color == b->color && a->entry_count == b->entry_count &&
	       a->alpha_count == b->alpha_count && a->row_bytes == b->row_bytes &&
	       memcmp(a->entries, b->entries, sizeof a->entries) == 0 && memcmp(a->alpha, b->alpha, sizeof a->alpha) == 0 &&
	       memcmp(&a->transparent, &b->transparent, sizeof a->transparent) == 0 &&
	       memcmp(a->rows, b->rows, a->height_px * a->row_bytes) == 0;
}

#endif
