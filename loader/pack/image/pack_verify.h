/* pack_verify.h - part of `cropring pack`: whether a packed image is the picture that its source is. */
#ifndef CROPRING_PACK_VERIFY_H
#define CROPRING_PACK_VERIFY_H

#include "loader/decode/decode.h"
#include "loader/pack/image/pack_image.h"

struct pack_verify_room; /* what it keeps from picture to picture; one per thread */

struct pack_verify_room *pack_verify_room_open(void); /* NULL: memory is short */
void pack_verify_room_close(struct pack_verify_room *room);

/*
 * Decodes both files whole and compares their pixels, also those that only a target or another program looks at: stored values, and
 * a PNG's alpha and 16 bits.  Then regions by the packed file's segments: the corners, and some inside; and each segment of a PNG alone.
 *
 * `info` is what the source was probed as.  PACK_SEGMENTED: all is the same; PACK_DAMAGED: the source itself cannot be decoded;
 * PACK_DIFFERENT.  packed->reason says of the last two what was found.
 */
enum pack_outcome pack_verify(struct pack_verify_room *room, struct decoder *decoder, const struct file_bytes *source,
                              const struct image_info *info, struct packed_image *packed);

#endif
