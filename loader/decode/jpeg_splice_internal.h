/*
 * jpeg_splice_internal.h - stage 3 of 5, decode: what the ways to splice a JPEG share: by restart intervals that are found in the file
 * (jpeg_splice_restart.c) or by a table (jpeg_segments.c), and by an index (jpeg_splice_index.c).
 */
#ifndef CROPRING_JPEG_SPLICE_INTERNAL_H
#define CROPRING_JPEG_SPLICE_INTERNAL_H

#include "loader/decode/jpeg_splice.h"

enum { JPEG_MARKER_RST0 = 0xd0, JPEG_MARKER_EOI = 0xd9 };

/* A splice of this cover spares libjpeg enough: so many bytes of the scan's, and this part of those that it would go through. */
bool jpeg_splice_pays(const struct jpeg_grid *grid, const struct jpeg_cover *cover, uint64_t scan_bytes, size_t least_gain_bytes,
                      double least_part);

/* The same of one by restart intervals, to whose ends the cover is widened where they can be copied. */
bool jpeg_splice_by_restarts_pays(const struct jpeg_grid *grid, struct jpeg_cover *cover, uint64_t scan_bytes,
                                  size_t least_gain_bytes);

/* The entropy-coded data of a restart interval, behind which its marker lies. */
struct jpeg_interval {
	const uint8_t *bytes;
	size_t byte_count;
};

static inline const uint8_t *jpeg_interval_end(const struct jpeg_interval *interval)
{
	return interval->bytes + interval->byte_count + 2;
}

/* What ends it; `count`: how many there are in the picture. */
static inline uint8_t jpeg_interval_marker(uint32_t number, uint32_t count)
{
	return number == count - 1 ? JPEG_MARKER_EOI : (uint8_t)(JPEG_MARKER_RST0 + number % 8);
}

/*
 * Who knows where intervals lie.  It is asked for them in the order of their numbers, hands out bytes that do not overlap, and has seen
 * that the marker behind each is the one that its number says.
 */
struct jpeg_intervals {
	enum item_status (*find)(void *context, uint32_t number, struct jpeg_interval *interval);
	void *context;
	size_t byte_count; /* that there are, markers included */
};

/*
 * The spliced file of a cover, which is widened to where intervals can be copied, in *splice.  `head`: the file's bytes up to its scan.
 * ITEM_CORRUPT: codes that are none, or that are not as long as their interval.
 */
enum item_status jpeg_splice_intervals(struct workspace *workspace, const uint8_t *head, struct jpeg_header *header,
                                       struct jpeg_cover *cover, const struct jpeg_intervals *intervals, struct file_bytes *splice);

/* They widen the cover to where they can cut, and leave the spliced file in *splice.  False: as jpeg_splice(). */
bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                    struct jpeg_header *header, struct jpeg_cover *cover, struct file_bytes *splice);
bool jpeg_splice_by_index(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                          struct jpeg_cover *cover, struct file_bytes *splice);

/* What to ask of a cover's picture, to get what is wanted of the whole one. */
void jpeg_splice_describe(const struct jpeg_grid *grid, const struct jpeg_cover *cover, const struct image_info *info,
                          const struct decode_want *want, struct jpeg_splice *splice);

#endif
