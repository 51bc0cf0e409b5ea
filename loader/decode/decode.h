/*
 * decode.h - stage 3 of 5: compressed bytes and a wanted region in, the pixels of that region out.
 *
 * One decoder per thread: it owns the codec state and the scratch memory that it reuses from image to image.
 * No call ever trusts the bytes: limits are checked from the header before memory is spent.
 */
#ifndef CROPRING_DECODE_H
#define CROPRING_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/file_bytes.h"
#include "loader/item_status.h"
#include "loader/pixels.h"
#include "loader/segment_table.h"

enum image_format { IMAGE_UNKNOWN, IMAGE_JPEG, IMAGE_PNG, IMAGE_BMP, IMAGE_OTHER };

struct decode_limits {
	uint64_t max_pixels; /* width * height of the whole image */
	uint32_t timeout_ms; /* CPU time of the thread for one region, the last resort; not looked at for BMP; 0: none */
	struct jpeg_index_store *jpeg_indexes; /* shared by all decoders; NULL: regions of JPEGs are not spliced (jpeg_splice.h) */
	struct segment_store *segment_store;   /* as well: which segments files have (segment_store.h); NULL: nothing is kept of that */
};

/* What the header tells, before any pixel is decoded. */
struct image_info {
	enum image_format format;
	uint32_t width_px, height_px; /* as stored, before any EXIF rotation */
	uint8_t orientation;          /* EXIF tag 0x0112: 1 to 8, 1 when absent or invalid (JPEG and PNG eXIf) */
	uint8_t channels;             /* as stored, alpha included where it is told: 1 is gray or a palette */
	uint8_t sample_bits;          /* of each channel as stored; 8 for colours of fewer bits */
};

struct decode_want {
	struct box region;      /* in the pixels of the stored image, at scale_eighths of its size */
	uint32_t channels;      /* 3: RGB, 1: luma (of a colour JPEG its luma plane; else Pillow's convert("L")) */
	uint32_t scale_eighths; /* 8: full size; 1 to 7: DCT-domain reduction, JPEG only */

	/*
	 * The stored values and not the colours that they stand for, of pictures of one channel: palette indexes, and gray as Pillow's
	 * modes "1" (0 and 1), "L" (of 2 and 4 bits: times 85 and 17) and "I;16" have it.  Then `channels` are the bytes of a value:
	 * 2, in the machine's order, if sample_bits is 16, else 1.
	 */
	bool as_stored;
};

/*
 * Where a region's rows go as they are decoded: from the top down in bands, each of the region's whole width and valid during the
 * call only.  first_row counts from the region's top; at 0 it begins anew, which happens when a quick way through the file fails
 * and another one is tried.  take() cannot fail, and what it has been given is no picture until decode_rows() says so.
 */
struct decode_sink {
	void (*take)(void *context, uint32_t first_row, const struct pixels *rows);
	void *context;
	size_t kept_bytes; /* what it spends on keeping the region, if it does: counts towards DECODE_MAX_BYTES */
};

/*
 * What one file may take where its format gives no row before all of it is decoded: interlaced PNG, run-length encoded BMP, JPEG of
 * several scans.  All others are decoded in a few MB.
 */
#define DECODE_MAX_BYTES ((size_t)208 << 20)

struct decoder;

/* NULL when memory is short. */
struct decoder *decoder_open(const struct decode_limits *limits);
void decoder_close(struct decoder *decoder);

/* Reads the header only, which lies before any gap.  ITEM_OK fills *info. */
enum item_status decode_probe(struct decoder *decoder, const struct file_bytes *file, struct image_info *info);

/*
 * Decodes want->region of the image that decode_probe() described, into the sink.  Pixels equal those of a full decode by Pillow,
 * converted to "RGB" or "L", then cropped.
 */
enum item_status decode_rows(struct decoder *decoder, const struct file_bytes *file, const struct image_info *info,
                             const struct decode_want *want, const struct decode_sink *sink);

/*
 * The same for who wants the region as a whole.  On ITEM_OK *out is exactly its size, to be read only, and valid until the decoder's
 * next call.
 */
enum item_status decode_region(struct decoder *decoder, const struct file_bytes *file, const struct image_info *info,
                               const struct decode_want *want, struct pixels *out);

/*
 * What of a file must be there for decode_rows() beyond its first bytes, which are at hand.  False: the whole file, because
 * its format has no rows to pick, the head is too short or faulty, or nothing would be saved.  True: *part, which is one run
 * of bytes from the head's end on or later, or rows, the first of which may lie in the head; row_count 0: the head is enough.
 * Both need no decoder and spend no memory; any thread.
 */
bool decode_part_probe(const struct file_bytes *head, const struct decode_limits *limits, struct image_info *info);
bool decode_part(const struct file_bytes *head, const struct image_info *info, const struct decode_want *want,
                 struct file_part *part);

/*
 * What decode_rows() takes of an image that has segments: it, decode_probe() and decode_region() then want a file_bytes_in_runs().
 * False: all of its bytes, for little would be won, or memory is short.  True: *runs, from malloc.  Needs no decoder; any thread.
 */
bool decode_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **runs);

/*
 * The same of a loose file whose segments were kept (limits->segment_store).  False as well where decode_rows() of the whole file would not
 * go by them, and so look at more of it: what is told of a damaged file does not depend on earlier visits.
 */
bool decode_runs_again(const struct segments *segments, const struct decode_limits *limits, const struct decode_want *want,
                       struct file_runs **runs);

/* What decode_probe() would tell of an image that a pack knows. */
void decode_describe(const struct segments *segments, struct image_info *info);

/* The last failure in the codec's own words ("premature end of JPEG file"), or "" when there is nothing to add. */
const char *decoder_reason(const struct decoder *decoder);

/* One axis of a JPEG decoded at eighths/8 of its size: ceil(full_px * eighths / 8), as libjpeg computes it. */
static inline uint32_t decode_scaled_px(uint32_t full_px, uint32_t eighths)
{
	return (uint32_t)(((uint64_t)full_px * eighths + 7) / 8);
}

#endif
