/* pack_part.h - part of `cropring pack`: names of a pack's files in the folder in which it is written. */
#ifndef CROPRING_PACK_PART_H
#define CROPRING_PACK_PART_H

#include <inttypes.h>

#define PACK_PART_NAME         "pack"
#define PACK_PART_SHARD_FORMAT "%05" PRIu64 ".shard" /* the shard's number, from 0 on */

enum { PACK_PART_NAME_BYTES = 32 };

#endif
