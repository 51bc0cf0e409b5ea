/*
 * door.c - readers come, leave and die: one socket per reader, and a pidfd that it sent of itself.
 *
 * The pidfd decides whether a reader lives: a socket can be kept open by a forked child, a bare pid can be reused.
 * One thread (the worker's main thread) calls everything here.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "shmring/producer.h"
#include "shmring/slot.h"
#include "shmring/wire.h"

enum {
	DOOR_READER_LIMIT = 1, /* several readers need redelivery first; the slot word and the bells have room for 24 */
	DOOR_PENDING_LIMIT = 32,
};

enum door_source { SOURCE_LISTEN, SOURCE_PENDING, SOURCE_READER, SOURCE_PIDFD };

struct door_reader {
	int socket_fd, pidfd; /* -1: no such reader */
	int32_t pid;
};

struct door {
	struct shmring_producer *producer;
	int epoll_fd, listen_fd;
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "" in the abstract namespace */
	int pending_fd[DOOR_PENDING_LIMIT];                        /* connected, has not said what it wants; -1: free */
	int adopted_fd;                                            /* our parent's, while it is pending; else -1 */
	struct door_reader reader[DOOR_READER_LIMIT];
};

static int watch(struct door *door, int fd, enum door_source source, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};

	return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_door(struct shmring_producer *producer, struct err *err)
{
	struct door *door;

	if (producer->door)
		return 0;
	door = calloc(1, sizeof *door);
	if (!door)
		return err_fail(err, -ENOMEM, "out of memory");
	door->producer = producer;
	door->listen_fd = -1;
	door->adopted_fd = -1;
	for (int i = 0; i < DOOR_PENDING_LIMIT; i++)
		door->pending_fd[i] = -1;
	for (int i = 0; i < DOOR_READER_LIMIT; i++)
		door->reader[i] = (struct door_reader){.socket_fd = -1, .pidfd = -1};
	door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (door->epoll_fd < 0) {
		free(door);
		return err_fail(err, -errno, "epoll_create1: %s", strerror(errno));
	}
	producer->door = door;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd); /* which also takes it out of the epoll set */
	*fd = -1;
}

void door_close(struct door *door)
{
	if (!door)
		return;
	for (int i = 0; i < DOOR_PENDING_LIMIT; i++)
		close_fd(&door->pending_fd[i]);
	for (int i = 0; i < DOOR_READER_LIMIT; i++) {
		close_fd(&door->reader[i].socket_fd);
		close_fd(&door->reader[i].pidfd);
	}
	if (door->path[0] != '\0')
		unlink(door->path);
	close_fd(&door->listen_fd);
	close_fd(&door->epoll_fd);
	free(door);
}

/* A socket file that nobody listens on was left by a killed worker: it may go. */
static bool is_stale_socket(const struct sockaddr_un *address, socklen_t address_bytes)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	bool refused;

	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)address, address_bytes) < 0 && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

int shmring_door_open(struct shmring_producer *producer, const char *socket_path, struct err *err)
{
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fd, rc;

	rc = open_door(producer, err);
	if (rc < 0)
		return rc;
	if (socket_path && !strchr(socket_path, '/'))
		return err_fail(err, -EINVAL, "socket path '%s': a path with a '/' is expected, such as ./%s", socket_path, socket_path);
	rc = wire_address(socket_path ? socket_path : producer->name, &address, &address_bytes);
	if (rc < 0)
		return err_fail(err, rc, "socket path '%s' is too long: at most %zu bytes", socket_path, sizeof address.sun_path - 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_fail(err, -errno, "socket: %s", strerror(errno));
	rc = bind(fd, (const struct sockaddr *)&address, address_bytes) == 0 ? 0 : -errno;
	if (rc == -EADDRINUSE && socket_path && is_stale_socket(&address, address_bytes) && unlink(socket_path) == 0)
		rc = bind(fd, (const struct sockaddr *)&address, address_bytes) == 0 ? 0 : -errno;
	if (rc == 0 && listen(fd, DOOR_PENDING_LIMIT) < 0)
		rc = -errno;
	if (rc == 0)
		rc = watch(producer->door, fd, SOURCE_LISTEN, 0);
	if (rc < 0) {
		close(fd);
		if (rc == -EADDRINUSE)
			return err_fail(err, rc, "a ring named '%s' is already running: choose another name, or see `cropring list`",
			                socket_path ? socket_path : producer->name);
		return err_fail(err, rc, "cannot listen for readers at '%s': %s", socket_path ? socket_path : producer->name, strerror(-rc));
	}
	producer->door->listen_fd = fd;
	if (socket_path)
		memcpy(producer->door->path, address.sun_path, sizeof producer->door->path);
	return 0;
}

/* Takes the connection over: it is closed if it cannot be served. */
static int add_pending(struct door *door, int socket_fd)
{
	for (uint32_t i = 0; i < DOOR_PENDING_LIMIT; i++) {
		int rc;

		if (door->pending_fd[i] >= 0)
			continue;
		rc = watch(door, socket_fd, SOURCE_PENDING, i);
		if (rc < 0)
			break;
		door->pending_fd[i] = socket_fd;
		return 0;
	}
	close(socket_fd);
	return -EBUSY;
}

int shmring_door_adopt(struct shmring_producer *producer, int socket_fd, struct err *err)
{
	int rc = open_door(producer, err);

	if (rc < 0)
		return rc;
	if (wire_check_peer(socket_fd) < 0)
		return err_fail(err, -EPERM, "--reader-fd %d is no socket of this user", socket_fd);
	rc = add_pending(producer->door, socket_fd);
	producer->door->adopted_fd = rc == 0 ? socket_fd : -1;
	return rc < 0 ? err_fail(err, rc, "--reader-fd %d: %s", socket_fd, strerror(-rc)) : 0;
}

int shmring_door_fd(const struct shmring_producer *producer)
{
	return producer->door ? producer->door->epoll_fd : -1;
}

void shmring_door_refuse(int socket_fd, int code, const char *text)
{
	struct wire_welcome welcome = {.magic = WIRE_MAGIC, .result = code};

	strncpy(welcome.text, text, sizeof welcome.text - 1);
	(void)wire_send(socket_fd, &welcome, sizeof welcome, NULL, 0); /* a reader that is gone needs no reason */
}

static void accept_connection(struct door *door)
{
	int fd = accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return; /* it went away again, or descriptors are short: the next event tries again */
	if (wire_check_peer(fd) < 0) {
		shmring_door_refuse(fd, -EPERM, "this ring belongs to another user");
		close(fd);
		return;
	}
	(void)add_pending(door, fd); /* closed when there are too many: the reader sees that as a refusal */
}

static uint32_t reader_count(const struct door *door)
{
	uint32_t count = 0;

	for (int i = 0; i < DOOR_READER_LIMIT; i++)
		count += door->reader[i].socket_fd >= 0;
	return count;
}

static void show_card(const struct door *door, int socket_fd)
{
	const struct shmring_producer *producer = door->producer;
	struct wire_card answer = {.magic = WIRE_MAGIC};
	struct shmring_card *card = &answer.card;

	memcpy(card->name, producer->name, sizeof card->name);
	memcpy(card->subject, producer->subject, sizeof card->subject);
	card->pid = getpid();
	card->slot_count = producer->slot_count;
	card->ready_count = shmring_ready_count(producer);
	card->reader_count = reader_count(door);
	card->published = shmring_published(producer);
	card->segment_bytes = producer->segment_bytes;
	(void)wire_send(socket_fd, &answer, sizeof answer, NULL, 0); /* a looker that is gone needs no answer */
}

static int welcome_reader(struct door *door, uint32_t id, int socket_fd, int pidfd)
{
	const struct shmring_producer *producer = door->producer;
	struct wire_welcome welcome = {.magic = WIRE_MAGIC, .reader_id = id};
	int fds[WIRE_MAX_FDS] = {[WIRE_FD_SEGMENT] = producer->segment_fd,
	                         [WIRE_FD_PIDFD] = producer->pidfd,
	                         [WIRE_FD_CATALOG] = producer->catalog_fd};
	struct ucred peer = {0};
	socklen_t peer_bytes = sizeof peer;
	int rc;

	rc = watch(door, socket_fd, SOURCE_READER, id);
	if (rc == 0)
		rc = watch(door, pidfd, SOURCE_PIDFD, id);
	if (rc == 0)
		rc = wire_send(socket_fd, &welcome, sizeof welcome, fds, producer->catalog_fd >= 0 ? 3 : 2);
	if (rc < 0)
		return rc;
	(void)getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes); /* the pid is for messages only */
	door->reader[id] = (struct door_reader){.socket_fd = socket_fd, .pidfd = pidfd, .pid = peer.pid};
	return 0;
}

/* Admits a reader or refuses it with a sentence.  Takes over both descriptors. */
static enum shmring_event admit(struct door *door, int socket_fd, int pidfd, uint32_t fingerprint, int32_t *pid)
{
	char text[256];

	for (uint32_t id = 0; id < DOOR_READER_LIMIT; id++) {
		if (fingerprint != layout_fingerprint() || door->reader[id].socket_fd >= 0)
			continue;
		if (welcome_reader(door, id, socket_fd, pidfd) == 0) {
			*pid = door->reader[id].pid;
			return SHMRING_JOINED;
		}
	}
	if (fingerprint != layout_fingerprint())
		snprintf(text, sizeof text, "ring '%s' runs another version of cropring (layout %08x, the reader has %08x)",
		         door->producer->name, layout_fingerprint(), fingerprint);
	else
		snprintf(text, sizeof text, "ring '%s' has its reader already (process %d), and this version serves one at a time",
		         door->producer->name, door->reader[0].pid);
	shmring_door_refuse(socket_fd, fingerprint != layout_fingerprint() ? -EPROTO : -EBUSY, text);
	close(socket_fd);
	close(pidfd);
	return SHMRING_NOTHING;
}

static enum shmring_event hear_pending(struct door *door, uint32_t index, int32_t *pid)
{
	int socket_fd = door->pending_fd[index];
	bool adopted = socket_fd == door->adopted_fd;
	int fds[WIRE_MAX_FDS];
	struct wire_hello hello;
	int rc = wire_receive(socket_fd, &hello, sizeof hello, fds);

	if (rc == -EAGAIN || rc == -EINTR)
		return SHMRING_NOTHING;
	epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, socket_fd, NULL);
	door->pending_fd[index] = -1;
	if (adopted)
		door->adopted_fd = -1;
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_JOIN && fds[0] >= 0) {
		int pidfd = fds[0];

		fds[0] = -1;
		wire_close_fds(fds);
		return admit(door, socket_fd, pidfd, hello.fingerprint, pid);
	}
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_LOOK)
		show_card(door, socket_fd);
	if (rc == 0)
		wire_close_fds(fds);
	close(socket_fd);
	/* The parent that started us went away before it said a word: as good as a reader that died. */
	return adopted ? SHMRING_DIED : SHMRING_NOTHING;
}

static enum shmring_event lose_reader(struct door *door, uint32_t id, enum shmring_event how, int32_t *pid)
{
	struct door_reader *reader = &door->reader[id];

	*pid = reader->pid;
	close_fd(&reader->socket_fd);
	close_fd(&reader->pidfd);
	return how;
}

static enum shmring_event hear_reader(struct door *door, uint32_t id, int32_t *pid)
{
	int fds[WIRE_MAX_FDS];
	struct wire_hello hello;
	int rc = wire_receive(door->reader[id].socket_fd, &hello, sizeof hello, fds);

	if (rc == -EAGAIN || rc == -EINTR)
		return SHMRING_NOTHING;
	if (rc == 0)
		wire_close_fds(fds);
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_LEAVE)
		return lose_reader(door, id, SHMRING_LEFT, pid);
	return lose_reader(door, id, SHMRING_DIED, pid);
}

enum shmring_event shmring_door_step(struct shmring_producer *producer, int32_t *pid)
{
	struct door *door = producer->door;
	struct epoll_event event;
	uint32_t index;

	*pid = 0;
	if (!door || epoll_wait(door->epoll_fd, &event, 1, 0) < 1)
		return SHMRING_NOTHING;
	index = (uint32_t)event.data.u64;
	switch ((enum door_source)(event.data.u64 >> 32)) {
	case SOURCE_LISTEN:
		accept_connection(door);
		return SHMRING_NOTHING;
	case SOURCE_PENDING:
		return hear_pending(door, index, pid);
	case SOURCE_READER:
		return hear_reader(door, index, pid);
	case SOURCE_PIDFD:
		return lose_reader(door, index, SHMRING_DIED, pid);
	}
	return SHMRING_NOTHING;
}
