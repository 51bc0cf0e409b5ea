/* Part of `cropring pack --bmp-to-png`: a BMP's pixels, or palette and indexes, in; a PNG out.  One thread per decoder. */
#include "loader/pack/image/pack_bmp.h"

#include <stdio.h>

#include "loader/decode/bmp_header.h"
#include "loader/pack/image/pack_png.h"

enum { INDEX_COUNT = 256 };

int pack_bmp(const struct pack_rules *rules, struct decoder *decoder, const struct file_bytes *source,
             const struct image_info *info, struct packed_image *out)
{
	struct workspace workspace = {.max_pixels = rules->max_pixels};
	struct decode_want want = {.region = {0, 0, (int32_t)info->width_px, (int32_t)info->height_px},
	                           .channels = info->channels,
	                           .scale_eighths = 8,
	                           .as_stored = info->channels == 1};
	struct bmp_header header;
	struct pixels pixels;
	bool has_colours;
	int rc;

	out->outcome = PACK_BMP;
	if ((uint64_t)info->width_px * info->height_px * info->channels > rules->most_memory_bytes)
		return 0;
	if (bmp_header_parse(&header, source, &workspace) != ITEM_OK ||
	    decode_region(decoder, source, info, &want, &pixels) != ITEM_OK) {
		out->outcome = PACK_DAMAGED;
		snprintf(out->reason, sizeof out->reason, "%s", decoder_reason(decoder));
		return 0;
	}
	if (info->channels == 1)
		bmp_header_read_palette(&header, source);
	/* Of 8 bits whose palette is gray's, the index is the colour: bmp_header_read_palette() makes bytes of them. */
	has_colours = header.unpack.kind == UNPACK_INDEX;
	rc = pack_png_from_pixels(rules, &pixels, has_colours ? header.unpack.palette : NULL, has_colours ? INDEX_COUNT : 0, out);
	if (rc == 0 && out->file.used_bytes >= source->byte_count) { /* noise; a picture of a few pixels */
		packed_image_close(out);
		out->outcome = PACK_BMP;
	}
	return rc;
}
