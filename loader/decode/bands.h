/*
 * bands.h - stage 3 of 5, decode: rows that a format writes one at a time, to be handed out in bands.  One thread, on its stack.
 *
 * bands_open(), then bands_next_row() for each of the region's rows from the top down, then bands_close().
 */
#ifndef CROPRING_BANDS_H
#define CROPRING_BANDS_H

#include "loader/decode/workspace.h"

struct bands {
	const struct decode_sink *sink;
	struct pixels rows; /* height_px: so many are there */
	uint32_t most_rows;
	uint32_t first_row;
};

static inline enum item_status bands_open(struct bands *bands, struct workspace *workspace, const struct decode_want *want,
                                          const struct decode_sink *sink)
{
	size_t stride_bytes = (size_t)want->region.width * want->channels;
	enum item_status status;

	*bands = (struct bands){.sink = sink};
	status = workspace_reserve_band(workspace, &want->region, stride_bytes, &bands->most_rows);
	bands->rows = (struct pixels){.data = workspace->band.data,
	                              .stride_bytes = stride_bytes,
	                              .width_px = (uint32_t)want->region.width,
	                              .channels = want->channels};
	return status;
}

/* Hands out the rows that are there; after the last one. */
static inline void bands_close(struct bands *bands)
{
	bands->sink->take(bands->sink->context, bands->first_row, &bands->rows);
	bands->first_row += bands->rows.height_px;
	bands->rows.height_px = 0;
}

/* Where the next row goes. */
static inline uint8_t *bands_next_row(struct bands *bands)
{
	if (bands->rows.height_px == bands->most_rows)
		bands_close(bands);
	return bands->rows.data + bands->rows.height_px++ * bands->rows.stride_bytes;
}

#endif
