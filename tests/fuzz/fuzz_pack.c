/*
 * fuzz_pack.c - hostile packs: what is opened can be asked for each sample's place, segments and runs, which lie in the image.
 *
 * The input is the 80 bytes of a header and what follows from byte 4096 on.  Lengths and checksums are made right first, those of the
 * segment tables too, for else nothing would come past them.  A pack with shards finds none.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "loader/decode/decode.h"
#include "loader/plan/dataset.h"
#include "loader/plan/pack/pack_layout.h"

enum { MOST_SAMPLES = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static volatile uint64_t sum; /* so that no read can be left out */

static void must(bool truth, const char *what)
{
	if (!truth) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

/* ------------------------------------------------------------------ making sums right */

static void mend_table(uint8_t *table, size_t table_bytes)
{
	struct segment_table_header header;
	uint16_t check;

	if (table_bytes < sizeof header)
		return;
	memcpy(&header, table, sizeof header);
	header.check = (uint32_t)XXH3_64bits(&header, offsetof(struct segment_table_header, check));
	memcpy(table, &header, sizeof header);
	for (uint32_t group = 0; header.length_bytes == 2 || header.length_bytes == 4; group++) {
		size_t summed_bytes = 4u + SEGMENTS_OF_GROUP * header.length_bytes, at = sizeof header + group * (summed_bytes + 2);

		if (summed_bytes + 2 > table_bytes || at > table_bytes - summed_bytes - 2)
			break;
		check = (uint16_t)XXH3_64bits_withSeed(table + at, summed_bytes, group);
		memcpy(table + at + summed_bytes, &check, sizeof check);
	}
}

/* Of each image that lies in the pack. */
static void mend_tables(uint8_t *pack, size_t byte_count, const struct index_view *view)
{
	const uint64_t *offsets = view->column[INDEX_OFFSET], *lengths = view->column[INDEX_LENGTH];
	const struct index_image *images = view->column[INDEX_IMAGE];

	for (uint64_t i = 0; images && i < view->header->sample_count; i++) {
		uint64_t at = pack_table_at(offsets[i], lengths[i]);

		if (at < byte_count && images[i].segments_bytes <= byte_count - at)
			mend_table(pack + at, images[i].segments_bytes);
	}
}

static void mend(uint8_t *pack, size_t byte_count)
{
	struct pack_header *header = (void *)pack;
	struct index_header *index;
	struct index_view view;

	header->file_bytes = byte_count;
	if (header->index_at <= byte_count)
		header->index_bytes = byte_count - header->index_at;
	header->check = XXH3_64bits(header, offsetof(struct pack_header, check));
	if (header->index_at % 8 != 0 || header->index_at > byte_count)
		return; /* still to be opened, but read here it would be out of line */
	index = (void *)(pack + header->index_at);
	if (index_view_check_header(index, header->index_bytes) != NULL)
		return;
	index_view_fingerprint(index, index->fingerprint);
	if (index_view_open(&view, index, header->index_bytes, "index", NULL) == 0)
		mend_tables(pack, header->index_at, &view);
}

/* ------------------------------------------------------------------ what is opened */

static void check_runs(const struct segments *segments, const struct decode_want *want)
{
	struct file_runs *runs = NULL;
	uint64_t end = 0, total_bytes = 0;

	if (!decode_runs(segments, want, &runs))
		return;
	for (uint32_t i = 0; i < runs->count; i++) {
		const struct file_run *run = &runs->run[i];

		must(run->byte_count > 0 && run->offset >= end, "a run that is empty, or begins before another ends");
		must(run->offset <= segments->file_bytes && run->byte_count <= segments->file_bytes - run->offset,
		     "a run beyond the image");
		end = run->offset + run->byte_count;
		total_bytes += run->byte_count;
	}
	must(runs->count > 0 && runs->total_bytes == total_bytes, "runs that do not add up");
	free(runs);
}

/* The whole picture, its corners, and a part in the middle. */
static void check_segments(const struct segments *segments)
{
	int32_t width = (int32_t)segments->width_px, height = (int32_t)segments->height_px;
	const struct box boxes[] = {{0, 0, width, height},
	                            {0, 0, 1, 1},
	                            {width - 1, height - 1, 1, 1},
	                            {width / 3, height / 3, (width + 2) / 3, (height + 2) / 3}};
	struct image_info info;

	if (segments->kind == SEGMENT_NONE)
		return;
	must(width > 0 && height > 0, "a size that no picture has");
	decode_describe(segments, &info);
	must(info.width_px == segments->width_px && info.height_px == segments->height_px, "another picture");
	for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
		struct decode_want want = {.region = boxes[i], .channels = i % 2 ? 1 : 3, .scale_eighths = 8};

		check_runs(segments, &want);
	}
}

static void check_file(const struct dataset *dataset, const struct dataset_file *file)
{
	struct segments segments;

	sum += strlen(file->path);
	must(file->image && file->fd >= 0, "an image without a file");
	must(file->offset <= INT64_MAX && file->length <= INT64_MAX - file->offset, "an image beyond any file");
	must(dataset_segments(dataset, file, &segments), "no image of a pack");
	must(segments.file_bytes == file->length, "segments of another file");
	check_segments(&segments);
}

static void check_dataset(const struct dataset *dataset)
{
	uint64_t sample_count = dataset_sample_count(dataset);

	for (uint64_t i = 0; i < sample_count && i < MOST_SAMPLES; i++) {
		struct dataset_file file;

		dataset_announce(dataset, i);
		dataset_image(dataset, i, &file);
		check_file(dataset, &file);
		if (dataset_has(dataset, INDEX_TARGET_IMAGE)) {
			dataset_target(dataset, i, &file);
			check_file(dataset, &file);
		}
		sum += (uint64_t)dataset_label(dataset, i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	size_t body_bytes, pack_bytes;
	struct dataset *dataset;
	struct err err = {""};
	char path[64];
	uint8_t *pack;
	int fd, rc;

	if (byte_count < sizeof(struct pack_header))
		return 0;
	body_bytes = byte_count - sizeof(struct pack_header);
	pack_bytes = PACK_HEADER_BYTES + body_bytes;
	fd = memfd_create("pack", MFD_CLOEXEC);
	pack = calloc(1, pack_bytes);
	if (!pack || fd < 0)
		abort();
	memcpy(pack, data, sizeof(struct pack_header));
	memcpy(pack + PACK_HEADER_BYTES, data + sizeof(struct pack_header), body_bytes);
	mend(pack, pack_bytes);
	must(write(fd, pack, pack_bytes) == (ssize_t)pack_bytes, "no memory");
	free(pack);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	rc = dataset_open(&dataset, &(struct dataset_spec){.source = path, .threads = 1}, &err);
	must(rc == 0 || *err.text != '\0', "refused without a sentence");
	if (rc == 0) {
		check_dataset(dataset);
		dataset_close(dataset);
	}
	close(fd);
	return 0;
}
