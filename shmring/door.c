/*
 * door.c - readers come, leave and die: one socket per reader, and a pidfd that it sent of itself.
 *
 * Only the pidfd tells that a reader has died: a bare pid can be reused, and a socket can be kept open by a forked child, or closed by
 * a reader that lives and reads on.
 * One thread (the worker's main thread) calls everything here.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shmring/audience.h"
#include "shmring/listener.h"
#include "shmring/seats.h"
#include "shmring/slot.h"

enum { DOOR_PENDING_LIMIT = 32 };

enum door_source { SOURCE_LISTEN, SOURCE_PENDING, SOURCE_READER, SOURCE_PIDFD };

enum { LISTENER_NAME, LISTENER_PATH, LISTENER_COUNT };

struct door {
	struct shmring_producer *producer;
	int epoll_fd;
	int spare_fd; /* given up for a moment to turn a caller away when there are no descriptors left */
	struct listener listener[LISTENER_COUNT];
	int pending_fd[DOOR_PENDING_LIMIT];         /* connected, has not said what it wants; -1: free */
	uint64_t pending_since[DOOR_PENDING_LIMIT]; /* the visit_count of its coming */
	uint64_t visit_count;
	int adopted_fd; /* our parent's, while it is pending; else -1 */
	struct seat reader[LAYOUT_MAX_READERS];
};

static int watch(struct door *door, int fd, enum door_source source, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};

	return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Closing alone would not end the watch on a descriptor that its sender still has. */
static void unwatch_and_close(struct door *door, int *fd)
{
	if (*fd < 0)
		return;
	(void)epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, *fd, NULL); /* fails only if it was not watched yet */
	close(*fd);
	*fd = -1;
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
	door->adopted_fd = -1;
	for (int i = 0; i < LISTENER_COUNT; i++)
		door->listener[i].fd = -1;
	for (int i = 0; i < DOOR_PENDING_LIMIT; i++)
		door->pending_fd[i] = -1;
	for (int i = 0; i < LAYOUT_MAX_READERS; i++)
		door->reader[i] = (struct seat){.socket_fd = -1, .pidfd = -1};
	door->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	door->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (door->epoll_fd < 0 || door->spare_fd < 0) {
		int rc = err_fail(err, -errno, "no descriptors left for the control socket: %s", strerror(errno));

		door_close(door);
		return rc;
	}
	producer->door = door;
	return 0;
}

static void stop_listening(struct door *door)
{
	for (int i = 0; i < LISTENER_COUNT; i++) {
		if (door->listener[i].fd >= 0)
			(void)epoll_ctl(door->epoll_fd, EPOLL_CTL_DEL, door->listener[i].fd, NULL); /* or it was not watched yet */
		listener_close(&door->listener[i]);
	}
}

void shmring_door_shut(struct shmring_producer *producer)
{
	if (producer->door)
		stop_listening(producer->door);
}

void door_close(struct door *door)
{
	if (!door)
		return;
	stop_listening(door);
	for (int i = 0; i < DOOR_PENDING_LIMIT; i++)
		unwatch_and_close(door, &door->pending_fd[i]);
	for (int i = 0; i < LAYOUT_MAX_READERS; i++) {
		unwatch_and_close(door, &door->reader[i].socket_fd);
		unwatch_and_close(door, &door->reader[i].pidfd);
	}
	if (door->spare_fd >= 0)
		close(door->spare_fd);
	if (door->epoll_fd >= 0)
		close(door->epoll_fd);
	free(door);
}

static int start_listening(struct door *door, uint32_t which, const char *where, struct err *err)
{
	struct listener *listener = &door->listener[which];
	int rc = listener_open(listener, where, err);

	if (rc < 0)
		return rc;
	rc = watch(door, listener->fd, SOURCE_LISTEN, which);
	return rc < 0 ? err_fail(err, rc, "epoll_ctl: %s", strerror(-rc)) : 0;
}

int shmring_door_open(struct shmring_producer *producer, const char *socket_path, struct err *err)
{
	int rc;

	if (socket_path && !strchr(socket_path, '/'))
		return err_fail(err, -EINVAL, "socket path '%s': a path with a '/' is expected, such as ./%s", socket_path,
		                socket_path);
	rc = open_door(producer, err);
	if (rc == 0)
		rc = start_listening(producer->door, LISTENER_NAME, producer->name, err);
	if (rc == 0 && socket_path)
		rc = start_listening(producer->door, LISTENER_PATH, socket_path, err);
	return rc;
}

/* Who has stood at the door for longest and said nothing makes room; our parent, which may be slow, does not. */
static void make_room(struct door *door)
{
	uint32_t oldest = DOOR_PENDING_LIMIT;

	for (uint32_t i = 0; i < DOOR_PENDING_LIMIT; i++) {
		if (door->pending_fd[i] < 0)
			return;
		if (door->pending_fd[i] != door->adopted_fd &&
		    (oldest == DOOR_PENDING_LIMIT || door->pending_since[i] < door->pending_since[oldest]))
			oldest = i;
	}
	if (oldest == DOOR_PENDING_LIMIT)
		return;
	shmring_door_refuse(door->pending_fd[oldest], -EBUSY,
	                    "too many processes stand at this ring's door and say nothing; try again");
	unwatch_and_close(door, &door->pending_fd[oldest]);
}

/* Takes the connection over: it is closed if it cannot be served. */
static int add_pending(struct door *door, int socket_fd)
{
	make_room(door);
	for (uint32_t i = 0; i < DOOR_PENDING_LIMIT; i++) {
		int rc;

		if (door->pending_fd[i] >= 0)
			continue;
		rc = watch(door, socket_fd, SOURCE_PENDING, i);
		if (rc < 0)
			break;
		door->pending_fd[i] = socket_fd;
		door->pending_since[i] = ++door->visit_count;
		return 0;
	}
	shmring_door_refuse(socket_fd, -EBUSY, "this ring's door cannot watch another socket");
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
	if (fcntl(socket_fd, F_SETFL, O_NONBLOCK) < 0)
		return err_fail(err, -errno, "--reader-fd %d: %s", socket_fd, strerror(errno));
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

/* No descriptor is left for the caller.  Without this it would stay in the queue, and we would spin. */
static void turn_away(struct door *door, int listen_fd)
{
	int fd;

	close(door->spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	door->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_connection(struct door *door, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE)
			turn_away(door, listen_fd);
		return; /* else it went away again */
	}
	if (wire_check_peer(fd) < 0) {
		shmring_door_refuse(fd, -EPERM, "this ring belongs to another user");
		close(fd);
		return;
	}
	(void)add_pending(door, fd); /* which tells the caller if it cannot be served */
}

uint32_t shmring_reader_count(const struct shmring_producer *producer)
{
	uint32_t count = 0;

	for (int i = 0; producer->door && i < LAYOUT_MAX_READERS; i++)
		count += seat_is_present(&producer->door->reader[i]);
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
	card->reader_count = shmring_reader_count(producer);
	card->reader_limit = producer->reader_limit;
	card->published = shmring_published(producer);
	card->segment_bytes = producer->segment_bytes;
	(void)wire_send(socket_fd, &answer, sizeof answer, NULL, 0); /* a looker that is gone needs no answer */
}

/* The number is nobody's any more. */
static uint32_t forget(struct door *door, uint32_t number)
{
	struct seat *reader = &door->reader[number];
	uint32_t offered_again = audience_forget(door->producer, number, reader->has_left);

	unwatch_and_close(door, &reader->socket_fd);
	unwatch_and_close(door, &reader->pidfd);
	return offered_again;
}

/* Those who left and have meanwhile given everything back. */
static void forget_the_departed(struct door *door)
{
	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		if (door->reader[i].pidfd >= 0 && door->reader[i].has_left && !audience_holds(door->producer, i))
			(void)forget(door, i);
	}
}

/* Takes over both descriptors when it succeeds. */
static int welcome_reader(struct door *door, uint32_t number, const struct seat *reader)
{
	struct shmring_producer *producer = door->producer;
	struct wire_welcome welcome = {.magic = WIRE_MAGIC, .number = number, .hold = reader->hold};
	int fds[WIRE_MAX_FDS] = {[WIRE_FD_SEGMENT] = producer->segment_fd,
	                         [WIRE_FD_PIDFD] = producer->pidfd,
	                         [WIRE_FD_CATALOG] = producer->catalog_fd};
	int rc;

	rc = watch(door, reader->socket_fd, SOURCE_READER, number);
	if (rc == 0)
		rc = watch(door, reader->pidfd, SOURCE_PIDFD, number);
	if (rc < 0)
		return rc;
	/* Before it can know: from the first batch that it may expect, it is counted. */
	audience_join(producer, number, reader->pid, reader->hold);
	rc = wire_send(reader->socket_fd, &welcome, sizeof welcome, fds, producer->catalog_fd >= 0 ? 3 : 2);
	if (rc < 0) {
		(void)audience_forget(producer, number, false);
		return rc;
	}
	door->reader[number] = *reader;
	return 0;
}

static int32_t pid_of_peer(int socket_fd)
{
	struct ucred peer = {0};
	socklen_t peer_bytes = sizeof peer;

	(void)getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes); /* for messages only */
	return peer.pid;
}

/* The parent that started us went away before it was in: as good as a reader that died. */
static enum shmring_event miss_parent(bool is_parent, struct shmring_visitor *visitor)
{
	*visitor = (struct shmring_visitor){.reader = LAYOUT_MAX_READERS, .is_owner = is_parent};
	return is_parent ? SHMRING_DIED : SHMRING_NOTHING;
}

/* Admits a reader or refuses it with a sentence.  Takes over both descriptors. */
static enum shmring_event admit(struct door *door, struct seat *newcomer, const struct wire_hello *hello,
                                struct shmring_visitor *visitor)
{
	const char *name = door->producer->name;
	struct refusal refusal = {0};
	uint32_t number = 0;

	forget_the_departed(door);
	newcomer->pid = pid_of_peer(newcomer->socket_fd);
	if (hello->fingerprint != layout_fingerprint()) {
		refusal.code = -EPROTO;
		snprintf(refusal.text, sizeof refusal.text,
		         "ring '%s' runs another version of cropring (layout %08x, the reader has %08x)", name,
		         layout_fingerprint(), hello->fingerprint);
	} else if (!wire_is_pidfd(newcomer->pidfd)) {
		refusal.code = -EPROTO;
		snprintf(refusal.text, sizeof refusal.text,
		         "the reader sent something else than a pidfd of its own: nobody would learn of its death");
	} else if (door->adopted_fd >= 0) {
		refusal.code = -EAGAIN;
		snprintf(refusal.text, sizeof refusal.text,
		         "ring '%s' belongs to the process that started it, which has not joined yet", name);
	}
	if (refusal.code == 0)
		number = seats_choose_number(door->reader, door->producer, hello->wish.number, &refusal);
	if (refusal.code == 0)
		newcomer->hold = seats_choose_hold(door->reader, door->producer, hello->wish.hold, &refusal);
	if (refusal.code == 0) {
		refusal.code = welcome_reader(door, number, newcomer);
		snprintf(refusal.text, sizeof refusal.text, "ring '%s' cannot take the reader in: %s", name,
		         strerror(-refusal.code));
	}
	if (refusal.code == 0) {
		*visitor = (struct shmring_visitor){.reader = number, .pid = newcomer->pid, .is_owner = newcomer->is_owner};
		return SHMRING_JOINED;
	}
	shmring_door_refuse(newcomer->socket_fd, refusal.code, refusal.text);
	unwatch_and_close(door, &newcomer->socket_fd);
	unwatch_and_close(door, &newcomer->pidfd);
	return miss_parent(newcomer->is_owner, visitor);
}

static enum shmring_event hear_pending(struct door *door, uint32_t index, struct shmring_visitor *visitor)
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
		struct seat newcomer = {.socket_fd = socket_fd, .pidfd = fds[0], .is_owner = adopted};

		fds[0] = -1;
		wire_close_fds(fds);
		return admit(door, &newcomer, &hello, visitor);
	}
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_LOOK)
		show_card(door, socket_fd);
	if (rc == 0)
		wire_close_fds(fds);
	close(socket_fd);
	return miss_parent(adopted, visitor);
}

static enum shmring_event hear_reader(struct door *door, uint32_t number, struct shmring_visitor *visitor)
{
	struct seat *reader = &door->reader[number];
	int fds[WIRE_MAX_FDS];
	struct wire_hello hello;
	int rc = wire_receive(reader->socket_fd, &hello, sizeof hello, fds);

	if (rc == -EAGAIN || rc == -EINTR)
		return SHMRING_NOTHING;
	if (rc == 0)
		wire_close_fds(fds);
	unwatch_and_close(door, &reader->socket_fd);
	if (rc < 0 || hello.magic != WIRE_MAGIC || hello.purpose != WIRE_LEAVE)
		return SHMRING_NOTHING; /* dead or just rude: its pidfd tells */
	*visitor = (struct shmring_visitor){.reader = number, .pid = reader->pid, .is_owner = reader->is_owner};
	reader->has_left = true;
	audience_leave(door->producer, number, &hello);
	forget_the_departed(door);
	return SHMRING_LEFT;
}

static enum shmring_event bury(struct door *door, uint32_t number, struct shmring_visitor *visitor)
{
	const struct seat *reader = &door->reader[number];

	*visitor = (struct shmring_visitor){
		.reader = number, .pid = reader->pid, .had_left = reader->has_left, .is_owner = reader->is_owner};
	/* Its goodbye may lie in the socket, unheard. */
	if (!reader->has_left && reader->socket_fd >= 0 && hear_reader(door, number, visitor) == SHMRING_LEFT) {
		if (door->reader[number].pidfd >= 0)
			(void)forget(door, number);
		return SHMRING_LEFT;
	}
	visitor->batch_count = forget(door, number);
	return SHMRING_DIED;
}

enum shmring_event shmring_door_step(struct shmring_producer *producer, struct shmring_visitor *visitor)
{
	struct door *door = producer->door;
	struct epoll_event event;
	uint32_t index;

	*visitor = (struct shmring_visitor){0};
	if (!door || epoll_wait(door->epoll_fd, &event, 1, 0) < 1)
		return SHMRING_NOTHING;
	index = (uint32_t)event.data.u64;
	switch ((enum door_source)(event.data.u64 >> 32)) {
	case SOURCE_LISTEN:
		accept_connection(door, door->listener[index].fd);
		return SHMRING_NOTHING;
	case SOURCE_PENDING:
		return hear_pending(door, index, visitor);
	case SOURCE_READER:
		return hear_reader(door, index, visitor);
	case SOURCE_PIDFD:
		return bury(door, index, visitor);
	}
	return SHMRING_NOTHING;
}

/* ------------------------------------------------------------------ readers that hold up the others */

bool shmring_stalled(const struct shmring_producer *producer, uint32_t limit_ms, uint32_t *reader, struct shmring_visitor *visitor)
{
	uint32_t mask = audience_stalled(producer, limit_ms);

	for (; producer->door && *reader < LAYOUT_MAX_READERS; (*reader)++) {
		const struct seat *stalled = &producer->door->reader[*reader];

		if ((mask >> *reader & 1) == 0)
			continue;
		*visitor = (struct shmring_visitor){.reader = *reader,
		                                    .pid = stalled->pid,
		                                    .had_left = stalled->has_left,
		                                    .is_owner = stalled->is_owner,
		                                    .is_absent = stalled->pidfd < 0};
		(*reader)++;
		return true;
	}
	return false;
}

/* The process that started the producer may have joined a second time, by name. */
static bool is_owners(const struct door *door, int32_t pid)
{
	bool found = false;

	for (int i = 0; i < LAYOUT_MAX_READERS; i++)
		found = found || (door->reader[i].pidfd >= 0 && door->reader[i].is_owner && door->reader[i].pid == pid);
	return found;
}

int shmring_expel(struct shmring_producer *producer, uint32_t reader)
{
	const struct seat *stalled = producer->door && reader < LAYOUT_MAX_READERS ? &producer->door->reader[reader] : NULL;

	if (!stalled || stalled->pidfd < 0)
		return -ESRCH;
	if (is_owners(producer->door, stalled->pid))
		return -EPERM;
	return syscall(SYS_pidfd_send_signal, stalled->pidfd, SIGKILL, NULL, 0) == 0 ? 0 : -errno;
}
