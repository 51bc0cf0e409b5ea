/*
 * jpeg_index.h - stage 3 of 5, decode: where in a JPEG one can begin to decode, and a memory for that which all decode threads share.
 *
 * An index belongs to a file's bytes: it is looked up by the file's number, and used only where the file's bytes, up to the last
 * MCU row that is needed, have the checksum of those that it was made from.
 */
#ifndef CROPRING_JPEG_INDEX_H
#define CROPRING_JPEG_INDEX_H

#include "loader/decode/jpeg_header.h"
#include "loader/file_bytes.h"

enum { JPEG_MOST_DC = 2047 }; /* of a quantised coefficient, and of what it is predicted from, in an 8-bit picture */

/* Before an MCU. */
struct jpeg_checkpoint {
	uint32_t position; /* jpeg_bits.h */
	int16_t predictors[JPEG_MOST_COMPONENTS];
};

struct jpeg_index {
	struct jpeg_index *next; /* the store's, as the next one */
	uint32_t reference_count;
	uint64_t id;
	size_t file_bytes, scan_at;
	uint32_t checkpoints_per_row;
	uint32_t row_count, most_rows;        /* MCU rows that are noted, and room for */
	uint64_t *checksums;                  /* by row: of the file's bytes from the first to the row's last */
	struct jpeg_checkpoint checkpoints[]; /* row by row, and the end of the last row */
};

/* How many MCUs there are between two checkpoints of a row. */
uint32_t jpeg_index_stride_mcus(const struct jpeg_header *header);

/* Room for row_count rows, with those of `known` (or NULL) in it; free() it, or hand it to a store.  NULL: no memory, or too large. */
struct jpeg_index *jpeg_index_make(const struct file_bytes *file, const struct jpeg_header *header, uint32_t row_count,
                                   const struct jpeg_index *known);

/* The row's checkpoints; that of row_count is one alone: the end. */
struct jpeg_checkpoint *jpeg_index_row(struct jpeg_index *index, uint32_t row);

/* The row after the last one has all its checkpoints now. */
void jpeg_index_end_row(struct jpeg_index *index, const uint8_t *file);

/* The rows of the index before `row_count` were made from these bytes. */
bool jpeg_index_fits(const struct jpeg_index *index, const struct file_bytes *file, const struct jpeg_header *header,
                     uint32_t row_count);

/*
 * The memory.  Nothing is thrown out for something new: an epoch reads each file once, so what was not read for the longest time
 * comes next.  Any thread, at any time.
 */
struct jpeg_index_store;

/* The indexes of 170 gray pictures of 4000x4000, or of 1300 of 1920x1080 at 4:4:4. */
#define JPEG_INDEX_BUDGET_BYTES ((size_t)32 << 20)

/* Below this, what a splice costs by itself is no less than what it spares. */
#define JPEG_LEAST_GAIN_BYTES ((size_t)16 << 10)

/*
 * NULL: memory is short.  least_gain_bytes: a region is spliced, and an index made, where that spares libjpeg about so many bytes of
 * entropy-coded data.
 */
struct jpeg_index_store *jpeg_index_store_open(size_t budget_bytes, size_t least_gain_bytes);
void jpeg_index_store_close(struct jpeg_index_store *store); /* nothing of it is in use */

size_t jpeg_index_store_least_gain_bytes(const struct jpeg_index_store *store);

/* An index that may be read until it is given back; NULL: there is none. */
const struct jpeg_index *jpeg_index_acquire(struct jpeg_index_store *store, uint64_t id);
void jpeg_index_release(struct jpeg_index_store *store, const struct jpeg_index *index);

/* Takes over a new index in place of the file's last one, and lends it as jpeg_index_acquire() does. */
const struct jpeg_index *jpeg_index_keep(struct jpeg_index_store *store, struct jpeg_index *index);

#endif
