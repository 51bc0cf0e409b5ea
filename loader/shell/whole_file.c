/* whole_file.c - a file that appears in a folder under its name when it is whole, and not before. */
#include "loader/shell/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static int choose_part(struct whole_file *file)
{
	uint64_t number;

	if (getentropy(&number, sizeof number) < 0)
		return -errno;
	snprintf(file->part, sizeof file->part, ".cropring-%016" PRIx64 ".part", number);
	return 0;
}

int whole_file_open(struct whole_file *file, int folder_fd)
{
	int rc;

	*file = (struct whole_file){.fd = -1, .folder_fd = folder_fd};
	if (access("/proc/self/fd", X_OK) == 0) /* by which it gets its name */
		file->fd = openat(folder_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (file->fd >= 0)
		return 0;
	rc = choose_part(file);
	if (rc < 0)
		return rc;
	file->fd = openat(folder_fd, file->part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
	return file->fd < 0 ? -errno : 0;
}

int whole_file_write(struct whole_file *file, const void *data, size_t byte_count)
{
	const char *at = data;

	while (byte_count > 0) {
		ssize_t written = write(file->fd, at, byte_count);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		at += written;
		byte_count -= (size_t)written;
	}
	return 0;
}

static int link_nameless(const struct whole_file *file, const char *name)
{
	char place[40];

	snprintf(place, sizeof place, "/proc/self/fd/%d", file->fd);
	return linkat(AT_FDCWD, place, file->folder_fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A link cannot replace a file, a rename can: so there is a name between, for two system calls. */
static int link_part(struct whole_file *file)
{
	int rc = choose_part(file);

	if (rc == 0)
		rc = link_nameless(file, file->part);
	if (rc < 0)
		file->part[0] = '\0';
	return rc;
}

/* NFS tells only now what became of the bytes. */
static int close_part(struct whole_file *file)
{
	int fd = file->fd;

	file->fd = -1;
	return close(fd) < 0 ? -errno : 0;
}

/* A rename replaces what is there unless it is told not to, which some file systems cannot be told; a link never does. */
static int rename_part(struct whole_file *file, const char *name, bool replace)
{
	if (renameat2(file->folder_fd, file->part, file->folder_fd, name, replace ? 0 : RENAME_NOREPLACE) == 0) {
		file->part[0] = '\0';
		return 0;
	}
	if (replace || errno != EINVAL)
		return -errno;
	return linkat(file->folder_fd, file->part, file->folder_fd, name, 0) < 0 ? -errno : 0;
}

int whole_file_finish(struct whole_file *file, const char *name, bool replace)
{
	int rc;

	if (!file->part[0] && !replace) {
		rc = link_nameless(file, name);
	} else {
		rc = file->part[0] ? close_part(file) : link_part(file);
		if (rc == 0)
			rc = rename_part(file, name, replace);
	}
	whole_file_abandon(file); /* what is left of it beside that name */
	return rc;
}

void whole_file_abandon(struct whole_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd); /* it is not wanted any more, or has its name */
	if (file->part[0])
		(void)unlinkat(file->folder_fd, file->part, 0);
	file->fd = -1;
	file->part[0] = '\0';
}
