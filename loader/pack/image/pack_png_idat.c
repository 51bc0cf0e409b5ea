/* Part of `cropring pack`: a PNG's filtered rows in, its IDAT chunks out.  Any thread. */
#include "loader/pack/image/pack_png_idat.h"

#include "loader/decode/png_unfilter.h"
#include "loader/pack/image/pack_png_source.h"

enum { BUFFER_BYTES = 1 << 16, WINDOW_BITS = 15, MEMORY_LEVEL = 9 };
#define DEFLATE_BYTES   (((uint64_t)1 << (WINDOW_BITS + 2)) + ((uint64_t)1 << (MEMORY_LEVEL + 9)) + 8192) /* zconf.h */
#define MOST_DATA_BYTES 0x7fffffffu

uint64_t pack_png_idat_memory_bytes(uint32_t segment_count)
{
	return BUFFER_BYTES + DEFLATE_BYTES + segment_count * (uint64_t)sizeof(uint64_t);
}

int pack_png_idat_open(struct pack_png_idat *idat, const struct pack_rules *rules, uint32_t unit, uint32_t height_px,
                       size_t row_bytes, size_t most_bytes, struct packed_image *out)
{
	*idat = (struct pack_png_idat){.out = out,
	                               .most_bytes = most_bytes,
	                               .unit = unit,
	                               .height_px = height_px,
	                               .row_bytes = row_bytes,
	                               .level = (int)rules->png_level,
	                               .data_at = out->file.used_bytes};
	if (deflateInit2(&idat->stream, idat->level, Z_DEFLATED, WINDOW_BITS, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	idat->buffer = malloc(BUFFER_BYTES);
	idat->ends = calloc((height_px - 1) / unit + 1, sizeof *idat->ends);
	return idat->buffer && idat->ends ? 0 : -ENOMEM;
}

void pack_png_idat_close(struct pack_png_idat *idat)
{
	(void)deflateEnd(&idat->stream); /* which may have been left in the middle, and says so */
	free(idat->buffer);
	free(idat->ends);
}

static int append(struct pack_png_idat *idat, const void *data, size_t byte_count)
{
	struct bytes *file = &idat->out->file;

	if (byte_count > idat->most_bytes - file->used_bytes)
		return pack_png_refuse(idat->out, PACK_LARGE, "more than twice as large in segments");
	return bytes_append(file, data, byte_count);
}

static int deflate_all(struct pack_png_idat *idat, int flush)
{
	z_stream *stream = &idat->stream;
	int rc;

	do {
		stream->next_out = idat->buffer;
		stream->avail_out = BUFFER_BYTES;
		(void)deflate(stream, flush); /* whose one other result here is that there was nothing to do */
		rc = append(idat, idat->buffer, BUFFER_BYTES - stream->avail_out);
	} while (rc == 0 && stream->avail_out == 0);
	return rc;
}

/*
 * How deflate goes about rows of which these are the first: strings of up to 5 bytes are worth nothing to it where most are filtered,
 * which saves 3 to 6 % of photographs; where most are not, that would cost 10 % (a palette of 200 colours).  libpng chooses alike.
 */
static void choose_strategy(struct pack_png_idat *idat, const uint8_t *rows, uint32_t row_count)
{
	uint32_t filtered_count = 0;

	for (uint32_t i = 0; i < row_count; i++)
		filtered_count += rows[i * idat->row_bytes] != PNG_FILTERED_NONE;
	idat->stream.avail_in = 0;
	idat->stream.next_out = idat->buffer;
	idat->stream.avail_out = BUFFER_BYTES; /* of which nothing is used, for all has been flushed */
	(void)deflateParams(&idat->stream, idat->level, 2 * filtered_count > row_count ? Z_FILTERED : Z_DEFAULT_STRATEGY);
}

static void put_number(char *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (char)(number >> (24 - 8 * i));
}

static int begin_chunk(struct pack_png_idat *idat)
{
	idat->chunk_at = idat->out->file.used_bytes;
	return append(idat, "\0\0\0\0IDAT", 8);
}

static int end_chunk(struct pack_png_idat *idat)
{
	char *chunk = idat->out->file.data + idat->chunk_at, crc[4];
	size_t data_bytes = idat->out->file.used_bytes - idat->chunk_at - 8;
	int rc;

	if (data_bytes > MOST_DATA_BYTES)
		return pack_png_refuse(idat->out, PACK_LARGE, "a segment of over 2 GB");
	put_number(chunk, (uint32_t)data_bytes);
	put_number(crc, (uint32_t)crc32_z(0, (const Bytef *)chunk + 4, 4 + data_bytes));
	rc = append(idat, crc, sizeof crc);
	idat->ends[idat->segment_count++] = idat->out->file.used_bytes - idat->data_at;
	return rc;
}

int pack_png_idat_add(struct pack_png_idat *idat, const uint8_t *rows, uint32_t row_count)
{
	int rc = 0;

	while (rc == 0 && row_count > 0) {
		uint32_t left = idat->unit - idat->row % idat->unit, now = row_count < left ? row_count : left;
		bool is_end = now == left || now == idat->height_px - idat->row;
		bool is_all = idat->row + now == idat->height_px;

		if (idat->row % idat->unit == 0) {
			choose_strategy(idat, rows, now);
			rc = begin_chunk(idat);
		}
		idat->stream.next_in = (Bytef *)(uintptr_t)rows; /* zlib only reads it */
		idat->stream.avail_in = (uInt)(now * idat->row_bytes);
		if (rc == 0)
			rc = deflate_all(idat, is_all ? Z_FINISH : is_end ? Z_FULL_FLUSH : Z_NO_FLUSH);
		if (rc == 0 && is_end)
			rc = end_chunk(idat);
		idat->row += now;
		rows += now * idat->row_bytes;
		row_count -= now;
	}
	return rc;
}
