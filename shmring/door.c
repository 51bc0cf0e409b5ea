/*
 * door.c - where readers come to: listening sockets, those who have connected and not said what they want, and one wait for all.
 *
 * What becomes of them is registry.c's business.  One thread (the worker's main thread) calls everything here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "shmring/door.h"

int door_watch(struct door *door, int fd, enum door_source source, uint32_t index)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | index};

	return epoll_ctl(door->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* Closing alone would not end the watch on a descriptor that its sender still has. */
void door_unwatch_and_close(struct door *door, int *fd)
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
		int rc = err_fail(err, -errno, "%s, for the control socket: %s", door->epoll_fd < 0 ? "epoll_create1" : "/dev/null",
		                  strerror(errno));

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
		door_unwatch_and_close(door, &door->pending_fd[i]);
	for (int i = 0; i < LAYOUT_MAX_READERS; i++) {
		door_unwatch_and_close(door, &door->reader[i].socket_fd);
		door_unwatch_and_close(door, &door->reader[i].pidfd);
	}
	requests_forget(&door->inbox);
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
	rc = door_watch(door, listener->fd, SOURCE_LISTEN, which);
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
	door_unwatch_and_close(door, &door->pending_fd[oldest]);
}

/* Takes the connection over: it is closed if it cannot be served. */
static int add_pending(struct door *door, int socket_fd)
{
	make_room(door);
	for (uint32_t i = 0; i < DOOR_PENDING_LIMIT; i++) {
		int rc;

		if (door->pending_fd[i] >= 0)
			continue;
		rc = door_watch(door, socket_fd, SOURCE_PENDING, i);
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
		return registry_admit(door, &newcomer, &hello, visitor);
	}
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_LOOK)
		registry_show_card(door, socket_fd);
	if (rc == 0 && hello.magic == WIRE_MAGIC && hello.purpose == WIRE_OBSERVE)
		registry_show_ring(door, socket_fd, &hello);
	if (rc == 0)
		wire_close_fds(fds);
	close(socket_fd);
	return registry_miss_parent(adopted, visitor);
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
		return registry_hear_reader(door, index, visitor);
	case SOURCE_PIDFD:
		return registry_bury(door, index, visitor);
	}
	return SHMRING_NOTHING;
}
