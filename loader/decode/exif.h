/* exif.h - stage 3 of 5, decode: an EXIF block (hostile bytes) in, the picture's orientation out. */
#ifndef CROPRING_EXIF_H
#define CROPRING_EXIF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* True for the payload of a JPEG APP1 segment that holds EXIF (others hold XMP). */
bool exif_marks(const uint8_t *segment, size_t byte_count);

/*
 * Tag 0x0112 of the first directory: 1 to 8; 1 when absent or invalid.  `block` is what a JPEG APP1 segment or a PNG eXIf chunk
 * holds: a TIFF structure (TIFF 6.0 section 2, EXIF 2.32 section 4.5), after "Exif\0\0" or without it.
 */
uint8_t exif_orientation(const uint8_t *block, size_t byte_count);

#endif
