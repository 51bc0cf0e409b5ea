/*
 * buffers.h - page-aligned buffers that are used again and again, as large as the files seen so far ask for.
 *
 * Memory that was just given back is handed out first, because it is still in the cache.  Threads: any, at any time.
 */
#ifndef CROPRING_BUFFERS_H
#define CROPRING_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "loader/fetch/fetch.h"

struct buffers;

/* No file may be larger than max_file_bytes; buffers grow to one byte more, so that the end of the largest file is seen. */
int buffers_open(struct buffers **buffers, uint64_t max_file_bytes);

/* One more owner, who closes the pool for himself. */
void buffers_share(struct buffers *buffers);

/* The last owner's frees what was given back; buffers still out are freed as they come back, the last one takes the pool along. */
void buffers_close(struct buffers *buffers);

/* A buffer with byte_count 0 that holds most files whole with a byte to spare; NULL when there is no memory. */
struct fetch_buffer *buffers_acquire(struct buffers *buffers);
void buffers_release(struct buffers *buffers, struct fetch_buffer *buffer);

/* More room at the end, the byte_count bytes stay.  -EFBIG when the buffer is as large as it may be, -ENOMEM. */
int buffers_grow(struct buffers *buffers, struct fetch_buffer *buffer);

/* A whole file had byte_count bytes: later buffers follow.  Sanitizer builds now report reads past them. */
void buffers_learn(struct buffers *buffers, const struct fetch_buffer *buffer);

/* The kernel may write here for ever: this memory is never used again nor freed. */
void buffers_forsake(struct buffers *buffers, struct fetch_buffer *buffer);

#endif
