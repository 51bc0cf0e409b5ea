/*
 * buffers.h - page-aligned buffers that are used again and again, as large as the files seen so far ask for, and bounded in total.
 *
 * Memory that was just given back is handed out first, because it is still in the cache.  Nobody waits in here: who is told that
 * the budget is spent comes back later, and holds no buffer meanwhile, so that nobody waits for somebody who waits.
 * Threads: any, at any time.
 */
#ifndef CROPRING_BUFFERS_H
#define CROPRING_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/fetch/fetch.h"

struct buffers;

#define BUFFERS_BUDGET_BYTES ((uint64_t)256 << 20) /* unless the caller says otherwise, or the largest file needs more */

/*
 * No file may be larger than max_file_bytes; buffers grow to one byte more, so that the end of the largest file is seen.  All that
 * were handed out or are kept for later take budget_bytes at most (0: see above).
 */
int buffers_open(struct buffers **buffers, uint64_t max_file_bytes, uint64_t budget_bytes);

/* One more owner, who closes the pool for himself. */
void buffers_share(struct buffers *buffers);

/* The last owner's frees what was given back; buffers still out are freed as they come back, the last one takes the pool along. */
void buffers_close(struct buffers *buffers);

enum buffers_rank {
	BUFFERS_IN_TURN,     /* not while somebody waits */
	BUFFERS_NEXT,        /* the one that waits longest */
	BUFFERS_AT_ANY_COST, /* over the budget if need be: nobody is left who could give anything back */
};

/*
 * A buffer with byte_count 0 and room for room_bytes, or as much as the limit allows; more if most files need more.
 * -EAGAIN when the budget is spent, -ENOMEM.
 */
int buffers_acquire(struct buffers *buffers, uint64_t room_bytes, enum buffers_rank rank, struct fetch_buffer **buffer);
void buffers_release(struct buffers *buffers, struct fetch_buffer *buffer);

/* Somebody waits for memory, or does not any more: nobody else gets any in between. */
void buffers_set_waiting(struct buffers *buffers, bool waiting);

/* Room for room_bytes, the byte_count bytes stay.  -EFBIG when the buffer is as large as it may be, -EAGAIN, -ENOMEM. */
int buffers_grow(struct buffers *buffers, struct fetch_buffer *buffer, uint64_t room_bytes);

/* A file took byte_count bytes: later buffers follow.  Sanitizer builds now report reads past them. */
void buffers_learn(struct buffers *buffers, const struct fetch_buffer *buffer);

/* What lies here unused, for tests. */
size_t buffers_kept_bytes(struct buffers *buffers);

/* The kernel may write here for ever: this memory is never used again nor freed. */
void buffers_forsake(struct buffers *buffers, struct fetch_buffer *buffer);

#endif
