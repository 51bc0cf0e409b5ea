/*
 * threads_as_processes.c - lets ThreadSanitizer judge threads as if they were the ring's processes.
 *
 * ThreadSanitizer knows memory by its address.  The producer and each reader map the same file, each at an address of its own, so
 * that it would take their accesses for accesses to different memory, and find nothing.  Here a file (device, inode) that is mapped
 * already is not mapped again: the first address is handed out once more and counted, and only the last munmap() ends it.
 * mprotect() there does nothing, since the producer writes where a broadcast reader must not.
 *
 * The bells are hidden from it: a semaphore orders the memory of those who ring and wake, but a ring may be lost, so nothing may
 * rest on that order, and with it most wrong orders of the slot words would go unnoticed.
 *
 * Linked in by -Wl,--wrap=NAME for each __wrap_NAME below; production code is what it is.  Any thread.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef __has_feature
#define __has_feature(name) 0
#endif

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
void AnnotateIgnoreSyncBegin(const char *file, int line);
void AnnotateIgnoreSyncEnd(const char *file, int line);
#else
static void AnnotateIgnoreSyncBegin(const char *file, int line)
{
	(void)file, (void)line; /* nobody watches */
}

static void AnnotateIgnoreSyncEnd(const char *file, int line)
{
	(void)file, (void)line; /* as above */
}
#endif

#define UNWATCHED __attribute__((no_sanitize("thread")))

void *__real_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes);
int __real_munmap(void *address, size_t byte_count);
int __real_mprotect(void *address, size_t byte_count, int protection);
int __real_sem_post(sem_t *bell);
int __real_sem_getvalue(sem_t *bell, int *value);
int __real_sem_trywait(sem_t *bell);
int __real_sem_clockwait(sem_t *bell, clockid_t clock, const struct timespec *until);

void *__wrap_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes);
int __wrap_munmap(void *address, size_t byte_count);
int __wrap_mprotect(void *address, size_t byte_count, int protection);
int __wrap_sem_post(sem_t *bell);
int __wrap_sem_getvalue(sem_t *bell, int *value);
int __wrap_sem_trywait(sem_t *bell);
int __wrap_sem_clockwait(sem_t *bell, clockid_t clock, const struct timespec *until);

/* ------------------------------------------------------------------ one file, one address */

enum { MAPPING_LIMIT = 64 };

struct mapping {
	uint8_t *address;
	size_t byte_count;
	dev_t device;
	ino_t inode;
	uint32_t user_count; /* 0: free */
};

static struct mapping mappings[MAPPING_LIMIT];
static pthread_mutex_t mappings_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_mappings(void)
{
	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	pthread_mutex_lock(&mappings_lock);
}

static void unlock_mappings(void)
{
	pthread_mutex_unlock(&mappings_lock);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

UNWATCHED static struct mapping *find_file(const struct stat *file)
{
	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0 && mappings[i].device == file->st_dev && mappings[i].inode == file->st_ino)
			return &mappings[i];
	}
	return NULL;
}

UNWATCHED static struct mapping *find_address(const void *address)
{
	const uint8_t *byte = address;

	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0 && byte >= mappings[i].address &&
		    byte < mappings[i].address + mappings[i].byte_count)
			return &mappings[i];
	}
	return NULL;
}

UNWATCHED static void add_mapping(const struct stat *file, void *address, size_t byte_count)
{
	for (int i = 0; i < MAPPING_LIMIT; i++) {
		if (mappings[i].user_count > 0)
			continue;
		mappings[i].address = address;
		mappings[i].byte_count = byte_count;
		mappings[i].device = file->st_dev;
		mappings[i].inode = file->st_ino;
		mappings[i].user_count = 1;
		return;
	}
	abort(); /* more rings at once than this test has */
}

UNWATCHED void *__wrap_mmap(void *address, size_t byte_count, int protection, int flags, int fd, off_t offset_bytes)
{
	struct mapping *known;
	struct stat file;
	void *base;

	if (fd < 0 || (flags & MAP_SHARED) == 0 || fstat(fd, &file) < 0)
		return __real_mmap(address, byte_count, protection, flags, fd, offset_bytes);
	lock_mappings();
	known = find_file(&file);
	if (known) {
		known->user_count++;
		base = known->address;
	} else {
		base = __real_mmap(address, byte_count, protection, flags, fd, offset_bytes);
		if (base != MAP_FAILED)
			add_mapping(&file, base, byte_count);
	}
	unlock_mappings();
	return base;
}

UNWATCHED int __wrap_munmap(void *address, size_t byte_count)
{
	struct mapping *known;
	int rc = 0;

	lock_mappings();
	known = find_address(address);
	if (!known || --known->user_count == 0)
		rc = __real_munmap(address, byte_count);
	unlock_mappings();
	return rc;
}

UNWATCHED int __wrap_mprotect(void *address, size_t byte_count, int protection)
{
	bool is_shared;

	lock_mappings();
	is_shared = find_address(address) != NULL;
	unlock_mappings();
	return is_shared ? 0 : __real_mprotect(address, byte_count, protection);
}

/* ------------------------------------------------------------------ bells that order nothing */

int __wrap_sem_post(sem_t *bell)
{
	int rc;

	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	rc = __real_sem_post(bell);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
	return rc;
}

int __wrap_sem_getvalue(sem_t *bell, int *value)
{
	int rc;

	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	rc = __real_sem_getvalue(bell, value);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
	return rc;
}

int __wrap_sem_trywait(sem_t *bell)
{
	int rc;

	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	rc = __real_sem_trywait(bell);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
	return rc;
}

int __wrap_sem_clockwait(sem_t *bell, clockid_t clock, const struct timespec *until)
{
	int rc;

	AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
	rc = __real_sem_clockwait(bell, clock, until);
	AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
	return rc;
}
