/* pack_verify_png.h - part of `cropring pack`: all that a PNG's pixels are, alpha and 16 bits included, as a number. */
#ifndef CROPRING_PACK_VERIFY_PNG_H
#define CROPRING_PACK_VERIFY_PNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/*
 * XXH3-128 of header, palette, transparency and rows, as libpng reads them.  False: it does not, and `reason` says why.  The rows of
 * an interlaced file are kept in memory; that of others are read one by one.
 */
bool pack_verify_png_hash(const uint8_t *file, size_t file_bytes, XXH128_hash_t *hash, char *reason, size_t reason_bytes);

#endif
