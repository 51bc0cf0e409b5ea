/* fuzz_jpeg.c - hostile JPEGs: any file, region, channels and reduction.  See decode_sweep.h. */
#include "tests/fuzz/decode_sweep.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static const struct sweep_limits limits = {.max_pixels = 1 << 16, .max_region_px = 1 << 16};

	sweep_decode(data, byte_count, &limits);
	return 0;
}
