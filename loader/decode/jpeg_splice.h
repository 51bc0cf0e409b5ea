/*
 * jpeg_splice.h - stage 3 of 5, decode: a JPEG and a region in, a smaller JPEG with that region out, made without decoding anything.
 *
 * It has the region's MCUs and those beside them that upsampling looks at (jpeg_grid_cover()): so it gives the same pixels.
 */
#ifndef CROPRING_JPEG_SPLICE_H
#define CROPRING_JPEG_SPLICE_H

#include "loader/decode/jpeg_index.h"
#include "loader/decode/workspace.h"

/* The smaller JPEG, in the workspace's memory, and what to ask of it: decode_jpeg_rows()'s arguments. */
struct jpeg_splice {
	struct file_bytes file;
	struct image_info info;
	struct decode_want want;
};

/*
 * False: decode the file itself, for it is of another kind, or damaged before the region's end, or little would be won.
 *
 * Where a splice can be decoded, the file itself can be too, with the same pixels.  But of a file with restart markers only the
 * markers are looked at before the region: damage between them is not found.
 */
bool jpeg_splice(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                 const struct decode_want *want, struct jpeg_splice *splice);

#endif
