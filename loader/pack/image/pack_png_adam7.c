/* Part of `cropring pack`: the seven pictures of an interlaced PNG in, its rows out (PNG 3rd edition, section 8.1).  Any thread. */
#include "loader/pack/image/pack_png_adam7.h"

#include "loader/decode/png_unfilter.h"

/* Where a pass's first pixel is, and how far apart its pixels are. */
struct pass {
	uint8_t x, y, step_x, step_y;
};

static const struct pass passes[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
enum { PASS_COUNT = sizeof passes / sizeof passes[0] };

static uint32_t count(uint32_t all, uint32_t first, uint32_t step)
{
	return all > first ? (all - first - 1) / step + 1 : 0;
}

/* Two rows, of which one is the row above, and what png_unfilter() reads around them. */
static uint64_t buffer_bytes(const struct png_header *header)
{
	return 2 * PNG_UNFILTER_MARGIN_BYTES + 2 * (1 + (uint64_t)pack_png_row_bytes(header, header->width_px));
}

uint64_t pack_png_adam7_memory_bytes(const struct png_header *header)
{
	return buffer_bytes(header);
}

/* A pass's row to where its pixels belong; row is all zero there. */
static void spread(const uint8_t *from, uint32_t pixel_count, const struct pass *pass, const struct png_header *header,
                   uint8_t *row)
{
	uint32_t px_bits = header->sample_bits * header->samples_per_px, px_bytes = px_bits / 8;

	for (uint32_t i = 0; i < pixel_count; i++) {
		size_t x = pass->x + (size_t)i * pass->step_x;

		if (px_bits >= 8) {
			memcpy(row + x * px_bytes, from + (size_t)i * px_bytes, px_bytes);
		} else {
			size_t from_bit = (size_t)i * px_bits, bit = x * px_bits;
			unsigned value = (unsigned)from[from_bit / 8] >> (8 - px_bits - from_bit % 8) & ((1u << px_bits) - 1);

			row[bit / 8] |= (uint8_t)(value << (8 - px_bits - bit % 8));
		}
	}
}

static int read_pass(struct pack_png_rows *rows, const struct pass *pass, uint8_t *buffer, uint8_t *pixels,
                     struct packed_image *out)
{
	const struct png_header *header = &rows->source->header;
	uint32_t width_px = count(header->width_px, pass->x, pass->step_x);
	uint32_t height_px = count(header->height_px, pass->y, pass->step_y);
	size_t samples_bytes = pack_png_row_bytes(header, width_px), row_bytes = pack_png_row_bytes(header, header->width_px);
	uint8_t *above = buffer + PNG_UNFILTER_MARGIN_BYTES, *row = above + 1 + samples_bytes;
	uint32_t px_bytes = pack_png_px_bytes(header);
	const struct png_rows one = {.data = row,
	                             .row_bytes = 1 + samples_bytes,
	                             .row_count = 1,
	                             .width_px = (uint32_t)(samples_bytes / px_bytes),
	                             .px_bytes = px_bytes};

	memset(above, 0, 1 + samples_bytes);
	for (uint32_t y = 0; width_px > 0 && y < height_px; y++) {
		int rc = pack_png_rows_read(rows, row, (uint32_t)one.row_bytes);

		if (rc == 0)
			rc = pack_png_check_filters(row, 1, one.row_bytes, out);
		if (rc < 0)
			return rc;
		png_unfilter(&one, SIMD_PLAIN);
		spread(row + 1, width_px, pass, header, pixels + (pass->y + (size_t)y * pass->step_y) * row_bytes);
		memcpy(above, row, one.row_bytes);
	}
	return 0;
}

int pack_png_adam7(struct pack_png_rows *rows, uint8_t *pixels, struct packed_image *out)
{
	uint8_t *buffer = calloc(1, buffer_bytes(&rows->source->header));
	int rc = buffer ? 0 : -ENOMEM;

	for (int i = 0; rc == 0 && i < PASS_COUNT; i++)
		rc = read_pass(rows, &passes[i], buffer, pixels, out);
	free(buffer);
	return rc == 0 ? pack_png_rows_finish(rows) : rc;
}
