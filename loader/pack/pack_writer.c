/* pack_writer.c - part of `cropring pack`: packed pictures, in order, in; data files and a journal of them out.  One thread. */
#include "loader/pack/pack_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "loader/pack/pack_io.h"
#include "loader/pack/pack_part.h"
#include "loader/pack/pack_resume.h"
#include "loader/pack/pack_written.h"
#include "loader/plan/pack/pack_layout.h"

/* What a loss of power can cost, and what going on after a kill reads again. */
#define SYNC_BYTES (UINT64_C(256) << 20)

static int cannot_write(const struct pack_writer *writer, int rc, struct err *err)
{
	const char *advice = rc == -ENOSPC || rc == -EDQUOT ? "; make room and go on with --resume"
	                     : rc == -EFBIG                 ? "; files must be smaller here: --shard-bytes, from the start"
	                                                    : "";

	return err_fail(err, rc, "%.300s: cannot be written to: %s%s", writer->folder, strerror(-rc), advice);
}

struct pack_spot pack_writer_spot(const struct pack_writer *writer, uint64_t picture, uint64_t byte_count, uint64_t table_bytes)
{
	bool is_target = pack_picture_is_target(writer->pictures, picture);
	struct pack_spot spot = {.shard = writer->shard, .at = PACK_HEADER_BYTES, .end = writer->end_bytes};

	if (writer->terms.shard_bytes > 0 && !is_target && spot.end > PACK_HEADER_BYTES && spot.end >= writer->terms.shard_bytes) {
		spot.shard++;
		spot.end = PACK_HEADER_BYTES;
	}
	if (byte_count == 0) /* lies nowhere; after the last picture there may be no place */
		return spot;
	spot.at = (spot.end + PACK_IMAGE_ALIGNMENT - 1) / PACK_IMAGE_ALIGNMENT * PACK_IMAGE_ALIGNMENT;
	spot.end = table_bytes > 0 ? pack_table_at(spot.at, byte_count) + table_bytes : spot.at + byte_count;
	return spot;
}

int pack_writer_open_file(struct pack_writer *writer, uint64_t shard, int flags)
{
	char name[PACK_PART_NAME_BYTES] = PACK_PART_NAME;

	if (writer->terms.shard_bytes > 0)
		snprintf(name, sizeof name, PACK_PART_SHARD_FORMAT, shard);
	if (writer->file_fd >= 0)
		close(writer->file_fd);
	writer->file_fd = openat(writer->folder_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0666);
	return writer->file_fd < 0 ? -errno : 0;
}

/* A file with room for its header, which is there after a loss of power, too. */
static int begin_file(struct pack_writer *writer, uint64_t shard)
{
	int rc = pack_writer_open_file(writer, shard, O_CREAT | O_TRUNC);

	if (rc == 0 && ftruncate(writer->file_fd, PACK_HEADER_BYTES) < 0)
		rc = -errno;
	rc = rc ? rc : pack_io_sync_folder(writer->folder_fd);
	writer->shard = shard;
	writer->end_bytes = PACK_HEADER_BYTES;
	return rc;
}

int pack_writer_open(struct pack_writer *writer, const char *folder, int folder_fd, const struct pack_pictures *pictures,
                     const struct pack_terms *terms, struct err *err)
{
	int rc;

	*writer = (struct pack_writer){.pictures = pictures,
	                               .terms = *terms,
	                               .folder = folder,
	                               .folder_fd = folder_fd,
	                               .file_fd = -1,
	                               .end_bytes = PACK_HEADER_BYTES};
	rc = pack_journal_open(&writer->journal, folder_fd);
	if (rc == -EBUSY)
		return err_fail(err, rc, "%.300s: another process is packing there", folder);
	if (rc < 0)
		return err_fail(err, rc, "%.300s/" PACK_JOURNAL_NAME ": cannot be opened: %s", folder, strerror(-rc));
	rc = pack_resume(writer, err);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	rc = pack_journal_append(&writer->journal, PACK_RECORD_TERMS, &(struct iovec){&writer->terms, sizeof writer->terms}, 1);
	rc = rc ? rc : begin_file(writer, 0);
	return rc ? cannot_write(writer, rc, err) : 0;
}

void pack_writer_close(struct pack_writer *writer)
{
	pack_journal_close(&writer->journal);
	if (writer->file_fd >= 0)
		close(writer->file_fd);
	writer->file_fd = -1;
	bytes_free(&writer->rows);
	bytes_free(&writer->names);
}

int pack_writer_keep(struct pack_writer *writer, const struct pack_written *written, const char *name, const char *reason)
{
	struct pack_row row = {.at = written->at,
	                       .length = written->length,
	                       .image = written->image,
	                       .shard = written->shard,
	                       .name_at = *name ? writer->names.used_bytes : PACK_NAME_OF_SOURCE};

	if (*name && bytes_append(&writer->names, name, strlen(name) + 1) < 0)
		return -ENOMEM;
	if (bytes_append(&writer->rows, &row, sizeof row) < 0)
		return -ENOMEM;
	pack_tally_add(&writer->tally, written->picture, (enum pack_outcome)written->outcome, reason);
	writer->original_bytes += written->source_bytes;
	writer->stored_bytes += written->length + written->image.segments_bytes;
	writer->unsynced_bytes += written->length + written->image.segments_bytes;
	return 0;
}

static int write_bytes(const struct pack_writer *writer, const struct pack_picture *picture, uint64_t at)
{
	const struct bytes *table = &picture->packed->table;
	int rc = pack_io_write(writer->file_fd, picture->bytes, picture->byte_count, at);

	/* What lies between is zero, since nothing was ever there. */
	return rc ? rc : pack_io_write(writer->file_fd, table->data, table->used_bytes, pack_table_at(at, picture->byte_count));
}

int pack_writer_add(struct pack_writer *writer, const struct pack_picture *picture, struct err *err)
{
	const struct packed_image *packed = picture->packed;
	const char *name = picture->name ? picture->name : "";
	uint64_t number = pack_writer_count(writer);
	struct pack_spot spot = pack_writer_spot(writer, number, picture->byte_count, packed->table.used_bytes);
	struct pack_written written = {.picture = number,
	                               .shard = spot.shard,
	                               .at = spot.at,
	                               .length = picture->byte_count,
	                               .source_bytes = picture->source_bytes,
	                               .table_checksum = picture->table_checksum,
	                               .image = packed->image,
	                               .outcome = (uint16_t)packed->outcome,
	                               .name_bytes = (uint16_t)strlen(name),
	                               .reason_bytes = (uint16_t)strnlen(packed->reason, sizeof packed->reason)};
	const struct iovec pieces[] = {{&written, sizeof written},
	                               {(void *)(uintptr_t)name, written.name_bytes},
	                               {(void *)(uintptr_t)packed->reason, written.reason_bytes}};
	int rc = 0;

	written.image.segments_bytes = (uint32_t)packed->table.used_bytes;
	if (spot.shard >= PACK_MOST_SHARDS)
		return err_fail(err, -EFBIG, "%.300s: more than %d shards; remove it, and begin anew with larger --shard-bytes",
		                writer->folder, PACK_MOST_SHARDS);
	if (spot.shard != writer->shard) {
		rc = pack_writer_sync(writer, err);
		if (rc < 0)
			return rc;
		rc = begin_file(writer, spot.shard);
	}
	rc = rc ? rc : write_bytes(writer, picture, spot.at);
	rc = rc ? rc : pack_journal_append(&writer->journal, PACK_RECORD_PICTURE, pieces, 3);
	if (rc < 0)
		return cannot_write(writer, rc, err);
	if (pack_writer_keep(writer, &written, name, packed->reason) < 0)
		return err_fail(err, -ENOMEM, "out of memory for a list of %llu pictures", (unsigned long long)number + 1);
	writer->end_bytes = spot.end;
	return writer->unsynced_bytes >= SYNC_BYTES ? pack_writer_sync(writer, err) : 0;
}

int pack_writer_sync(struct pack_writer *writer, struct err *err)
{
	int rc = fdatasync(writer->file_fd) == 0 ? 0 : -errno;

	rc = rc ? rc : pack_journal_append(&writer->journal, PACK_RECORD_SYNCED, NULL, 0);
	rc = rc ? rc : pack_journal_sync(&writer->journal);
	if (rc < 0)
		return cannot_write(writer, rc, err);
	writer->unsynced_bytes = 0;
	return 0;
}
