/*
 * index_layout.h - the list of samples as bytes: what every source becomes, what the worker reads, and what Python maps for .classes,
 * .class_to_idx and .paths.
 *
 *   offset  size                      what
 *   0       128                       struct index_header
 *   128     per column                the columns that header.columns names, in the order of enum index_column, sample_count values
 *                                     each; every column begins at a multiple of 8
 *   ...     8 * class_count           where each class name begins in the text
 *   ...     text_bytes                strings, each NUL-terminated: class names, paths, and, at root_at, the root folder as it was
 *                                     named; paths are relative to it
 *   ...     stamp_bytes               only in a file of --index: what the source looked like (see index_stamp.h)
 *
 * Little-endian, as all machines that this is built for.
 */
#ifndef CROPRING_INDEX_LAYOUT_H
#define CROPRING_INDEX_LAYOUT_H

#include <stdint.h>

#define INDEX_MAGIC "cropidx1"

/* A column that is not there means: the whole file, no box, no target, all weights alike. */
enum index_column {
	INDEX_PATH,          /* uint64: where the path begins in the text; samples of one file may share it */
	INDEX_LABEL,         /* int64; -1: none */
	INDEX_OFFSET,        /* uint64: where the image begins in its file */
	INDEX_LENGTH,        /* uint64: its bytes; there together with INDEX_OFFSET */
	INDEX_BOX,           /* int32[4]: x, y, width, height in pixels */
	INDEX_WINDOW,        /* float[3]: x, y, scale in [0, 1]; never beside INDEX_BOX */
	INDEX_TARGET,        /* uint64: the path of the target, as INDEX_PATH */
	INDEX_TARGET_OFFSET, /* uint64 */
	INDEX_TARGET_LENGTH, /* uint64; there together with INDEX_TARGET_OFFSET */
	INDEX_WEIGHT,        /* double, >= 0 and finite, not all 0 */

	/* Of a pack only (plan/pack/pack_layout.h): there INDEX_PATH and INDEX_TARGET are mere names, of what was packed. */
	INDEX_IMAGE,        /* struct index_image */
	INDEX_TARGET_IMAGE, /* struct index_image; there together with INDEX_TARGET_OFFSET */
	INDEX_SHARD,        /* uint64: in which of the pack's shards image and target lie; not there: the pack has none */
	INDEX_COLUMN_COUNT
};

#define INDEX_HAS(column) (1u << (column))

/* What need not be read of an image's file any more.  Of one that cannot be decoded all is 0 but the checksum. */
struct index_image {
	uint32_t width_px, height_px;
	uint8_t format;                             /* 1: JPEG, 2: PNG, 3: BMP; 0: another, or damaged */
	uint8_t orientation, channels, sample_bits; /* as struct image_info has them */
	uint32_t segments_bytes;                    /* of its segment table, which lies behind it; 0: there is none */
	uint64_t checksum;                          /* XXH3-64 of the image's bytes */
};

_Static_assert(sizeof(struct index_image) == 24, "packed");

struct index_header {
	char magic[8];
	uint32_t columns; /* a bit for each: INDEX_HAS(); INDEX_PATH and INDEX_LABEL are always there */
	uint32_t reserved;
	uint64_t sample_count, class_count, text_bytes, root_at, stamp_bytes;
	uint8_t fingerprint[16]; /* XXH3-128 (canonical) of all that follows the header but the root and the stamps, seeded with the
	                            columns and counts: the same samples in the same order, wherever they lie */
	uint8_t unused[56];
};

_Static_assert(sizeof(struct index_header) == 128, "the layout above");

/* Bytes of one value. */
static inline uint32_t index_value_bytes(enum index_column column)
{
	switch (column) {
	case INDEX_IMAGE:
	case INDEX_TARGET_IMAGE:
		return sizeof(struct index_image);
	case INDEX_BOX:
		return 16;
	case INDEX_WINDOW:
		return 12;
	default:
		return 8;
	}
}

#endif
