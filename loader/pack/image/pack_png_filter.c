/* Part of `cropring pack`: a PNG's row of samples in, the same row filtered out.  Any thread. */
#include "loader/pack/image/pack_png_filter.h"

#include <stdlib.h>
#include <string.h>

#include "loader/decode/png_unfilter.h"

static inline uint8_t predict(enum png_filter filter, int left, int above, int corner)
{
	switch (filter) {
	case PNG_FILTERED_SUB:
		return (uint8_t)left;
	case PNG_FILTERED_UP:
		return (uint8_t)above;
	case PNG_FILTERED_AVERAGE:
		return (uint8_t)((left + above) / 2);
	case PNG_FILTERED_PAETH: {
		int to_left = abs(above - corner), to_above = abs(left - corner), to_corner = abs(left + above - 2 * corner);

		if (to_left <= to_above && to_left <= to_corner)
			return (uint8_t)left;
		return (uint8_t)(to_above <= to_corner ? above : corner);
	}
	default:
		return 0;
	}
}

/* Returns the sum of absolute values.  Each filter has its own copy, so that the loop has no choice to make. */
static inline __attribute__((always_inline)) uint64_t apply(enum png_filter filter, const uint8_t *row, const uint8_t *above,
                                                            size_t byte_count, size_t px_bytes, uint8_t *out)
{
	uint64_t sum = 0;

	*out++ = (uint8_t)filter;
	for (size_t i = 0; i < byte_count; i++) {
		int left = i < px_bytes ? 0 : row[i - px_bytes];
		int up = above ? above[i] : 0, corner = above && i >= px_bytes ? above[i - px_bytes] : 0;

		out[i] = (uint8_t)(row[i] - predict(filter, left, up, corner));
		sum += (uint64_t)abs((int8_t)out[i]);
	}
	return sum;
}

static uint64_t apply_numbered(int filter, const uint8_t *row, const uint8_t *above, size_t byte_count, size_t px_bytes,
                               uint8_t *out)
{
	switch (filter) {
	case PNG_FILTERED_NONE:
		return apply(PNG_FILTERED_NONE, row, NULL, byte_count, px_bytes, out);
	case PNG_FILTERED_SUB:
		return apply(PNG_FILTERED_SUB, row, NULL, byte_count, px_bytes, out);
	case PNG_FILTERED_UP:
		return apply(PNG_FILTERED_UP, row, above, byte_count, px_bytes, out);
	case PNG_FILTERED_AVERAGE:
		return apply(PNG_FILTERED_AVERAGE, row, above, byte_count, px_bytes, out);
	default:
		return apply(PNG_FILTERED_PAETH, row, above, byte_count, px_bytes, out);
	}
}

void pack_png_filter(const uint8_t *row, const uint8_t *above, size_t byte_count, uint32_t px_bytes, uint8_t *out, uint8_t *trial)
{
	int last = above ? PNG_FILTERED_PAETH : PNG_FILTERED_SUB;
	uint64_t least = apply_numbered(PNG_FILTERED_NONE, row, above, byte_count, px_bytes, out);

	for (int filter = PNG_FILTERED_SUB; filter <= last; filter++) {
		uint64_t sum = apply_numbered(filter, row, above, byte_count, px_bytes, trial);

		if (sum < least) {
			least = sum;
			memcpy(out, trial, 1 + byte_count);
		}
	}
}

void pack_png_filter_none(const uint8_t *row, size_t byte_count, uint8_t *out)
{
	out[0] = PNG_FILTERED_NONE;
	memcpy(out + 1, row, byte_count);
}
