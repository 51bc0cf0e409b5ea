/*
 * fuzz_png.c - hostile PNGs: any file, region and channels.  See decode_sweep.h.
 *
 * An edited chunk has a wrong checksum and would get no further, so those of every other input are put right first.
 */
#include <zlib.h>

#include "tests/fuzz/decode_sweep.h"

enum { SIGNATURE_BYTES = 8, CHUNK_OVERHEAD_BYTES = 12 };

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void repair_checksums(uint8_t *file, size_t byte_count)
{
	size_t at = SIGNATURE_BYTES;

	while (at < byte_count && byte_count - at >= CHUNK_OVERHEAD_BYTES) {
		uint32_t content_bytes = read_u32(file + at);
		uint8_t *crc_at;
		uint32_t crc;

		if (content_bytes > byte_count - at - CHUNK_OVERHEAD_BYTES)
			break;
		crc = (uint32_t)crc32(0, file + at + 4, 4 + content_bytes);
		crc_at = file + at + 8 + content_bytes;
		for (int i = 0; i < 4; i++)
			crc_at[i] = (uint8_t)(crc >> (24 - 8 * i));
		at += CHUNK_OVERHEAD_BYTES + content_bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static const struct sweep_limits limits = {.max_pixels = 1 << 16, .max_region_px = 1 << 16};
	uint8_t *repaired;

	if (byte_count == 0 || data[byte_count - 1] & 0x80) {
		sweep_decode(data, byte_count, &limits);
		return 0;
	}
	repaired = malloc(byte_count);
	sweep_must(repaired != NULL, "no memory");
	memcpy(repaired, data, byte_count);
	repair_checksums(repaired, byte_count);
	sweep_decode(repaired, byte_count, &limits);
	free(repaired);
	return 0;
}
