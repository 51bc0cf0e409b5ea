/* file_bytes.h - the plain struct that fetch's bytes go to decode in: a whole file, or one with its unneeded middle left out. */
#ifndef CROPRING_FILE_BYTES_H
#define CROPRING_FILE_BYTES_H

#include <stddef.h>
#include <stdint.h>

/*
 * Byte o of the file is data[o] when o < gap_at, and data[o - gap_bytes] when o >= gap_at + gap_bytes; the bytes between are not
 * there.  A file that was read whole has gap_at = byte_count and gap_bytes = 0.  What lies past the last byte here may exist in
 * the file, but was not asked for.
 */
struct file_bytes {
	const uint8_t *data;
	size_t byte_count; /* of data */
	size_t gap_at, gap_bytes;
	uint64_t
		id; /* the same number whenever the same file comes again, so that a decoder may remember; FILE_BYTES_NO_ID: do not */
};

#define FILE_BYTES_NO_ID UINT64_MAX

static inline struct file_bytes file_bytes_whole(const uint8_t *data, size_t byte_count)
{
	return (struct file_bytes){.data = data, .byte_count = byte_count, .gap_at = byte_count, .id = FILE_BYTES_NO_ID};
}

#endif
