/*
 * observe.c - the ring seen through a window: the segment's first pages, for reading only, and a pidfd.
 *
 * The producer answers once at the door and forgets us; from then on nobody can tell whether we look.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shmring/entry.h"
#include "shmring/look.h"

enum { PATIENCE_MS = 5000 }; /* a worker that runs answers within milliseconds */

struct shmring_observer {
	struct layout_map map;
	struct layout_header header; /* private copy, checked once */
	int pidfd;
	pid_t owner_pid; /* a fork of that process has the memory, but not the right to use it */
	char subject[256];
};

static int ask_for_view(int socket_fd, struct wire_welcome *welcome, int fds[WIRE_MAX_FDS], struct err *err)
{
	const struct wire_hello hello = {.magic = WIRE_MAGIC, .fingerprint = layout_fingerprint(), .purpose = WIRE_OBSERVE};
	int rc = wire_check_peer(socket_fd);

	if (rc < 0)
		return err_fail(err, rc, "the other end of the socket belongs to another user");
	rc = wire_send(socket_fd, &hello, sizeof hello, NULL, 0);
	if (rc < 0 && rc != -EPIPE) /* a worker that refused us has closed its end, but its reason can still be read */
		return err_fail(err, rc, "cannot speak to the worker: %s", strerror(-rc));
	return entry_await(socket_fd, PATIENCE_MS, welcome, fds, err);
}

int shmring_observe(struct shmring_observer **out, const char *name, struct err *err)
{
	struct shmring_observer *observer = calloc(1, sizeof *observer);
	int fds[WIRE_MAX_FDS] = {-1, -1, -1};
	struct wire_welcome welcome;
	int socket_fd, rc;

	if (!observer)
		return err_fail(err, -ENOMEM, "out of memory");
	socket_fd = entry_connect(name, PATIENCE_MS, err);
	rc = socket_fd < 0 ? socket_fd : ask_for_view(socket_fd, &welcome, fds, err);
	if (socket_fd >= 0)
		close(socket_fd);
	if (rc == 0)
		rc = entry_map(fds[WIRE_FD_SEGMENT], true, &observer->header, &observer->map, err);
	if (rc < 0) {
		wire_close_fds(fds);
		free(observer);
		return rc;
	}
	observer->pidfd = fds[WIRE_FD_PIDFD];
	fds[WIRE_FD_PIDFD] = -1;
	wire_close_fds(fds); /* the mapping keeps the segment */
	observer->owner_pid = getpid();
	memcpy(observer->subject, welcome.subject, sizeof observer->subject - 1);
	*out = observer;
	return 0;
}

void shmring_unobserve(struct shmring_observer *observer)
{
	if (!observer || observer->owner_pid != getpid())
		return;
	munmap(observer->map.header, LAYOUT_SLOTS_OFFSET);
	close(observer->pidfd);
	free(observer);
}

int shmring_look(const struct shmring_observer *observer, struct shmring_snapshot *snapshot)
{
	if (observer->owner_pid != getpid())
		return -ECHILD;
	look(&observer->map, &observer->header, snapshot);
	return 0;
}

bool shmring_observed_is_alive(const struct shmring_observer *observer)
{
	struct pollfd wait = {.fd = observer->pidfd, .events = POLLIN};
	int result;

	do {
		result = poll(&wait, 1, 0);
	} while (result < 0 && errno == EINTR);
	return result == 0;
}

const char *shmring_observed_name(const struct shmring_observer *observer)
{
	return observer->header.name;
}

const char *shmring_observed_subject(const struct shmring_observer *observer)
{
	return observer->subject;
}

int32_t shmring_observed_pid(const struct shmring_observer *observer)
{
	return observer->header.producer_pid;
}

uint32_t shmring_observed_counter_count(const struct shmring_observer *observer)
{
	return observer->header.counter_count;
}

const char *shmring_observed_counter_name(const struct shmring_observer *observer, uint32_t counter)
{
	return counter < observer->header.counter_count ? observer->header.counter_name[counter] : NULL;
}
