/* info_detail.h - part of `cropring info`: an image's file in, of which kind of its format it is out.  Any thread. */
#ifndef CROPRING_INFO_DETAIL_H
#define CROPRING_INFO_DETAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * "progressive, 4:2:0", "RGB, interlaced", or "" for what has nothing to tell.  True: none of its pixels is there before all of it is
 * decoded.
 */
bool info_detail(const uint8_t *file, size_t byte_count, char *text, size_t text_bytes);

#endif
