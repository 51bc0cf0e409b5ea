/* Stage 3 of 5, decode: filtered rows of a PNG in, their samples out, in the same place.  Any thread. */
#include "loader/decode/png_unfilter.h"

static inline uint8_t average(unsigned left, unsigned above)
{
	return (uint8_t)((left + above) / 2);
}

/* The neighbour that is nearest to left + above - corner; of equals the first of these three. */
static inline uint8_t paeth(int left, int above, int corner)
{
	int to_left = above - corner, to_above = left - corner, to_corner = to_left + to_above;

	to_left = to_left < 0 ? -to_left : to_left;
	to_above = to_above < 0 ? -to_above : to_above;
	to_corner = to_corner < 0 ? -to_corner : to_corner;
	if (to_above < to_left) {
		to_left = to_above;
		left = above;
	}
	return (uint8_t)(to_corner < to_left ? corner : left);
}

/* The first pixel's left neighbours are 0, and so are their predictions' parts. */
static inline __attribute__((always_inline)) void unfilter_row(uint8_t *row, const uint8_t *above, size_t byte_count,
                                                               size_t px_bytes, enum png_filter filter)
{
	switch (filter) {
	case PNG_FILTERED_NONE:
		break;
	case PNG_FILTERED_SUB:
		for (size_t i = px_bytes; i < byte_count; i++)
			row[i] = (uint8_t)(row[i] + row[i - px_bytes]);
		break;
	case PNG_FILTERED_UP:
		for (size_t i = 0; i < byte_count; i++)
			row[i] = (uint8_t)(row[i] + above[i]);
		break;
	case PNG_FILTERED_AVERAGE:
		for (size_t i = 0; i < px_bytes; i++)
			row[i] = (uint8_t)(row[i] + average(0, above[i]));
		for (size_t i = px_bytes; i < byte_count; i++)
			row[i] = (uint8_t)(row[i] + average(row[i - px_bytes], above[i]));
		break;
	case PNG_FILTERED_PAETH:
		for (size_t i = 0; i < px_bytes; i++)
			row[i] = (uint8_t)(row[i] + above[i]);
		for (size_t i = px_bytes; i < byte_count; i++)
			row[i] = (uint8_t)(row[i] + paeth(row[i - px_bytes], above[i], above[i - px_bytes]));
		break;
	}
}

static void unfilter_one(const struct png_rows *rows, uint8_t *row)
{
	uint8_t *samples = row + 1;
	const uint8_t *above = samples - rows->row_bytes;
	size_t byte_count = (size_t)rows->width_px * rows->px_bytes;
	enum png_filter filter = row[0];

	/* A constant distance to the left neighbour makes the loops twice as fast. */
	switch (rows->px_bytes) {
	case 1:
		unfilter_row(samples, above, byte_count, 1, filter);
		break;
	case 2:
		unfilter_row(samples, above, byte_count, 2, filter);
		break;
	case 3:
		unfilter_row(samples, above, byte_count, 3, filter);
		break;
	case 4:
		unfilter_row(samples, above, byte_count, 4, filter);
		break;
	case 6:
		unfilter_row(samples, above, byte_count, 6, filter);
		break;
	default:
		unfilter_row(samples, above, byte_count, 8, filter);
		break;
	}
}

static uint32_t unfilter_many(const struct png_rows *rows, enum simd_level level)
{
#if defined(__x86_64__)
	if (level >= SIMD_AVX2 && rows->px_bytes <= 4)
		return png_unfilter_avx2(rows);
#endif
	(void)rows;
	(void)level;
	return 0;
}

void png_unfilter(const struct png_rows *rows, enum simd_level level)
{
	struct png_rows left = *rows;

	while (left.row_count > 0) {
		uint32_t done = unfilter_many(&left, level);

		if (done == 0) {
			unfilter_one(&left, left.data);
			done = 1;
		}
		left.data += done * left.row_bytes;
		left.row_count -= done;
	}
}
