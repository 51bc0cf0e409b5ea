/* fuzz_exif.c - hostile EXIF blocks: whatever they hold, the answer is an orientation, and the same with the prefix or without. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/decode/exif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	uint8_t orientation = exif_orientation(data, byte_count);

	if (orientation < 1 || orientation > 8) {
		fprintf(stderr, "an orientation of %u\n", orientation);
		abort();
	}
	if (exif_marks(data, byte_count) && !exif_marks(data + 6, byte_count - 6) &&
	    exif_orientation(data + 6, byte_count - 6) != orientation) {
		fprintf(stderr, "another orientation without the prefix\n");
		abort();
	}
	return 0;
}
