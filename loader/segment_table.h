/*
 * segment_table.h - where in an image's file one can begin to decode: the plain struct between plan, which finds it in a pack, and
 * decode, which takes a region's segments by it; and its bytes, which `cropring pack` writes.
 *
 * A segment of a JPEG is a restart interval and the marker that ends it (RSTn or EOI), one of a PNG is the IDAT chunk of so many rows
 * that nothing before them is needed for.  Segments follow one another without a gap; none is empty.  The table:
 *
 *   offset  size                       what
 *   0       40                         struct segment_table_header
 *   40      per group                  SEGMENTS_OF_GROUP segments each, the last one filled up with zeros:
 *     0     4                            where the group's first segment begins, from header.data_at on
 *     4     length_bytes * 32            how long each segment is (uint16 or uint32)
 *     ...   2                            the low 16 bits of XXH3-64 of the group's bytes before, seeded with its number
 *
 * Little-endian.  A table is hostile: each number is looked at when it is used, and what is mapped may change in between.
 */
#ifndef CROPRING_SEGMENT_TABLE_H
#define CROPRING_SEGMENT_TABLE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "loader/file_bytes.h"

enum segment_kind { SEGMENT_NONE, SEGMENT_JPEG, SEGMENT_PNG };

enum { SEGMENTS_OF_GROUP = 32, SEGMENT_TABLE_VERSION = 1 };

#define SEGMENT_TABLE_MAGIC "segt"

struct segment_table_header {
	char magic[4];
	uint8_t version;
	uint8_t kind;         /* enum segment_kind */
	uint8_t length_bytes; /* 2 or 4 */
	uint8_t zero;

	/*
	 * All of the file's header that decoding takes: bytes 0 to before head_bytes, and from second_head_at on second_head_bytes more
	 * (0: there are none).  Put together they are a header of its own; what lies between is metadata.
	 */
	uint32_t head_bytes, second_head_at, second_head_bytes;
	uint32_t data_at;                     /* the first segment's first byte */
	uint32_t unit;                        /* JPEG: MCUs of a restart interval; PNG: rows of a segment */
	uint16_t mcu_width_px, mcu_height_px; /* JPEG; else 0 */
	uint32_t segment_count;
	uint32_t check; /* the low half of XXH3-64 of the header's bytes before */
};

_Static_assert(sizeof(struct segment_table_header) == 40, "the layout above");

/* A table, and the picture that it is about. */
struct segments {
	enum segment_kind kind; /* SEGMENT_NONE: there is no table */
	uint32_t width_px, height_px;
	uint8_t orientation, channels, sample_bits; /* as decode_probe() tells of the whole file */
	uint64_t file_bytes;

	struct segment_table_header header; /* a copy, looked at */
	const uint8_t *groups;              /* in the table */
};

/*
 * Takes the header of a table of table_bytes for an image of segments->file_bytes; the numbers of the picture are the caller's to set
 * before.  False: it is damaged, and kind is SEGMENT_NONE.  The table stays the caller's.
 */
bool segment_table_open(struct segments *segments, const uint8_t *table, size_t table_bytes);

/* The run of bytes from the first to before the last segment, looked at.  False: the table is damaged, or has no such segments. */
bool segment_table_run(const struct segments *segments, uint32_t begin, uint32_t end, struct file_run *run);

/* Of a whole table with this header. */
size_t segment_table_bytes(const struct segment_table_header *header);

/*
 * Appends a table to *table: `header` with what decides the segments, ends[i] is where segment i ends, from data_at on.  Magic,
 * version, length_bytes, segment_count and check are found here.  -ENOMEM; -EFBIG: beyond 4 GB.
 */
int segment_table_write(const struct segment_table_header *header, const uint64_t *ends, uint32_t segment_count,
                        struct bytes *table);

#endif
