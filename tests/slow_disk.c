/*
 * slow_disk.c - preloaded: nothing is in the page cache, and each read of a file takes SLOW_DISK_MS longer, without CPU, as a disk does.
 *
 * For the threads of --io pread; what io_uring reads passes by the C library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

ssize_t pread(int fd, void *data, size_t byte_count, off_t offset)
{
	ssize_t (*real)(int, void *, size_t, off_t) = (ssize_t(*)(int, void *, size_t, off_t))(uintptr_t)dlsym(RTLD_NEXT, "pread");
	const char *delay_ms = getenv("SLOW_DISK_MS");

	usleep((useconds_t)(delay_ms ? atoi(delay_ms) : 0) * 1000);
	return real(fd, data, byte_count, offset);
}

ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags)
{
	if ((flags & RWF_NOWAIT) != 0) {
		errno = EAGAIN;
		return -1;
	}
	return count == 1 ? pread(fd, parts[0].iov_base, parts[0].iov_len, offset) : preadv(fd, parts, count, offset);
}
