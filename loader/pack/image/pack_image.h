/*
 * pack_image.h - part of `cropring pack`: an image's file in; the same picture, to the pixel, as a file with segments out.
 *
 * Pure: the same bytes and rules give the same result, on any thread and machine with the same libraries.
 */
#ifndef CROPRING_PACK_IMAGE_H
#define CROPRING_PACK_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "loader/plan/index/index_layout.h"

enum pack_verify { PACK_VERIFY_ALL, PACK_VERIFY_SAMPLE, PACK_VERIFY_NONE }; /* in the order of --verify */

struct pack_rules {
	uint32_t segment_px; /* JPEG: about so wide a segment; 0: from the picture's size; PACK_NO_SEGMENTS: none */
	uint32_t png_rows;   /* PNG: rows of a segment; 0 and PACK_NO_SEGMENTS as above */
	uint32_t png_level;  /* zlib's, 1 to 9 */
	bool keep_metadata;  /* EXIF, ICC, comments, text; without it the EXIF orientation alone stays */
	bool bmp_to_png;
	uint64_t max_pixels, most_memory_bytes; /* what is larger, or takes more to be taken apart, is stored as it is */
};

#define PACK_NO_SEGMENTS UINT32_MAX

/* What became of an image; all but the first two mean that its file is stored byte for byte. */
enum pack_outcome {
	PACK_SEGMENTED,   /* in segments, or as a PNG, in as few as one */
	PACK_SMALL,       /* nothing would be won by segments; stored anew if that is smaller (packed_image.is_source) */
	PACK_BMP,         /* rows of a BMP can be read as they are */
	PACK_UNSUPPORTED, /* of a kind that is not read, or not an image */
	PACK_DAMAGED,     /* not decodable: it stays the bad sample that it is */
	PACK_KIND,        /* of a kind that cannot be taken apart without loss: `reason` says which */
	PACK_LARGE,       /* over a limit */
	PACK_DIFFERENT,   /* the packed file's pixels would not be the source's: found by verifying */
	PACK_OUTCOME_COUNT
};

struct packed_image {
	struct bytes file, table; /* file: what is stored, if it is not the source's own bytes; table: its segments, or empty */
	bool is_source;           /* the source's bytes are stored, and `file` is empty */
	struct index_image image; /* all but the checksum */
	enum pack_outcome outcome;
	char reason[160]; /* of a PACK_KIND, PACK_DAMAGED, PACK_LARGE or PACK_DIFFERENT, in a few words for a list of counts */
};

struct pack_worker; /* one per thread */

struct pack_worker *pack_worker_open(const struct pack_rules *rules); /* NULL: memory is short */
void pack_worker_close(struct pack_worker *worker);

/*
 * *out is to be closed after each call, and may be used again.  verify: whether pixels and segments of what was converted are compared
 * with the source's.  -ENOMEM; whatever is wrong with the image is an outcome.
 */
int pack_image(struct pack_worker *worker, const uint8_t *source, size_t source_bytes, bool verify, struct packed_image *out);
void packed_image_close(struct packed_image *image);

/*
 * Memory that pack_image() will take for this file at most, beside its own bytes; from its first bytes, or all of them: for a bound on
 * all threads together.
 */
uint64_t pack_image_memory_bytes(const struct pack_rules *rules, const uint8_t *head, size_t head_bytes, size_t source_bytes);

/* "segmented", "small", "BMP", ...: for the list of counts. */
const char *pack_outcome_name(enum pack_outcome outcome);

#endif
