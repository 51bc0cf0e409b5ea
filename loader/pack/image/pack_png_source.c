/* Part of `cropring pack`: a PNG's bytes in, its chunks, looked at, and its filtered rows out.  Any thread. */
#include "loader/pack/image/pack_png_source.h"

#include <stdarg.h>
#include <stdio.h>

#include "loader/decode/png_unfilter.h"

#define MOST_DATA_BYTES 0x7fffffffu /* of a chunk */

int pack_png_refuse(struct packed_image *out, enum pack_outcome outcome, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(out->reason, sizeof out->reason, format, arguments);
	va_end(arguments);
	out->outcome = outcome;
	return -EBADMSG;
}

static uint32_t read_number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

bool pack_png_chunk_at(const uint8_t *bytes, size_t byte_count, size_t at, struct pack_png_chunk *chunk)
{
	if (at > byte_count || byte_count - at < PNG_CHUNK_BYTES)
		return false;
	*chunk = (struct pack_png_chunk){
		.begin = bytes + at, .type = bytes + at + 4, .data = bytes + at + 8, .data_bytes = read_number(bytes + at)};
	chunk->whole_bytes = PNG_CHUNK_BYTES + (size_t)chunk->data_bytes;
	return chunk->data_bytes <= MOST_DATA_BYTES && chunk->whole_bytes <= byte_count - at;
}

static bool crc_is_right(const struct pack_png_chunk *chunk)
{
	return crc32_z(0, chunk->type, 4 + (size_t)chunk->data_bytes) == read_number(chunk->data + chunk->data_bytes);
}

/* Section 11.3.1.1.  Where it stands among the others is the caller's to know. */
static bool is_transparency(const struct pack_png_chunk *chunk, const struct png_header *header)
{
	switch (header->color) {
	case PNG_GRAY:
		return chunk->data_bytes == 2;
	case PNG_RGB:
		return chunk->data_bytes == 6;
	case PNG_PALETTE:
		return chunk->data_bytes >= 1 && chunk->data_bytes <= header->palette_count;
	default:
		return false;
	}
}

enum place { BEFORE_PIXELS, IN_PIXELS, AFTER_PIXELS };

struct walk {
	struct pack_png_source *source;
	struct packed_image *out;
	enum place place;
	bool has_palette, has_transparency;
};

static int look_at_transparency(struct walk *walk, const struct pack_png_chunk *chunk)
{
	bool is_in_place = walk->place == BEFORE_PIXELS && !walk->has_transparency &&
	                   (walk->has_palette || walk->source->header.color != PNG_PALETTE);

	if (!is_in_place || !is_transparency(chunk, &walk->source->header))
		return pack_png_refuse(walk->out, PACK_DAMAGED, "a tRNS chunk that does not fit the picture");
	walk->has_transparency = true;
	return 0;
}

/* Any chunk but IEND; png_chunks_header() has seen those before the pixels. */
static int look_at_chunk(struct walk *walk, const struct pack_png_chunk *chunk)
{
	size_t at = (size_t)(chunk->begin - walk->source->bytes);

	if (!crc_is_right(chunk))
		return pack_png_refuse(walk->out, PACK_DAMAGED, "a chunk's CRC is wrong");
	if (pack_png_is(chunk, "IDAT")) {
		if (walk->place == AFTER_PIXELS)
			return pack_png_refuse(walk->out, PACK_DAMAGED, "IDAT chunks that are not together");
		walk->place = IN_PIXELS;
		walk->source->pixels_end = at + chunk->whole_bytes;
		return 0;
	}
	if (walk->place == IN_PIXELS)
		walk->place = AFTER_PIXELS;
	if (walk->place == AFTER_PIXELS && !(chunk->type[0] & 0x20))
		return pack_png_refuse(walk->out, PACK_DAMAGED, "a chunk after the pixels that must not be there");
	if (pack_png_is(chunk, "PLTE"))
		walk->has_palette = true;
	if (pack_png_is(chunk, "acTL"))
		return pack_png_refuse(walk->out, PACK_KIND, "an animated PNG");
	return pack_png_is(chunk, "tRNS") ? look_at_transparency(walk, chunk) : 0;
}

int pack_png_source_look(struct pack_png_source *source, const uint8_t *bytes, size_t byte_count, struct packed_image *out)
{
	struct walk walk = {.source = source, .out = out};
	struct pack_png_chunk chunk;

	*source = (struct pack_png_source){.bytes = bytes, .byte_count = byte_count};
	if (!png_chunks_header(bytes, byte_count, &source->header))
		return pack_png_refuse(out, PACK_DAMAGED, "a PNG header that is damaged or odd");
	source->pixels_at = source->header.idat_at;
	for (size_t at = PNG_SIGNATURE_BYTES;; at += chunk.whole_bytes) {
		int rc;

		if (!pack_png_chunk_at(bytes, byte_count, at, &chunk))
			return pack_png_refuse(out, PACK_DAMAGED, "a PNG that is cut off");
		if (pack_png_is(&chunk, "IEND"))
			break;
		rc = look_at_chunk(&walk, &chunk);
		if (rc < 0)
			return rc;
	}
	if (chunk.data_bytes > 0 || !crc_is_right(&chunk))
		return pack_png_refuse(out, PACK_DAMAGED, "an IEND chunk that is damaged");
	source->end_at = (size_t)(chunk.begin - bytes) + chunk.whole_bytes;
	source->orientation = png_chunks_orientation(bytes, byte_count);
	return 0;
}

int pack_png_rows_open(struct pack_png_rows *rows, const struct pack_png_source *source, struct packed_image *out)
{
	*rows = (struct pack_png_rows){.source = source, .next_at = source->pixels_at, .out = out};
	return inflateInit2(&rows->stream, 0) == Z_OK ? 0 : -ENOMEM; /* 0: the window that zlib's header says */
}

void pack_png_rows_close(struct pack_png_rows *rows)
{
	(void)inflateEnd(&rows->stream); /* which may not be open, and says so */
}

/* The next IDAT chunk's bytes.  False: there is none. */
static bool feed(struct pack_png_rows *rows)
{
	const struct pack_png_source *source = rows->source;
	struct pack_png_chunk chunk;

	if (rows->next_at >= source->pixels_end || !pack_png_chunk_at(source->bytes, source->byte_count, rows->next_at, &chunk))
		return false;
	rows->next_at += chunk.whole_bytes;
	rows->stream.next_in = (Bytef *)(uintptr_t)chunk.data; /* zlib only reads it */
	rows->stream.avail_in = chunk.data_bytes;
	return true;
}

/* Until stream.avail_out bytes are there, or the stream has ended. */
static int inflate_some(struct pack_png_rows *rows)
{
	z_stream *stream = &rows->stream;

	while (stream->avail_out > 0 && !rows->has_ended) {
		int rc;

		while (stream->avail_in == 0) {
			if (!feed(rows))
				return pack_png_refuse(rows->out, PACK_DAMAGED, "pixels that are cut off");
		}
		rc = inflate(stream, Z_NO_FLUSH);
		if (rc == Z_MEM_ERROR)
			return -ENOMEM;
		if (rc != Z_OK && rc != Z_BUF_ERROR && rc != Z_STREAM_END)
			return pack_png_refuse(rows->out, PACK_DAMAGED, "pixels that are damaged: %s",
			                       stream->msg ? stream->msg : "a dictionary is asked for");
		rows->has_ended = rc == Z_STREAM_END;
	}
	return 0;
}

int pack_png_rows_read(struct pack_png_rows *rows, uint8_t *to, uint32_t byte_count)
{
	int rc;

	rows->stream.next_out = to;
	rows->stream.avail_out = byte_count;
	rc = inflate_some(rows);
	if (rc == 0 && rows->stream.avail_out > 0)
		rc = pack_png_refuse(rows->out, PACK_DAMAGED, "fewer pixels than the header says");
	return rc;
}

int pack_png_rows_finish(struct pack_png_rows *rows)
{
	z_stream *stream = &rows->stream;
	uint8_t surplus;
	int rc;

	stream->next_out = &surplus;
	stream->avail_out = 1;
	rc = inflate_some(rows);
	if (rc < 0)
		return rc;
	while (stream->avail_in == 0 && feed(rows))
		;
	if (stream->avail_out == 0 || stream->avail_in > 0)
		return pack_png_refuse(rows->out, PACK_DAMAGED, "data after the last row");
	return 0;
}

int pack_png_check_filters(const uint8_t *rows, uint32_t row_count, size_t row_bytes, struct packed_image *out)
{
	for (uint32_t i = 0; i < row_count; i++) {
		if (rows[i * row_bytes] > PNG_FILTERED_PAETH)
			return pack_png_refuse(out, PACK_DAMAGED, "a row's filter is one that there is not");
	}
	return 0;
}
