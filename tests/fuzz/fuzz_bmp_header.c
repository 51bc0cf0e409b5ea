/*
 * fuzz_bmp_header.c - hostile numbers in the header of a BMP: there is no limit to its pixels, so only arithmetic stands between
 * a size of 2^31 x 2^31 and memory.  Regions are small.  See decode_sweep.h.
 */
#include "tests/fuzz/decode_sweep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static const struct sweep_limits limits = {.max_pixels = UINT64_MAX, .max_region_px = 16};

	if (byte_count >= 2 && data[0] == 'B' && data[1] == 'M')
		sweep_decode(data, byte_count, &limits);
	return 0;
}
