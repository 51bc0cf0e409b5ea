/* pack_journal.c - part of `cropring pack`: records in, a file that tells them after any end out, and back.  One thread. */
#include "loader/pack/pack_journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "loader/pack/pack_io.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct head {
	uint32_t record, byte_count;
};

/* Of one record, as it stands in the file. */
struct whole {
	struct head head;
	uint8_t data[PACK_RECORD_MOST_BYTES + sizeof(uint64_t)];
};

static uint64_t check_of(const struct whole *whole, uint64_t at)
{
	return XXH3_64bits_withSeed(whole, sizeof whole->head + whole->head.byte_count, at);
}

static size_t record_bytes(const struct whole *whole)
{
	return sizeof whole->head + whole->head.byte_count + sizeof(uint64_t);
}

int pack_journal_open(struct pack_journal *journal, int folder_fd)
{
	*journal =
		(struct pack_journal){.fd = openat(folder_fd, PACK_JOURNAL_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)};
	if (journal->fd < 0)
		return -errno;
	if (flock(journal->fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

void pack_journal_close(struct pack_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = -1;
}

/* 1: a sound record; 0: none; -errno. */
static int read_record(FILE *stream, uint64_t at, struct whole *whole)
{
	uint64_t check;
	size_t rest;

	if (fread(&whole->head, sizeof whole->head, 1, stream) != 1 || whole->head.byte_count > PACK_RECORD_MOST_BYTES)
		return ferror(stream) ? -EIO : 0;
	rest = whole->head.byte_count + sizeof check;
	if (fread(whole->data, 1, rest, stream) != rest)
		return ferror(stream) ? -EIO : 0;
	memcpy(&check, whole->data + whole->head.byte_count, sizeof check);
	return check == check_of(whole, at);
}

int pack_journal_replay(struct pack_journal *journal,
                        bool (*take)(void *context, enum pack_record record, const void *data, size_t byte_count), void *context)
{
	int fd = fcntl(journal->fd, F_DUPFD_CLOEXEC, 0), rc;
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");
	struct whole *whole = malloc(sizeof *whole);

	journal->end_bytes = 0;
	if (!stream || !whole || fseeko(stream, 0, SEEK_SET) < 0) {
		rc = errno ? -errno : -ENOMEM;
	} else {
		while ((rc = read_record(stream, journal->end_bytes, whole)) > 0 &&
		       take(context, (enum pack_record)whole->head.record, whole->data, whole->head.byte_count))
			journal->end_bytes += record_bytes(whole);
	}
	free(whole);
	if (stream)
		fclose(stream);
	else if (fd >= 0)
		close(fd);
	return rc < 0 ? rc : 0;
}

int pack_journal_cut(struct pack_journal *journal)
{
	return ftruncate(journal->fd, (off_t)journal->end_bytes) == 0 ? 0 : -errno;
}

int pack_journal_append(struct pack_journal *journal, enum pack_record record, const struct iovec *pieces, size_t piece_count)
{
	struct whole whole;
	uint64_t check;
	int rc;

	whole.head = (struct head){.record = record};
	for (size_t i = 0; i < piece_count; i++) {
		assert(pieces[i].iov_len <= PACK_RECORD_MOST_BYTES - whole.head.byte_count);
		if (pieces[i].iov_len > 0)
			memcpy(whole.data + whole.head.byte_count, pieces[i].iov_base, pieces[i].iov_len);
		whole.head.byte_count += (uint32_t)pieces[i].iov_len;
	}
	check = check_of(&whole, journal->end_bytes);
	memcpy(whole.data + whole.head.byte_count, &check, sizeof check);
	rc = pack_io_write(journal->fd, &whole, record_bytes(&whole), journal->end_bytes);
	if (rc == 0)
		journal->end_bytes += record_bytes(&whole);
	return rc;
}

int pack_journal_sync(struct pack_journal *journal)
{
	return fdatasync(journal->fd) == 0 ? 0 : -errno;
}
