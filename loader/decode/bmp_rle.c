/*
 * Stage 3 of 5, decode: the runs of an RLE4 or RLE8 BMP in, the indices of a region's pixels out.  Any thread.
 *
 * Source of the format: Microsoft, "Bitmap Compression".  Two bytes a code:
 *
 *   n v   n > 0: n pixels of colour v; RLE4: of the two colours in v by turns, high half first
 *   0 0   end of the row        0 1   end of the picture        0 2 dx dy   move right and on to later rows
 *   0 n   n > 2: n pixels follow as they are, and a byte of padding if that makes an odd number of bytes
 *
 * Where a file strays from it, we do what Pillow does (BmpImagePlugin.py, BmpRleDecoder), for which the picture is one long line
 * of pixels in the order of the file: pixels as they are and moves go on into the next row, runs end with theirs; what is jumped
 * over has colour 0; the end of a row that has no pixel yet is nothing; padding goes by the offset in the file.  The depth in the
 * header does not count, only the compression does.  A picture that ends early is refused, as it is there.
 */
#include "loader/decode/bmp_rle.h"

#include <string.h>

enum { CODE_END_OF_ROW = 0, CODE_END_OF_PICTURE = 1, CODE_MOVE = 2, MAX_RUN_PX = 255 };

/* Positions count pixels in the order of the file. */
struct bmp_rle {
	uint64_t width_px;
	uint64_t region_begin, region_end; /* whole rows */
	uint64_t left_px, columns;         /* of the region */
	uint8_t *indices;                  /* the region's columns of the row that ends at row_end */
	ptrdiff_t next_row_bytes;          /* from there to the row that comes next in the file */

	uint64_t position;
	uint64_t x;       /* pixels of this row; more than there is room for when they went on into the next one */
	uint64_t row_end; /* of the region's row that is being filled */
};

/* Goes on to `position`, past the region's rows that are now complete. */
static void move_to(struct bmp_rle *rle, uint64_t position)
{
	rle->position = position;
	while (rle->row_end <= position && rle->row_end < rle->region_end) {
		rle->indices += rle->next_row_bytes;
		rle->row_end += rle->width_px;
	}
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Of pixels [begin, begin + count) of a row, those in the region's columns. */
static void fill_columns(struct bmp_rle *rle, uint64_t begin, uint64_t count, const uint8_t *pixels)
{
	uint64_t from = begin > rle->left_px ? begin : rle->left_px;
	uint64_t to = smaller(begin + count, rle->left_px + rle->columns);

	if (from < to)
		memcpy(rle->indices + (from - rle->left_px), pixels + (from - begin), to - from);
}

static void put(struct bmp_rle *rle, const uint8_t *pixels, uint64_t count)
{
	uint64_t before = rle->position < rle->region_begin ? smaller(rle->region_begin - rle->position, count) : 0;

	rle->position += before;
	pixels += before;
	count -= before;
	while (count > 0 && rle->position < rle->region_end) {
		uint64_t in_row = smaller(rle->row_end - rle->position, count);

		fill_columns(rle, rle->position - (rle->row_end - rle->width_px), in_row, pixels);
		move_to(rle, rle->position + in_row);
		pixels += in_row;
		count -= in_row;
	}
}

/* Two colours of four bits in each byte. */
static void split_halves(const uint8_t *bytes, uint64_t count, uint8_t *pixels)
{
	for (uint64_t i = 0; i < count; i++)
		pixels[i] = i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15;
}

static void put_run(struct bmp_rle *rle, bool halves, uint64_t count, uint8_t value)
{
	uint8_t pixels[MAX_RUN_PX];

	count = rle->x < rle->width_px ? smaller(count, rle->width_px - rle->x) : 0;
	memset(pixels, value, count);
	for (uint64_t i = 0; halves && i < count; i++)
		pixels[i] = i % 2 == 0 ? value >> 4 : value & 15;
	put(rle, pixels, count);
	rle->x += count;
}

static void end_row(struct bmp_rle *rle)
{
	uint64_t begun = rle->position % rle->width_px;

	if (begun > 0)
		move_to(rle, rle->position + (rle->width_px - begun));
	rle->x = 0;
}

/* Codes from file offset `at` on, until the region is full or there are no more. */
static void walk(struct bmp_rle *rle, bool halves, const uint8_t *bytes, uint64_t at, uint64_t end)
{
	while (rle->position < rle->region_end && end - at >= 2) {
		uint8_t first = bytes[at], second = bytes[at + 1];

		at += 2;
		if (first > 0) {
			put_run(rle, halves, first, second);
		} else if (second == CODE_END_OF_ROW) {
			end_row(rle);
		} else if (second == CODE_END_OF_PICTURE) {
			return;
		} else if (second == CODE_MOVE) {
			if (end - at < 2)
				return;
			move_to(rle, rle->position + bytes[at] + bytes[at + 1] * rle->width_px);
			rle->x = rle->position % rle->width_px;
			at += 2;
		} else {
			uint64_t byte_count = halves ? (second + 1u) / 2 : second, there = smaller(byte_count, end - at);
			uint8_t pixels[MAX_RUN_PX];

			if (halves)
				split_halves(bytes + at, smaller(second, 2 * there), pixels);
			else
				memcpy(pixels, bytes + at, there);
			put(rle, pixels, halves ? smaller(second, 2 * there) : there);
			rle->x += second;
			at += there;
			if (at % 2 != 0 && at < end)
				at++;
		}
	}
}

enum item_status bmp_rle_region(const struct bmp_header *header, const struct file_bytes *file, const struct box *region,
                                uint8_t *indices, struct workspace *workspace)
{
	uint32_t top = (uint32_t)region->y, bottom = top + (uint32_t)region->height - 1;
	uint32_t first = bmp_header_stored_row(header, header->top_row_first ? top : bottom);
	size_t row_bytes = (size_t)region->width, last_row_at = ((size_t)region->height - 1) * row_bytes;
	struct bmp_rle rle = {
		.width_px = header->width_px,
		.region_begin = (uint64_t)first * header->width_px,
		.region_end = ((uint64_t)first + (uint32_t)region->height) * header->width_px,
		.left_px = (uint32_t)region->x,
		.columns = row_bytes,
		.indices = indices + (header->top_row_first ? 0 : last_row_at),
		.next_row_bytes = header->top_row_first ? (ptrdiff_t)row_bytes : -(ptrdiff_t)row_bytes,
	};

	rle.row_end = rle.region_begin + rle.width_px;
	memset(indices, 0, last_row_at + row_bytes);
	if (header->pixels_at <= file->gap_at)
		walk(&rle, header->compression == BMP_RLE4, file->data, header->pixels_at, file->gap_at);
	if (rle.position < rle.region_end)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP's runs end in row %llu of %u",
		                      (unsigned long long)(rle.position / rle.width_px), header->height_px);
	return ITEM_OK;
}
