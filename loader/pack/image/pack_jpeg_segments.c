/* Part of `cropring pack`: a JPEG of our own in, where its restart intervals end out.  Any thread. */
#include "loader/pack/image/pack_jpeg_segments.h"

#include <stdio.h>

#include "loader/decode/jpeg_header.h"
#include "loader/segment_table.h"

enum { MARKER_RST0 = 0xd0, MARKER_EOI = 0xd9 };

static int refuse(struct packed_image *out, enum pack_outcome outcome, const char *reason)
{
	out->outcome = outcome;
	snprintf(out->reason, sizeof out->reason, "%s", reason);
	return 0;
}

/* ends[i]: behind the marker that ends segment i, from `scan` on.  False: there are other markers than there should be. */
static bool find_ends(const uint8_t *scan, const uint8_t *end, uint64_t *ends, uint32_t segment_count)
{
	const uint8_t *at = scan;

	for (uint32_t i = 0; i < segment_count; i++) {
		uint8_t wanted = i + 1 < segment_count ? (uint8_t)(MARKER_RST0 + i % 8) : MARKER_EOI;

		while ((at = memchr(at, 0xff, (size_t)(end - at))) != NULL && end - at >= 2 && at[1] == 0)
			at += 2;
		if (!at || end - at < 2 || at[1] != wanted)
			return false;
		at += 2;
		ends[i] = (uint64_t)(at - scan);
	}
	return true;
}

int pack_jpeg_segments(const struct pack_jpeg_parts *parts, struct packed_image *out)
{
	const uint8_t *file = (const uint8_t *)out->file.data;
	struct segment_table_header table = {.kind = SEGMENT_JPEG, .unit = parts->interval_mcus};
	struct jpeg_header header;
	uint32_t segment_count;
	uint64_t *ends;
	int rc;

	if (out->file.used_bytes > UINT32_MAX)
		return refuse(out, PACK_LARGE, "over 4 GB in segments");
	/* The decoder's own eyes: what it would not splice is of no use. */
	if (!jpeg_header_read(file, out->file.used_bytes, &header) || header.grid.restart_mcus != parts->interval_mcus)
		return refuse(out, PACK_KIND, "an odd header");
	segment_count = jpeg_grid_interval_count(&header.grid);
	table.data_at = (uint32_t)header.scan_at;
	table.head_bytes = table.data_at;
	if (parts->second_head_at > parts->head_bytes) {
		table.head_bytes = (uint32_t)parts->head_bytes;
		table.second_head_at = (uint32_t)parts->second_head_at;
		table.second_head_bytes = (uint32_t)(header.scan_at - parts->second_head_at);
	}
	table.mcu_width_px = (uint16_t)header.grid.mcu_width_px;
	table.mcu_height_px = (uint16_t)header.grid.mcu_height_px;
	ends = malloc(segment_count * sizeof *ends);
	if (!ends)
		return -ENOMEM;
	if (find_ends(file + header.scan_at, file + out->file.used_bytes, ends, segment_count))
		rc = segment_table_write(&table, ends, segment_count, &out->table);
	else
		rc = refuse(out, PACK_DIFFERENT, "other restart markers than were asked for");
	free(ends);
	return rc;
}
