/*
 * pack_layout.h - part of stage 1 of 5: a pack as bytes; docs/pack-format.md has it in words.
 *
 *   offset    size             what
 *   0         4096             struct pack_header, and zeros
 *   4096      ...              images: each a whole file of its format, at a multiple of 64; behind it, at a multiple of 8, its segment
 *                              table (segment_table.h), if it has one
 *   index_at  index_bytes      the index (index_layout.h) with INDEX_OFFSET, INDEX_LENGTH and INDEX_IMAGE; the file ends with it
 *
 * With shards, NAME.pack holds header and index alone; the images are in NAME-00000.shard, NAME-00001.shard, ... beside it, which are
 * laid out in the same way and have no index; INDEX_SHARD tells which.
 *
 * Little-endian.  A pack appears under its name when it is whole; it is never changed after.
 */
#ifndef CROPRING_PACK_LAYOUT_H
#define CROPRING_PACK_LAYOUT_H

#include <stdint.h>

#define PACK_MAGIC "croppck1"

enum {
	PACK_HEADER_BYTES = 4096,
	PACK_IMAGE_ALIGNMENT = 64,
	PACK_TABLE_ALIGNMENT = 8,
	PACK_MOST_SHARDS = 100000, /* five digits number them */
};

#define PACK_NO_SHARD UINT32_MAX

struct pack_header {
	char magic[8];
	uint8_t id[16];        /* the same in all files of a pack, and in no other pack: XXH3-128 of what it was made of and how */
	uint32_t shard_count;  /* 0: the images are in this file */
	uint32_t shard_number; /* of a shard; else PACK_NO_SHARD */
	uint64_t file_bytes;   /* of this file, header and index included */
	uint64_t index_at, index_bytes; /* both 0 in a shard */
	uint64_t original_bytes;        /* of the files that the images were made of; 0 in a shard */
	uint32_t segment_px, png_rows;  /* how it was asked for, for people; 0: automatic */
	uint64_t check;                 /* XXH3-64 of the bytes before */
};

_Static_assert(sizeof(struct pack_header) == 80, "the layout above");

/* Where the table of an image lies. */
static inline uint64_t pack_table_at(uint64_t image_at, uint64_t image_bytes)
{
	return (image_at + image_bytes + PACK_TABLE_ALIGNMENT - 1) / PACK_TABLE_ALIGNMENT * PACK_TABLE_ALIGNMENT;
}

#endif
