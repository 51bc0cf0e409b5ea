/*
 * jpeg_splice_internal.h - stage 3 of 5, decode: the two ways to splice a JPEG: jpeg_splice_index.c, jpeg_splice_restart.c.
 */
#ifndef CROPRING_JPEG_SPLICE_INTERNAL_H
#define CROPRING_JPEG_SPLICE_INTERNAL_H

#include "loader/decode/jpeg_splice.h"

enum { JPEG_MARKER_EOI = 0xd9 };

/* A splice of this cover spares libjpeg enough: so many bytes, and this part of those that it would go through. */
bool jpeg_splice_pays(const struct workspace *workspace, const struct jpeg_header *header, const struct jpeg_cover *cover,
                      const struct file_bytes *file, double least_part);

/* They widen the cover to where they can cut, and leave the spliced file in *splice.  False: as jpeg_splice(). */
bool jpeg_splice_by_restart_markers(struct workspace *workspace, const struct file_bytes *file, const struct jpeg_header *header,
                                    struct jpeg_cover *cover, struct file_bytes *splice);
bool jpeg_splice_by_index(struct workspace *workspace, const struct file_bytes *file, struct jpeg_header *header,
                          struct jpeg_cover *cover, struct file_bytes *splice);

#endif
