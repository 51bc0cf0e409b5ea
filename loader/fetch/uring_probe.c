/* Stage 2 of 5, fetch: a new io_uring in, a verdict out.  Any thread. */
#include "loader/fetch/uring_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PROBE_WAIT_S 2

/* The result of the one entry that is queued, or why there is none. */
static int try_entry(struct io_uring *ring)
{
	struct __kernel_timespec timeout = {.tv_sec = PROBE_WAIT_S};
	struct io_uring_cqe *answer;
	int result;

	do {
		result = io_uring_submit_and_wait_timeout(ring, &answer, 1, &timeout, NULL);
	} while (result == -EINTR);
	if (result < 0)
		return result;
	result = answer->res;
	io_uring_cqe_seen(ring, answer);
	return result;
}

static int try_reading(struct io_uring *ring, int one_byte_fd)
{
	static uint8_t byte; /* static: a read that came back too late must not write into anything else */
	int result;

	io_uring_prep_nop(io_uring_get_sqe(ring));
	result = try_entry(ring);
	if (result < 0)
		return result;
	io_uring_prep_read(io_uring_get_sqe(ring), one_byte_fd, &byte, 1, 0);
	result = try_entry(ring);
	return result == 0 ? -EIO : result;
}

static int try_opening(struct io_uring *ring)
{
	/* O_PATH needs no permission. */
	static struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV};
	struct io_uring_sqe *entry = io_uring_get_sqe(ring);
	int result;

	io_uring_prep_openat2(entry, AT_FDCWD, "/", &how);
	io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
	result = try_entry(ring);
	if (result < 0)
		return result;
	io_uring_prep_close(io_uring_get_sqe(ring), result);
	return try_entry(ring);
}

int uring_probe(struct io_uring *ring, struct err *err)
{
	int one_byte_fd = memfd_create("cropring-probe", MFD_CLOEXEC), result;

	if (one_byte_fd < 0 || write(one_byte_fd, "!", 1) != 1) {
		result = err_fail(err, -errno, "io_uring: a memfd to probe it with: %s", strerror(errno));
		goto out;
	}
	result = try_reading(ring, one_byte_fd);
	if (result < 0) {
		err_fail(err, result, "io_uring_enter: %s", strerror(-result));
		goto out;
	}
	result = try_opening(ring);
	if (result < 0)
		err_fail(err, result, "io_uring, opening: %s", strerror(-result));
out:
	if (one_byte_fd >= 0)
		close(one_byte_fd);
	return result < 0 ? result : 0;
}
