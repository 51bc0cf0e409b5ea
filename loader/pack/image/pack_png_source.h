/*
 * pack_png_source.h - part of `cropring pack`: a PNG's bytes (hostile) in, its chunks, all of them looked at, and its filtered rows out.
 *
 * Strict: what libpng would warn of among the chunks that make the picture is refused.  Chunks: PNG 3rd edition, section 5.
 */
#ifndef CROPRING_PACK_PNG_SOURCE_H
#define CROPRING_PACK_PNG_SOURCE_H

#include <zlib.h>

#include "loader/decode/png_chunks.h"
#include "loader/pack/image/pack_image.h"

enum { PNG_SIGNATURE_BYTES = 8, PNG_CHUNK_BYTES = 12 }; /* of a chunk without data */

struct pack_png_source {
	const uint8_t *bytes;
	size_t byte_count;
	struct png_header header;
	size_t pixels_at, pixels_end; /* the IDAT chunks */
	size_t end_at;                /* the byte after IEND */
	uint8_t orientation;
};

struct pack_png_chunk {
	const uint8_t *begin, *type, *data;
	uint32_t data_bytes;
	size_t whole_bytes;
};

/* 0; -EBADMSG after pack_png_refuse(). */
int pack_png_source_look(struct pack_png_source *source, const uint8_t *bytes, size_t byte_count, struct packed_image *out);

/* The chunk at `at`.  False: the file ends before it does. */
bool pack_png_chunk_at(const uint8_t *bytes, size_t byte_count, size_t at, struct pack_png_chunk *chunk);

static inline bool pack_png_is(const struct pack_png_chunk *chunk, const char *type)
{
	return memcmp(chunk->type, type, 4) == 0;
}

/* Of a row's samples, of so many pixels. */
static inline size_t pack_png_row_bytes(const struct png_header *header, uint32_t width_px)
{
	return ((uint64_t)width_px * header->sample_bits * header->samples_per_px + 7) / 8;
}

/* How far apart filters look: pixels of less than a byte count as one. */
static inline uint32_t pack_png_px_bytes(const struct png_header *header)
{
	uint32_t px_bits = header->sample_bits * header->samples_per_px;

	return px_bits < 8 ? 1 : px_bits / 8;
}

/* The rows as they stand in the file, one after another. */
struct pack_png_rows {
	const struct pack_png_source *source;
	size_t next_at; /* the next IDAT chunk */
	z_stream stream;
	bool has_ended;
	struct packed_image *out;
};

/* All: 0, -ENOMEM, or -EBADMSG after pack_png_refuse(). */
int pack_png_rows_open(struct pack_png_rows *rows, const struct pack_png_source *source, struct packed_image *out);
int pack_png_rows_read(struct pack_png_rows *rows, uint8_t *to, uint32_t byte_count);
int pack_png_rows_finish(struct pack_png_rows *rows); /* after the last row: nothing follows, and Adler-32 is right */
void pack_png_rows_close(struct pack_png_rows *rows);

/* Rows [0, row_count) have filters that there are, each row_bytes apart. */
int pack_png_check_filters(const uint8_t *rows, uint32_t row_count, size_t row_bytes, struct packed_image *out);

/* Says why a picture is stored as it is.  Always -EBADMSG. */
__attribute__((format(printf, 3, 4))) int pack_png_refuse(struct packed_image *out, enum pack_outcome outcome, const char *format,
                                                          ...);

#endif
