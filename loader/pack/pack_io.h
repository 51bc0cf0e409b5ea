/* pack_io.h - part of `cropring pack`: bytes at a place of a file, all of them; names that are on the disk. */
#ifndef CROPRING_PACK_IO_H
#define CROPRING_PACK_IO_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

/* 0 or a negative errno. */
static inline int pack_io_write(int fd, const void *data, size_t byte_count, uint64_t at)
{
	for (const char *from = (const char *)data; byte_count > 0;) {
		ssize_t done = pwrite(fd, from, byte_count, (off_t)at);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			from += done;
			at += (uint64_t)done;
			byte_count -= (size_t)done;
		}
	}
	return 0;
}

/* 0, -ENODATA when the file ends before, or another negative errno. */
static inline int pack_io_read(int fd, void *data, size_t byte_count, uint64_t at)
{
	for (char *to = (char *)data; byte_count > 0;) {
		ssize_t got = pread(fd, to, byte_count, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		to += got;
		at += (uint64_t)got;
		byte_count -= (size_t)got;
	}
	return 0;
}

/* After a loss of power the folder's files have their names, where the file system can promise that (some network ones cannot). */
static inline int pack_io_sync_folder(int folder_fd)
{
	return fsync(folder_fd) == 0 || errno == EINVAL ? 0 : -errno;
}

#endif
