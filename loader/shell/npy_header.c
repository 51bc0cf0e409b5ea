/* npy_header.c - magic, version, length, a Python dictionary as text, and spaces up to a newline at a multiple of 64. */
#include "loader/shell/npy_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PREFIX_BYTES = 10 };

void npy_header_make(uint8_t header[NPY_HEADER_BYTES], uint64_t count, uint32_t height, uint32_t width, uint32_t channels)
{
	static const uint8_t prefix[PREFIX_BYTES] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, NPY_HEADER_BYTES - PREFIX_BYTES, 0};
	char text[NPY_HEADER_BYTES];
	/* At most 106 characters, with the largest numbers. */
	int length = snprintf(text, sizeof text,
	                      "{'descr': '|u1', 'fortran_order': False, 'shape': (%" PRIu64 ", %" PRIu32 ", %" PRIu32 ", %" PRIu32
	                      "), }",
	                      count, height, width, channels);

	memcpy(header, prefix, PREFIX_BYTES);
	memset(header + PREFIX_BYTES, ' ', NPY_HEADER_BYTES - PREFIX_BYTES);
	memcpy(header + PREFIX_BYTES, text, (size_t)length);
	header[NPY_HEADER_BYTES - 1] = '\n';
}
