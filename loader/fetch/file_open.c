/* Stage 2 of 5, fetch: a path in, a descriptor out.  Any thread. */
#include "loader/fetch/file_open.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)

enum file_home file_open_home(int directory_fd)
{
	struct statfs file_system;
	int error = directory_fd == AT_FDCWD ? statfs(".", &file_system) : fstatfs(directory_fd, &file_system);

	if (error)
		return FILE_HOME_FUSE; /* whatever it is: the threads can do anything */
	switch ((unsigned long)file_system.f_type) {
	case FUSE_SUPER_MAGIC:
		return FILE_HOME_FUSE;
	case EXT4_SUPER_MAGIC: /* and ext2, ext3 */
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case F2FS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return FILE_HOME_LOCAL;
	default:
		return FILE_HOME_OTHER;
	}
}

bool file_is_in_memory(int fd)
{
	struct statfs file_system;

	return fstatfs(fd, &file_system) == 0 && file_system.f_type == TMPFS_MAGIC;
}

struct open_how file_open_how(bool stay_beneath)
{
	return (struct open_how){.flags = FLAGS, .resolve = RESOLVE_NO_XDEV | (stay_beneath ? RESOLVE_BENEATH : 0u)};
}

static int open_as(int directory_fd, const char *path, const struct open_how *how)
{
	long result = syscall(SYS_openat2, directory_fd, path, how, sizeof *how);

	return result < 0 ? -errno : (int)result;
}

int file_open_cached(int directory_fd, const char *path, bool stay_beneath)
{
	struct open_how how = file_open_how(stay_beneath);

	how.resolve |= RESOLVE_CACHED;
	return open_as(directory_fd, path, &how);
}

int file_open_waiting(int directory_fd, const char *path, bool stay_beneath)
{
	const struct open_how how = {.flags = FLAGS, .resolve = RESOLVE_BENEATH};
	int fd = stay_beneath ? open_as(directory_fd, path, &how) : -ENOSYS;

	if (fd != -ENOSYS && fd != -EPERM)
		return fd;
	fd = openat(directory_fd, path, FLAGS);
	return fd < 0 ? -errno : fd;
}
