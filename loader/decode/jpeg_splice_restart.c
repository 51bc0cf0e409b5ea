/*
 * Stage 3 of 5, decode: a JPEG with restart markers in, one of only the MCUs that a region needs out.
 *
 * In a file that was read whole the markers are found anew each time, at 8 GB/s where one stands every 400 bytes: a list of them that
 * was kept would have to be checked against the file, which takes a third of that.  The list is for the next visit, which reads less.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/decode/jpeg_splice_internal.h"
#include "loader/decode/segment_store.h"

enum { STEP_BYTES = 64 };

/* Of what libjpeg would go through, this much is not to be walked through. */
#define CUT_LEAST_PART 0.5

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

/* What has been gone through. */
struct search {
	const uint8_t *begin, *at, *end;
	uint32_t next, count; /* intervals */
	uint64_t *ends;       /* theirs, counted from `begin` on; NULL: nobody wants to know */
};

/* Looks at every marker up to the interval's. */
static enum item_status find_interval(void *context, uint32_t number, struct jpeg_interval *interval)
{
	struct search *search = context;

	for (; search->next <= number; search->next++) {
		const uint8_t *marker, *interval_end = find_marker(search->at, search->end, &marker);

		if (interval_end == search->end || *marker != jpeg_interval_marker(search->next, search->count))
			return ITEM_CORRUPT;
		*interval = (struct jpeg_interval){search->at, (size_t)(interval_end - search->at)};
		search->at = marker + 1;
		if (search->ends)
			search->ends[search->next] = (uint64_t)(search->at - search->begin);
	}
	return ITEM_OK;
}

/* Room for what remember() needs; NULL: there is nothing to remember, or it is known, or the store is full. */
static uint64_t *note_ends(const struct workspace *workspace, const struct file_bytes *file, uint32_t interval_count)
{
	const struct segment_table_header least = {.length_bytes = 2, .segment_count = interval_count};

	if (!workspace->segment_store || !file->stamp || file->id == FILE_BYTES_NO_ID || interval_count > file->byte_count ||
	    !segment_store_wants(workspace->segment_store, file->id, file->stamp, segment_table_bytes(&least)))
		return NULL;
	return malloc(interval_count * sizeof(uint64_t));
}

/* On the next visit only what is wanted is read, by a table of segments.  A file in which any marker is odd does not get one. */
static void remember(const struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                     const struct jpeg_header *header, struct search *search)
{
	const struct segment_table_header table_header = {.kind = SEGMENT_JPEG,
	                                                  .head_bytes = (uint32_t)header->scan_at,
	                                                  .data_at = (uint32_t)header->scan_at,
	                                                  .unit = header->grid.restart_mcus,
	                                                  .mcu_width_px = (uint16_t)header->grid.mcu_width_px,
	                                                  .mcu_height_px = (uint16_t)header->grid.mcu_height_px};
	const struct segments picture = {.width_px = info->width_px,
	                                 .height_px = info->height_px,
	                                 .orientation = info->orientation,
	                                 .channels = info->channels,
	                                 .sample_bits = info->sample_bits,
	                                 .file_bytes = file->byte_count};
	struct jpeg_interval last;
	struct bytes table = {0};

	if (file->byte_count <= UINT32_MAX && find_interval(search, search->count - 1, &last) == ITEM_OK &&
	    segment_table_write(&table_header, search->ends, search->count, &table) == 0)
		segment_store_keep(workspace->segment_store, file->id, file->stamp, &picture, &table);
	bytes_free(&table);
}

/*
 * Codes are walked through as fast as libjpeg does it, from where the cover's first interval begins; if one is longer than a row, then all
 * of the rows.
 */
static bool cutting_pays(const struct jpeg_grid *grid, const struct jpeg_cover *cover, uint64_t scan_bytes, size_t least_gain_bytes)
{
	uint32_t restart = grid->restart_mcus, rows = restart / grid->mcus_across + 1;
	struct jpeg_cover walked = *cover;

	if (restart < grid->mcus_across) {
		walked.column_begin -= cover->column_begin < restart ? cover->column_begin : restart;
	} else {
		walked.column_begin = 0;
		walked.column_end = grid->mcus_across;
		walked.row_begin -= cover->row_begin < rows ? cover->row_begin : rows;
	}
	return jpeg_splice_pays(grid, &walked, scan_bytes, least_gain_bytes, CUT_LEAST_PART);
}

bool jpeg_splice_by_restarts_pays(const struct jpeg_grid *grid, struct jpeg_cover *cover, uint64_t scan_bytes,
                                  size_t least_gain_bytes)
{
	return jpeg_grid_widen_to_intervals(grid, cover) ? jpeg_splice_pays(grid, cover, scan_bytes, least_gain_bytes, 0)
	                                                 : cutting_pays(grid, cover, scan_bytes, least_gain_bytes);
}

bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                    struct jpeg_header *header, struct jpeg_cover *cover, struct file_bytes *splice)
{
	struct search search = {.begin = file->data + header->scan_at,
	                        .at = file->data + header->scan_at,
	                        .end = file->data + file->byte_count,
	                        .count = jpeg_grid_interval_count(&header->grid)};
	struct jpeg_intervals intervals = {.find = find_interval, .context = &search, .byte_count = file->byte_count};
	bool is_made;

	if (!jpeg_splice_by_restarts_pays(&header->grid, cover, file->byte_count - header->scan_at,
	                                  jpeg_index_store_least_gain_bytes(workspace->jpeg_indexes)))
		return false;
	search.ends = note_ends(workspace, file, search.count);
	is_made = jpeg_splice_intervals(workspace, file->data, header, cover, &intervals, splice) == ITEM_OK;
	if (is_made && search.ends)
		remember(workspace, file, info, header, &search);
	free(search.ends);
	return is_made;
}
