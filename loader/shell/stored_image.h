/*
 * stored_image.h - an image of a pack in, its bytes out in pieces, and whether they are those that were packed.  Any thread.
 */
#ifndef CROPRING_STORED_IMAGE_H
#define CROPRING_STORED_IMAGE_H

#include <stddef.h>

#include "loader/plan/dataset.h"

enum { STORED_IMAGE_PIECE_BYTES = 256 << 10 };

/*
 * take() gets one piece after the other; anything but 0 ends the reading with it.  `piece` is memory for STORED_IMAGE_PIECE_BYTES.
 * -EBADMSG: the bytes are not those that were packed, or the file ends before they do, which is known only after the last piece;
 * else a negative errno of reading, or what take() said.
 */
int stored_image_read(const struct dataset_file *file, void *piece, int (*take)(void *context, const void *data, size_t byte_count),
                      void *context);

#endif
