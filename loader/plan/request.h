/*
 * request.h - part of stage 1 of 5: what a reader asks for, as bytes: one request, one batch.
 *
 *   offset  size             what
 *   0       32               struct request_header
 *   32      48 * row_count   struct request_row, one for each row of the batch
 *   ...     text_bytes       paths, each NUL-terminated
 *
 * Little-endian.  A request that is not shaped like this ends the stream; a row that asks for what cannot be had fails alone.
 */
#ifndef CROPRING_REQUEST_H
#define CROPRING_REQUEST_H

#include <stdint.h>

#define REQUEST_MAGIC "cropreq1"

struct request_header {
	char magic[8];
	uint32_t row_count;      /* 0 to --batch-size */
	uint32_t epoch;          /* batch.epoch, and part of the counter of random numbers */
	uint64_t first_position; /* of row 0 in its epoch, for substitutes */
	uint64_t text_bytes;
};

#define REQUEST_NO_PATH    UINT32_MAX
#define REQUEST_USUAL_RULE UINT32_MAX

struct request_row {
	uint64_t sample;  /* number in the dataset; under --requests paths any, by which batch.index and --crashed know the row */
	uint64_t key;     /* of the random numbers of box and flip, see crop_ask */
	int64_t label;    /* under --requests paths; else the dataset's */
	uint32_t path_at; /* where in the text; REQUEST_NO_PATH: `sample` says which file */
	uint32_t rule;    /* enum crop_rule, or REQUEST_USUAL_RULE: that of --crop */
	union {
		int32_t box[4];  /* CROP_BOX: x, y, width, height */
		float window[3]; /* CROP_WINDOW: x, y, scale */
	};
};

_Static_assert(sizeof(struct request_header) == 32 && sizeof(struct request_row) == 48, "the layout above");

#endif
