/*
 * Stage 3 of 5, decode: an EXIF block in, the picture's orientation out.  Any thread.
 *
 * As in Pillow, of several orientation entries the last one counts, and a directory that is cut short gives what it still has.
 */
#include <string.h>

#include "loader/decode/exif.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY_BYTES = 12 };

static const char prefix[6] = "Exif\0";

static uint16_t read_u16(const uint8_t *at, bool big_endian)
{
	return (uint16_t)(big_endian ? at[0] << 8 | at[1] : at[1] << 8 | at[0]);
}

static uint32_t read_u32(const uint8_t *at, bool big_endian)
{
	uint32_t first = read_u16(at, big_endian), second = read_u16(at + 2, big_endian);

	return big_endian ? first << 16 | second : second << 16 | first;
}

/* The number in an entry's value field; 0, which is no orientation, for types that hold none. */
static uint32_t entry_value(const uint8_t *entry, bool big_endian)
{
	switch (read_u16(entry + 2, big_endian)) {
	case TYPE_SHORT:
		return read_u16(entry + 8, big_endian);
	case TYPE_LONG:
		return read_u32(entry + 8, big_endian);
	default:
		return 0;
	}
}

bool exif_marks(const uint8_t *segment, size_t byte_count)
{
	return byte_count >= sizeof prefix && memcmp(segment, prefix, sizeof prefix) == 0;
}

uint8_t exif_orientation(const uint8_t *block, size_t byte_count)
{
	uint32_t orientation = 1;
	bool big_endian;

	if (exif_marks(block, byte_count)) {
		block += sizeof prefix;
		byte_count -= sizeof prefix;
	}
	if (byte_count < 8)
		return 1;
	if (memcmp(block, "MM\0*", 4) == 0)
		big_endian = true;
	else if (memcmp(block, "II*\0", 4) == 0)
		big_endian = false;
	else
		return 1;

	size_t directory_at = read_u32(block + 4, big_endian);

	if (directory_at > byte_count - 2)
		return 1;

	size_t entry_count = read_u16(block + directory_at, big_endian);
	size_t entries_present = (byte_count - directory_at - 2) / ENTRY_BYTES;
	const uint8_t *entry = block + directory_at + 2;

	if (entry_count > entries_present)
		entry_count = entries_present;
	for (size_t i = 0; i < entry_count; i++, entry += ENTRY_BYTES) {
		/* One value; more than one may lie elsewhere and is no orientation. */
		if (read_u16(entry, big_endian) == TAG_ORIENTATION && read_u32(entry + 4, big_endian) == 1)
			orientation = entry_value(entry, big_endian);
	}
	return orientation >= 1 && orientation <= 8 ? (uint8_t)orientation : 1;
}
