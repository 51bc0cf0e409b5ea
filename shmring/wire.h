/*
 * wire.h - what is said at the door: fixed-size messages over a SEQPACKET socket, descriptors beside them.
 *
 *   reader    -> producer   wire_hello {JOIN, wish} + its own pidfd, or wire_hello {LOOK}
 *   producer  -> reader     wire_welcome + segment, producer's pidfd [, catalog]; or wire_welcome with result < 0 and a sentence
 *   producer  -> looker     wire_card
 *   observer  -> producer   wire_hello {OBSERVE}
 *   producer  -> observer   wire_welcome + segment for reading only, producer's pidfd
 *   owner     -> producer   wire_hello {REQUEST, bytes of the whole, where this piece begins} and the piece, in one packet
 *   reader    -> producer   wire_hello {LEAVE, what it still holds}
 */
#ifndef SHMRING_WIRE_H
#define SHMRING_WIRE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shmring/shmring.h"

#define WIRE_MAGIC 0x32524f4f44524321u /* "!CRDOOR2" */

enum wire_purpose { WIRE_JOIN = 1, WIRE_LOOK = 2, WIRE_LEAVE = 3, WIRE_REQUEST = 4, WIRE_OBSERVE = 5 };

enum { WIRE_MAX_FDS = 3, WIRE_FD_SEGMENT = 0, WIRE_FD_PIDFD = 1, WIRE_FD_CATALOG = 2 };

/*
 * What every version has said and will say, so that those of different versions can tell each other so: a message has
 * WIRE_MESSAGE_BYTES; a hello begins with magic, fingerprint and purpose; a welcome with magic, result and text.
 */
enum { WIRE_MESSAGE_BYTES = 1024 };

/* Of a request, in one packet of 64 KB with its hello: socket buffers, 208 KB unless somebody changed that, hold a few of them. */
enum { WIRE_PIECE_BYTES = 65536 - WIRE_MESSAGE_BYTES };

struct wire_hello {
	uint64_t magic;
	uint32_t fingerprint; /* layout_fingerprint() */
	uint32_t purpose;
	struct shmring_wish wish;                  /* JOIN */
	uint64_t held_slots;                       /* LEAVE: a bit for each slot that is still borrowed, */
	uint32_t held_sequence[SHMRING_MAX_SLOTS]; /* and the batch in it */
	uint64_t request_bytes, piece_at;          /* REQUEST: of the whole, and how many went before */
	uint8_t reserved[WIRE_MESSAGE_BYTES - 48 - 4 * SHMRING_MAX_SLOTS];
};

struct wire_welcome {
	uint64_t magic;
	int32_t result; /* 0, or a negative errno and `text` */
	char text[512];
	uint32_t number, hold; /* a reader's */
	char subject[256];     /* an observer's */
	uint8_t reserved[WIRE_MESSAGE_BYTES - 788];
};

struct wire_card {
	uint64_t magic;
	struct shmring_card card;
	uint8_t reserved[WIRE_MESSAGE_BYTES - 8 - sizeof(struct shmring_card)];
};

static_assert(sizeof(struct wire_hello) == WIRE_MESSAGE_BYTES, "for ever");
static_assert(sizeof(struct wire_welcome) == WIRE_MESSAGE_BYTES, "for ever");
static_assert(sizeof(struct wire_card) == WIRE_MESSAGE_BYTES, "for ever");

/* Sends one message with fd_count descriptors.  0 or a negative errno; never SIGPIPE. */
int wire_send(int socket_fd, const void *message, size_t message_bytes, const int *fds, int fd_count);

/*
 * Receives one message of exactly message_bytes and up to WIRE_MAX_FDS descriptors (close-on-exec, the caller's; the rest of
 * fds[] is -1).  0; -ENOTCONN when the other end closed; -EPROTO for anything else than such a message; -EAGAIN on a
 * non-blocking socket.
 */
int wire_receive(int socket_fd, void *message, size_t message_bytes, int fds[WIRE_MAX_FDS]);

/* A hello with a piece behind it, without waiting: -EAGAIN when the socket is full. */
int wire_send_piece(int socket_fd, const struct wire_hello *hello, const void *piece, size_t piece_bytes);

/* As wire_receive(), for a hello with up to *piece_bytes behind it; *piece_bytes then tells how many there are. */
int wire_receive_piece(int socket_fd, struct wire_hello *hello, void *piece, size_t *piece_bytes, int fds[WIRE_MAX_FDS]);

void wire_close_fds(int fds[WIRE_MAX_FDS]);

/* 0 when the process at the other end has our user id, else -EPERM. */
int wire_check_peer(int socket_fd);

/* Whether a descriptor that came from elsewhere tells of a process at all.  Anything else would never tell of its end. */
bool wire_is_pidfd(int fd);

/*
 * The address of ring `name`: in the abstract namespace under our user id (it vanishes with its owner), or the path itself when
 * `name` holds a '/'.  -ENAMETOOLONG.
 */
int wire_address(const char *name, struct sockaddr_un *address, socklen_t *address_bytes);

/* What /proc/net/unix shows in front of the ring's name, for this user. */
void wire_name_prefix(char *prefix, size_t prefix_bytes);

#endif
