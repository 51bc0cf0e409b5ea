/*
 * fetch_backend.h - what fetch.c asks of the two ways to read files.
 *
 * A slot that went to start() belongs to the back end until next() gives it back, however long that takes.  Only the collector
 * calls these, except wake().
 */
#ifndef CROPRING_FETCH_BACKEND_H
#define CROPRING_FETCH_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/fetch/buffers.h"
#include "loader/fetch/fetch_slot.h"

/*
 * io_uring cannot be used for FUSE.  With files that the server opened for direct I/O, Linux 6.18 runs the read inside of
 * io_uring_enter(), where a server that hangs takes the collector along; and after a short answer, such as the one at the end of
 * the file, it asks for the same offset again until the buffer is full: a file of 30,007 bytes comes back as 196,608 bytes of
 * itself.  So fetch.c sends FUSE folders to the threads, and the ring opens nothing that lies beyond a mount point: such files
 * come back as ITEM_UNREADABLE with EXDEV, and go to the threads as well.
 */

/*
 * A read in a hung file system cannot be cancelled.  So many files may be stuck without a file less in flight; when nothing but
 * stuck files is left, new ones end as ITEM_TIMEOUT at once instead of waiting for ever.
 */
#define FETCH_STUCK_SPARE 8u

#define FETCH_CLOSE_GRACE_MS 200 /* time for files in flight to come back when fetch closes; the others are leaked on purpose */

struct fetch_engine;

struct fetch_engine_ops {
	const char *name;

	void (*start)(struct fetch_engine *engine, struct fetch_slot *slot);

	/*
	 * A slot whose file is done, or that needs something (fetch_slot.h); NULL: none within wait_ns, or wake() was called, or
	 * for no reason.
	 */
	struct fetch_slot *(*next)(struct fetch_engine *engine, uint64_t wait_ns);

	/* slot->abandoned has been set: give it back as soon as the kernel lets go of it. */
	void (*abandon)(struct fetch_engine *engine, struct fetch_slot *slot);

	/* Any thread: next() that waits, or the next one that would, returns. */
	void (*wake)(struct fetch_engine *engine);

	/* CPU time of its own threads so far; NULL: it has none. */
	uint64_t (*cpu_ns)(struct fetch_engine *engine);

	/* Frees the back end and the slots that it has; those that are stuck when they come back, if ever. */
	void (*close)(struct fetch_engine *engine);
};

/* The first member of each back end. */
struct fetch_engine {
	const struct fetch_engine_ops *ops;
	bool confined; /* nobody could use what it has in the kernel for more than reading files */
};

/* On failure *err holds one clause.  A back end copies the rules and becomes another owner of their buffers. */
int fetch_uring_open(struct fetch_engine **engine, const struct fetch_config *config, const struct fetch_rules *rules,
                     struct err *err);

/* `listener` is woken when a file is done and must be closed later; NULL when the collector waits in this one's next(). */
int fetch_pread_open(struct fetch_engine **engine, uint32_t depth, const struct fetch_rules *rules, struct fetch_engine *listener,
                     struct err *err);

#endif
