/* listener.c - binding and unbinding the places where readers knock. */
#include "shmring/listener.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shmring/wire.h"

enum { BACKLOG = 32 };

/* A socket file that nobody listens on was left by a killed worker and may go.  Anything else is somebody's. */
static bool is_stale_socket(const struct sockaddr_un *address, socklen_t address_bytes)
{
	struct stat status;
	bool refused;
	int fd;

	if (lstat(address->sun_path, &status) < 0 || !S_ISSOCK(status.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)address, address_bytes) < 0 && errno == ECONNREFUSED;
	close(fd);
	return refused;
}

static int bind_socket(int fd, const struct sockaddr_un *address, socklen_t address_bytes)
{
	int rc = bind(fd, (const struct sockaddr *)address, address_bytes) == 0 ? 0 : -errno;

	if (rc == -EADDRINUSE && address->sun_path[0] != '\0' && is_stale_socket(address, address_bytes) &&
	    unlink(address->sun_path) == 0)
		rc = bind(fd, (const struct sockaddr *)address, address_bytes) == 0 ? 0 : -errno;
	return rc;
}

/* Why binding failed, in words. */
static int explain_refusal(int rc, const char *where, bool is_path, struct err *err)
{
	struct stat status;

	if (rc != -EADDRINUSE)
		return err_fail(err, rc, "cannot listen for readers at '%s': %s", where, strerror(-rc));
	if (!is_path)
		return err_fail(err, rc, "a ring named '%s' is already running: choose another name, or see `cropring list`",
		                where);
	if (lstat(where, &status) == 0 && !S_ISSOCK(status.st_mode))
		return err_fail(err, -EEXIST, "socket path '%s': a file of that name is there already; choose another path", where);
	return err_fail(err, rc, "another worker listens at '%s' already; choose another path", where);
}

int listener_open(struct listener *listener, const char *where, struct err *err)
{
	bool is_path = strchr(where, '/') != NULL;
	struct sockaddr_un address;
	socklen_t address_bytes;
	struct stat status;
	int fd, rc;

	rc = wire_address(where, &address, &address_bytes);
	if (rc < 0)
		return err_fail(err, rc, "socket path '%s' is too long: at most %zu bytes", where, sizeof address.sun_path - 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_fail(err, -errno, "socket: %s", strerror(errno));
	rc = bind_socket(fd, &address, address_bytes);
	if (rc == 0 && listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (rc < 0) {
		close(fd);
		return explain_refusal(rc, where, is_path, err);
	}
	*listener = (struct listener){.fd = fd};
	if (is_path && lstat(where, &status) == 0) {
		memcpy(listener->path, address.sun_path, sizeof listener->path);
		listener->device = status.st_dev;
		listener->inode = status.st_ino;
	}
	return 0;
}

/* Only if it is still the file that we made: someone may have put another there. */
static void remove_socket_file(const struct listener *listener)
{
	struct stat status;

	if (listener->path[0] != '\0' && lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
	    status.st_ino == listener->inode)
		unlink(listener->path);
}

void listener_close(struct listener *listener)
{
	if (listener->fd < 0)
		return;
	remove_socket_file(listener);
	close(listener->fd);
	listener->fd = -1;
}
