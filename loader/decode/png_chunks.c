/* Stage 3 of 5, decode: the bytes of a PNG in, its header and the pieces of its compressed pixels out.  Any thread. */
#include <string.h>

#include <isa-l/crc.h>

#include "loader/decode/exif.h"
#include "loader/decode/png_chunks.h"

#define SIGNATURE_BYTES 8
#define HEAD_BYTES      8 /* of a chunk: length, type */
#define CRC_BYTES       4
#define IHDR_BYTES      13
#define LENGTH_MAX      0x7fffffffu

struct chunk {
	const uint8_t *type, *data;
	size_t data_bytes;
};

static uint32_t read_number(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static bool is_type(const uint8_t *type, const char *name)
{
	return memcmp(type, name, 4) == 0;
}

/* The whole chunk at `at`, which the file must hold to its end. */
static bool find_chunk(const uint8_t *bytes, size_t byte_count, size_t at, struct chunk *chunk)
{
	size_t left_bytes = byte_count - at;

	if (left_bytes < HEAD_BYTES + CRC_BYTES)
		return false;
	*chunk = (struct chunk){bytes + at + 4, bytes + at + HEAD_BYTES, read_number(bytes + at)};
	return chunk->data_bytes <= LENGTH_MAX && chunk->data_bytes <= left_bytes - HEAD_BYTES - CRC_BYTES;
}

static size_t end_of(const uint8_t *bytes, const struct chunk *chunk)
{
	return (size_t)(chunk->data - bytes) + chunk->data_bytes + CRC_BYTES;
}

static bool crc_is_right(const struct chunk *chunk)
{
	return crc32_gzip_refl(0, chunk->type, 4 + chunk->data_bytes) == read_number(chunk->data + chunk->data_bytes);
}

/* Four letters, the first of them small: a chunk that may be skipped, right or wrong. */
static bool is_ancillary(const uint8_t *type)
{
	for (int i = 0; i < 4; i++) {
		uint8_t small = type[i] | 0x20;

		if (small < 'a' || small > 'z')
			return false;
	}
	return type[0] & 0x20;
}

/* The pairs of PNG 3rd edition, table 12. */
static bool is_kind(uint32_t color, uint32_t sample_bits)
{
	static const struct {
		uint8_t least_bits, most_bits;
	} kinds[] = {[PNG_GRAY] = {1, 16},
	             [PNG_RGB] = {8, 16},
	             [PNG_PALETTE] = {1, 8},
	             [PNG_GRAY_ALPHA] = {8, 16},
	             [PNG_RGBA] = {8, 16}};

	return color < sizeof kinds / sizeof kinds[0] && sample_bits >= kinds[color].least_bits &&
	       sample_bits <= kinds[color].most_bits && (sample_bits & (sample_bits - 1)) == 0;
}

static bool read_ihdr(const struct chunk *chunk, struct png_header *header)
{
	static const uint8_t samples_per_px[] = {
		[PNG_GRAY] = 1, [PNG_RGB] = 3, [PNG_PALETTE] = 1, [PNG_GRAY_ALPHA] = 2, [PNG_RGBA] = 4};
	const uint8_t *data = chunk->data;

	if (!is_type(chunk->type, "IHDR") || chunk->data_bytes != IHDR_BYTES || !crc_is_right(chunk))
		return false;
	if (!is_kind(data[9], data[8]) || data[10] != 0 || data[11] != 0 || data[12] > 1)
		return false;
	header->width_px = read_number(data);
	header->height_px = read_number(data + 4);
	header->sample_bits = data[8];
	header->color = data[9];
	header->samples_per_px = samples_per_px[header->color];
	header->interlaced = data[12] == 1;
	return header->width_px > 0 && header->width_px <= LENGTH_MAX && header->height_px > 0 && header->height_px <= LENGTH_MAX;
}

/* At most one, of whole entries; in a picture without a palette it is a mere suggestion. */
static bool read_plte(const struct chunk *chunk, struct png_header *header)
{
	size_t most_count = header->color == PNG_PALETTE ? (size_t)1 << header->sample_bits : 256;

	if (header->palette || chunk->data_bytes == 0 || chunk->data_bytes % 3 != 0 || chunk->data_bytes > 3 * most_count)
		return false;
	header->palette = chunk->data;
	header->palette_count = (uint32_t)chunk->data_bytes / 3;
	return crc_is_right(chunk);
}

bool png_chunks_header(const uint8_t *bytes, size_t byte_count, struct png_header *header)
{
	struct chunk chunk;
	size_t at = SIGNATURE_BYTES;

	*header = (struct png_header){0};
	if (byte_count < SIGNATURE_BYTES || memcmp(bytes, "\x89PNG\r\n\x1a\n", SIGNATURE_BYTES) != 0)
		return false;
	if (!find_chunk(bytes, byte_count, at, &chunk) || !read_ihdr(&chunk, header))
		return false;

	for (;;) {
		at = end_of(bytes, &chunk);
		/* The first IDAT need not be whole. */
		if (byte_count - at >= HEAD_BYTES && is_type(bytes + at + 4, "IDAT"))
			break;
		if (!find_chunk(bytes, byte_count, at, &chunk))
			return false;
		if (is_type(chunk.type, "PLTE") ? !read_plte(&chunk, header) : !is_ancillary(chunk.type))
			return false;
	}
	header->idat_at = at;
	return read_number(bytes + at) <= LENGTH_MAX && (header->palette || header->color != PNG_PALETTE);
}

uint8_t png_chunks_orientation(const uint8_t *bytes, size_t byte_count)
{
	struct chunk chunk;

	for (size_t at = SIGNATURE_BYTES; find_chunk(bytes, byte_count, at, &chunk); at = end_of(bytes, &chunk)) {
		if (is_type(chunk.type, "IEND"))
			break;
		if (is_type(chunk.type, "eXIf"))
			return exif_orientation(chunk.data, chunk.data_bytes);
	}
	return 1;
}

void png_idat_open(struct png_idat *idat, const uint8_t *bytes, size_t byte_count)
{
	*idat = (struct png_idat){.next = bytes, .left_bytes = byte_count};
}

static const uint8_t *take(struct png_idat *idat, size_t byte_count)
{
	const uint8_t *taken = idat->next;

	idat->next += byte_count;
	idat->left_bytes -= byte_count;
	return taken;
}

static const uint8_t *take_data(struct png_idat *idat, size_t byte_count)
{
	idat->chunk_left_bytes -= (uint32_t)byte_count;
	idat->crc = crc32_gzip_refl(idat->crc, idat->next, byte_count);
	return take(idat, byte_count);
}

/* Enters the next chunk, if it is an IDAT that the file holds to its end. */
static bool enter_chunk(struct png_idat *idat)
{
	struct chunk chunk;

	if (!find_chunk(idat->next, idat->left_bytes, 0, &chunk) || !is_type(chunk.type, "IDAT"))
		return false;
	idat->chunk_left_bytes = (uint32_t)chunk.data_bytes;
	idat->crc = crc32_gzip_refl(0, chunk.type, 4);
	idat->in_chunk = true;
	(void)take(idat, HEAD_BYTES);
	return true;
}

uint32_t png_idat_next(struct png_idat *idat, uint32_t most_bytes, const uint8_t **data)
{
	while (idat->chunk_left_bytes == 0) {
		if (!png_idat_finish(idat) || !enter_chunk(idat))
			return 0;
	}

	uint32_t byte_count = idat->chunk_left_bytes < most_bytes ? idat->chunk_left_bytes : most_bytes;

	*data = take_data(idat, byte_count);
	return byte_count;
}

bool png_idat_finish(struct png_idat *idat)
{
	if (!idat->in_chunk || idat->damaged)
		return !idat->damaged;
	(void)take_data(idat, idat->chunk_left_bytes);
	idat->in_chunk = false;
	idat->damaged = read_number(take(idat, CRC_BYTES)) != idat->crc;
	return !idat->damaged;
}
