/*
 * entry.c - readers and observers come in: nothing that the other end says or hands over is believed before it was looked at.
 */
#include "shmring/entry.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "shmring/segment.h"

int entry_connect(const char *name, int timeout_ms, struct err *err)
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000L};
	struct sockaddr_un address;
	socklen_t address_bytes;
	int fd, rc;

	rc = wire_address(name, &address, &address_bytes);
	if (rc < 0)
		return err_fail(err, rc, "'%.40s...' is too long for a ring's name or socket path", name);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_fail(err, -errno, "socket: %s", strerror(errno));
	if (timeout_ms >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
		                 sizeof limit); /* connect() heeds it; without, it only waits longer */
	if (connect(fd, (const struct sockaddr *)&address, address_bytes) == 0)
		return fd;
	rc = errno == ECONNREFUSED || errno == ENOENT ? -ENOENT : -errno;
	close(fd);
	if (rc == -ENOENT)
		return err_fail(err, rc,
		                "no ring named '%s' is running (`cropring list` shows those that are; "
		                "`cropring serve SOURCE --ring %s` starts one)",
		                name, name);
	return err_fail(err, rc, "cannot reach ring '%s': %s", name, strerror(-rc));
}

/* The answer comes when the ring exists: after the scan and the reservation, so it may take a while. */
int entry_await(int socket_fd, int timeout_ms, struct wire_welcome *welcome, int fds[WIRE_MAX_FDS], struct err *err)
{
	struct pollfd wait = {.fd = socket_fd, .events = POLLIN};
	int rc = poll(&wait, 1, timeout_ms);

	if (rc < 0)
		return err_fail(err, -errno, "waiting for the worker: %s", strerror(errno));
	if (rc == 0)
		return err_fail(err, -ETIMEDOUT, "the worker has not answered for %.1f s: is it stopped?", timeout_ms / 1e3);
	rc = wire_receive(socket_fd, welcome, sizeof *welcome, fds);
	if (rc == -ENOTCONN)
		return err_fail(err, -EPIPE, "the worker ended before the ring was ready");
	if (rc < 0)
		return err_fail(err, rc, "the worker's answer cannot be read: %s", strerror(-rc));
	welcome->text[sizeof welcome->text - 1] = '\0';
	if (welcome->magic != WIRE_MAGIC ||
	    (welcome->result == 0 && (!wire_is_pidfd(fds[WIRE_FD_PIDFD]) || welcome->number >= LAYOUT_MAX_READERS)))
		rc = err_fail(err, -EPROTO, "the other end of the socket is no cropring worker");
	else if (welcome->result != 0)
		rc = err_fail(err, welcome->result < 0 ? welcome->result : -EPROTO, "%s", welcome->text);
	if (rc < 0)
		wire_close_fds(fds);
	return rc;
}

int entry_map(int segment_fd, bool only_looks, struct layout_header *header, struct layout_map *map, struct err *err)
{
	uint64_t byte_count, mapped_bytes;
	void *base;
	int rc;

	rc = segment_verify(segment_fd, &byte_count, err);
	if (rc < 0)
		return rc;
	mapped_bytes = only_looks ? LAYOUT_SLOTS_OFFSET : byte_count;
	rc = segment_map(segment_fd, mapped_bytes, only_looks ? 0 : UINT64_MAX, &base, err);
	if (rc < 0)
		return rc;
	memcpy(header, base, sizeof *header);
	rc = layout_check(header, byte_count, err);
	if (rc < 0) {
		munmap(base, mapped_bytes);
		return rc;
	}
	*map = layout_map(base);
	return 0;
}
