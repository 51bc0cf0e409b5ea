/*
 * pack_resume.c - part of `cropring pack`: the journal of an interrupted packing in, the same state of the writer out.  One thread.
 *
 * It is read twice: first to learn how far the disk can be trusted.
 */
#include "loader/pack/pack_resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/pack/pack_io.h"
#include "loader/pack/pack_part.h"
#include "loader/pack/pack_written.h"
#include "loader/plan/pack/pack_layout.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { CHUNK_BYTES = 1 << 18 };

struct resuming {
	struct pack_writer *writer;
	struct err *err;
	int rc;                 /* negative: it cannot be gone on with */
	bool has_terms;         /* the first record was there */
	uint64_t trusted_bytes; /* of the journal: what it tells of is on the disk */
	uint8_t *chunk;
};

/* ------------------------------------------------------------------ the first time */

static bool look(void *context, enum pack_record record, const void *data, size_t byte_count)
{
	struct resuming *resuming = context;
	struct pack_writer *writer = resuming->writer;

	switch (record) {
	case PACK_RECORD_TERMS:
		if (resuming->has_terms || byte_count != sizeof writer->terms)
			return false;
		resuming->rc = pack_terms_compare(data, &writer->terms, resuming->err);
		resuming->has_terms = true;
		return resuming->rc == 0;
	case PACK_RECORD_SYNCED:
		resuming->trusted_bytes = writer->journal.end_bytes;
		break;
	case PACK_RECORD_WHOLE:
		if (byte_count != sizeof writer->id)
			return false;
		memcpy(writer->id, data, byte_count);
		writer->is_whole = true;
		break;
	case PACK_RECORD_PICTURE:
		break;
	}
	return resuming->has_terms;
}

/* ------------------------------------------------------------------ the second time */

static int refuse_file(struct resuming *resuming, const char *fault)
{
	resuming->rc = err_fail(resuming->err, -EINVAL, "%.300s: %s than its journal says; remove it, and begin anew",
	                        resuming->writer->folder, fault);
	return resuming->rc;
}

/* Of a file that is done with, or the last one: whether it has what its journal tells. */
static int check_size(struct resuming *resuming, bool is_last)
{
	const struct pack_writer *writer = resuming->writer;
	struct stat status;

	if (writer->is_whole)
		return 0;
	if (fstat(writer->file_fd, &status) < 0 || status.st_size < 0)
		return refuse_file(resuming, "one of its files is other");
	if ((uint64_t)status.st_size < writer->end_bytes)
		return refuse_file(resuming, "one of its files is shorter");
	return is_last || (uint64_t)status.st_size == writer->end_bytes ? 0 : refuse_file(resuming, "one of its files is longer");
}

static bool has_bytes(struct resuming *resuming, uint64_t at, uint64_t byte_count, uint64_t checksum)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	while (byte_count > 0) {
		size_t piece_bytes = byte_count < CHUNK_BYTES ? (size_t)byte_count : CHUNK_BYTES;

		if (pack_io_read(resuming->writer->file_fd, resuming->chunk, piece_bytes, at) < 0)
			return false;
		XXH3_64bits_update(&state, resuming->chunk, piece_bytes);
		at += piece_bytes;
		byte_count -= piece_bytes;
	}
	return XXH3_64bits_digest(&state) == checksum;
}

/* Less than an alignment. */
static bool has_zeros(const struct resuming *resuming, uint64_t from, uint64_t to)
{
	static const char zeros[PACK_IMAGE_ALIGNMENT];
	char found[PACK_IMAGE_ALIGNMENT];

	return from >= to ||
	       (pack_io_read(resuming->writer->file_fd, found, to - from, from) == 0 && memcmp(found, zeros, to - from) == 0);
}

/* Whether the file holds what is told of a picture, and nothing before it that was not told of. */
static bool is_there(struct resuming *resuming, const struct pack_written *written)
{
	uint64_t end = written->at + written->length, table_at = pack_table_at(written->at, written->length);
	uint64_t begin = written->shard == resuming->writer->shard ? resuming->writer->end_bytes : PACK_HEADER_BYTES;

	if (written->length == 0) /* it lies nowhere */
		return true;
	return has_zeros(resuming, begin, written->at) &&
	       has_bytes(resuming, written->at, written->length, written->image.checksum) &&
	       (written->image.segments_bytes == 0 ||
	        (has_zeros(resuming, end, table_at) &&
	         has_bytes(resuming, table_at, written->image.segments_bytes, written->table_checksum)));
}

/* Goes over to the picture's file.  False: it is not there. */
static bool follow(struct resuming *resuming, uint64_t shard, bool is_trusted)
{
	struct pack_writer *writer = resuming->writer;

	if (writer->is_whole || (writer->file_fd >= 0 && writer->shard == shard))
		return true;
	if (writer->file_fd >= 0 && check_size(resuming, false) < 0)
		return false;
	if (pack_writer_open_file(writer, shard, 0) == 0)
		return true;
	if (is_trusted)
		(void)refuse_file(resuming, "fewer files are there"); /* whose result it keeps */
	return false;
}

/* False: it is not what was written, and does not count. */
static bool take_picture(struct resuming *resuming, const uint8_t *data, size_t byte_count)
{
	struct pack_writer *writer = resuming->writer;
	bool is_trusted = writer->is_whole || writer->journal.end_bytes < resuming->trusted_bytes;
	char name[PACK_RECORD_MOST_BYTES + 1], reason[sizeof((struct packed_image *)0)->reason];
	uint64_t number = pack_writer_count(writer);
	struct pack_written written;
	struct pack_spot spot;

	if (byte_count < sizeof written)
		return false;
	memcpy(&written, data, sizeof written);
	if (written.picture != number || number >= writer->pictures->count || written.length > INT64_MAX / 4 ||
	    written.outcome >= PACK_OUTCOME_COUNT || written.reason_bytes >= sizeof reason ||
	    byte_count != sizeof written + written.name_bytes + written.reason_bytes)
		return false;
	spot = pack_writer_spot(writer, number, written.length, written.image.segments_bytes);
	if (spot.shard != written.shard || spot.at != written.at || spot.end > INT64_MAX / 2)
		return false;
	if (!follow(resuming, spot.shard, is_trusted) || (!is_trusted && !is_there(resuming, &written)))
		return false;
	snprintf(name, sizeof name, "%.*s", written.name_bytes, (const char *)data + sizeof written);
	snprintf(reason, sizeof reason, "%.*s", written.reason_bytes, (const char *)data + sizeof written + written.name_bytes);
	if (pack_writer_keep(writer, &written, name, reason) < 0) {
		resuming->rc =
			err_fail(resuming->err, -ENOMEM, "out of memory for a list of %llu pictures", (unsigned long long)number);
		return false;
	}
	writer->shard = spot.shard;
	writer->end_bytes = spot.end;
	return true;
}

static bool take(void *context, enum pack_record record, const void *data, size_t byte_count)
{
	struct resuming *resuming = context;

	if (record == PACK_RECORD_PICTURE)
		return take_picture(resuming, data, byte_count);
	if (record == PACK_RECORD_SYNCED)
		resuming->writer->unsynced_bytes = 0;
	return true;
}

/* ------------------------------------------------------------------ going on */

/* Files behind the last one that counts. */
static void remove_later_shards(const struct pack_writer *writer)
{
	for (uint64_t shard = writer->shard + 1; writer->terms.shard_bytes > 0; shard++) {
		char name[PACK_PART_NAME_BYTES];

		snprintf(name, sizeof name, PACK_PART_SHARD_FORMAT, shard);
		if (unlinkat(writer->folder_fd, name, 0) < 0)
			return;
	}
}

static int go_on(struct resuming *resuming)
{
	struct pack_writer *writer = resuming->writer;
	int rc;

	if (writer->is_whole && pack_writer_count(writer) < writer->pictures->count)
		return refuse_file(resuming, "fewer pictures are there");
	if (writer->is_whole)
		return 0;
	/* It may not have been begun before the first picture; and a later one may be open, of which nothing counts. */
	rc = pack_writer_open_file(writer, writer->shard, pack_writer_count(writer) == 0 ? O_CREAT : 0);
	if (rc == 0 && pack_writer_count(writer) > 0 && check_size(resuming, true) < 0)
		return resuming->rc;
	rc = rc ? rc : pack_journal_cut(&writer->journal);
	if (rc == 0 && ftruncate(writer->file_fd, (off_t)writer->end_bytes) < 0)
		rc = -errno;
	rc = rc ? rc : pack_io_sync_folder(writer->folder_fd); /* the process may have been killed before it did this */
	if (rc < 0)
		return err_fail(resuming->err, rc, "%.300s: cannot be gone on with: %s", writer->folder, strerror(-rc));
	remove_later_shards(writer);
	return 0;
}

int pack_resume(struct pack_writer *writer, struct err *err)
{
	struct resuming resuming = {.writer = writer, .err = err, .chunk = malloc(CHUNK_BYTES)};
	int rc = resuming.chunk ? pack_journal_replay(&writer->journal, look, &resuming) : -ENOMEM;

	if (rc == 0 && resuming.rc == 0 && resuming.has_terms)
		rc = pack_journal_replay(&writer->journal, take, &resuming);
	free(resuming.chunk);
	if (rc < 0)
		return err_fail(err, rc, "%.300s/" PACK_JOURNAL_NAME ": cannot be read: %s", writer->folder, strerror(-rc));
	if (resuming.rc < 0)
		return resuming.rc;
	if (!resuming.has_terms) {
		rc = pack_journal_cut(&writer->journal);
		return rc < 0 ? err_fail(err, rc, "%.300s: cannot be written to: %s", writer->folder, strerror(-rc)) : 0;
	}
	rc = go_on(&resuming);
	return rc < 0 ? rc : 1;
}
