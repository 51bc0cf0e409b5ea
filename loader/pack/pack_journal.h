/*
 * pack_journal.h - part of `cropring pack`: a file of records, of which each is whole or not there, whenever the process was killed.
 *
 *   4  enum pack_record
 *   4  bytes of what the record says
 *   .  what it says
 *   8  XXH3-64 of the bytes before, seeded with where the record begins
 *
 * Little-endian.  From the first record on that is not sound, nothing counts.  One thread; one process at a time.
 */
#ifndef CROPRING_PACK_JOURNAL_H
#define CROPRING_PACK_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum pack_record {
	PACK_RECORD_TERMS = 1, /* struct pack_terms; the first */
	PACK_RECORD_PICTURE, /* struct pack_written (pack_writer.c), its name and its reason: it is in its file, but perhaps not on the disk */
	PACK_RECORD_SYNCED, /* nothing: all that the records before tell of is on the disk */
	PACK_RECORD_WHOLE,  /* the pack's id: nothing is missing but the final names of the files */
};

enum { PACK_RECORD_MOST_BYTES = 16384 };

struct pack_journal {
	int fd;
	uint64_t end_bytes; /* of the sound records */
};

/*
 * Opens or makes the journal in a folder, and keeps other processes out.  -EBUSY: another one is at work; other errors as open()'s.
 * Nothing has been read yet.
 */
int pack_journal_open(struct pack_journal *journal, int folder_fd);
void pack_journal_close(struct pack_journal *journal);

/*
 * Hands over one sound record after the other, from the first on, until take() says false.  That record, or the first one that is not
 * sound, and all behind do not count; the file is as it was.  -ENOMEM, or as read()'s.
 */
int pack_journal_replay(struct pack_journal *journal,
                        bool (*take)(void *context, enum pack_record record, const void *data, size_t byte_count), void *context);

/* Cuts off what does not count.  To be called before records are appended again. */
int pack_journal_cut(struct pack_journal *journal);

/* A record of these pieces, together at most PACK_RECORD_MOST_BYTES, at the end.  After an error it is not there. */
int pack_journal_append(struct pack_journal *journal, enum pack_record record, const struct iovec *pieces, size_t piece_count);

/* All records are on the disk. */
int pack_journal_sync(struct pack_journal *journal);

#define PACK_JOURNAL_NAME "journal"

#endif
