/*
 * requests.h - bytes from the process that started the producer, both ends of their way.
 *
 * A request travels in pieces, each with its place in the whole.  A piece that begins at 0 begins a new request, whatever became of the
 * one before: so a sender that is interrupted starts again.
 */
#ifndef SHMRING_REQUESTS_H
#define SHMRING_REQUESTS_H

#include "shmring/wire.h"

/* The producer's end.  At most one process sends requests: the owner. */
struct requests_inbox {
	uint8_t *bytes; /* the request that is coming; NULL: none */
	size_t byte_count, received_bytes;
	bool is_held;                    /* see shmring_door_hold_requests() */
	uint8_t piece[WIRE_PIECE_BYTES]; /* the last that came */
};

/*
 * Takes inbox->piece, of which `hello` says what it is.  1: that makes a whole request, which is the visitor's now; 0: more is to come,
 * or nobody waits for it; -EPROTO: there is no such piece.
 */
int requests_take(struct requests_inbox *inbox, const struct wire_hello *hello, size_t piece_bytes,
                  struct shmring_visitor *visitor);

/* The request that is coming will never be whole. */
void requests_forget(struct requests_inbox *inbox);

/* The reader's end: room for one more message in a socket that is full.  0 or a negative errno. */
int requests_make_room(int socket_fd);

#endif
