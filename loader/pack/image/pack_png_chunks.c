/* Part of `cropring pack`: a PNG's chunks in, those of the packed one out.  Any thread. */
#include "loader/pack/image/pack_png_chunks.h"

enum place { LEFT_OUT, BEFORE_PALETTE, PALETTE, BEHIND };

static void put_number(uint8_t *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(number >> (24 - 8 * i));
}

int pack_png_chunks_append(const char type[4], const uint8_t *data, uint32_t data_bytes, struct bytes *file)
{
	uint8_t head[8], check[4];
	uint32_t crc = (uint32_t)crc32_z(crc32_z(0, (const Bytef *)type, 4), data, data_bytes);
	int rc;

	put_number(head, data_bytes);
	memcpy(head + 4, type, 4);
	put_number(check, crc);
	rc = bytes_append(file, head, sizeof head);
	if (rc == 0)
		rc = bytes_append(file, data, data_bytes);
	return rc == 0 ? bytes_append(file, check, sizeof check) : rc;
}

int pack_png_chunks_begin(const struct png_header *header, struct bytes *file)
{
	uint8_t data[13] = {[8] = (uint8_t)header->sample_bits, [9] = (uint8_t)header->color};
	int rc = bytes_append(file, "\x89PNG\r\n\x1a\n", PNG_SIGNATURE_BYTES);

	put_number(data, header->width_px);
	put_number(data + 4, header->height_px);
	return rc == 0 ? pack_png_chunks_append("IHDR", data, sizeof data, file) : rc;
}

static bool is_one_of(const struct pack_png_chunk *chunk, const char *types)
{
	for (; *types; types += 5) {
		if (pack_png_is(chunk, types))
			return true;
	}
	return false;
}

/* What it means for the colours of a picture with a palette it means only before that (section 5.6). */
static const char before_palette[] = "cHRM cICP cLLI gAMA iCCP mDCV sBIT sRGB ";
/* Those of the rest that say of themselves that they must not be copied by who does not know them. */
static const char known[] = "bKGD hIST sPLT tIME ";

static enum place place_of(const struct pack_png_chunk *chunk, bool keep_metadata, bool is_before_palette)
{
	if (is_one_of(chunk, "PLTE tRNS "))
		return PALETTE;
	if (!keep_metadata || !(chunk->type[0] & 0x20))
		return LEFT_OUT;
	if (is_one_of(chunk, before_palette))
		return is_before_palette ? BEFORE_PALETTE : BEHIND;
	return (chunk->type[3] & 0x20) || is_one_of(chunk, known) ? BEHIND : LEFT_OUT;
}

/* Those of the source's chunks from `at` to before `end` that belong to this place. */
static int copy(const struct pack_png_source *source, size_t at, size_t end, bool keep_metadata, enum place place,
                struct bytes *file)
{
	struct pack_png_chunk chunk;
	bool has_palette = false;
	int rc = 0;

	for (; rc == 0 && at < end && pack_png_chunk_at(source->bytes, end, at, &chunk); at += chunk.whole_bytes) {
		if (place_of(&chunk, keep_metadata, !has_palette) == place)
			rc = bytes_append(file, chunk.begin, chunk.whole_bytes);
		has_palette = has_palette || pack_png_is(&chunk, "PLTE");
	}
	return rc;
}

/* A block with nothing but the tag 0x0112 (TIFF 6.0, section 2). */
static int append_orientation(uint8_t orientation, struct bytes *file)
{
	const uint8_t block[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0};

	return pack_png_chunks_append("eXIf", block, sizeof block, file);
}

int pack_png_chunks_head(const struct pack_png_source *source, bool keep_metadata, struct bytes *file,
                         struct segment_table_header *table)
{
	size_t first = PNG_SIGNATURE_BYTES, end = source->pixels_at, palette_at, begin_bytes;
	int rc = pack_png_chunks_begin(&source->header, file);

	begin_bytes = file->used_bytes;
	if (rc == 0)
		rc = copy(source, first, end, keep_metadata, BEFORE_PALETTE, file);
	palette_at = file->used_bytes;
	if (rc == 0)
		rc = copy(source, first, end, keep_metadata, PALETTE, file);

	if (palette_at == begin_bytes || palette_at == file->used_bytes) {
		table->head_bytes = (uint32_t)(palette_at == begin_bytes ? file->used_bytes : begin_bytes);
	} else {
		table->head_bytes = (uint32_t)begin_bytes;
		table->second_head_at = (uint32_t)palette_at;
		table->second_head_bytes = (uint32_t)(file->used_bytes - palette_at);
	}
	if (rc == 0 && keep_metadata)
		rc = copy(source, first, end, keep_metadata, BEHIND, file);
	else if (rc == 0 && source->orientation != 1)
		rc = append_orientation(source->orientation, file);
	table->data_at = (uint32_t)file->used_bytes;
	return rc;
}

int pack_png_chunks_tail(const struct pack_png_source *source, bool keep_metadata, struct bytes *file)
{
	size_t after_end_bytes = source->byte_count - source->end_at;
	int rc = 0;

	if (keep_metadata)
		rc = copy(source, source->pixels_end, source->end_at, keep_metadata, BEHIND, file);
	if (rc == 0)
		rc = pack_png_chunks_append("IEND", (const uint8_t *)"", 0, file);
	return rc == 0 && keep_metadata ? bytes_append(file, source->bytes + source->end_at, after_end_bytes) : rc;
}
