/* info_pack.c - part of `cropring info`: a pack in, what is in it out.  One thread. */
#include "loader/shell/info_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loader/fetch/fetch.h"
#include "loader/plan/pack/pack_file.h"
#include "loader/plan/philox.h"

/* ---------------------------------------------------------------- headers */

static int add_shards(struct info_report *report, struct err *err)
{
	for (uint32_t i = 0; i < report->shards; i++) {
		char *path = pack_file_shard_path(report->name, i);
		struct pack_file shard;
		int rc = path ? pack_file_open(&shard, path, err) : err_fail(err, -ENOMEM, "out of memory for the name of a shard");

		free(path);
		if (rc < 0)
			return rc;
		report->pack_bytes += shard.header.file_bytes;
		pack_file_close(&shard);
	}
	return 0;
}

static int add_headers(struct info_report *report, struct err *err)
{
	struct pack_file head;
	int rc = pack_file_open(&head, report->name, err);

	if (rc < 0)
		return rc;
	report->shards = head.header.shard_count;
	report->pack_bytes = head.header.file_bytes;
	report->original_bytes = head.header.original_bytes;
	report->segment_px = head.header.segment_px;
	report->png_rows = head.header.png_rows;
	pack_file_close(&head);
	return add_shards(report, err);
}

/* ---------------------------------------------------------------- the index */

static int add_pictures(struct info_report *report, const struct pack_pictures *pictures, struct err *err)
{
	if (info_report_reserve_sizes(report, pictures->count) < 0)
		return err_fail(err, -ENOMEM, "out of memory for the sizes of %llu images", (unsigned long long)pictures->count);
	for (uint64_t i = 0; i < pictures->count; i++) {
		struct dataset_file file;
		const struct index_image *image;

		pack_picture_file(pictures, i, &file);
		image = file.image;
		report->formats[image->format < INFO_FORMATS ? image->format : 0]++;
		report->image_bytes += file.length;
		report->table_bytes += image->segments_bytes;
		report->with_segments += image->segments_bytes > 0;
		if (image->format)
			info_report_add_size(report, image->width_px, image->height_px);
	}
	info_report_sort_sizes(report);
	return 0;
}

/* ---------------------------------------------------------------- a sample */

uint64_t info_sample_place(uint64_t seed, uint64_t all, uint64_t count, uint64_t i)
{
	uint64_t begin, end;

	if (count >= all)
		return i;
	begin = (uint64_t)((double)all / (double)count * (double)i);
	end = (uint64_t)((double)all / (double)count * (double)(i + 1));
	if (end <= begin || end > all)
		return begin < all ? begin : all - 1;
	return begin + philox_draw(seed, 0, i, PHILOX_ORDER, 0).word[0] % (end - begin);
}

static void add_sampled(struct info_report *report, const struct dataset *dataset, const struct dataset_file *file)
{
	const struct index_image *image = file->image;
	uint8_t head[FETCH_HEAD_BYTES];
	struct info_picture picture = {.info = {.format = (enum image_format)image->format,
	                                        .width_px = image->width_px,
	                                        .height_px = image->height_px,
	                                        .orientation = image->orientation,
	                                        .channels = image->channels,
	                                        .sample_bits = image->sample_bits},
	                               .file_bytes = file->length};

	if (dataset_segments(dataset, file, &picture.segments) && picture.segments.kind != SEGMENT_NONE)
		info_report_add_segments(report, &picture.segments);
	if (image->format == IMAGE_BMP) {
		ssize_t got =
			pread(file->fd, head, file->length < sizeof head ? (size_t)file->length : sizeof head, (off_t)file->offset);

		picture.head = got > 0 ? head : NULL;
		picture.head_bytes = got > 0 ? (size_t)got : 0;
	}
	info_report_add_picture(report, &picture);
	info_cost_add(report->packed, &picture, &report->crops, report->sampled);
}

static void add_sample(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures)
{
	uint64_t count = flags->sample < pictures->count ? flags->sample : pictures->count;

	for (uint64_t i = 0; i < count; i++) {
		struct dataset_file file;

		pack_picture_file(pictures, info_sample_place(flags->worker.seed, pictures->count, count, i), &file);
		if (file.image->format && file.image->format < INFO_FORMATS && file.image->width_px && file.image->height_px)
			add_sampled(report, pictures->dataset, &file);
		report->sampled++;
	}
}

int info_pack(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err)
{
	int rc = add_headers(report, err);

	if (rc == 0)
		rc = add_pictures(report, pictures, err);
	if (rc == 0)
		add_sample(report, flags, pictures);
	return rc;
}
