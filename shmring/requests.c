/* requests.c - bytes from the process that started the producer: cut into pieces here, put together there. */
#include "shmring/requests.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "shmring/bell.h"
#include "shmring/door.h"
#include "shmring/reader.h"

/* ------------------------------------------------------------------ the reader's end */

/* Until the socket has room, or a moment has passed: -EPIPE the producer died, -EINTR. */
static int await_room(const struct shmring_reader *reader)
{
	struct pollfd room = {.fd = reader->socket_fd, .events = POLLOUT};

	if (poll(&room, 1, BELL_SLICE_MS) < 0)
		return -errno;
	return reader_sees_producer_dead(reader) ? -EPIPE : 0;
}

static int send_piece(const struct shmring_reader *reader, const struct wire_hello *hello, const void *piece, size_t piece_bytes)
{
	int rc;

	for (;;) {
		/* relaxed: nothing is read that came before the end */
		if (atomic_load_explicit(&reader->map.bells->end, memory_order_relaxed) != SHMRING_RUNNING)
			return -EPIPE;
		rc = wire_send_piece(reader->socket_fd, hello, piece, piece_bytes);
		if (rc == -EAGAIN)
			rc = await_room(reader);
		else
			return rc == -ECONNRESET || rc == -ENOTCONN ? -EPIPE : rc;
		if (rc < 0)
			return rc;
	}
}

int shmring_request(struct shmring_reader *reader, const void *bytes, size_t byte_count)
{
	struct wire_hello hello = {
		.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_REQUEST, .request_bytes = byte_count};
	int rc = 0;

	if (reader_is_forked(reader))
		return -ECHILD;
	if (byte_count == 0 || byte_count > SHMRING_MAX_REQUEST_BYTES)
		return byte_count == 0 ? -EINVAL : -EMSGSIZE;
	while (rc == 0 && hello.piece_at < byte_count) {
		size_t left = byte_count - hello.piece_at, piece_bytes = left < WIRE_PIECE_BYTES ? left : WIRE_PIECE_BYTES;

		rc = send_piece(reader, &hello, (const uint8_t *)bytes + hello.piece_at, piece_bytes);
		hello.piece_at += piece_bytes;
	}
	return rc;
}

/* The kernel doubles what it is told, up to a limit of the machine. */
int requests_make_room(int socket_fd)
{
	int byte_count;
	socklen_t value_bytes = sizeof byte_count;

	if (getsockopt(socket_fd, SOL_SOCKET, SO_SNDBUF, &byte_count, &value_bytes) < 0 ||
	    setsockopt(socket_fd, SOL_SOCKET, SO_SNDBUF, &byte_count, value_bytes) < 0)
		return -errno;
	return 0;
}

/* ------------------------------------------------------------------ the producer's end; the main thread's */

void requests_forget(struct requests_inbox *inbox)
{
	free(inbox->bytes);
	inbox->bytes = NULL;
}

/* The whole is there: it is the visitor's now. */
static int hand_over(struct requests_inbox *inbox, struct shmring_visitor *visitor)
{
	*visitor = (struct shmring_visitor){.request = inbox->bytes, .request_bytes = inbox->byte_count};
	inbox->bytes = NULL;
	return 1;
}

int requests_take(struct requests_inbox *inbox, const struct wire_hello *hello, size_t piece_bytes, struct shmring_visitor *visitor)
{
	if (inbox->is_held) { /* heard only because the sender has closed its end: its goodbye may follow */
		requests_forget(inbox);
		return 0;
	}
	if (hello->request_bytes == 0 || hello->request_bytes > SHMRING_MAX_REQUEST_BYTES || piece_bytes == 0)
		return -EPROTO;
	if (hello->piece_at == 0) {
		requests_forget(inbox);
		inbox->byte_count = hello->request_bytes;
		inbox->received_bytes = 0;
		inbox->bytes = malloc(inbox->byte_count);
		if (!inbox->bytes)
			return hand_over(inbox, visitor);
	}
	if (!inbox->bytes || hello->request_bytes != inbox->byte_count || hello->piece_at != inbox->received_bytes ||
	    piece_bytes > inbox->byte_count - inbox->received_bytes)
		return -EPROTO;
	memcpy(inbox->bytes + inbox->received_bytes, inbox->piece, piece_bytes);
	inbox->received_bytes += piece_bytes;
	return inbox->received_bytes == inbox->byte_count ? hand_over(inbox, visitor) : 0;
}

void shmring_door_hold_requests(struct shmring_producer *producer, bool hold)
{
	struct door *door = producer->door;

	if (!door || door->inbox.is_held == hold)
		return;
	door->inbox.is_held = hold;
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		/* Without events a socket still tells that its other end was closed. */
		struct epoll_event event = {.events = hold ? 0 : EPOLLIN, .data.u64 = (uint64_t)SOURCE_READER << 32 | i};

		if (door->reader[i].is_owner && door->reader[i].socket_fd >= 0)
			(void)epoll_ctl(door->epoll_fd, EPOLL_CTL_MOD, door->reader[i].socket_fd, &event); /* it is watched */
	}
}
