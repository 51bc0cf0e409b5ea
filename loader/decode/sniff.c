/* Stage 3 of 5, decode: the first bytes of a file in, its format out.  Any thread. */
#include <stdbool.h>
#include <string.h>

#include "loader/decode/sniff.h"

#define MAGIC(text) text, sizeof text - 1

/* A format's mark: at most two runs of bytes, the first at the start of the file. */
static const struct signature {
	const char *magic;
	size_t magic_bytes;
	size_t second_at;
	const char *second; /* NULL: there is none */
	enum image_format format;
	const char *name;
} signatures[] = {
	{MAGIC("\xff\xd8\xff"), 0, NULL, IMAGE_JPEG, "JPEG"},
	{MAGIC("\x89PNG\r\n\x1a\n"), 0, NULL, IMAGE_PNG, "PNG"},
	{MAGIC("BM"), 0, NULL, IMAGE_BMP, "BMP"},
	{MAGIC("RIFF"), 8, "WEBP", IMAGE_OTHER, "WebP"},
	{MAGIC("GIF87a"), 0, NULL, IMAGE_OTHER, "GIF"},
	{MAGIC("GIF89a"), 0, NULL, IMAGE_OTHER, "GIF"},
	{MAGIC("II*\0"), 0, NULL, IMAGE_OTHER, "TIFF"},
	{MAGIC("MM\0*"), 0, NULL, IMAGE_OTHER, "TIFF"},
	{MAGIC("II+\0"), 0, NULL, IMAGE_OTHER, "BigTIFF"},
	{MAGIC("MM\0+"), 0, NULL, IMAGE_OTHER, "BigTIFF"},
	{MAGIC("\0\0\0"), 4, "ftypavif", IMAGE_OTHER, "AVIF"},
	{MAGIC("\0\0\0"), 4, "ftypheic", IMAGE_OTHER, "HEIC"},
	{MAGIC("\0\0\0"), 4, "ftypmif1", IMAGE_OTHER, "HEIF"},
	{MAGIC("\0\0\0\x0cjP  "), 0, NULL, IMAGE_OTHER, "JPEG 2000"},
	{MAGIC("\xff\x4f\xff\x51"), 0, NULL, IMAGE_OTHER, "JPEG 2000"},
	{MAGIC("\0\0\0\x0cJXL "), 0, NULL, IMAGE_OTHER, "JPEG XL"},
	{MAGIC("\xff\x0a"), 0, NULL, IMAGE_OTHER, "JPEG XL"},
};

static bool holds(const uint8_t *bytes, size_t byte_count, size_t at, const char *wanted, size_t wanted_bytes)
{
	return byte_count >= wanted_bytes && at <= byte_count - wanted_bytes && memcmp(bytes + at, wanted, wanted_bytes) == 0;
}

/* "BM" begins many a text: the info header's size, which follows the file header, tells (12 for OS/2 1.x to 124 for version 5). */
static bool bmp_header_is_plausible(const uint8_t *bytes, size_t byte_count)
{
	return byte_count < 18 || (bytes[14] >= 12 && bytes[14] <= 124 && bytes[15] == 0 && bytes[16] == 0 && bytes[17] == 0);
}

enum image_format sniff(const uint8_t *bytes, size_t byte_count, const char **name)
{
	*name = NULL;
	for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
		const struct signature *candidate = &signatures[i];

		if (!holds(bytes, byte_count, 0, candidate->magic, candidate->magic_bytes))
			continue;
		if (candidate->second &&
		    !holds(bytes, byte_count, candidate->second_at, candidate->second, strlen(candidate->second)))
			continue;
		if (candidate->format == IMAGE_BMP && !bmp_header_is_plausible(bytes, byte_count))
			continue;
		*name = candidate->name;
		return candidate->format;
	}

	/* Netpbm: P1 to P6 and white space. */
	if (byte_count >= 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' && strchr(" \t\r\n", bytes[2]) && bytes[2]) {
		static const char *const netpbm[] = {"PBM", "PGM", "PPM"};

		*name = netpbm[(bytes[1] - '1') % 3];
		return IMAGE_OTHER;
	}
	return IMAGE_UNKNOWN;
}
