/*
 * Stage 3 of 5, decode: the headers of a BMP in, what they say and where its rows lie out.  Any thread.
 *
 * Layout: Microsoft, "Bitmap Storage" and BITMAPINFOHEADER to BITMAPV5HEADER; OS/2 1.x BITMAPCOREHEADER.  Offsets in the file:
 *
 *   10  4  where the pixels begin        14  4  size of the info header, which begins here
 *   info header of 12 bytes:             18  2  width    20  2  height   24  2  bits per pixel
 *   40 and more:                         18  4  width    22  4  height, negative: top row first
 *                                        28  2  bits per pixel           30  4  compression
 *                                        46  4  palette entries, 0: all  54  4+4+4  red, green, blue masks (BI_BITFIELDS)
 *   then the palette, of 3 or 4 bytes an entry: blue, green, red.
 *
 * Faulty files are read as Pillow reads them (short palettes, a pixel offset that forgets the palette).  Three things that Pillow
 * refuses are read all the same: 24 and 32 bits whose colours are any bytes of the pixel; more than 256 palette entries, of which
 * the rest is unused; and a gray palette in a picture of another depth, where Pillow takes the pixels for 1 or 8 bits.
 */
#include "loader/decode/bmp_header.h"

#include <string.h>

enum { FILE_HEADER_BYTES = 14, CORE_HEADER_BYTES = 12, MASKS_AT = 54, MASK_BYTES = 12, MAX_PALETTE_ENTRIES = 65536 };

static uint32_t read_u16(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_u32(const uint8_t *at)
{
	return read_u16(at) | read_u16(at + 2) << 16;
}

static void parse_core_header(struct bmp_header *header, const uint8_t *bytes)
{
	header->width_px = read_u16(bytes + 18);
	header->height_px = read_u16(bytes + 20);
	header->unpack.pixel_bits = read_u16(bytes + 24);
	header->compression = BMP_PLAIN;
	header->palette_entry_bytes = 3;
}

static void parse_info_header(struct bmp_header *header, const uint8_t *bytes)
{
	header->width_px = read_u32(bytes + 18);
	header->height_px = read_u32(bytes + 22);
	header->unpack.pixel_bits = read_u16(bytes + 28);
	header->compression = read_u32(bytes + 30);
	header->palette_entries = read_u32(bytes + 46);
	header->palette_entry_bytes = 4;

	header->top_row_first = header->height_px > INT32_MAX;
	if (header->top_row_first)
		header->height_px = 0 - header->height_px; /* of INT32_MIN it leaves 2^31, which is right */
}

/* Which byte of a pixel a mask covers; -1 when it is not a whole byte of it. */
static int mask_byte(uint32_t mask, uint32_t pixel_bits)
{
	for (int i = 0; i < (int)pixel_bits / 8; i++) {
		if (mask == 0xffu << 8 * i)
			return i;
	}
	return -1;
}

static void set_bytes(struct unpack *unpack, int red_at, int green_at, int blue_at)
{
	unpack->kind = UNPACK_BYTES;
	unpack->red_at = (uint8_t)red_at;
	unpack->green_at = (uint8_t)green_at;
	unpack->blue_at = (uint8_t)blue_at;
}

/* The mask of alpha, which follows in headers of 56 bytes and more, is not looked at: alpha is dropped. */
static enum item_status parse_masks(struct bmp_header *header, const struct file_bytes *file, struct workspace *workspace)
{
	struct unpack *unpack = &header->unpack;
	uint32_t red, green, blue;

	if (file->gap_at < MASKS_AT + MASK_BYTES)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");
	red = read_u32(file->data + MASKS_AT);
	green = read_u32(file->data + MASKS_AT + 4);
	blue = read_u32(file->data + MASKS_AT + 8);

	int red_at = mask_byte(red, unpack->pixel_bits);
	int green_at = mask_byte(green, unpack->pixel_bits);
	int blue_at = mask_byte(blue, unpack->pixel_bits);

	if (unpack->pixel_bits == 16 && red == 0x7c00 && green == 0x3e0 && blue == 0x1f)
		unpack->kind = UNPACK_555;
	else if (unpack->pixel_bits == 16 && red == 0xf800 && green == 0x7e0 && blue == 0x1f)
		unpack->kind = UNPACK_565;
	else if (unpack->pixel_bits == 32 && (red | green | blue) == 0)
		set_bytes(unpack, 2, 1, 0); /* as without masks */
	else if (unpack->pixel_bits >= 24 && red_at >= 0 && green_at >= 0 && blue_at >= 0)
		set_bytes(unpack, red_at, green_at, blue_at);
	else
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP of %u bits with the masks %x, %x and %x",
		                      unpack->pixel_bits, red, green, blue);
	return ITEM_OK;
}

static enum item_status parse_pixel_format(struct bmp_header *header, const struct file_bytes *file, struct workspace *workspace)
{
	uint32_t bits = header->unpack.pixel_bits;

	if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP of %u bits per pixel", bits);
	if (bmp_header_has_runs(header) && bits <= 8) {
		header->unpack.kind = UNPACK_INDEX;
		return ITEM_OK;
	}
	if (header->compression == BMP_BITFIELDS && bits >= 16)
		return parse_masks(header, file, workspace);
	if (header->compression != BMP_PLAIN)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP of %u bits with compression %u", bits,
		                      header->compression);

	if (bits <= 8)
		header->unpack.kind = UNPACK_INDEX;
	else if (bits == 16)
		header->unpack.kind = UNPACK_555;
	else
		set_bytes(&header->unpack, 2, 1, 0);
	return ITEM_OK;
}

/* Finds the palette and the pixels. */
static enum item_status locate_parts(struct bmp_header *header, const uint8_t *bytes, struct workspace *workspace)
{
	uint32_t bits = header->unpack.pixel_bits;

	header->palette_at = FILE_HEADER_BYTES + header->header_bytes;
	if (bits > 8)
		header->palette_entries = 0;
	else if (header->palette_entries == 0)
		header->palette_entries = 1u << bits;
	if (header->palette_entries > MAX_PALETTE_ENTRIES)
		return workspace_fail(workspace, ITEM_CORRUPT, "a palette of %u colours", header->palette_entries);
	header->palette_end = header->palette_at + (uint64_t)header->palette_entries * header->palette_entry_bytes;

	header->pixels_at = read_u32(bytes + 10);
	if (header->pixels_at == 0)
		header->pixels_at =
			header->palette_end + (header->compression == BMP_BITFIELDS && header->header_bytes == 40 ? MASK_BYTES : 0);
	else if (header->pixels_at == header->palette_at)
		header->pixels_at = header->palette_end;
	header->stride_bytes = ((uint64_t)header->width_px * bits + 31) / 32 * 4;
	return ITEM_OK;
}

enum item_status bmp_header_parse(struct bmp_header *header, const struct file_bytes *file, struct workspace *workspace)
{
	enum item_status status;

	*header = (struct bmp_header){0};
	if (file->gap_at < FILE_HEADER_BYTES + 4)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");
	header->header_bytes = read_u32(file->data + FILE_HEADER_BYTES);
	switch (header->header_bytes) {
	case CORE_HEADER_BYTES:
	case 40:
	case 52:
	case 56:
	case 64: /* OS/2 2.x; of its own compressions (3: Huffman, 4: 24-bit runs) nothing passes as masks */
	case 108:
	case 124:
		break;
	default:
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP with an info header of %u bytes", header->header_bytes);
	}
	if (file->gap_at < FILE_HEADER_BYTES + header->header_bytes)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");

	if (header->header_bytes == CORE_HEADER_BYTES)
		parse_core_header(header, file->data);
	else
		parse_info_header(header, file->data);
	if (header->width_px > INT32_MAX)
		return workspace_fail(workspace, ITEM_CORRUPT, "a width of %d pixels", (int32_t)header->width_px);
	status = workspace_check_size(workspace, header->width_px, header->height_px);
	if (status == ITEM_OK)
		status = parse_pixel_format(header, file, workspace);
	return status == ITEM_OK ? locate_parts(header, file->data, workspace) : status;
}

/* Pillow takes a palette for gray when entry i is i, of one or two entries 0 and 255; the fourth byte does not count. */
static bool is_gray(const struct bmp_header *header, const uint8_t *entry, uint32_t entry_count)
{
	for (uint32_t i = 0; i < entry_count; i++, entry += header->palette_entry_bytes) {
		uint8_t gray = (uint8_t)(entry_count == 2 ? i * 255 : i);

		if (entry[0] != gray || entry[1] != gray || entry[2] != gray)
			return false;
	}
	return true;
}

/* Then a pixel is its own gray value, even past a short palette's end; of one or two entries, all but 0 is white. */
static void set_gray(struct bmp_header *header)
{
	struct unpack *unpack = &header->unpack;

	if (header->palette_entries > 2 && (unpack->pixel_bits == 8 || bmp_header_has_runs(header))) {
		set_bytes(unpack, 0, 0, 0);
		return;
	}
	for (uint32_t i = 1; i < 256; i++)
		memset(unpack->palette[i], header->palette_entries > 2 ? (int)i : 255, sizeof unpack->palette[i]);
}

void bmp_header_read_palette(struct bmp_header *header, const struct file_bytes *file)
{
	uint64_t in_file =
		file->gap_at > header->palette_at ? (file->gap_at - header->palette_at) / header->palette_entry_bytes : 0;
	uint32_t wanted = header->palette_entries < 256 ? header->palette_entries : 256;
	uint32_t entry_count = in_file < wanted ? (uint32_t)in_file : wanted;
	const uint8_t *entry = file->data + header->palette_at;

	if (entry_count == wanted && is_gray(header, entry, entry_count)) {
		set_gray(header);
		return;
	}
	for (uint32_t i = 0; i < entry_count; i++, entry += header->palette_entry_bytes) {
		uint8_t *color = header->unpack.palette[i];

		color[0] = entry[2];
		color[1] = entry[1];
		color[2] = entry[0];
	}
}
