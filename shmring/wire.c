/* wire.c - messages and descriptors over the control socket. */
#include "shmring/wire.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

union fd_space {
	char bytes[CMSG_SPACE(WIRE_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

int wire_send(int socket_fd, const void *message, size_t message_bytes, const int *fds, int fd_count)
{
	struct iovec part = {.iov_base = (void *)message, .iov_len = message_bytes}; /* sendmsg() does not write to it */
	union fd_space space = {0};
	struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (fd_count > 0) {
		struct cmsghdr *control = &space.align;

		header.msg_control = space.bytes;
		header.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
		control->cmsg_level = SOL_SOCKET;
		control->cmsg_type = SCM_RIGHTS;
		control->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
		memcpy(CMSG_DATA(control), fds, (size_t)fd_count * sizeof(int));
	}
	do {
		sent = sendmsg(socket_fd, &header, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : 0;
}

int wire_send_piece(int socket_fd, const struct wire_hello *hello, const void *piece, size_t piece_bytes)
{
	/* sendmsg() does not write to them */
	struct iovec parts[] = {{.iov_base = (void *)hello, .iov_len = sizeof *hello},
	                        {.iov_base = (void *)piece, .iov_len = piece_bytes}};
	const struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};

	return sendmsg(socket_fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

void wire_close_fds(int fds[WIRE_MAX_FDS])
{
	for (int i = 0; i < WIRE_MAX_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void take_fds(struct msghdr *header, int fds[WIRE_MAX_FDS])
{
	for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
		size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count && i < WIRE_MAX_FDS; i++)
			memcpy(&fds[i], CMSG_DATA(control) + i * sizeof(int), sizeof(int));
	}
}

/* One packet of at least least_bytes, which are not more than what `parts` hold: its bytes. */
static ssize_t receive(int socket_fd, struct iovec *parts, size_t part_count, size_t least_bytes, int fds[WIRE_MAX_FDS])
{
	union fd_space space;
	/* CMSG_LEN, not the whole space: alignment would leave room for a descriptor that nobody would ever close. */
	struct msghdr header = {.msg_iov = parts,
	                        .msg_iovlen = part_count,
	                        .msg_control = space.bytes,
	                        .msg_controllen = CMSG_LEN(WIRE_MAX_FDS * sizeof(int))};
	ssize_t received;

	for (int i = 0; i < WIRE_MAX_FDS; i++)
		fds[i] = -1;
	received = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
	if (received < 0 && errno == ECONNRESET) {
		/* The other end closed with something of ours unread.  That is told once; what it said before is still there. */
		header.msg_controllen = CMSG_LEN(WIRE_MAX_FDS * sizeof(int));
		received = recvmsg(socket_fd, &header, MSG_CMSG_CLOEXEC);
	}
	if (received < 0)
		return errno == ECONNRESET ? -ENOTCONN : -errno;
	take_fds(&header, fds);
	if (received >= (ssize_t)least_bytes && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
		return received;
	wire_close_fds(fds);
	return received == 0 ? -ENOTCONN : -EPROTO;
}

int wire_receive(int socket_fd, void *message, size_t message_bytes, int fds[WIRE_MAX_FDS])
{
	struct iovec part = {.iov_base = message, .iov_len = message_bytes};
	ssize_t received = receive(socket_fd, &part, 1, message_bytes, fds);

	return received < 0 ? (int)received : 0;
}

int wire_receive_piece(int socket_fd, struct wire_hello *hello, void *piece, size_t *piece_bytes, int fds[WIRE_MAX_FDS])
{
	struct iovec parts[] = {{.iov_base = hello, .iov_len = sizeof *hello}, {.iov_base = piece, .iov_len = *piece_bytes}};
	ssize_t received = receive(socket_fd, parts, 2, sizeof *hello, fds);

	*piece_bytes = received < 0 ? 0 : (size_t)received - sizeof *hello;
	return received < 0 ? (int)received : 0;
}

int wire_check_peer(int socket_fd)
{
	struct ucred peer;
	socklen_t peer_bytes = sizeof peer;

	if (getsockopt(socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0)
		return -errno;
	return peer.uid == geteuid() ? 0 : -EPERM;
}

bool wire_is_pidfd(int fd)
{
	/* Signal 0 asks without sending.  All other errors tell of a process: one that ended, another user's, or one that this
	 * PID namespace does not see. */
	return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0 || errno != EBADF;
}

void wire_name_prefix(char *prefix, size_t prefix_bytes)
{
	snprintf(prefix, prefix_bytes, "@cropring/%u/", (unsigned)geteuid());
}

int wire_address(const char *name, struct sockaddr_un *address, socklen_t *address_bytes)
{
	bool is_path = strchr(name, '/') != NULL;
	int length;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (is_path) {
		length = snprintf(address->sun_path, sizeof address->sun_path, "%s", name);
	} else {
		char prefix[40];

		wire_name_prefix(prefix, sizeof prefix);
		length = snprintf(address->sun_path, sizeof address->sun_path, "%s%s", prefix, name);
		address->sun_path[0] = '\0'; /* abstract: shown as '@' by /proc/net/unix */
	}
	if (length >= (int)sizeof address->sun_path)
		return -ENAMETOOLONG;
	*address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length + (is_path ? 1 : 0));
	return 0;
}
