/*
 * threads_as_processes.c - lets ThreadSanitizer judge threads as if they were the ring's processes.
 *
 * ThreadSanitizer knows memory by its address.  The producer and each reader map the same file, each at an address of its own, so
 * that it would see neither where two of them touch the same bytes nor that a word of one orders the other.  Here a file (device,
 * inode) that is mapped already is not mapped again: the first address is handed out once more and counted, and only the last
 * munmap() ends it.
 * mprotect() there does nothing, since the producer writes where a broadcast reader must not.
 *
 * Linked in by -Wl,--wrap=NAME for each __wrap_NAME below; production code is what it is.  The lock adds an order where readers join
 * and where their last lease goes, as the sockets do; none in between.  Any thread.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

void *__real_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes);
int __real_munmap(void *address, size_t byte_count);
int __real_mprotect(void *address, size_t byte_count, int protection);

void *__wrap_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes);
int __wrap_munmap(void *address, size_t byte_count);
int __wrap_mprotect(void *address, size_t byte_count, int protection);

enum { MAPPING_LIMIT = 4 };

struct mapping {
	uint8_t *address;
	size_t byte_count;
	dev_t device;
	ino_t inode;
	uint32_t user_count; /* 0: free */
};

static struct mapping mappings[MAPPING_LIMIT];
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

static struct mapping *find_file(const struct stat *file)
{
	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0 && mappings[i].device == file->st_dev && mappings[i].inode == file->st_ino)
			return &mappings[i];
	}
	return NULL;
}

static struct mapping *find_address(const void *address)
{
	const uint8_t *byte = address;

	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0 && byte >= mappings[i].address &&
		    byte < mappings[i].address + mappings[i].byte_count)
			return &mappings[i];
	}
	return NULL;
}

static void add_mapping(const struct stat *file, void *address, size_t byte_count)
{
	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0)
			continue;
		mappings[i] = (struct mapping){.address = address,
		                               .byte_count = byte_count,
		                               .device = file->st_dev,
		                               .inode = file->st_ino,
		                               .user_count = 1};
		return;
	}
	abort(); /* more rings at once than this test has */
}

void *__wrap_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes)
{
	struct mapping *known;
	struct stat file;
	void *base;

	if (fd < 0 || (flags & MAP_SHARED) == 0 || fstat(fd, &file) < 0)
		return __real_mmap(address, byte_count, protection, flags, fd, offset_bytes);
	pthread_mutex_lock(&mappings_lock);
	known = find_file(&file);
	if (known) {
		known->user_count++;
		base = known->address;
	} else {
		base = __real_mmap(address, byte_count, protection, flags, fd, offset_bytes);
		if (base != MAP_FAILED)
			add_mapping(&file, base, byte_count);
	}
	pthread_mutex_unlock(&mappings_lock);
	return base;
}

int __wrap_munmap(void *address, size_t byte_count)
{
	struct mapping *known;
	int rc = 0;

	pthread_mutex_lock(&mappings_lock);
	known = find_address(address);
	if (!known || --known->user_count == 0)
		rc = __real_munmap(address, byte_count);
	pthread_mutex_unlock(&mappings_lock);
	return rc;
}

int __wrap_mprotect(void *address, size_t byte_count, int protection)
{
	bool is_shared;

	pthread_mutex_lock(&mappings_lock);
	is_shared = find_address(address) != NULL;
	pthread_mutex_unlock(&mappings_lock);
	return is_shared ? 0 : __real_mprotect(address, byte_count, protection);
}
