/*
 * catalog.h - the list of samples as bytes: what the worker reads and what Python maps for .classes, .class_to_idx and .paths.
 *
 *   offset  size                      what
 *   0       8                         magic "cropcat1"
 *   8       8                         sample_count
 *   16      8                         class_count
 *   24      8                         text_bytes: length of the text that ends the file
 *   32      8 * sample_count          where each sample's path begins in the text
 *   ...     8 * class_count           where each class name begins in the text
 *   ...     4 * sample_count          labels, int32
 *   ...     text_bytes                the folder as it was named, class names, paths relative to the folder: each NUL-terminated,
 *                                     the folder first
 *
 * Native byte order: it never leaves the machine.
 */
#ifndef CROPRING_CATALOG_H
#define CROPRING_CATALOG_H

#include <stdint.h>

#define CATALOG_MAGIC "cropcat1"

struct catalog_header {
	char magic[8];
	uint64_t sample_count, class_count, text_bytes;
};

_Static_assert(sizeof(struct catalog_header) == 32, "the layout above");

#endif
