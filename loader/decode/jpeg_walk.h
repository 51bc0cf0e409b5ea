/*
 * jpeg_walk.h - stage 3 of 5, decode: walks through a JPEG's entropy-coded data without decoding it, and notes on the way where
 * one can begin to decode.
 */
#ifndef CROPRING_JPEG_WALK_H
#define CROPRING_JPEG_WALK_H

#include "loader/decode/jpeg_huffman.h"
#include "loader/decode/jpeg_index.h"

/* The codes of a scan, and which of them each block of an MCU uses. */
struct jpeg_scan {
	struct jpeg_codes dc[JPEG_MOST_TABLES], ac[JPEG_MOST_TABLES];
	uint32_t component_count, block_count;
	struct jpeg_scan_block {
		uint8_t component, dc_table, ac_table;
		bool is_first; /* of its component */
	} blocks[JPEG_MOST_BLOCKS];
};

/* False: a table that is not used by any 8-bit picture. */
bool jpeg_scan_read(const struct jpeg_header *header, struct jpeg_scan *scan);

/*
 * Walks to the end of MCU row row_count - 1, or to the last one before damage, from the end of what `known` has (NULL: from the
 * start).  NULL: memory is short, or the index would be large beside the file.
 */
struct jpeg_index *jpeg_walk(const struct file_bytes *file, const struct jpeg_header *header, const struct jpeg_scan *scan,
                             const struct jpeg_index *known, uint32_t row_count);

/*
 * Goes from one checkpoint to the one `count` MCUs on, code by code: for stretches too short to make tables for.  Positions count from
 * `bytes` on.  False: damage.
 */
bool jpeg_walk_mcus(const struct jpeg_scan *scan, const uint8_t *bytes, const uint8_t *end, uint32_t count,
                    struct jpeg_checkpoint *at);

#endif
