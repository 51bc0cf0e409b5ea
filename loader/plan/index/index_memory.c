/* index_memory.c - part of stage 1 of 5: the memory of an index, which nobody can change once it is sealed.  One thread. */
#include "loader/plan/index/index_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int index_memory_create(void)
{
	int fd = memfd_create("cropring-index", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -errno : fd;
}

int index_memory_open(size_t byte_count, int *fd, void **memory)
{
	int rc = *fd = index_memory_create();

	if (rc < 0)
		return rc;
	if (fallocate(*fd, 0, 0, (off_t)byte_count) == 0) {
		*memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
		if (*memory != MAP_FAILED)
			return 0;
	}
	rc = -errno;
	close(*fd);
	*fd = -1;
	return rc;
}

int index_memory_seal(size_t byte_count, int *fd, void *memory)
{
	int rc;

	/* No writable shared mapping may be left when the seal against writing is set. */
	if (memory)
		munmap(memory, byte_count);
	if (fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return 0;
	rc = -errno;
	close(*fd);
	*fd = -1;
	return rc;
}

void index_memory_drop(size_t byte_count, int *fd, void *memory)
{
	if (memory)
		munmap(memory, byte_count);
	close(*fd);
	*fd = -1;
}
