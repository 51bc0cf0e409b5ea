/* segment.h - the shared memory itself: reserved in full, nameless from the first moment, handed on as a descriptor. */
#ifndef SHMRING_SEGMENT_H
#define SHMRING_SEGMENT_H

#include <stdint.h>

#include "shmring/shmring.h"

/*
 * A new segment of byte_count zero bytes, every one of them reserved, so that touching it can never raise SIGBUS.
 * *fd is the caller's; *used tells what AUTO chose.  -ENOSPC with need, have and remedy.
 */
int segment_create(enum shmring_segment kind, uint64_t byte_count, int *fd, enum shmring_segment *used, struct err *err);

/*
 * The same memory behind a descriptor that can only be mapped for reading, where /proc is there to make one; elsewhere another
 * descriptor like `fd`.  Negative errno when there is none left.
 */
int segment_open_view(int fd);

/* Maps it shared.  `writable_bytes` from the start are mapped read-write, the rest read-only (UINT64_MAX: all read-write; 0: nothing). */
int segment_map(int fd, uint64_t byte_count, uint64_t writable_bytes, void **address, struct err *err);

/*
 * A descriptor that came from elsewhere: memory of *byte_count bytes that is this user's alone, has no name and, where the kernel
 * can promise that, keeps its size.  -EPROTO with a sentence that is different for each of these.
 */
int segment_verify(int fd, uint64_t *byte_count, struct err *err);

#endif
