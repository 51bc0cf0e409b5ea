/*
 * fuzz_jpeg_splice.c - any JPEG: its regions are the same with and without splicing.  The last bytes of the file choose them.
 *
 * A file without restart markers has the same status, too; one with them may be readable where plain decoding meets damage, but not
 * the other way round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/decode/decode.h"
#include "loader/decode/jpeg_index.h"

enum { CHOICE_BYTES = 8, MOST_PIXELS = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void require(bool truth, const char *what)
{
	if (truth)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

/* Begins at a part of the axis, and is as long as another part of what remains. */
static void choose_side(uint8_t begin, uint8_t length, uint32_t bound, int32_t *at, int32_t *side)
{
	*at = (int32_t)((uint64_t)bound * begin / 256);
	*side = 1 + (int32_t)((uint64_t)(bound - 1 - (uint32_t)*at) * length / 255);
}

static void compare(struct decoder *plain, struct decoder *splicing, const struct file_bytes *file, const struct image_info *info,
                    const struct decode_want *want)
{
	struct pixels expected, out;
	enum item_status status = decode_region(plain, file, info, want, &expected);
	struct jpeg_header header;
	bool may_differ = jpeg_header_read(file->data, file->byte_count, &header) && header.grid.restart_mcus > 0;

	for (int visit = 0; visit < 2; visit++) {
		enum item_status spliced = decode_region(splicing, file, info, want, &out);

		require(spliced == status || (may_differ && spliced == ITEM_OK), "another status");
		for (uint32_t y = 0; status == ITEM_OK && y < expected.height_px; y++)
			require(memcmp(out.data + y * out.stride_bytes, expected.data + y * expected.stride_bytes,
			               (size_t)expected.width_px * expected.channels) == 0,
			        "other pixels");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static const uint32_t reductions[] = {8, 4, 2, 1, 3, 5, 6, 7};
	struct decode_limits limits = {.max_pixels = MOST_PIXELS};
	struct decoder *plain = decoder_open(&limits), *splicing;
	struct image_info info;
	struct file_bytes file;

	limits.jpeg_indexes = jpeg_index_store_open(1 << 20, 0);
	splicing = decoder_open(&limits);
	if (plain && splicing && limits.jpeg_indexes && byte_count > CHOICE_BYTES) {
		const uint8_t *choices = data + byte_count - CHOICE_BYTES;

		file = file_bytes_whole(data, byte_count);
		file.id = 1;
		if (decode_probe(plain, &file, &info) == ITEM_OK && info.format == IMAGE_JPEG) {
			for (int region = 0; region < 2; region++) {
				const uint8_t *choice = choices + 4 * region;
				uint32_t eighths = reductions[choices[3] >> 5];
				struct decode_want want = {.channels = choices[0] & 1 ? 1 : 3, .scale_eighths = eighths};

				choose_side(choice[0], choice[1], decode_scaled_px(info.width_px, eighths), &want.region.x,
				            &want.region.width);
				choose_side(choice[2], choice[3], decode_scaled_px(info.height_px, eighths), &want.region.y,
				            &want.region.height);
				compare(plain, splicing, &file, &info, &want);
			}
		}
	}
	decoder_close(plain);
	decoder_close(splicing);
	jpeg_index_store_close(limits.jpeg_indexes);
	return 0;
}
