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

/* Which restart intervals a cover consists of. */
struct intervals {
	uint32_t per_line, line_begin, line_end; /* a line: the intervals that begin one under the other */
	uint32_t begin, end;                     /* in each line */
};

/* Widens the cover to whole intervals.  False: intervals that neither divide a row nor are whole rows. */
static bool cover_intervals(const struct jpeg_header *header, struct jpeg_cover *cover, struct intervals *intervals)
{
	uint32_t restart = header->restart_mcus, across = header->mcus_across;

	if (across % restart == 0) {
		jpeg_cover_widen(&cover->column_begin, &cover->column_end, restart, across);
		*intervals = (struct intervals){.per_line = across / restart,
		                                .line_begin = cover->row_begin,
		                                .line_end = cover->row_end,
		                                .begin = cover->column_begin / restart,
		                                .end = cover->column_end / restart};
		return true;
	}
	if (restart % across == 0) {
		uint32_t rows = restart / across;

		cover->column_begin = 0;
		cover->column_end = across;
		jpeg_cover_widen(&cover->row_begin, &cover->row_end, rows, header->mcu_rows);
		*intervals = (struct intervals){.per_line = 1,
		                                .line_begin = cover->row_begin / rows,
		                                .line_end = (cover->row_end + rows - 1) / rows,
		                                .end = 1};
		return true;
	}
	return false;
}

bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct jpeg_header *header,
                                    struct jpeg_cover *cover, struct file_bytes *splice)
{
	const uint8_t *end = file->data + file->byte_count, *at = file->data + header->scan_at;
	uint32_t last = (header->mcus_across * header->mcu_rows - 1) / header->restart_mcus, copied_count = 0;
	struct intervals need;
	uint8_t *out;

	if (!cover_intervals(header, cover, &need) || !jpeg_cover_pays(workspace, header, cover, file, 0))
		return false;
	/* No more is written than is read, and a marker per interval. */
	if (workspace_reserve(workspace, &workspace->splice, 1, jpeg_header_most_bytes(header) + file->byte_count) != ITEM_OK)
		return false;
	out = workspace->splice.data;
	out += jpeg_header_write(header, file->data, jpeg_cover_width_px(header, cover), jpeg_cover_height_px(header, cover), false,
	                         out);

	for (uint32_t line = 0; line < need.line_end; line++) {
		uint32_t interval_count = line + 1 < need.line_end ? need.per_line : need.end;

		for (uint32_t i = 0; i < interval_count; i++) {
			uint32_t interval = line * need.per_line + i;
			const uint8_t *marker, *interval_end = find_marker(at, end, &marker);

			if (interval_end == end || *marker != (interval == last ? JPEG_MARKER_EOI : MARKER_RST0 + interval % 8))
				return false;
			if (line >= need.line_begin && i >= need.begin && i < need.end) {
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
