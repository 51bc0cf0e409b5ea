/* sniff.h - stage 3 of 5, decode: the first bytes of a file in, its format out.  File names are never trusted. */
#ifndef CROPRING_SNIFF_H
#define CROPRING_SNIFF_H

#include "loader/decode/decode.h"

/*
 * The format by its magic bytes.  *name becomes its usual name ("JPEG", "WebP"), or NULL for IMAGE_UNKNOWN; IMAGE_OTHER is an
 * image of a kind that is not read here.
 */
enum image_format sniff(const uint8_t *bytes, size_t byte_count, const char **name);

#endif
