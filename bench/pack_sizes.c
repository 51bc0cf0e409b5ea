/*
 * pack_sizes.c - what segments of a JPEG cost in bytes, and what they save, by how long they are.  bench/pack_sizes.py makes the
 * pictures and the tables.
 *
 *   pack_sizes ROUNDS CROPS SEGMENTS... -- FILE...
 *       SEGMENTS: pixels as --segment-px has them, 0: automatic, none; or 5m, 10m, ...: so many MCUs.
 *
 * For each file and each of SEGMENTS, which take turns in each of ROUNDS rounds, writes a line:
 *   file segments mcus source_bytes file_bytes table_bytes, then for crops of 224x224 and for those of RandomResizedCrop:
 *   bytes read per crop, CPU nanoseconds per crop (the least of the rounds; - where the picture is smaller)
 * and first one with the segments "plain": the source's own bytes, read and decoded as they are.
 *
 * A crop is what serving one from memory takes: which runs are needed, a copy of these, decoding.  Nothing is resized.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/decode/decode.h"
#include "loader/pack/image/pack_jpeg.h"
#include "tests/seed.h"

enum { MOST_VARIANTS = 16, FIXED_CROP_PX = 224, CROP_KINDS = 2 };

struct variant {
	const char *name;
	struct packed_image packed; /* file empty: the source */
	struct segments segments;
	uint64_t read_bytes[CROP_KINDS], best_ns[CROP_KINDS];
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "pack_sizes: %s: %s\n", what, why);
	exit(1);
}

static void *allocate(size_t count, size_t item_bytes)
{
	void *memory = calloc(count, item_bytes);

	if (!memory)
		die("memory", "there is none");
	return memory;
}

static uint8_t *read_file(const char *path, size_t *byte_count)
{
	FILE *file = fopen(path, "rb");
	uint8_t *bytes;
	long length;

	if (!file || fseek(file, 0, SEEK_END) != 0 || (length = ftell(file)) <= 0)
		die(path, "cannot be read");
	rewind(file);
	*byte_count = (size_t)length;
	bytes = allocate(*byte_count, 1);
	if (fread(bytes, 1, *byte_count, file) != *byte_count)
		die(path, "cannot be read");
	fclose(file);
	return bytes;
}

static double next_fraction(uint64_t *state)
{
	return (double)(seed_next(state) >> 11) / 9007199254740992.0;
}

/* RandomResizedCrop's: an area of 8 to 100 %, sides as 3:4 to 4:3, log-uniform. */
static struct box resized_box(const struct image_info *info, uint64_t *state)
{
	struct box box = {0, 0, (int32_t)info->width_px, (int32_t)info->height_px};

	for (int tries = 0; tries < 10; tries++) {
		double area = (0.08 + 0.92 * next_fraction(state)) * info->width_px * info->height_px;
		double ratio = exp((2 * next_fraction(state) - 1) * log(4.0 / 3));
		double width = round(sqrt(area * ratio)), height = round(sqrt(area / ratio));

		if (width < 1 || height < 1 || width > info->width_px || height > info->height_px)
			continue;
		box.width = (int32_t)width;
		box.height = (int32_t)height;
		break;
	}
	box.x = (int32_t)(next_fraction(state) * (info->width_px - (uint32_t)box.width + 1));
	box.y = (int32_t)(next_fraction(state) * (info->height_px - (uint32_t)box.height + 1));
	return box;
}

static struct box fixed_box(const struct image_info *info, uint64_t *state)
{
	return (struct box){.x = (int32_t)(next_fraction(state) * (info->width_px - FIXED_CROP_PX + 1)),
	                    .y = (int32_t)(next_fraction(state) * (info->height_px - FIXED_CROP_PX + 1)),
	                    .width = FIXED_CROP_PX,
	                    .height = FIXED_CROP_PX};
}

/* Returns the bytes that were read. */
static uint64_t crop(struct decoder *decoder, const struct variant *variant, const uint8_t *bytes, size_t byte_count,
                     const struct decode_want *want, uint8_t *buffer)
{
	struct file_runs *runs = NULL;
	struct file_bytes file;
	struct image_info info;
	struct pixels out;
	uint64_t read_bytes = 0;

	if (variant->segments.kind != SEGMENT_NONE && decode_runs(&variant->segments, want, &runs)) {
		for (uint32_t i = 0; i < runs->count; read_bytes += runs->run[i++].byte_count)
			memcpy(buffer + read_bytes, bytes + runs->run[i].offset, (size_t)runs->run[i].byte_count);
		file = file_bytes_in_runs(buffer, runs, &variant->segments);
	} else {
		memcpy(buffer, bytes, byte_count);
		read_bytes = byte_count;
		file = file_bytes_whole(buffer, byte_count);
	}
	if (decode_probe(decoder, &file, &info) != ITEM_OK || decode_region(decoder, &file, &info, want, &out) != ITEM_OK)
		die(variant->name, decoder_reason(decoder));
	free(runs);
	return read_bytes;
}

static void time_crops(struct decoder *decoder, struct variant *variant, int kind, const uint8_t *source, size_t source_bytes,
                       const struct box *boxes, uint32_t crop_count, uint32_t channels, uint8_t *buffer)
{
	bool is_source = variant->packed.file.used_bytes == 0;
	const uint8_t *bytes = is_source ? source : (const uint8_t *)variant->packed.file.data;
	size_t byte_count = is_source ? source_bytes : variant->packed.file.used_bytes;
	uint64_t begin_ns = clock_thread_cpu_ns(), took_ns;

	variant->read_bytes[kind] = 0;
	for (uint32_t i = 0; i < crop_count; i++) {
		struct decode_want want = {.region = boxes[i], .channels = channels, .scale_eighths = 8};

		variant->read_bytes[kind] += crop(decoder, variant, bytes, byte_count, &want, buffer);
	}
	took_ns = clock_thread_cpu_ns() - begin_ns;
	if (variant->best_ns[kind] == 0 || took_ns < variant->best_ns[kind])
		variant->best_ns[kind] = took_ns;
}

static void pack(struct variant *variant, const char *name, const uint8_t *source, size_t source_bytes,
                 const struct image_info *info)
{
	struct pack_rules rules = {.max_pixels = UINT64_MAX, .most_memory_bytes = UINT64_MAX};
	char *rest;

	*variant = (struct variant){.name = name};
	if (strcmp(name, "plain") == 0)
		return;
	rules.segment_px = strcmp(name, "none") == 0 ? PACK_NO_SEGMENTS : (uint32_t)strtoul(name, &rest, 10);
	if (rules.segment_px != PACK_NO_SEGMENTS && *rest == 'm') {
		struct packed_image by_block = {0};
		struct segment_table_header header;

		/* How wide an MCU is stands in a table. */
		if (pack_jpeg(&(struct pack_rules){.segment_px = 8, .max_pixels = UINT64_MAX, .most_memory_bytes = UINT64_MAX},
		              source, source_bytes, &by_block) != 0 ||
		    by_block.outcome != PACK_SEGMENTED)
			die(name, by_block.reason);
		memcpy(&header, by_block.table.data, sizeof header);
		bytes_free(&by_block.file);
		bytes_free(&by_block.table);
		rules.segment_px *= header.mcu_width_px;
	}
	if (pack_jpeg(&rules, source, source_bytes, &variant->packed) != 0 ||
	    (variant->packed.outcome != PACK_SEGMENTED && variant->packed.outcome != PACK_SMALL))
		die(name, variant->packed.reason);
	variant->segments = (struct segments){.width_px = info->width_px,
	                                      .height_px = info->height_px,
	                                      .orientation = info->orientation,
	                                      .channels = info->channels,
	                                      .sample_bits = info->sample_bits,
	                                      .file_bytes = variant->packed.file.used_bytes};
	if (variant->packed.table.used_bytes > 0 &&
	    !segment_table_open(&variant->segments, (const uint8_t *)variant->packed.table.data, variant->packed.table.used_bytes))
		die(name, "its segment table is not one");
}

static void print(const struct variant *variant, const char *path, size_t source_bytes, uint32_t crop_count)
{
	size_t file_bytes = variant->packed.file.used_bytes;

	printf("%s %s %" PRIu32 " %zu %zu %zu", path, variant->name,
	       variant->packed.table.used_bytes ? variant->segments.header.unit : 0, source_bytes,
	       file_bytes ? file_bytes : source_bytes, variant->packed.table.used_bytes);
	for (int kind = 0; kind < CROP_KINDS; kind++) {
		if (variant->best_ns[kind] > 0)
			printf(" %" PRIu64 " %" PRIu64, variant->read_bytes[kind] / crop_count,
			       variant->best_ns[kind] / crop_count);
		else
			printf(" - -");
	}
	printf("\n");
	fflush(stdout);
}

static void measure(struct decoder *decoder, const char *path, char **names, int name_count, uint32_t rounds, uint32_t crop_count)
{
	struct variant variants[MOST_VARIANTS + 1];
	size_t source_bytes, most_bytes = 0;
	uint8_t *source = read_file(path, &source_bytes), *buffer;
	struct box *boxes[CROP_KINDS] = {allocate(crop_count, sizeof **boxes), allocate(crop_count, sizeof **boxes)};
	struct file_bytes file = file_bytes_whole(source, source_bytes);
	uint64_t state = 1;
	struct image_info info;
	bool is_large;

	if (decode_probe(decoder, &file, &info) != ITEM_OK)
		die(path, decoder_reason(decoder));
	is_large = info.width_px >= FIXED_CROP_PX && info.height_px >= FIXED_CROP_PX;
	for (uint32_t i = 0; i < crop_count; i++) {
		if (is_large)
			boxes[0][i] = fixed_box(&info, &state);
		boxes[1][i] = resized_box(&info, &state);
	}
	pack(&variants[0], "plain", source, source_bytes, &info);
	for (int v = 0; v < name_count; v++) {
		pack(&variants[1 + v], names[v], source, source_bytes, &info);
		if (variants[1 + v].packed.file.used_bytes > most_bytes)
			most_bytes = variants[1 + v].packed.file.used_bytes;
	}
	buffer = allocate(most_bytes > source_bytes ? most_bytes : source_bytes, 1);
	for (uint32_t round = 0; round < rounds; round++) {
		for (int v = 0; v <= name_count; v++) {
			for (int kind = is_large ? 0 : 1; kind < CROP_KINDS; kind++)
				time_crops(decoder, &variants[v], kind, source, source_bytes, boxes[kind], crop_count,
				           info.channels == 1 ? 1 : 3, buffer);
		}
	}
	for (int v = 0; v <= name_count; v++) {
		print(&variants[v], path, source_bytes, crop_count);
		bytes_free(&variants[v].packed.file);
		bytes_free(&variants[v].packed.table);
	}
	free(boxes[0]);
	free(boxes[1]);
	free(buffer);
	free(source);
}

int main(int argc, char **argv)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = UINT64_MAX});
	int name_count = 0;

	while (3 + name_count < argc && strcmp(argv[3 + name_count], "--") != 0)
		name_count++;
	if (!decoder || argc < 5 || name_count == 0 || name_count > MOST_VARIANTS || 3 + name_count >= argc)
		die("usage", "pack_sizes ROUNDS CROPS SEGMENTS... -- FILE...");
	for (int i = 4 + name_count; i < argc; i++)
		measure(decoder, argv[i], argv + 3, name_count, (uint32_t)strtoul(argv[1], NULL, 10),
		        (uint32_t)strtoul(argv[2], NULL, 10));
	decoder_close(decoder);
	return 0;
}
