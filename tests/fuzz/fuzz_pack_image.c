/*
 * fuzz_pack_image.c - any file into a pack: what is stored of it is the picture that it was, whole and by its segments, whatever the
 * bytes.  The last bytes of the file choose the rules.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/pack/image/pack_image.h"

enum { CHOICE_BYTES = 4, MOST_PIXELS = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void require(bool truth, const char *what, const struct packed_image *packed)
{
	if (truth)
		return;
	fprintf(stderr, "%s: %s, %s\n", what, pack_outcome_name(packed->outcome), packed->reason);
	abort();
}

static void check_form(const struct packed_image *packed)
{
	require(packed->is_source == (packed->file.used_bytes == 0), "a file, or none", packed);
	require(packed->outcome == PACK_SEGMENTED || packed->outcome == PACK_SMALL || packed->is_source, "a file of its own",
	        packed);
	require(packed->image.segments_bytes == packed->table.used_bytes, "a table's length", packed);
	require(!packed->is_source || packed->table.used_bytes == 0, "a table without a file", packed);
	require(memchr(packed->reason, '\0', sizeof packed->reason) != NULL, "a reason that does not end", packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static const uint32_t segments_px[] = {0, 8, 16, 24, 40, 64, 1000, PACK_NO_SEGMENTS};
	static const uint32_t rows[] = {0, 1, 2, 7, 16, 64, 1000, PACK_NO_SEGMENTS};
	struct pack_rules rules = {.png_level = 1, .max_pixels = MOST_PIXELS, .most_memory_bytes = 16 << 20};
	struct packed_image packed, unverified;
	struct pack_worker *worker;
	const uint8_t *choice;

	if (byte_count < CHOICE_BYTES)
		return 0;
	choice = data + byte_count - CHOICE_BYTES; /* which are the file's as well: what lies behind its end does it no harm */
	rules.segment_px = segments_px[choice[0] % 8];
	rules.png_rows = rows[choice[1] % 8];
	rules.keep_metadata = choice[2] & 1;
	rules.bmp_to_png = choice[3] & 1;

	(void)pack_image_memory_bytes(&rules, data, byte_count, byte_count);
	worker = pack_worker_open(&rules);
	if (!worker || pack_image(worker, data, byte_count, true, &packed) != 0)
		abort();
	check_form(&packed);
	require(packed.outcome != PACK_DIFFERENT, "another picture", &packed);
	if (pack_image(worker, data, byte_count, false, &unverified) != 0)
		abort();
	check_form(&unverified);
	if (!packed.is_source)
		require(unverified.outcome == packed.outcome && unverified.file.used_bytes == packed.file.used_bytes &&
		                memcmp(unverified.file.data, packed.file.data, packed.file.used_bytes) == 0 &&
		                memcmp(&unverified.image, &packed.image, sizeof packed.image) == 0,
		        "not the same again", &unverified);
	packed_image_close(&packed);
	packed_image_close(&unverified);
	pack_worker_close(worker);
	return 0;
}
