/* uring_files.h - open files that an io_uring looks up once and not at each read. */
#ifndef CROPRING_URING_FILES_H
#define CROPRING_URING_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

struct uring_files {
	int *place; /* each file in the place of its number; in the others -1 */
	int count;
};

/* Before the ring is restricted.  Where memory is short or the kernel refuses, there are none, and all goes on as well. */
void uring_files_register(struct uring_files *files, struct io_uring *ring, const int *fds, uint32_t fd_count);

/* Only frees memory; the kernel lets go of the files with the ring. */
void uring_files_free(struct uring_files *files);

/* Then its number, with IOSQE_FIXED_FILE, stands for it. */
static inline bool uring_files_have(const struct uring_files *files, int fd)
{
	return fd >= 0 && fd < files->count && files->place[fd] == fd;
}

#endif
