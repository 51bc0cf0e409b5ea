/*
 * Stage 3 of 5, decode: a JPEG with restart markers in, one of only the restart intervals that a region needs out.
 *
 * At a restart marker the data begins anew at a whole byte, with predictors of 0 (ITU T.81, F.1.1.5.1): what lies between two
 * markers is copied as it is.  The markers are found anew each time, at 8 GB/s where one stands every 400 bytes: a list of them that
 * was kept would have to be checked against the file, which takes a third of that.
 */
#include <string.h>

#include "loader/decode/jpeg_splice_internal.h"

enum { MARKER_RST0 = 0xd0, STEP_BYTES = 64 };

typedef uint8_t vector __attribute__((vector_size(16), aligned(1), may_alias));

/* FF and something else than 00 begins in the next 64 bytes.  Reads 65. */
static inline bool step_has_marker(const uint8_t *at)
{
	vector found = {0};

	for (int i = 0; i < STEP_BYTES; i += (int)sizeof(vector)) {
		vector here, next;

		memcpy(&here, at + i, sizeof here);
		memcpy(&next, at + i + 1, sizeof next);
		found |= (vector)(here == 0xff) & (vector)(next != 0);
	}

	uint64_t halves[2];

	memcpy(halves, &found, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/* The first marker at or after `at`: its first FF, and what follows the last FF in *marker.  `end` if there is none. */
static const uint8_t *find_marker(const uint8_t *at, const uint8_t *end, const uint8_t **marker)
{
	for (; end - at > STEP_BYTES && !step_has_marker(at); at += STEP_BYTES)
		;
	for (; (at = memchr(at, 0xff, (size_t)(end - at))) != NULL && end - at >= 2; at++) {
		if (at[1] == 0)
			continue;
		for (*marker = at + 1; *marker < end && **marker == 0xff; (*marker)++)
			; /* fill bytes */
		return *marker < end ? at : end;
	}
	return end;
}

bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct jpeg_header *header,
                                    struct jpeg_cover *cover, struct file_bytes *splice)
{
	const struct jpeg_grid *grid = &header->grid;
	const uint8_t *end = file->data + file->byte_count, *at = file->data + header->scan_at;
	uint32_t interval = 0, last = jpeg_grid_interval_count(grid) - 1, copied_count = 0;
	uint8_t *out;

	if (!jpeg_grid_widen_to_intervals(grid, cover) || !jpeg_splice_pays(workspace, header, cover, file, 0))
		return false;
	/* No more is written than is read, and a marker per interval. */
	if (workspace_reserve(workspace, &workspace->splice, 1, jpeg_header_most_bytes(header) + file->byte_count) != ITEM_OK)
		return false;
	out = workspace->splice.data;
	out += jpeg_header_write(header, file->data, jpeg_grid_cover_width_px(grid, cover), jpeg_grid_cover_height_px(grid, cover),
	                         false, out);

	for (uint32_t row = cover->row_begin; row < cover->row_end; row++) {
		uint32_t needed_begin, needed_end;

		jpeg_grid_intervals(grid, cover, row, &needed_begin, &needed_end);
		for (; interval < needed_end; interval++) {
			const uint8_t *marker, *interval_end = find_marker(at, end, &marker);

			if (interval_end == end || *marker != (interval == last ? JPEG_MARKER_EOI : MARKER_RST0 + interval % 8))
				return false;
			if (interval >= needed_begin) {
				memcpy(out, at, (size_t)(interval_end - at));
				out += interval_end - at;
				*out++ = 0xff;
				*out++ = (uint8_t)(MARKER_RST0 + copied_count++ % 8);
			}
			at = marker + 1;
		}
	}
	out[-1] = JPEG_MARKER_EOI;
	*splice = file_bytes_whole(workspace->splice.data, (size_t)(out - workspace->splice.data));
	return true;
}
