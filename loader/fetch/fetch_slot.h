/*
 * fetch_slot.h - one file on its way, and what follows from each answer of the kernel: the same rules for both back ends.
 *
 * The rules: an open file is looked at first.  What is not a regular file is refused; its size tells how much memory to ask for,
 * and nothing else, because a size is a rumour (/proc says 0, a file may shrink or grow meanwhile).  A file is what lies before
 * the first read that returns 0.  A read that returned less than asked is not the end either: FUSE and NFS may answer short, and
 * io_uring's worker threads pass that on.  The read that sees the end costs 0.1 of the 16 us that a warm 110 KB file takes, the
 * look 0.5.  An image within a larger file ends where it was said to, and must be there; its file is opened for it alone, which is
 * 1.2 of the 3.2 us that 10 KB in the page cache take, and nothing beside the decoding.
 *
 * Threads: a slot belongs to one thread at a time; the three atomics are looked at from the other side.
 */
#ifndef CROPRING_FETCH_SLOT_H
#define CROPRING_FETCH_SLOT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/fetch/buffers.h"
#include "loader/fetch/fetch.h"

struct fetch_engine;

#define FETCH_SLOT_RETRY_MS  10         /* between two tries after FETCH_LATER */
#define FETCH_READ_MAX_BYTES (1u << 30) /* io_uring returns an int, and read() never gives more than 2 GB either */

/* What holds for all files. */
struct fetch_rules {
	struct buffers *buffers;
	uint64_t max_file_bytes;
	bool stay_beneath, past_cache;
	bool asks_for_parts; /* the collector does, see fetch_slot_choose() */
};

enum fetch_step {
	FETCH_OPEN,  /* open the file */
	FETCH_READ,  /* ask for the next bytes */
	FETCH_LATER, /* the same again in FETCH_SLOT_RETRY_MS */
	FETCH_HALT,  /* back to the collector, as it is: `need` says what for */
	FETCH_DONE,  /* status says how it ended; close the file */
};

/* What a file cannot go on without, and only the collector can give. */
enum fetch_need { FETCH_NEEDS_NOTHING, FETCH_NEEDS_CHOICE, FETCH_NEEDS_MEMORY };

/* From this offset of the file to this address. */
struct fetch_slot_read {
	uint8_t *data;
	uint32_t byte_count;
	uint64_t offset;
};

struct fetch_slot {
	int directory_fd;
	char *path; /* a copy: an abandoned job outlives the caller's string */

	/* The same place, for whoever crosses no mount point; see mount_table.h. */
	int folder_fd;
	const char *path_in_folder;
	size_t path_capacity_bytes;
	void *tag;

	enum item_status status; /* valid after FETCH_DONE */
	int error;
	enum fetch_need need; /* valid after FETCH_HALT */
	struct fetch_buffer *buffer;

	/* The image is so many bytes of the file from here on, or all. */
	uint64_t image_offset, image_bytes;
	bool is_whole_file; /* image_bytes is UINT64_MAX */

	int fd;       /* -1: not open */
	bool is_lent; /* the caller's, who closes it */
	bool has_stamp;
	struct file_stamp stamp; /* of the file */
	uint64_t size_bytes;     /* of the image; a rumour if that is all of the file */
	uint64_t room_bytes; /* for which memory is to be had */

	/* What is read of the image: the first head_bytes, or all if there are fewer; then the part's rows, if it has any. */
	uint64_t head_bytes;
	struct file_part part;
	uint64_t part_done_bytes;    /* from its first byte on, what lies between the rows included */

	/* Or these runs of it, and nothing else; from malloc.  The first so many are here, and so much of the next. */
	struct file_runs *runs;
	uint32_t run_index;
	uint64_t run_done_bytes;
	uint32_t advised_count; /* which the disk was told of */

	struct fetch_slot_read read; /* the one under way */
	bool chosen;                 /* nothing is to be asked any more */
	bool skips;                  /* what lies between two rows is not read: it is in the cache, and there is much of it */
	bool always_waits;           /* the kernel cannot say whether a read would have to wait */
	bool never_waits;            /* nor here, but it has not to */

	/* fetch.c */
	struct fetch_engine *engine; /* who has it */
	uint64_t deadline_ns;
	struct fetch_slot *older, *newer; /* in order of submission */

	/* Between the two sides.  Relaxed: hints that order no other memory. */
	atomic_bool started;
	atomic_bool abandoned; /* nobody waits for the result any more */
	atomic_int held_up_by; /* the shortage for which opening is tried again and again, else 0 */

	/* the back end that has it */
	struct fetch_slot *next;
	uint32_t place;        /* uring: in its list of those that are in the kernel */
	uint32_t answer_count; /* uring: completions still to come */
	bool closing;          /* uring */
	bool running;          /* pread: a thread has it */
	bool stuck;            /* it was abandoned while the kernel, or a thread, had it */
};

/* First in, first out. */
struct fetch_slot_queue {
	struct fetch_slot *first, *last;
	uint32_t count;
};

void fetch_slot_push(struct fetch_slot_queue *queue, struct fetch_slot *slot);
struct fetch_slot *fetch_slot_pop(struct fetch_slot_queue *queue);               /* NULL: empty */
bool fetch_slot_remove(struct fetch_slot_queue *queue, struct fetch_slot *slot); /* false: was not in there */

/* Copies the job into a slot that is new (all zero) or was used before.  -ENOMEM: it is to be freed or assigned again. */
int fetch_slot_assign(struct fetch_slot *slot, const struct fetch_job *job);

void fetch_slot_free(struct fetch_slot *slot, struct buffers *buffers);

/* Ends the file here and now. */
void fetch_slot_fail(struct fetch_slot *slot, enum item_status status, int error);

/* Its turn has come: from here on its time counts.  What to begin with. */
enum fetch_step fetch_slot_begin(struct fetch_slot *slot);

/* `result` is a descriptor, or a negative errno. */
enum fetch_step fetch_slot_opened(struct fetch_slot *slot, int result, const struct fetch_rules *rules);

/*
 * The file was open when the job came.  It is not looked at: who opened it has measured it, and an image that lies beyond its end is
 * found to be shorter as it is read.  That saves 0.5 of the 2 us that 1 KB in the page cache takes.
 */
enum fetch_step fetch_slot_was_open(struct fetch_slot *slot, const struct fetch_rules *rules);

/* Makes slot->read the next one. */
void fetch_slot_plan_read(struct fetch_slot *slot);

/* `result` is what that read returned, errors as negative errno. */
enum fetch_step fetch_slot_took(struct fetch_slot *slot, int64_t result, const struct fetch_rules *rules);

/* Reads what can be had without waiting.  FETCH_READ: the next read would wait. */
enum fetch_step fetch_slot_read_cached(struct fetch_slot *slot, const struct fetch_rules *rules);

/* FETCH_NEEDS_CHOICE: only the runs are wanted, which are the slot's from here on; or *part of the rest; both NULL: all of it. */
enum fetch_step fetch_slot_choose(struct fetch_slot *slot, const struct file_part *part, struct file_runs *runs,
                                  const struct fetch_rules *rules);

/* FETCH_NEEDS_MEMORY: once more.  Still FETCH_HALT when there is none. */
enum fetch_step fetch_slot_get_memory(struct fetch_slot *slot, enum buffers_rank rank, const struct fetch_rules *rules);

/* Does nothing if it is not open; lets go of what is lent. */
void fetch_slot_close(struct fetch_slot *slot);

static inline bool fetch_slot_is_started(const struct fetch_slot *slot)
{
	/* Relaxed: seen a moment later, its deadline is a moment later. */
	return atomic_load_explicit(&slot->started, memory_order_relaxed);
}

static inline bool fetch_slot_is_abandoned(const struct fetch_slot *slot)
{
	/* Relaxed: a hint to stop early; what the slot holds changes hands through the back end's own lock or ring. */
	return atomic_load_explicit(&slot->abandoned, memory_order_relaxed);
}

#endif
