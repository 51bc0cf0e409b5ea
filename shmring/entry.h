/* entry.h - the way into a ring from outside: the door, its answer, and a segment whose header is checked. */
#ifndef SHMRING_ENTRY_H
#define SHMRING_ENTRY_H

#include "shmring/layout.h"
#include "shmring/wire.h"

/*
 * A socket to the door of ring `name`, or of the one at socket path `name` when it holds a '/'; the caller's.  -ENOENT: no such ring.
 * timeout_ms -1: waits as long as its queue is full.
 */
int entry_connect(const char *name, int timeout_ms, struct err *err);

/*
 * The answer to a hello, with at least a segment and a pidfd in fds[], which are the caller's.  The refusal's own code and sentence;
 * -EPIPE the worker ended; -EINTR; -ETIMEDOUT; -EPROTO.  On failure no descriptor is left.
 */
int entry_await(int socket_fd, int timeout_ms, struct wire_welcome *welcome, int fds[WIRE_MAX_FDS], struct err *err);

/*
 * Maps a segment that came from elsewhere: all of it for reading and writing, or, for those who only look, what lies before the slots,
 * for reading only.  *header is a private copy, checked.
 */
int entry_map(int segment_fd, bool only_looks, struct layout_header *header, struct layout_map *map, struct err *err);

#endif
