/*
 * Stage 3 of 5, decode: a gray JPEG and a region at an eighth of its size in, that region's pixels out.  One thread per workspace.
 *
 * At an eighth a block is one pixel, and that comes of its DC coefficient alone (libjpeg's jidctred.c): the codes of the others need
 * only be leapt over.
 */
#include "loader/decode/jpeg_eighth.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/decode/bands.h"
#include "loader/decode/jpeg_index.h"
#include "loader/decode/jpeg_leap.h"

/* The tables of leaps take 60 us, in which libjpeg decodes so much. */
#define LEAST_BYTES ((size_t)16 << 10)

enum { MARKER_RST0 = 0xd0 };

struct eighth {
	struct jpeg_header header;
	struct jpeg_codes dc, ac;
	struct jpeg_dc_leaps dc_leaps;
	struct jpeg_leaps ac_leaps;
	struct jpeg_bits bits;
	uint32_t interval_left, markers_seen; /* blocks up to the next restart marker; 0 and no interval: none will come */
	int32_t predictor;
};

/* libjpeg's table for what lies beyond 0 to 255, where it wraps around at 1024 (jdmaster.c). */
static uint8_t limit(int32_t value)
{
	int32_t wrapped = ((value + 512) & 1023) - 512 + 128;

	return wrapped < 0 ? 0 : wrapped > 255 ? 255 : (uint8_t)wrapped;
}

static bool read_header(const struct file_bytes *file, const struct image_info *info, struct eighth *eighth)
{
	struct jpeg_header *header = &eighth->header;
	const struct jpeg_component *component = &header->components[0];

	return jpeg_header_read(file->data, file->byte_count, header) && header->component_count == 1 &&
	       header->grid.width_px == info->width_px && header->grid.height_px == info->height_px &&
	       component->quant_table < JPEG_MOST_TABLES && header->dc_quants[component->quant_table] > 0 &&
	       jpeg_huffman_read_table(&header->dc_tables[component->dc_table], true, &eighth->dc) &&
	       jpeg_huffman_read_table(&header->ac_tables[component->ac_table], false, &eighth->ac);
}

/* At the end of a restart interval: nothing but the rest of a byte is left before its marker. */
static bool pass_marker(struct eighth *eighth)
{
	struct jpeg_bits *bits = &eighth->bits;
	uint32_t ahead_bytes = (bits->count - bits->lent_count) / 8;
	const uint8_t *marker = bits->next;

	if (jpeg_bits_are_overdrawn(bits) || ahead_bytes > 0 || bits->end - marker < 2 || marker[0] != 0xff ||
	    marker[1] != MARKER_RST0 + eighth->markers_seen++ % 8)
		return false;
	*bits = (struct jpeg_bits){.next = marker + 2, .end = bits->end};
	eighth->interval_left = eighth->header.grid.restart_mcus;
	eighth->predictor = 0;
	return true;
}

/* One row of blocks; `row` has room for all of them. */
static bool read_row(struct eighth *eighth, uint32_t quant, uint8_t *row)
{
	bool has_intervals = eighth->header.grid.restart_mcus > 0;

	for (uint32_t x = 0; x < eighth->header.grid.mcus_across; x++) {
		if (has_intervals && eighth->interval_left == 0 && !pass_marker(eighth))
			return false;
		eighth->interval_left -= has_intervals;
		if (!jpeg_leap_over_dc(&eighth->dc, &eighth->dc_leaps, &eighth->bits, &eighth->predictor) ||
		    !jpeg_leap_over_ac(&eighth->ac, &eighth->ac_leaps, &eighth->bits) || eighth->predictor < -JPEG_MOST_DC ||
		    eighth->predictor > JPEG_MOST_DC)
			return false;
		row[x] = limit((eighth->predictor * (int32_t)quant + 4) >> 3);
	}
	return !jpeg_bits_are_overdrawn(&eighth->bits) && jpeg_leap_goes_on(&eighth->bits);
}

static void put_row(const uint8_t *from, uint32_t count, uint32_t channels, uint8_t *to)
{
	if (channels == 1) {
		memcpy(to, from, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++, to += 3)
		to[0] = to[1] = to[2] = from[i];
}

static bool read_rows(struct workspace *workspace, struct eighth *eighth, const struct decode_want *want,
                      const struct decode_sink *sink)
{
	const uint32_t quant = eighth->header.dc_quants[eighth->header.components[0].quant_table];
	const struct box *region = &want->region;
	uint64_t deadline_ns = workspace->timeout_ms ? clock_thread_cpu_ns() + workspace->timeout_ms * UINT64_C(1000000) : 0;
	struct bands bands;

	if (workspace_reserve(workspace, &workspace->rows, 1, eighth->header.grid.mcus_across) != ITEM_OK ||
	    bands_open(&bands, workspace, want, sink) != ITEM_OK)
		return false;
	for (int32_t y = 0; y < region->y + region->height; y++) {
		if (!read_row(eighth, quant, workspace->rows.data) || (deadline_ns && clock_thread_cpu_ns() >= deadline_ns))
			return false; /* libjpeg finds out how long it takes */
		if (y >= region->y)
			put_row(workspace->rows.data + region->x, (uint32_t)region->width, want->channels, bands_next_row(&bands));
	}
	bands_close(&bands);
	return true;
}

bool jpeg_eighth_rows(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                      const struct decode_want *want, const struct decode_sink *sink)
{
	struct eighth *eighth;
	bool is_read = false;

	if (want->scale_eighths != 1 || info->channels != 1 || want->as_stored || file->gap_bytes > 0 ||
	    file->byte_count < LEAST_BYTES)
		return false;
	eighth = malloc(sizeof *eighth);
	if (!eighth)
		return false;
	if (read_header(file, info, eighth)) {
		jpeg_huffman_make_dc_leaps(&eighth->dc, &eighth->dc_leaps);
		jpeg_huffman_make_leaps(&eighth->ac, &eighth->ac_leaps);
		eighth->bits =
			(struct jpeg_bits){.next = file->data + eighth->header.scan_at, .end = file->data + file->byte_count};
		eighth->interval_left = eighth->header.grid.restart_mcus;
		eighth->markers_seen = 0;
		eighth->predictor = 0;
		is_read = read_rows(workspace, eighth, want, sink);
	}
	free(eighth);
	return is_read;
}
