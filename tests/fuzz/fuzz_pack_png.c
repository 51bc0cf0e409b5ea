/*
 * fuzz_pack_png.c - hostile PNGs to be packed: what is said to be packed libpng reads, from source and result alike, as the same
 * picture, and without a word from the result if it had none for the source; a second packing gives the same bytes; and a region from
 * its segments alone is that of the whole.  Segments that have been damaged, with the right CRC, give pixels or a reason.
 *
 * Chunks' checksums are put right first, but of every other input.  The last bytes choose the rules and the region.
 */
#include <zlib.h>

#include "loader/pack/image/pack_png.h"
#include "tests/fuzz/decode_sweep.h"
#include "tests/png_reference.h"
#include "tests/seed.h"

enum { SIGNATURE_BYTES = 8, CHUNK_BYTES = 12, MOST_ROWS_BYTES = 1 << 22 };

static uint32_t read_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void repair_checksums(uint8_t *file, size_t byte_count)
{
	size_t at = SIGNATURE_BYTES;

	while (at < byte_count && byte_count - at >= CHUNK_BYTES) {
		uint32_t data_bytes = read_u32(file + at), crc;

		if (data_bytes > byte_count - at - CHUNK_BYTES)
			break;
		crc = (uint32_t)crc32(0, file + at + 4, 4 + data_bytes);
		for (int i = 0; i < 4; i++)
			file[at + 8 + data_bytes + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
		at += CHUNK_BYTES + data_bytes;
	}
}

static struct pack_rules choose_rules(const struct sweep_choice *choice)
{
	return (struct pack_rules){.png_rows = 1 + choice->y % 40,
	                           .png_level = 1 + choice->x % 9,
	                           .keep_metadata = choice->bits & 2,
	                           .max_pixels = 1 << 16,
	                           .most_memory_bytes = 1 << 24};
}

static void check_same_picture(const uint8_t *source, size_t byte_count, const struct packed_image *packed)
{
	struct png_reference expected, found;

	png_reference_open(&expected, source, byte_count, false, MOST_ROWS_BYTES);
	png_reference_open(&found, (const uint8_t *)packed->file.data, packed->file.used_bytes, false, MOST_ROWS_BYTES);
	if (!expected.is_read || !found.is_read)
		fprintf(stderr, "source: %s, packed: %s\n", expected.words, found.words);
	sweep_must(expected.is_read && found.is_read, "packed, but libpng does not read it");
	sweep_must(png_reference_equals(&expected, &found), "another picture");
	if (found.has_warned && !expected.has_warned)
		fprintf(stderr, "packed: %s\n", found.words);
	sweep_must(!found.has_warned || expected.has_warned, "what libpng warns of");
	png_reference_close(&expected);
	png_reference_close(&found);
}

/* A few bytes become others, and the checksums of the chunks are put right; what bytes, the input's hash tells. */
static void damage(uint8_t *read, size_t byte_count, uint64_t *random)
{
	for (uint64_t i = 0, edits = seed_between(random, 1, 3); i < edits; i++)
		read[seed_next(random) % byte_count] ^= (uint8_t)seed_between(random, 1, 255);
	repair_checksums(read, byte_count);
}

static void read_damaged(uint8_t *read, const struct file_bytes *bytes, const struct sweep_choice *choice,
                         const struct sweep_limits *limits)
{
	struct decoder *decoder = sweep_open(limits);
	uint64_t random = sweep_file_id(read, bytes->byte_count);
	uint8_t *whole = malloc(bytes->byte_count);
	struct sweep_result found;

	sweep_must(whole != NULL, "no memory");
	memcpy(whole, read, bytes->byte_count);
	for (int round = 0; round < 4; round++) {
		memcpy(read, whole, bytes->byte_count);
		damage(read, bytes->byte_count, &random);
		sweep_run(decoder, bytes, choice, limits, &found);
	}
	free(whole);
	decoder_close(decoder);
}

/* The region through decode_runs(), beside the region of the whole packed file. */
static void check_region(const struct packed_image *packed, const struct sweep_choice *choice)
{
	static const struct sweep_limits limits = {.max_pixels = 1 << 16, .max_region_px = 1 << 16};
	struct segments segments = {.width_px = packed->image.width_px,
	                            .height_px = packed->image.height_px,
	                            .orientation = packed->image.orientation,
	                            .channels = packed->image.channels,
	                            .sample_bits = packed->image.sample_bits,
	                            .file_bytes = packed->file.used_bytes};
	struct file_bytes whole = file_bytes_whole((const uint8_t *)packed->file.data, packed->file.used_bytes), bytes;
	struct sweep_result expected, found;
	struct decoder *decoders[2] = {sweep_open(&limits), sweep_open(&limits)};
	struct file_runs *runs;
	uint8_t *read;
	size_t at = 0;

	sweep_must(segment_table_open(&segments, (const uint8_t *)packed->table.data, packed->table.used_bytes),
	           "a table that is none");
	sweep_run(decoders[0], &whole, choice, &limits, &expected);
	sweep_must(expected.decoded == ITEM_OK, "packed, but not read");
	if (decode_runs(&segments, &expected.want, &runs)) {
		read = malloc(runs->total_bytes);
		sweep_must(read != NULL, "no memory");
		for (uint32_t i = 0; i < runs->count; at += runs->run[i++].byte_count)
			memcpy(read + at, packed->file.data + runs->run[i].offset, runs->run[i].byte_count);
		bytes = file_bytes_in_runs(read, runs, &segments);
		sweep_run(decoders[1], &bytes, choice, &limits, &found);
		sweep_check_same(&expected, &found);
		read_damaged(read, &bytes, choice, &limits);
		free(read);
		free(runs);
	}
	decoder_close(decoders[0]);
	decoder_close(decoders[1]);
}

static void pack(const uint8_t *source, size_t byte_count)
{
	struct sweep_choice choice = sweep_choose(source, byte_count);
	struct pack_rules rules = choose_rules(&choice);
	struct packed_image packed = {0}, again = {0};

	sweep_must(pack_png(&rules, source, byte_count, &packed) == 0 && pack_png(&rules, source, byte_count, &again) == 0,
	           "no memory");
	sweep_must(packed.outcome == again.outcome && packed.is_source == (packed.outcome != PACK_SEGMENTED), "another outcome");
	sweep_must(packed.file.used_bytes == again.file.used_bytes && packed.table.used_bytes == again.table.used_bytes,
	           "another result");
	if (packed.outcome == PACK_SEGMENTED) {
		sweep_must(memcmp(packed.file.data, again.file.data, packed.file.used_bytes) == 0 &&
		                   memcmp(packed.table.data, again.table.data, packed.table.used_bytes) == 0,
		           "other bytes");
		check_same_picture(source, byte_count, &packed);
		check_region(&packed, &choice);
	} else {
		sweep_must(packed.file.used_bytes == 0 && packed.table.used_bytes == 0, "bytes of what is stored as it is");
		sweep_must(packed.outcome == PACK_SMALL || packed.reason[0] != '\0', "refused without a reason");
	}
	bytes_free(&packed.file);
	bytes_free(&packed.table);
	bytes_free(&again.file);
	bytes_free(&again.table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	uint8_t *repaired;

	if (byte_count == 0 || !(data[byte_count - 1] & 0x80)) { /* a PNG's own end has it */
		pack(data, byte_count);
		return 0;
	}
	repaired = malloc(byte_count);
	sweep_must(repaired != NULL, "no memory");
	memcpy(repaired, data, byte_count);
	repair_checksums(repaired, byte_count);
	pack(repaired, byte_count);
	free(repaired);
	return 0;
}
