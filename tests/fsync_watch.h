/*
 * fsync_watch.h - for tests of what was made to be on the disk: in a program that includes this, fsync() is this one, which only
 * remembers what it was called with.
 */
#ifndef CROPRING_TESTS_FSYNC_WATCH_H
#define CROPRING_TESTS_FSYNC_WATCH_H

#include <errno.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
	ino_t files[64];
	unsigned count;
	bool refuses_folders; /* as some network file systems do */
} fsync_watch;

int fsync(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -1;
	if (fsync_watch.refuses_folders && S_ISDIR(status.st_mode)) {
		errno = EINVAL;
		return -1;
	}
	fsync_watch.files[fsync_watch.count++ % 64] = status.st_ino;
	return 0;
}

/* Since the count was set to 0. */
static inline bool fsync_watch_saw(const char *name)
{
	struct stat status;

	for (unsigned i = 0; stat(name, &status) == 0 && i < fsync_watch.count && i < 64; i++)
		if (fsync_watch.files[i] == status.st_ino)
			return true;
	return false;
}

#endif
