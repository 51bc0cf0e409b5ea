/*
 * file_open.h - how a file is opened: without waiting, with waiting, or by io_uring; always for reading only.
 *
 * O_NONBLOCK, so that nobody waits for the writer of a FIFO; what is not a regular file is refused once it is open.
 */
#ifndef CROPRING_FILE_OPEN_H
#define CROPRING_FILE_OPEN_H

#include <stdbool.h>

#include <linux/openat2.h>

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20 /* Linux 5.12 */
#endif

/* What a folder lies on says how its files may be read. */
enum file_home {
	FILE_HOME_LOCAL, /* the kernel can tell, for each step, whether it would have to wait */
	FILE_HOME_OTHER, /* perhaps a network: opening may wait for a server even if all is in the cache */
	FILE_HOME_FUSE,  /* not for io_uring, see fetch_backend.h */
};

enum file_home file_open_home(int directory_fd);

/* All of this open file is in memory, or swapped out, which nobody can tell. */
bool file_is_in_memory(int fd);

/* For io_uring, which opens nothing beyond a mount point: see fetch_backend.h. */
struct open_how file_open_how(bool stay_beneath);

/* A descriptor, or a negative errno; -EAGAIN: it would have to wait. */
int file_open_cached(int directory_fd, const char *path, bool stay_beneath);

/*
 * May take as long as it likes.  Where openat2() is refused (the sandbox of a kernel without Landlock), nothing here keeps a path
 * from leaving its folder.
 */
int file_open_waiting(int directory_fd, const char *path, bool stay_beneath);

#endif
