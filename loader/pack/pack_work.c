/* pack_work.c - part of `cropring pack`: a picture of the source in, what is stored of it out.  Each thread for itself. */
#include "loader/pack/pack_work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/pack/pack_crash.h"
#include "loader/pack/pack_member.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { VERIFIED_OF = 16 }; /* --verify sample: one of so many */

struct pack_work *pack_work_open(const struct pack_job *job)
{
	struct pack_work *work = calloc(1, sizeof *work);

	if (!work)
		return NULL;
	work->reading.fd = -1;
	work->worker = pack_worker_open(&job->rules);
	if (work->worker)
		return work;
	free(work);
	return NULL;
}

void pack_work_close(struct pack_work *work)
{
	if (!work)
		return;
	pack_worker_close(work->worker);
	free(work);
}

/* No fault of the file: when there is more again, it can be read. */
static bool is_shortage(int rc)
{
	return rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM;
}

/* `result->err` says what is wrong with the file. */
static void give_up_file(const struct pack_job *job, struct pack_result *result, int rc)
{
	if (is_shortage(rc)) {
		result->rc = rc;
		return;
	}
	result->is_skipped = job->skip_unreadable;
	result->rc = job->skip_unreadable ? 0 : -EIO;
	result->packed.outcome = PACK_DAMAGED;
	snprintf(result->packed.reason, sizeof result->packed.reason, "passed over, since it cannot be read: %s",
	         rc == -EFBIG ? "too long" : strerror(-rc));
}

uint64_t pack_work_begin(struct pack_work *work, const struct pack_job *job, uint64_t picture, struct pack_result *result)
{
	size_t head_bytes;
	int rc;

	*result = (struct pack_result){0};
	work->picture = picture;
	rc = pack_read_open(&work->reading, job->pictures, picture, job->max_file_bytes, &result->err);
	head_bytes = work->reading.byte_count < sizeof work->head ? work->reading.byte_count : sizeof work->head;
	if (rc == 0 && (rc = pack_read_bytes(&work->reading, work->head, head_bytes, &result->err)) < 0)
		pack_read_close(&work->reading);
	if (rc < 0) {
		give_up_file(job, result, rc);
		return 0;
	}
	return work->reading.byte_count + pack_image_memory_bytes(&job->rules, work->head, head_bytes, work->reading.byte_count);
}

void pack_work_drop(struct pack_work *work)
{
	pack_read_close(&work->reading);
}

static int read_source(const struct pack_work *work, const struct pack_job *job, struct pack_result *result)
{
	size_t byte_count = work->reading.byte_count;
	int rc;

	result->source = malloc(byte_count);
	if (!result->source)
		return -ENOMEM;
	if (byte_count <= sizeof work->head) {
		memcpy(result->source, work->head, byte_count);
		rc = 0;
	} else {
		rc = pack_read_bytes(&work->reading, result->source, byte_count, &result->err);
	}
	if (rc == 0) {
		result->picture.source_bytes = byte_count;
		return 0;
	}
	free(result->source);
	result->source = NULL;
	give_up_file(job, result, rc);
	return 0;
}

/* A pure function of the sample's number, and of nothing that changes from run to run. */
static bool is_verified(const struct pack_job *job, uint64_t picture)
{
	uint64_t sample = pack_picture_sample(job->pictures, picture);

	return job->verify == PACK_VERIFY_ALL ||
	       (job->verify == PACK_VERIFY_SAMPLE && XXH3_64bits(&sample, sizeof sample) % VERIFIED_OF == 0);
}

static const char *ending_of(const struct index_image *image)
{
	static const char *const endings[] = {"", ".jpg", ".png", ".bmp"};

	return image->format < sizeof endings / sizeof endings[0] ? endings[image->format] : "";
}

/* Of a member of an archive: "ARCHIVE/MEMBER". */
static int find_name(const struct pack_work *work, struct pack_result *result)
{
	const struct pack_read *reading = &work->reading;
	char member[PACK_NAME_BYTES / 2];

	if (!pack_member_name(reading->fd, reading->offset, member, sizeof member))
		snprintf(member, sizeof member, "%llu%s", (unsigned long long)reading->offset, ending_of(&result->packed.image));
	return asprintf(&result->name, "%.*s/%s", PACK_NAME_BYTES / 2, reading->path, member) < 0 ? -ENOMEM : 0;
}

static int pack(const struct pack_work *work, const struct pack_job *job, struct pack_result *result)
{
	struct packed_image *packed = &result->packed;
	int rc;

	if (result->picture.source_bytes == 0) {
		packed->is_source = true;
		packed->outcome = PACK_DAMAGED;
		if (!*packed->reason)
			strcpy(packed->reason, "empty file");
		return 0;
	}
	pack_crash_note(work->reading.path);
	rc = pack_image(work->worker, result->source, result->picture.source_bytes, is_verified(job, work->picture), packed);
	pack_crash_note(NULL);
	if (rc == 0 && !packed->is_source) {
		free(result->source);
		result->source = NULL;
	}
	return rc;
}

static void describe(struct pack_result *result)
{
	struct packed_image *packed = &result->packed;
	struct pack_picture *picture = &result->picture;

	picture->packed = packed;
	picture->bytes = packed->is_source ? (const void *)result->source : packed->file.data;
	picture->byte_count = packed->is_source ? (size_t)picture->source_bytes : packed->file.used_bytes;
	packed->image.checksum = XXH3_64bits(picture->bytes, picture->byte_count);
	picture->table_checksum = XXH3_64bits(packed->table.data, packed->table.used_bytes);
	picture->name = result->name;
	result->held_bytes =
		packed->file.capacity_bytes + packed->table.capacity_bytes + (result->source ? picture->source_bytes : 0);
}

void pack_work_end(struct pack_work *work, const struct pack_job *job, struct pack_result *result)
{
	int rc = 0;

	if (work->reading.fd >= 0 && work->reading.byte_count > 0)
		rc = read_source(work, job, result);
	if (result->rc == 0 && rc == 0)
		rc = pack(work, job, result);
	if (rc == 0 && work->reading.fd >= 0 && work->reading.is_archive && !work->reading.is_borrowed)
		rc = find_name(work, result);
	pack_read_close(&work->reading);
	if (rc < 0)
		result->rc = err_fail(&result->err, rc,
		                      "%.300s: out of memory; go on with --resume and fewer threads (-j), or begin anew with "
		                      "smaller --memory-bytes",
		                      work->reading.path);
	if (result->rc == 0)
		describe(result);
}

void pack_result_close(struct pack_result *result)
{
	packed_image_close(&result->packed);
	free(result->source);
	free(result->name);
	result->source = NULL;
	result->name = NULL;
}
