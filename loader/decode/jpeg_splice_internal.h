/*
 * jpeg_splice_internal.h - stage 3 of 5, decode: the two ways to splice a JPEG: jpeg_splice_index.c, jpeg_splice_restart.c.
 */
#ifndef CROPRING_JPEG_SPLICE_INTERNAL_H
#define CROPRING_JPEG_SPLICE_INTERNAL_H

#include "loader/decode/jpeg_splice.h"

enum { JPEG_MARKER_EOI = 0xd9 };

/* MCUs from the first to before the end. */
struct jpeg_cover {
	uint32_t column_begin, column_end, row_begin, row_end;
};

/* Widens begin and end to multiples of a step, or to the last. */
static inline void jpeg_cover_widen(uint32_t *begin, uint32_t *end, uint32_t step, uint32_t last)
{
	*begin -= *begin % step;
	*end += step - 1 - (*end + step - 1) % step;
	if (*end > last)
		*end = last;
}

/* Pixels of the cover's picture; at the whole one's right and bottom edge it ends with that. */
uint32_t jpeg_cover_width_px(const struct jpeg_header *header, const struct jpeg_cover *cover);
uint32_t jpeg_cover_height_px(const struct jpeg_header *header, const struct jpeg_cover *cover);

/* A splice of this cover spares libjpeg enough: so many bytes, and this part of those that it would go through. */
bool jpeg_cover_pays(const struct workspace *workspace, const struct jpeg_header *header, const struct jpeg_cover *cover,
                     const struct file_bytes *file, double least_part);

/* They widen the cover to where they can cut, and leave the spliced file in *splice.  False: as jpeg_splice(). */
bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct jpeg_header *header,
                                    struct jpeg_cover *cover, struct file_bytes *splice);
bool jpeg_splice_by_index(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                          struct jpeg_cover *cover, struct file_bytes *splice);

#endif
