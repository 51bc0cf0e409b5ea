/*
 * info_verify.c - part of `cropring info`: all images of a pack in, those whose bytes or tables are not what was packed out; several
 * threads, of which the first one shows how far they are.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/commas.h"
#include "loader/run/log.h"
#include "loader/shell/crew.h"
#include "loader/shell/info_pack.h"
#include "loader/shell/stop_signal.h"
#include "loader/shell/stored_image.h"

enum { PROGRESS_NS = 200000000 };

struct verifying {
	const struct pack_pictures *pictures;
	uint64_t all_bytes;
	uint8_t *pieces; /* memory of the threads, a piece each */

	/* relaxed: numbers that only count, and are read for good after the threads were joined */
	_Atomic uint64_t next, done, done_bytes, damaged_images, damaged_tables;
	_Atomic int failed; /* relaxed: as they */
};

static int take_nothing(void *context, const void *data, size_t byte_count)
{
	struct verifying *verifying = context;

	(void)data;
	atomic_fetch_add_explicit(&verifying->done_bytes, byte_count, memory_order_relaxed);
	return stop_signal_number() ? -EINTR : 0;
}

/* Each group has a check of its own, and begins where the one before ends. */
static bool is_table_sound(const struct segments *segments)
{
	uint32_t count = segments->header.segment_count;
	uint64_t at = segments->header.data_at;

	for (uint32_t first = 0; first < count; first += SEGMENTS_OF_GROUP) {
		uint32_t end = count - first > SEGMENTS_OF_GROUP ? first + SEGMENTS_OF_GROUP : count;
		struct file_run run;

		if (!segment_table_run(segments, first, end, &run) || run.offset != at)
			return false;
		at += run.byte_count;
		if (end == count)
			break;
	}
	return true;
}

static int verify_picture(struct verifying *verifying, uint64_t picture, uint8_t *piece)
{
	struct segments segments;
	struct dataset_file file;
	int rc;

	pack_picture_file(verifying->pictures, picture, &file);
	rc = stored_image_read(&file, piece, take_nothing, verifying);
	if (rc == -EBADMSG) {
		atomic_fetch_add_explicit(&verifying->damaged_images, 1, memory_order_relaxed);
		log_write(LOG_WARNING, "%s: damaged: its checksum is wrong", file.path);
		rc = 0;
	}
	if (rc == 0 && file.image->segments_bytes > 0 &&
	    (!dataset_segments(verifying->pictures->dataset, &file, &segments) || segments.kind == SEGMENT_NONE ||
	     !is_table_sound(&segments))) {
		atomic_fetch_add_explicit(&verifying->damaged_tables, 1, memory_order_relaxed);
		log_write(LOG_WARNING, "%s: its table of segments is damaged", file.path);
	}
	if (rc < 0 && rc != -EINTR)
		log_write(LOG_ERROR, "%s: cannot be read: %s", file.path, strerror(-rc));
	return rc;
}

static void show_progress(const struct verifying *verifying, uint64_t *shown_ns)
{
	char done[32], all[32], line[160];
	uint64_t now_ns = clock_now_ns();

	if (!log_has_terminal() || now_ns - *shown_ns < PROGRESS_NS)
		return;
	*shown_ns = now_ns;
	snprintf(line, sizeof line, "verify: %s of %s images, %.2f of %.2f GB", with_commas(verifying->done, done),
	         with_commas(verifying->pictures->count, all), (double)verifying->done_bytes / 1e9,
	         (double)verifying->all_bytes / 1e9);
	log_progress(line);
}

static void work(void *context, uint32_t number)
{
	struct verifying *verifying = context;
	uint8_t *piece = verifying->pieces + (size_t)number * STORED_IMAGE_PIECE_BYTES;
	uint64_t shown_ns = clock_now_ns();

	/* relaxed: see struct verifying */
	while (!atomic_load_explicit(&verifying->failed, memory_order_relaxed)) {
		uint64_t next = atomic_fetch_add_explicit(&verifying->next, 1, memory_order_relaxed);
		int rc;

		if (next >= verifying->pictures->count)
			break;
		rc = verify_picture(verifying, next, piece);
		if (rc < 0)
			atomic_store_explicit(&verifying->failed, rc, memory_order_relaxed); /* relaxed: see above */
		atomic_fetch_add_explicit(&verifying->done, 1, memory_order_relaxed);
		if (number == 0)
			show_progress(verifying, &shown_ns);
	}
}

int info_verify(struct info_report *report, const struct info_flags *flags, const struct pack_pictures *pictures, struct err *err)
{
	struct verifying verifying = {.pictures = pictures, .all_bytes = report->image_bytes};
	uint32_t size = crew_size(flags->worker.threads, pictures->count);
	int rc = -ENOMEM;

	stop_signal_catch();
	verifying.pieces = malloc((size_t)size * STORED_IMAGE_PIECE_BYTES);
	if (verifying.pieces)
		rc = crew_run(size, work, &verifying);
	free(verifying.pieces);
	log_progress("");
	if (rc < 0)
		return err_fail(err, rc, "out of memory for %u threads", size);
	if (verifying.failed)
		return err_fail(err, verifying.failed, "not all of the pack was looked at");
	report->is_verified = true;
	report->damaged_images = verifying.damaged_images;
	report->damaged_tables = verifying.damaged_tables;
	return 0;
}
