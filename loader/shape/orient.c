/* orient.c - stage 4 of 5, before resample: decoded pixels as stored in, pixels as they should be seen out.  Any thread. */
#include "loader/shape/orient.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "loader/shape/mirror.h"
#include "loader/shape/transpose.h"

enum { TILE_PX = 64, SQUARE_PX = 16 }; /* turned pictures are copied in tiles, so that a cache line is used up before it goes */

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

struct box orient_box_to_upright(uint8_t orientation, struct box stored, uint32_t upright_width_px, uint32_t upright_height_px)
{
	struct turn turn = turn_of(orientation);
	uint32_t stored_width_px = turn.swap_axes ? upright_height_px : upright_width_px;
	uint32_t stored_height_px = turn.swap_axes ? upright_width_px : upright_height_px;

	if (turn.mirror_x)
		stored.x = (int32_t)stored_width_px - stored.x - stored.width;
	if (turn.mirror_y)
		stored.y = (int32_t)stored_height_px - stored.y - stored.height;
	if (!turn.swap_axes)
		return stored;
	return (struct box){.x = stored.y, .y = stored.x, .width = stored.height, .height = stored.width};
}

/* What out's pixel (0, 0) is copied from, and by how much the source moves with a step right or down in out. */
struct walk {
	const uint8_t *first;
	ptrdiff_t right_bytes, down_bytes;
};

static void copy_pixels(const struct walk *walk, uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1, const struct pixels *out)
{
	for (uint32_t y = y0; y < y1; y++) {
		const uint8_t *in = walk->first + (ptrdiff_t)y * walk->down_bytes + (ptrdiff_t)x0 * walk->right_bytes;
		uint8_t *to = out->data + y * out->stride_bytes + (size_t)x0 * out->channels;

		for (uint32_t x = x0; x < x1; x++, in += walk->right_bytes, to += out->channels)
			memcpy(to, in, out->channels);
	}
}

/* 16 x 16 pixels, whose source rows are read from their first byte in memory: against the walk, rows of out run upwards. */
static void copy_square(const struct walk *walk, uint32_t x, uint32_t y, const struct pixels *out)
{
	bool upwards = walk->down_bytes < 0;
	ptrdiff_t out_stride_bytes = upwards ? -(ptrdiff_t)out->stride_bytes : (ptrdiff_t)out->stride_bytes;
	const uint8_t *in =
		walk->first + (ptrdiff_t)(upwards ? y + SQUARE_PX - 1 : y) * walk->down_bytes + (ptrdiff_t)x * walk->right_bytes;
	uint8_t *to = out->data + (upwards ? y + SQUARE_PX - 1 : y) * out->stride_bytes + (size_t)x * out->channels;

	if (out->channels == 1) {
		transpose_16_bytes(in, walk->right_bytes, to, out_stride_bytes);
		return;
	}
	for (int down = 0; down < SQUARE_PX; down += 4)
		for (int right = 0; right < SQUARE_PX; right += 4)
			transpose_4_pixels(in + right * walk->right_bytes + down * 3, walk->right_bytes,
			                   to + down * out_stride_bytes + right * 3, out_stride_bytes);
}

static uint32_t tile_end(uint32_t begin, uint32_t limit, uint32_t tile_px)
{
	return limit - begin < tile_px ? limit : begin + tile_px;
}

static void copy_tile(const struct walk *walk, uint32_t x0, uint32_t x1, uint32_t y0, uint32_t y1, const struct pixels *out)
{
	for (uint32_t y = y0; y < y1; y = tile_end(y, y1, SQUARE_PX)) {
		for (uint32_t x = x0; x < x1; x = tile_end(x, x1, SQUARE_PX)) {
			if (x1 - x >= SQUARE_PX && y1 - y >= SQUARE_PX && out->channels != 2) /* of 16-bit values: they are rare */
				copy_square(walk, x, y, out);
			else
				copy_pixels(walk, x, tile_end(x, x1, SQUARE_PX), y, tile_end(y, y1, SQUARE_PX), out);
		}
	}
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
	struct walk walk = {
		.first = stored->data, .right_bytes = (ptrdiff_t)stored->stride_bytes, .down_bytes = (ptrdiff_t)stored->channels};

	if (turn.mirror_x) {
		walk.first += (ptrdiff_t)(stored->width_px - 1) * walk.down_bytes;
		walk.down_bytes = -walk.down_bytes;
	}
	if (turn.mirror_y) {
		walk.first += (ptrdiff_t)(stored->height_px - 1) * walk.right_bytes;
		walk.right_bytes = -walk.right_bytes;
	}
	for (uint32_t y = 0; y < out->height_px; y = tile_end(y, out->height_px, TILE_PX))
		for (uint32_t x = 0; x < out->width_px; x = tile_end(x, out->width_px, TILE_PX))
			copy_tile(&walk, x, tile_end(x, out->width_px, TILE_PX), y, tile_end(y, out->height_px, TILE_PX), out);
}

void orient_pixels(uint8_t orientation, const struct pixels *stored, struct pixels *out)
{
	struct turn turn = turn_of(orientation);

	assert(stored->channels == out->channels && stored->channels >= 1 && stored->channels <= 3);
	assert(out->width_px == (turn.swap_axes ? stored->height_px : stored->width_px));
	assert(out->height_px == (turn.swap_axes ? stored->width_px : stored->height_px));
	if (turn.swap_axes)
		turn_rows(turn, stored, out);
	else
		mirror_rows(turn, stored, out);
}
