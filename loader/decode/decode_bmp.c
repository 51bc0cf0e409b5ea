/*
 * Stage 3 of 5, decode: a BMP in memory in, its header or the pixels of a region out.  Any thread, one workspace each.
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
 * Faulty files are read as Pillow reads them (short palettes, a pixel offset that forgets the palette), except two kinds of gray
 * palette with which Pillow takes the pixels for a depth that they do not have: 8 bits with two entries, 4 bits with a ramp of 16.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "loader/decode/decode_bmp.h"
#include "loader/decode/unpack.h"

enum { FILE_HEADER_BYTES = 14, CORE_HEADER_BYTES = 12, MASKS_AT = 54, MASK_BYTES = 12 };
enum { BI_RGB = 0, BI_RLE8 = 1, BI_RLE4 = 2, BI_BITFIELDS = 3 };

struct decode_bmp {
	const uint8_t *bytes;
	size_t byte_count;
	uint32_t header_bytes; /* of the info header */
	uint32_t width_px, height_px;
	bool top_row_first;
	uint32_t compression;
	uint32_t palette_entries, palette_entry_bytes;
	size_t palette_at, pixels_at, stride_bytes;
	struct unpack unpack;
};

static uint32_t read_u16(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8;
}

static uint32_t read_u32(const uint8_t *at)
{
	return read_u16(at) | read_u16(at + 2) << 16;
}

static enum item_status parse_core_header(struct decode_bmp *bmp)
{
	bmp->width_px = read_u16(bmp->bytes + 18);
	bmp->height_px = read_u16(bmp->bytes + 20);
	bmp->unpack.pixel_bits = read_u16(bmp->bytes + 24);
	bmp->compression = BI_RGB;
	bmp->palette_entry_bytes = 3;
	return ITEM_OK;
}

static enum item_status parse_info_header(struct decode_bmp *bmp, struct workspace *workspace)
{
	bmp->width_px = read_u32(bmp->bytes + 18);
	bmp->height_px = read_u32(bmp->bytes + 22);
	bmp->unpack.pixel_bits = read_u16(bmp->bytes + 28);
	bmp->compression = read_u32(bmp->bytes + 30);
	bmp->palette_entries = read_u32(bmp->bytes + 46);
	bmp->palette_entry_bytes = 4;

	if (bmp->width_px > INT32_MAX)
		return workspace_fail(workspace, ITEM_CORRUPT, "a width of %d pixels", (int32_t)bmp->width_px);
	bmp->top_row_first = bmp->height_px > INT32_MAX;
	if (bmp->top_row_first)
		bmp->height_px = 0 - bmp->height_px; /* of INT32_MIN it leaves 2^31, which is right */
	return ITEM_OK;
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

static enum item_status parse_masks(struct decode_bmp *bmp, struct workspace *workspace)
{
	struct unpack *unpack = &bmp->unpack;
	uint32_t red, green, blue;

	if (bmp->byte_count < MASKS_AT + MASK_BYTES)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");
	red = read_u32(bmp->bytes + MASKS_AT);
	green = read_u32(bmp->bytes + MASKS_AT + 4);
	blue = read_u32(bmp->bytes + MASKS_AT + 8);

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

static enum item_status parse_pixel_format(struct decode_bmp *bmp, struct workspace *workspace)
{
	uint32_t bits = bmp->unpack.pixel_bits;

	if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP of %u bits per pixel", bits);
	if (bmp->compression == BI_RLE8 || bmp->compression == BI_RLE4)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a run-length encoded BMP (RLE%d)",
		                      bmp->compression == BI_RLE8 ? 8 : 4);
	/* OS/2 2.x (64 bytes) means other things by the numbers after 2. */
	if (bmp->compression == BI_BITFIELDS && bits >= 16 && bmp->header_bytes != 64)
		return parse_masks(bmp, workspace);
	if (bmp->compression != BI_RGB)
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP of %u bits with compression %u", bits, bmp->compression);

	if (bits <= 8)
		bmp->unpack.kind = UNPACK_INDEX;
	else if (bits == 16)
		bmp->unpack.kind = UNPACK_555;
	else
		set_bytes(&bmp->unpack, 2, 1, 0);
	return ITEM_OK;
}

/* Finds the palette and the pixels; both may lie past the end, which is checked where they are read. */
static void locate_parts(struct decode_bmp *bmp)
{
	uint32_t bits = bmp->unpack.pixel_bits;

	bmp->palette_at = FILE_HEADER_BYTES + bmp->header_bytes;
	if (bits > 8)
		bmp->palette_entries = 0;
	else if (bmp->palette_entries == 0)
		bmp->palette_entries = 1u << bits;

	size_t palette_end = bmp->palette_at + (size_t)bmp->palette_entries * bmp->palette_entry_bytes;

	bmp->pixels_at = read_u32(bmp->bytes + 10);
	if (bmp->pixels_at == 0)
		bmp->pixels_at = palette_end + (bmp->compression == BI_BITFIELDS && bmp->header_bytes == 40 ? MASK_BYTES : 0);
	else if (bmp->pixels_at == bmp->palette_at)
		bmp->pixels_at = palette_end;
	bmp->stride_bytes = ((size_t)bmp->width_px * bits + 31) / 32 * 4;
}

/* Entries that the file does not have stay black. */
static void read_palette(struct decode_bmp *bmp)
{
	const uint8_t *entry = bmp->bytes + bmp->palette_at;
	size_t entry_count = (bmp->byte_count - bmp->palette_at) / bmp->palette_entry_bytes;
	size_t wanted = 1u << bmp->unpack.pixel_bits;
	bool is_ramp = bmp->unpack.pixel_bits == 8;

	if (wanted > bmp->palette_entries)
		wanted = bmp->palette_entries;
	if (entry_count > wanted)
		entry_count = wanted;
	for (size_t i = 0; i < entry_count; i++, entry += bmp->palette_entry_bytes) {
		uint8_t *color = bmp->unpack.palette[i];

		color[0] = entry[2];
		color[1] = entry[1];
		color[2] = entry[0];
		is_ramp = is_ramp && color[0] == i && color[1] == i && color[2] == i;
	}
	/* The palette of gray pictures: the index is the gray value, even past a short palette's end. */
	if (is_ramp && entry_count == wanted)
		set_bytes(&bmp->unpack, 0, 0, 0);
}

/* Reads all but the pixels. */
static enum item_status parse(struct decode_bmp *bmp, struct workspace *workspace)
{
	enum item_status status;

	if (bmp->byte_count < FILE_HEADER_BYTES + 4)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");
	bmp->header_bytes = read_u32(bmp->bytes + FILE_HEADER_BYTES);
	switch (bmp->header_bytes) {
	case CORE_HEADER_BYTES:
	case 40:
	case 52:
	case 56:
	case 64:
	case 108:
	case 124:
		break;
	default:
		return workspace_fail(workspace, ITEM_UNSUPPORTED, "a BMP with an info header of %u bytes", bmp->header_bytes);
	}
	if (bmp->byte_count < FILE_HEADER_BYTES + bmp->header_bytes)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends in its header");

	status = bmp->header_bytes == CORE_HEADER_BYTES ? parse_core_header(bmp) : parse_info_header(bmp, workspace);
	if (status == ITEM_OK)
		status = workspace_check_size(workspace, bmp->width_px, bmp->height_px);
	if (status == ITEM_OK)
		status = parse_pixel_format(bmp, workspace);
	if (status != ITEM_OK)
		return status;
	locate_parts(bmp);
	if (bmp->unpack.kind == UNPACK_INDEX)
		read_palette(bmp);
	return ITEM_OK;
}

enum item_status decode_bmp_probe(struct workspace *workspace, const struct file_bytes *file, struct image_info *info)
{
	struct decode_bmp bmp = {.bytes = file->data, .byte_count = file->byte_count};
	enum item_status status = parse(&bmp, workspace);

	info->width_px = bmp.width_px;
	info->height_px = bmp.height_px;
	return status;
}

enum item_status decode_bmp_region(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                   const struct decode_want *want, struct pixels *out)
{
	struct decode_bmp bmp = {.bytes = file->data, .byte_count = file->byte_count};
	enum item_status status = parse(&bmp, workspace);

	if (status == ITEM_OK)
		status = workspace_check_same(workspace, info, bmp.width_px, bmp.height_px);
	if (status != ITEM_OK)
		return status;

	const struct box *region = &want->region;
	uint32_t first_row = (uint32_t)region->y, row_count = (uint32_t)region->height;
	uint32_t last_stored_row = bmp.top_row_first ? first_row + row_count - 1 : bmp.height_px - 1 - first_row;
	size_t used_row_bytes = ((size_t)(region->x + region->width) * bmp.unpack.pixel_bits + 7) / 8;

	/* Is the region's part of the row that lies last in the file there?  In this form nothing overflows. */
	if (bmp.pixels_at > bmp.byte_count || used_row_bytes > bmp.byte_count - bmp.pixels_at ||
	    last_stored_row > (bmp.byte_count - bmp.pixels_at - used_row_bytes) / bmp.stride_bytes)
		return workspace_fail(workspace, ITEM_TRUNCATED, "the BMP ends before its pixels do");

	status = workspace_reserve_region(workspace, want, out);
	if (status != ITEM_OK)
		return status;
	for (uint32_t line = 0; line < row_count; line++) {
		uint32_t stored_row = bmp.top_row_first ? first_row + line : bmp.height_px - 1 - first_row - line;

		unpack_row(&bmp.unpack, bmp.bytes + bmp.pixels_at + stored_row * bmp.stride_bytes, (uint32_t)region->x,
		           out->width_px, out->channels, out->data + line * out->stride_bytes);
	}
	return ITEM_OK;
}
