/*
 * info_loose.c - part of `cropring info`: images that are in no pack in; what they are, and what `cropring pack` would make of them, out.
 * One thread.
 */
#include "loader/shell/info_loose.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/decode/sniff.h"
#include "loader/fetch/fetch.h"
#include "loader/pack/pack_io.h"
#include "loader/pack/pack_read.h"
#include "loader/run/log.h"
#include "loader/shell/info_detail.h"
#include "loader/shell/info_pack.h"
#include "loader/shell/stop_signal.h"

enum { PROGRESS_NS = 200000000 };

/* As `cropring pack` has it without flags. */
static struct pack_worker *open_worker(const struct info_flags *flags)
{
	return pack_worker_open(&(struct pack_rules){
		.png_level = 6, .max_pixels = flags->worker.max_pixels, .most_memory_bytes = UINT64_C(2) << 30});
}

/* ---------------------------------------------------------------- one image */

static struct info_picture picture_of(const struct packed_image *packed, uint64_t file_bytes)
{
	const struct index_image *image = &packed->image;

	return (struct info_picture){.info = {.format = (enum image_format)image->format,
	                                      .width_px = image->width_px,
	                                      .height_px = image->height_px,
	                                      .orientation = image->orientation,
	                                      .channels = image->channels,
	                                      .sample_bits = image->sample_bits},
	                             .file_bytes = file_bytes};
}

/* The picture as it would lie in a pack; its segments point into `packed`. */
static struct info_picture packed_picture_of(const struct packed_image *packed)
{
	struct info_picture picture = picture_of(packed, packed->file.used_bytes);

	picture.segments = (struct segments){.width_px = picture.info.width_px,
	                                     .height_px = picture.info.height_px,
	                                     .orientation = picture.info.orientation,
	                                     .channels = picture.info.channels,
	                                     .sample_bits = picture.info.sample_bits,
	                                     .file_bytes = picture.file_bytes};
	(void)segment_table_open(&picture.segments, (const uint8_t *)packed->table.data,
	                         packed->table.used_bytes); /* without one, its kind says so */
	return picture;
}

static void add_costs(struct info_report *report, const struct packed_image *packed, const uint8_t *bytes, size_t byte_count)
{
	struct info_picture now = picture_of(packed, byte_count), then;
	const char *name;

	now.info.format = sniff(bytes, byte_count, &name); /* a BMP may become a PNG */
	now.in_one_piece = info_detail(bytes, byte_count, report->detail, sizeof report->detail);
	now.head = bytes;
	now.head_bytes = byte_count < FETCH_HEAD_BYTES ? byte_count : FETCH_HEAD_BYTES;
	then = packed->is_source ? now : packed_picture_of(packed);
	report->picture = now;
	report->picture.head = NULL; /* it goes with the bytes */
	info_report_add_size(report, now.info.width_px, now.info.height_px);
	info_report_add_picture(report, &now);
	info_cost_add(report->now, &now, &report->crops, report->sampled);
	info_cost_add(report->packed, &then, &report->crops, report->sampled);
	if (then.segments.kind != SEGMENT_NONE)
		info_report_add_segments(report, &then.segments);
}

static int add_image(struct info_report *report, struct pack_worker *worker, uint64_t number, const uint8_t *bytes,
                     size_t byte_count)
{
	struct packed_image packed = {.is_source = true};
	int rc = pack_image(worker, bytes, byte_count, true, &packed);

	if (rc == 0) {
		uint8_t format = packed.image.format < INFO_FORMATS ? packed.image.format : 0;

		report->formats[format]++;
		report->source_bytes += byte_count;
		report->would_be_bytes += packed.is_source ? byte_count : packed.file.used_bytes + packed.table.used_bytes;
		pack_tally_add(&report->tally, number, packed.outcome, packed.reason);
		if (format && packed.image.width_px && packed.image.height_px)
			add_costs(report, &packed, bytes, byte_count);
	}
	packed_image_close(&packed);
	return rc;
}

/* ---------------------------------------------------------------- a source */

/* A file that cannot be read is said, and counted as damaged. */
static int add_picture(struct info_report *report, const struct info_flags *flags, struct pack_worker *worker,
                       const struct pack_pictures *pictures, uint64_t number)
{
	struct pack_read reading;
	uint8_t *bytes = NULL;
	struct err err;
	int rc = pack_read_open(&reading, pictures, number, flags->worker.max_file_bytes, &err);

	if (rc == 0) {
		bytes = malloc(reading.byte_count + 1);
		rc = bytes ? pack_read_bytes(&reading, bytes, reading.byte_count, &err) : -ENOMEM;
		pack_read_close(&reading);
	}
	if (rc == 0)
		rc = add_image(report, worker, number, bytes, reading.byte_count);
	else if (rc != -ENOMEM) {
		log_write(LOG_WARNING, "%s", err.text);
		report->formats[0]++;
		rc = 0;
	}
	free(bytes);
	report->sampled++;
	return rc;
}

static void show_progress(const struct info_report *report, uint64_t count, uint64_t *shown_ns)
{
	uint64_t now_ns = clock_now_ns();
	char line[120];

	if (!log_has_terminal() || now_ns - *shown_ns < PROGRESS_NS)
		return;
	*shown_ns = now_ns;
	snprintf(line, sizeof line, "info: %llu of a sample of %llu images", (unsigned long long)report->sampled,
	         (unsigned long long)count);
	log_progress(line);
}

int info_source(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err)
{
	uint64_t count = flags->sample < pictures->count ? flags->sample : pictures->count, shown_ns = clock_now_ns();
	struct pack_worker *worker = open_worker(flags);
	int rc = worker ? info_report_reserve_sizes(report, count) : -ENOMEM;

	stop_signal_catch();
	for (uint64_t i = 0; rc == 0 && i < count; i++) {
		uint64_t number = info_sample_place(flags->worker.seed, pictures->count, count, i);

		rc = stop_signal_number() ? -EINTR : add_picture(report, flags, worker, pictures, number);
		show_progress(report, count, &shown_ns);
	}
	log_progress("");
	pack_worker_close(worker);
	info_report_sort_sizes(report);
	if (rc == -EINTR)
		return err_fail(err, rc, "%s: not all of the sample was looked at", report->name);
	return rc < 0 ? err_fail(err, rc, "%s: out of memory for its images", report->name) : 0;
}

/* ---------------------------------------------------------------- a file */

static int read_file(const struct info_flags *flags, uint8_t **bytes, size_t *byte_count, struct err *err)
{
	int fd = open(flags->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = fd < 0 ? -errno : 0;
	struct stat status = {0};

	*bytes = NULL;
	*byte_count = 0;
	if (rc == 0 && fstat(fd, &status) < 0)
		rc = -errno;
	if (rc == 0 && (uint64_t)status.st_size > flags->worker.max_file_bytes) {
		close(fd);
		return err_fail(err, -EFBIG, "%s: %lld bytes, over --max-file-bytes %llu", flags->path, (long long)status.st_size,
		                (unsigned long long)flags->worker.max_file_bytes);
	}
	*byte_count = (size_t)status.st_size;
	if (rc == 0)
		*bytes = malloc(*byte_count + 1);
	if (rc == 0)
		rc = *bytes ? pack_io_read(fd, *bytes, *byte_count, 0) : -ENOMEM;
	if (fd >= 0)
		close(fd);
	return rc < 0 ? err_fail(err, rc, "%s: cannot be read: %s", flags->path, strerror(-rc)) : 0;
}

/* What is not read at all is no image to tell about. */
static int check_format(const char *path, const uint8_t *bytes, size_t byte_count, struct err *err)
{
	const char *name = NULL;
	enum image_format format = sniff(bytes, byte_count, &name);

	if (byte_count == 0)
		return err_fail(err, -ENODATA, "%s is empty", path);
	if (format == IMAGE_OTHER)
		return err_fail(err, -ENODATA, "%s: a %s file, which is not read; JPEG, PNG and BMP are", path, name);
	if (format == IMAGE_UNKNOWN)
		return err_fail(err, -ENODATA, "%s: neither an image (JPEG, PNG, BMP) nor a pack, folder, table or tar of images",
		                path);
	return 0;
}

int info_file(struct info_report *report, const struct info_flags *flags, struct err *err)
{
	struct pack_worker *worker = NULL;
	uint8_t *bytes;
	size_t byte_count;
	int rc = read_file(flags, &bytes, &byte_count, err);

	if (rc == 0)
		rc = check_format(flags->path, bytes, byte_count, err);
	if (rc == 0) {
		worker = open_worker(flags);
		rc = worker ? info_report_reserve_sizes(report, 1) : -ENOMEM;
		if (rc == 0)
			rc = add_image(report, worker, 0, bytes, byte_count);
		report->sampled = 1;
		if (rc < 0)
			(void)err_fail(err, rc, "%s: out of memory for its pixels", flags->path);
	}
	pack_worker_close(worker);
	free(bytes);
	return rc;
}
