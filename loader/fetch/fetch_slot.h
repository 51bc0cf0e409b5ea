/*
 * fetch_slot.h - one file on its way, and what follows from each answer of the kernel: the same rules for both back ends.
 *
 * The rules: a file is what lies before the first read that returns 0.  No size is asked for beforehand, because a size is a
 * rumour (/proc says 0, a file may shrink or grow meanwhile).  A read that returned less than asked is not the end either: FUSE
 * and NFS may answer short, and io_uring's worker threads pass that on.  The second read, the one that sees the end, costs 0.1
 * of the 19 us that a warm 110 KB file takes.
 *
 * Both give the same results but for one: a FIFO that nobody writes to is ITEM_EMPTY to the threads, ITEM_TIMEOUT to the ring.
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

#define FETCH_SLOT_RETRY_MS 10 /* between two tries after FETCH_LATER */

enum fetch_step {
	FETCH_READ,  /* ask for the next bytes */
	FETCH_LATER, /* the same again in FETCH_SLOT_RETRY_MS */
	FETCH_DONE,  /* status says how it ended; close the file */
};

enum fetch_phase { FETCH_OPENING, FETCH_READING, FETCH_CLOSING };

struct fetch_slot {
	int directory_fd;
	char *path; /* a copy: an abandoned job outlives the caller's string */
	size_t path_capacity_bytes;
	void *tag;

	enum item_status status; /* valid after FETCH_DONE */
	int error;
	struct fetch_buffer *buffer;

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
	enum fetch_phase phase;
	uint32_t file_index;          /* uring: its place in the table of direct descriptors */
	uint32_t answer_count;        /* uring: completions still to come in this phase */
	int open_result, read_result; /* uring */
	bool is_open;                 /* uring */
	bool running;                 /* pread: a thread has it */
	bool stuck;                   /* it was abandoned while the kernel, or a thread, had it */
};

/* First in, first out. */
struct fetch_slot_queue {
	struct fetch_slot *first, *last;
	uint32_t count;
};

void fetch_slot_push(struct fetch_slot_queue *queue, struct fetch_slot *slot);
struct fetch_slot *fetch_slot_pop(struct fetch_slot_queue *queue);               /* NULL: empty */
bool fetch_slot_remove(struct fetch_slot_queue *queue, struct fetch_slot *slot); /* false: was not in there */

/* Copies the job into a slot that is new or was used before.  -ENOMEM. */
int fetch_slot_assign(struct fetch_slot *slot, const struct fetch_job *job);

/* The same file once more from the start, the clock runs on. */
void fetch_slot_restart(struct fetch_slot *slot, struct buffers *buffers);

void fetch_slot_free(struct fetch_slot *slot, struct buffers *buffers);

/* Ends the file here and now. */
void fetch_slot_fail(struct fetch_slot *slot, enum item_status status, int error);

/* The slot is started.  FETCH_READ: has a buffer and may be opened.  FETCH_DONE: no memory. */
enum fetch_step fetch_slot_begin(struct fetch_slot *slot, struct buffers *buffers);

/* `result` is a negative errno, or not negative. */
enum fetch_step fetch_slot_opened(struct fetch_slot *slot, int result);

/* The next read goes to data + byte_count, at this offset of the file, and asks for: */
uint32_t fetch_slot_wanted_bytes(const struct fetch_slot *slot);

/* `result` is what that read returned, errors as negative errno. */
enum fetch_step fetch_slot_took(struct fetch_slot *slot, int64_t result, struct buffers *buffers);

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
