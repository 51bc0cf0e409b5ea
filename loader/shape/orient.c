/* orient.c - stage 4 of 5, before resample: decoded pixels as stored in, pixels as they should be seen out.  Any thread. */
#include "loader/shape/orient.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "loader/shape/mirror.h"

enum { TILE_PX = 16 }; /* turned pictures are copied in squares, so that a cache line is used up before it goes */

/* Upright coordinates become stored ones by exchanging x and y, and then counting from the other side. */
struct turn {
	bool swap_axes, mirror_x, mirror_y;
};

static struct turn turn_of(uint8_t orientation)
{
	static const struct turn turns[9] = {
		[2] = {.mirror_x = true},
		[3] = {.mirror_x = true, .mirror_y = true},
		[4] = {.mirror_y = true},
		[5] = {.swap_axes = true},
		[6] = {.swap_axes = true, .mirror_y = true},
		[7] = {.swap_axes = true, .mirror_x = true, .mirror_y = true},
		[8] = {.swap_axes = true, .mirror_x = true},
	};

	return turns[orientation < 9 ? orientation : 1]; /* what no standard defines is upright, as in Pillow */
}

bool orient_swaps_axes(uint8_t orientation)
{
	return turn_of(orientation).swap_axes;
}

void orient_mirrors(uint8_t orientation, bool *x_mirrored, bool *y_mirrored)
{
	struct turn turn = turn_of(orientation);

	*x_mirrored = turn.swap_axes ? turn.mirror_y : turn.mirror_x;
	*y_mirrored = turn.swap_axes ? turn.mirror_x : turn.mirror_y;
}

struct box orient_box_to_stored(uint8_t orientation, struct box upright, uint32_t stored_width_px, uint32_t stored_height_px)
{
	struct turn turn = turn_of(orientation);
	struct box stored = upright;

	if (turn.swap_axes)
		stored = (struct box){.x = upright.y, .y = upright.x, .width = upright.height, .height = upright.width};
	if (turn.mirror_x)
		stored.x = (int32_t)stored_width_px - stored.x - stored.width;
	if (turn.mirror_y)
		stored.y = (int32_t)stored_height_px - stored.y - stored.height;
	return stored;
}

/* One tile of out.  `first` is where out's pixel (0, 0) comes from; a step right or down in out moves the source by so much. */
static inline __attribute__((always_inline)) void copy_tile(const uint8_t *first, ptrdiff_t right_bytes, ptrdiff_t down_bytes,
                                                            uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1,
                                                            const struct pixels *out, uint32_t channels)
{
	for (uint32_t y = y0; y < y1; y++) {
		const uint8_t *in = first + (ptrdiff_t)y * down_bytes + (ptrdiff_t)x0 * right_bytes;
		uint8_t *to = out->data + y * out->stride_bytes + (size_t)x0 * channels;

		for (uint32_t x = x0; x < x1; x++, in += right_bytes, to += channels)
			memcpy(to, in, channels);
	}
}

static uint32_t tile_end(uint32_t begin, uint32_t limit)
{
	return limit - begin < TILE_PX ? limit : begin + TILE_PX;
}

/* Orientations 2 to 4: rows stay rows. */
static void mirror_rows(struct turn turn, const struct pixels *stored, const struct pixels *out)
{
	for (uint32_t y = 0; y < out->height_px; y++) {
		const uint8_t *in = stored->data + (turn.mirror_y ? out->height_px - 1 - y : y) * stored->stride_bytes;
		uint8_t *to = out->data + y * out->stride_bytes;

		if (turn.mirror_x)
			mirror_row(in, out->width_px, out->channels, to);
		else
			memcpy(to, in, (size_t)out->width_px * out->channels);
	}
}

/* Orientations 5 to 8: rows become columns. */
static void turn_rows(struct turn turn, const struct pixels *stored, const struct pixels *out)
{
	ptrdiff_t right_bytes = (ptrdiff_t)stored->stride_bytes, down_bytes = (ptrdiff_t)stored->channels;
	const uint8_t *first = stored->data;

	if (turn.mirror_x) {
		first += (ptrdiff_t)(stored->width_px - 1) * down_bytes;
		down_bytes = -down_bytes;
	}
	if (turn.mirror_y) {
		first += (ptrdiff_t)(stored->height_px - 1) * right_bytes;
		right_bytes = -right_bytes;
	}
	for (uint32_t y = 0; y < out->height_px; y = tile_end(y, out->height_px)) {
		uint32_t y_end = tile_end(y, out->height_px);

		for (uint32_t x = 0; x < out->width_px; x = tile_end(x, out->width_px)) {
			uint32_t x_end = tile_end(x, out->width_px);

			if (out->channels == 1)
				copy_tile(first, right_bytes, down_bytes, x, x_end, y, y_end, out, 1);
			else
				copy_tile(first, right_bytes, down_bytes, x, x_end, y, y_end, out, 3);
		}
	}
}

void orient_pixels(uint8_t orientation, const struct pixels *stored, struct pixels *out)
{
	struct turn turn = turn_of(orientation);

	assert(stored->channels == out->channels && (stored->channels == 1 || stored->channels == 3));
	assert(out->width_px == (turn.swap_axes ? stored->height_px : stored->width_px));
	assert(out->height_px == (turn.swap_axes ? stored->width_px : stored->height_px));
	if (turn.swap_axes)
		turn_rows(turn, stored, out);
	else
		mirror_rows(turn, stored, out);
}
