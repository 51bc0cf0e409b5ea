/*
 * Part of `cropring pack`: a PNG in, the same picture as a PNG in segments out.  Any thread.
 *
 * Rows go through in pieces: inflated, and deflated again as they are, but for the first of each segment.  That one is filtered
 * anew if it looks at the row above, so all rows are unfiltered on the side.  Interlaced pictures and those that were no PNG are
 * filtered as a whole.
 */
#include "loader/pack/image/pack_png.h"

#include "base/simd.h"
#include "loader/decode/decode.h"
#include "loader/decode/png_unfilter.h"
#include "loader/pack/image/pack_png_adam7.h"
#include "loader/pack/image/pack_png_chunks.h"
#include "loader/pack/image/pack_png_filter.h"
#include "loader/pack/image/pack_png_idat.h"
#include "loader/pack/image/pack_png_source.h"

#define PIECE_ROWS      32u /* the most that png_unfilter() does at once */
#define PIECE_MAX_BYTES ((size_t)4 << 20)
#define MOST_SIDE_PX    1000000u /* the loader reads no larger ones, and libpng by itself neither */

/*
 * Rows of a segment; PACK_NO_SEGMENTS: not worth it.  Measured on mosaics of photographs, level 6; CPU ms of a 224x224 crop, and how
 * much larger the file becomes:
 *
 *   rows of a segment        8            16            32            64            128           256       the source
 *   gray 512x512        0.39 +1.0 %   0.31 +0.1 %   0.28 -0.3 %   0.30 +0.1 %   0.35 +0.2 %   0.35 +0.5 %      0.37
 *   RGB 512x512         0.96 +2.5 %   0.87 +1.2 %   0.85 +0.7 %   0.91 +0.5 %   0.99 +0.2 %   1.22 +0.0 %      1.29
 *   RGB 1920x1080       2.79 +4.7 %   2.73 +2.4 %   2.68 +1.2 %   2.79 +0.5 %   3.11 +0.2 %   3.71 +0.0 %      7.1
 *   RGB 2000x2000       3.01 +3.2 %   3.00 +1.7 %   3.00 +0.8 %   3.15 +0.4 %   3.59 +0.2 %   4.32 +0.0 %     11.7
 *   gray 4000x4000      1.81 +1.7 %   1.77 +0.9 %   1.85 +0.5 %   1.94 +0.2 %   2.13 +0.1 %   2.71 +0.0 %     13.7
 *   RGB 4000x4000       6.19 +2.2 %   6.02 +1.1 %   6.07 +0.5 %   6.35 +0.3 %   7.13 +0.1 %   9.31 +0.1 %     40.8
 *
 * A segment's code tables cost igzip 5 us, as much as 2.5 KB of rows: RandomResizedCrop's boxes, which are most of a small picture,
 * take 1.01 of the source's time in gray 512x512 with 32 rows, 0.98 with 64; 0.88 in RGB 512x512 with 32.  Below 256 KB of samples
 * they gain nothing: 1.03 in gray 256x256 with 64 rows, 1.02 in RGB 256x256 with 32.
 */
#define LARGE_PX     1080 /* rows: beyond these 64 are as good as 32, and smaller */
#define NARROW_BYTES 1024 /* of a row */
#define LEAST_BYTES  ((uint64_t)256 << 10)

static uint32_t choose_unit(const struct pack_rules *rules, const struct png_header *header)
{
	size_t samples_bytes = pack_png_row_bytes(header, header->width_px);

	if (rules->png_rows != 0)
		return rules->png_rows;
	if ((uint64_t)samples_bytes * header->height_px < LEAST_BYTES)
		return PACK_NO_SEGMENTS;
	return header->height_px > LARGE_PX || samples_bytes < NARROW_BYTES ? 64 : 32;
}

static uint32_t count_segments(uint32_t unit, const struct png_header *header)
{
	return (header->height_px - 1) / unit + 1;
}

/* A file of more is stored as it was.  Of pictures of one colour each segment takes some 60 bytes that the source had not. */
static uint64_t most_file_bytes(uint64_t source_bytes, uint32_t segment_count)
{
	return 2 * source_bytes + 4096 + 256 * (uint64_t)segment_count;
}

static uint32_t rows_of_piece(size_t row_bytes)
{
	if (row_bytes * PIECE_ROWS <= PIECE_MAX_BYTES)
		return PIECE_ROWS;
	return row_bytes < PIECE_MAX_BYTES ? (uint32_t)(PIECE_MAX_BYTES / row_bytes) : 1;
}

/* A piece as it is in the stream; it unfiltered, below a row and between margins; a row. */
static uint64_t piece_buffer_bytes(size_t row_bytes)
{
	return (2 * (uint64_t)rows_of_piece(row_bytes) + 2) * row_bytes + 2 * PNG_UNFILTER_MARGIN_BYTES;
}

static uint64_t memory_bytes(const struct png_header *header, uint64_t source_bytes, uint32_t segment_count)
{
	size_t samples_bytes = pack_png_row_bytes(header, header->width_px);
	uint64_t bytes = most_file_bytes(source_bytes, segment_count) + pack_png_idat_memory_bytes(segment_count);

	if (header->interlaced)
		bytes += (uint64_t)header->height_px * samples_bytes + pack_png_adam7_memory_bytes(header);
	return bytes + piece_buffer_bytes(1 + samples_bytes);
}

static bool is_readable(const struct png_header *header)
{
	return header->width_px <= MOST_SIDE_PX && header->height_px <= MOST_SIDE_PX;
}

static int check_size(const struct pack_rules *rules, const struct png_header *header, uint64_t source_bytes,
                      uint32_t segment_count, struct packed_image *out)
{
	uint64_t needed_bytes;

	if (!is_readable(header) || (uint64_t)header->width_px * header->height_px > rules->max_pixels)
		return pack_png_refuse(out, PACK_LARGE, "more pixels than are read");
	if (most_file_bytes(source_bytes, segment_count) > UINT32_MAX)
		return pack_png_refuse(out, PACK_LARGE, "a PNG of over 2 GB");
	needed_bytes = memory_bytes(header, source_bytes, segment_count);
	/* What the loader would refuse is not to become readable by being packed. */
	if (header->interlaced && (uint64_t)header->height_px * pack_png_row_bytes(header, header->width_px) > DECODE_MAX_BYTES)
		return pack_png_refuse(out, PACK_LARGE, "too large for an interlaced PNG");
	if (needed_bytes > rules->most_memory_bytes)
		return pack_png_refuse(out, PACK_LARGE, "taking it apart needs %s of memory than is allowed",
		                       header->interlaced ? "more, for it is interlaced," : "more");
	return 0;
}

struct piece {
	uint8_t *filtered, *trial, *above, *plain; /* in one buffer, which begins with the first */
	size_t row_bytes;                          /* with the filter */
	uint32_t most_rows;
};

static int open_piece(struct piece *piece, size_t row_bytes)
{
	*piece = (struct piece){.row_bytes = row_bytes, .most_rows = rows_of_piece(row_bytes)};
	piece->filtered = calloc(1, piece_buffer_bytes(row_bytes));
	if (!piece->filtered)
		return -ENOMEM;
	piece->trial = piece->filtered + piece->most_rows * row_bytes;
	piece->above = piece->trial + row_bytes + PNG_UNFILTER_MARGIN_BYTES;
	piece->plain = piece->above + row_bytes;
	return 0;
}

/* Rows y to before y + row_count, of which those that begin a segment are filtered so that they need none above them. */
static int read_piece(struct piece *piece, struct pack_png_rows *rows, uint32_t y, uint32_t row_count, uint32_t unit,
                      struct packed_image *out)
{
	uint32_t px_bytes = pack_png_px_bytes(&rows->source->header);
	size_t row_bytes = piece->row_bytes, byte_count = row_count * row_bytes;
	const struct png_rows plain = {.data = piece->plain,
	                               .row_bytes = row_bytes,
	                               .row_count = row_count,
	                               .width_px = (uint32_t)((row_bytes - 1) / px_bytes),
	                               .px_bytes = px_bytes};
	int rc = pack_png_rows_read(rows, piece->filtered, (uint32_t)byte_count);

	if (rc == 0)
		rc = pack_png_check_filters(piece->filtered, row_count, row_bytes, out);
	if (rc < 0)
		return rc;
	memcpy(piece->plain, piece->filtered, byte_count);
	png_unfilter(&plain, simd_best());
	for (uint32_t i = (unit - y % unit) % unit; i < row_count; i += unit) {
		uint8_t *row = piece->filtered + i * row_bytes;

		if (row[0] != PNG_FILTERED_NONE && row[0] != PNG_FILTERED_SUB)
			pack_png_filter(piece->plain + i * row_bytes + 1, NULL, row_bytes - 1, px_bytes, row, piece->trial);
	}
	memcpy(piece->above, piece->plain + (row_count - 1) * row_bytes, row_bytes);
	return 0;
}

/* The source's rows to segments. */
static int copy_rows(struct pack_png_rows *rows, struct pack_png_idat *idat, struct packed_image *out)
{
	uint32_t height_px = rows->source->header.height_px, row_count;
	struct piece piece;
	int rc = open_piece(&piece, idat->row_bytes);

	for (uint32_t y = 0; rc == 0 && y < height_px; y += row_count) {
		row_count = height_px - y < piece.most_rows ? height_px - y : piece.most_rows;
		rc = read_piece(&piece, rows, y, row_count, idat->unit, out);
		if (rc == 0)
			rc = pack_png_idat_add(idat, piece.filtered, row_count);
	}
	free(piece.filtered);
	return rc == 0 ? pack_png_rows_finish(rows) : rc;
}

/* Row y of a picture's samples. */
static void filter_row(const struct png_header *header, const uint8_t *samples, size_t stride_bytes, bool is_begin,
                       size_t samples_bytes, uint8_t *row, uint8_t *trial)
{
	if (header->color == PNG_PALETTE || header->sample_bits < 8)
		pack_png_filter_none(samples, samples_bytes, row);
	else
		pack_png_filter(samples, is_begin ? NULL : samples - stride_bytes, samples_bytes, pack_png_px_bytes(header), row,
		                trial);
}

/* Rows of samples to segments. */
static int filter_rows(const struct png_header *header, const uint8_t *pixels, size_t stride_bytes, struct pack_png_idat *idat)
{
	uint32_t row_count;
	struct piece piece;
	int rc = open_piece(&piece, idat->row_bytes);

	for (uint32_t y = 0; rc == 0 && y < header->height_px; y += row_count) {
		row_count = header->height_px - y < piece.most_rows ? header->height_px - y : piece.most_rows;
		for (uint32_t i = 0; i < row_count; i++)
			filter_row(header, pixels + (y + i) * stride_bytes, stride_bytes, (y + i) % idat->unit == 0,
			           idat->row_bytes - 1, piece.filtered + i * idat->row_bytes, piece.trial);
		rc = pack_png_idat_add(idat, piece.filtered, row_count);
	}
	free(piece.filtered);
	return rc;
}

static int deinterlace_rows(struct pack_png_rows *rows, struct pack_png_idat *idat, struct packed_image *out)
{
	const struct png_header *header = &rows->source->header;
	size_t samples_bytes = idat->row_bytes - 1;
	uint8_t *pixels = calloc(header->height_px, samples_bytes);
	int rc = pixels ? pack_png_adam7(rows, pixels, out) : -ENOMEM;

	if (rc == 0)
		rc = filter_rows(header, pixels, samples_bytes, idat);
	free(pixels);
	return rc;
}

static int write_pixels(const struct pack_png_source *source, struct pack_png_idat *idat, struct packed_image *out)
{
	struct pack_png_rows rows;
	int rc = pack_png_rows_open(&rows, source, out);

	if (rc == 0)
		rc = source->header.interlaced ? deinterlace_rows(&rows, idat, out) : copy_rows(&rows, idat, out);
	pack_png_rows_close(&rows);
	return rc;
}

/* The table, and what the index says. */
static int describe(const struct png_header *header, uint8_t orientation, const struct pack_png_idat *idat,
                    struct segment_table_header *table, struct packed_image *out)
{
	int rc;

	table->kind = SEGMENT_PNG;
	table->unit = idat->unit;
	rc = segment_table_write(table, idat->ends, idat->segment_count, &out->table);
	if (rc == -EFBIG)
		return pack_png_refuse(out, PACK_LARGE, "over 4 GB in segments");
	out->image = (struct index_image){.width_px = header->width_px,
	                                  .height_px = header->height_px,
	                                  .format = 2,
	                                  .orientation = orientation,
	                                  .channels = (uint8_t)header->samples_per_px,
	                                  .sample_bits = (uint8_t)header->sample_bits,
	                                  .segments_bytes = (uint32_t)out->table.used_bytes};
	out->outcome = PACK_SEGMENTED;
	return rc;
}

/* What has been refused is stored as it was. */
static int conclude(int rc, struct packed_image *out)
{
	if (rc == 0)
		return 0;
	bytes_free(&out->file);
	bytes_free(&out->table);
	out->is_source = true;
	return rc == -EBADMSG ? 0 : rc;
}

static int pack(const struct pack_rules *rules, const struct pack_png_source *source, uint32_t unit, struct packed_image *out)
{
	size_t row_bytes = 1 + pack_png_row_bytes(&source->header, source->header.width_px);
	uint64_t most_bytes = most_file_bytes(source->byte_count, count_segments(unit, &source->header));
	size_t tail_bytes = source->byte_count - source->pixels_end;
	struct segment_table_header table = {0};
	struct pack_png_idat idat;
	int rc = pack_png_chunks_head(source, rules->keep_metadata, &out->file, &table);

	if (rc < 0)
		return rc;
	rc = pack_png_idat_open(&idat, rules, unit, source->header.height_px, row_bytes, most_bytes - tail_bytes, out);
	if (rc == 0)
		rc = write_pixels(source, &idat, out);
	if (rc == 0)
		rc = pack_png_chunks_tail(source, rules->keep_metadata, &out->file);
	if (rc == 0)
		rc = describe(&source->header, source->orientation, &idat, &table, out);
	pack_png_idat_close(&idat);
	return rc;
}

int pack_png(const struct pack_rules *rules, const uint8_t *source, size_t source_bytes, struct packed_image *out)
{
	struct pack_png_source png;
	uint32_t unit;
	int rc = pack_png_source_look(&png, source, source_bytes, out);

	if (rc == 0) {
		unit = choose_unit(rules, &png.header);
		rc = unit >= png.header.height_px
		             ? pack_png_refuse(out, PACK_SMALL, "%s", "")
		             : check_size(rules, &png.header, source_bytes, count_segments(unit, &png.header), out);
	}
	return conclude(rc == 0 ? pack(rules, &png, unit, out) : rc, out);
}

/* The gray BMP's palette is its pixels' own. */
static int append_palette(const uint8_t (*palette)[3], uint32_t palette_count, struct bytes *file)
{
	return palette ? pack_png_chunks_append("PLTE", palette[0], 3 * palette_count, file) : 0;
}

static int pack_pixels(const struct pack_rules *rules, const struct png_header *header, const struct pixels *pixels,
                       const uint8_t (*palette)[3], uint32_t palette_count, uint32_t unit, struct packed_image *out)
{
	size_t row_bytes = 1 + (size_t)pixels->width_px * pixels->channels;
	uint64_t most_bytes = most_file_bytes((uint64_t)row_bytes * pixels->height_px, count_segments(unit, header));
	struct segment_table_header table = {0};
	struct pack_png_idat idat;
	int rc = pack_png_chunks_begin(header, &out->file);

	if (rc == 0)
		rc = append_palette(palette, palette_count, &out->file);
	if (rc < 0)
		return rc;
	table.head_bytes = table.data_at = (uint32_t)out->file.used_bytes;
	rc = pack_png_idat_open(&idat, rules, unit, header->height_px, row_bytes, most_bytes, out);
	if (rc == 0)
		rc = filter_rows(header, pixels->data, pixels->stride_bytes, &idat);
	if (rc == 0)
		rc = pack_png_chunks_append("IEND", (const uint8_t *)"", 0, &out->file);
	if (rc == 0)
		rc = describe(header, 1, &idat, &table, out);
	pack_png_idat_close(&idat);
	return rc;
}

int pack_png_from_pixels(const struct pack_rules *rules, const struct pixels *pixels, const uint8_t (*palette)[3],
                         uint32_t palette_count, struct packed_image *out)
{
	const struct png_header header = {.width_px = pixels->width_px,
	                                  .height_px = pixels->height_px,
	                                  .color = palette                 ? PNG_PALETTE
	                                           : pixels->channels == 3 ? PNG_RGB
	                                                                   : PNG_GRAY,
	                                  .sample_bits = 8,
	                                  .samples_per_px = pixels->channels};
	uint64_t source_bytes = (uint64_t)pixels->width_px * pixels->channels * pixels->height_px;
	uint32_t unit = choose_unit(rules, &header);
	int rc;

	if (unit > header.height_px)
		unit = header.height_px;
	rc = check_size(rules, &header, source_bytes, count_segments(unit, &header), out);
	if (rc == 0)
		rc = pack_pixels(rules, &header, pixels, palette, palette_count, unit, out);
	return conclude(rc, out);
}

uint64_t pack_png_memory_bytes(const struct pack_rules *rules, const uint8_t *head, size_t head_bytes, size_t source_bytes)
{
	struct png_header header;
	uint32_t unit;

	(void)png_chunks_header(head, head_bytes, &header); /* IHDR is enough */
	if (header.width_px == 0 || header.height_px == 0 || !is_readable(&header))
		return 0;
	unit = choose_unit(rules, &header);
	return unit >= header.height_px ? 0 : memory_bytes(&header, source_bytes, count_segments(unit, &header));
}
