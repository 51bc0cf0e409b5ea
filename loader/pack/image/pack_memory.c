/* Part of `cropring pack`: an image's first bytes (hostile) in, what it will take to take it apart out.  Any thread. */
#include "loader/decode/sniff.h"
#include "loader/pack/image/pack_image.h"
#include "loader/pack/image/pack_png.h"

enum { MARKER_SOF0 = 0xc0, MARKER_DHT = 0xc4, MARKER_JPG = 0xc8, MARKER_DAC = 0xcc, MARKER_SOF15 = 0xcf, MARKER_SOS = 0xda };
enum { MARKER_TEM = 0x01, MARKER_RST0 = 0xd0, MARKER_RST7 = 0xd7 }; /* which have no length */
enum { FRAME_BYTES = 8 + 2, COMPONENT_BYTES = 3, BLOCK_PX = 8, BLOCK_BYTES = 64 * 2 };

/* Codecs, bands of rows, and what is kept for regions; 2 MB were measured. */
#define FIXED_BYTES (UINT64_C(4) << 20)

static uint32_t read_u16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* libjpeg keeps all coefficients, those of whole MCUs. */
static uint64_t coefficient_bytes(const uint8_t *frame, size_t byte_count)
{
	uint32_t height_px = read_u16(frame + 5), width_px = read_u16(frame + 7), count = frame[9];
	uint32_t most_across = 1, most_down = 1, block_count = 0;

	if (count > (byte_count - FRAME_BYTES) / COMPONENT_BYTES)
		return 0; /* too short: libjpeg will refuse it */
	for (uint32_t c = 0; c < count; c++) {
		uint8_t factors = frame[FRAME_BYTES + COMPONENT_BYTES * c + 1];

		if (factors >> 4 > most_across)
			most_across = factors >> 4;
		if ((factors & 15u) > most_down)
			most_down = factors & 15u;
		block_count += (factors >> 4) * (factors & 15u);
	}
	return divide_up(width_px, most_across * BLOCK_PX) * divide_up(height_px, most_down * BLOCK_PX) * block_count * BLOCK_BYTES;
}

/* False: the head ends before the frame. */
static bool find_jpeg_frame(const uint8_t *head, size_t head_bytes, uint64_t *bytes)
{
	for (size_t at = 2; head_bytes >= FRAME_BYTES && at <= head_bytes - FRAME_BYTES;) {
		uint8_t marker = head[at + 1];

		if (head[at] != 0xff || marker == 0xff) {
			at++; /* fill bytes, or what libjpeg warns of */
			continue;
		}
		if (marker == MARKER_TEM || (marker >= MARKER_RST0 && marker <= MARKER_RST7)) {
			at += 2;
			continue;
		}
		*bytes = 0;
		if (marker == MARKER_SOS)
			return true;
		if (marker >= MARKER_SOF0 && marker <= MARKER_SOF15 && marker != MARKER_DHT && marker != MARKER_JPG &&
		    marker != MARKER_DAC) {
			*bytes = coefficient_bytes(head + at, head_bytes - at);
			return true;
		}
		at += 2 + read_u16(head + at + 2);
	}
	return false;
}

uint64_t pack_image_memory_bytes(const struct pack_rules *rules, const uint8_t *head, size_t head_bytes, size_t source_bytes)
{
	uint64_t bytes = 0;
	const char *name;

	switch (sniff(head, head_bytes, &name)) {
	case IMAGE_JPEG:
		if (!find_jpeg_frame(head, head_bytes, &bytes))
			bytes = rules->most_memory_bytes;
		break;
	case IMAGE_PNG:
		bytes = pack_png_memory_bytes(rules, head, head_bytes, source_bytes);
		break;
	case IMAGE_BMP:
		bytes = rules->bmp_to_png ? rules->most_memory_bytes : 0;
		break;
	default:
		break;
	}
	if (bytes > rules->most_memory_bytes)
		bytes = rules->most_memory_bytes; /* what takes more is not taken apart */
	/* The packed file, which is half as long again while it grows, and its table. */
	return FIXED_BYTES + bytes + 3 * (uint64_t)source_bytes;
}
