/*
 * fail_allocation.c - a library for LD_PRELOAD: the FAIL_ALLOCATION-th allocation of the process returns NULL, all others work.
 *
 * Any thread.  Counting starts when the program's libraries are loaded; FAIL_ALLOCATION_COUNT names a file that gets the number of
 * allocations when the process exits.  It is opened at the start: a worker in its sandbox opens no file for writing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* glibc's own, under names that are not ours to replace. */
extern void *__libc_malloc(size_t byte_count);
extern void *__libc_calloc(size_t count, size_t byte_count);
extern void *__libc_realloc(void *memory, size_t byte_count);
extern void *__libc_memalign(size_t alignment, size_t byte_count);

static uint64_t failing; /* 0: none */
static int count_fd = -1;
static atomic_uint_least64_t allocations;

__attribute__((constructor)) static void start_counting(void)
{
	const char *number = getenv("FAIL_ALLOCATION"), *path = getenv("FAIL_ALLOCATION_COUNT");

	if (path)
		count_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	atomic_store_explicit(&allocations, 0, memory_order_relaxed); /* relaxed: no other thread runs yet */
	failing = number ? strtoull(number, NULL, 10) : 0;
}

__attribute__((destructor)) static void tell_count(void)
{
	/* relaxed: a number for people */
	uint64_t count = atomic_load_explicit(&allocations, memory_order_relaxed);

	if (count_fd >= 0)
		dprintf(count_fd, "%llu\n", (unsigned long long)count);
}

static int must_fail(void)
{
	/* relaxed: each allocation has a number of its own, which orders nothing */
	uint64_t number = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed) + 1;

	if (number != failing)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t byte_count)
{
	return must_fail() ? NULL : __libc_malloc(byte_count);
}

void *calloc(size_t count, size_t byte_count)
{
	return must_fail() ? NULL : __libc_calloc(count, byte_count);
}

void *realloc(void *memory, size_t byte_count)
{
	return must_fail() ? NULL : __libc_realloc(memory, byte_count);
}

void *reallocarray(void *memory, size_t count, size_t byte_count)
{
	size_t total_bytes;

	if (__builtin_mul_overflow(count, byte_count, &total_bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(memory, total_bytes);
}

void *memalign(size_t alignment, size_t byte_count)
{
	return must_fail() ? NULL : __libc_memalign(alignment, byte_count);
}

void *aligned_alloc(size_t alignment, size_t byte_count)
{
	return memalign(alignment, byte_count);
}

int posix_memalign(void **memory, size_t alignment, size_t byte_count)
{
	void *found = memalign(alignment, byte_count);

	if (!found)
		return ENOMEM;
	*memory = found;
	return 0;
}
