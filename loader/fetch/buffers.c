/* Stage 2 of 5, fetch: the memory that files are read into.  Any thread. */
#include "loader/fetch/buffers.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature) /* clang's way to say what gcc says with macros */
#if __has_feature(address_sanitizer)
#define BUFFERS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define BUFFERS_TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define BUFFERS_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define BUFFERS_TSAN 1
#endif

#ifdef BUFFERS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/lsan_interface.h>
#else
#define __asan_poison_memory_region(address, byte_count)   ((void)(address), (void)(byte_count))
#define __asan_unpoison_memory_region(address, byte_count) ((void)(address), (void)(byte_count))
#define __lsan_ignore_object(address)                      ((void)(address))
#endif

#define PAGE_BYTES        ((size_t)4096)
#define GRAIN_BYTES       ((size_t)65536) /* capacities come in steps, so that a drifting estimate does not remap all the time */
#define FIRST_GUESS_BYTES (2 * GRAIN_BYTES)
#define TRIM_FACTOR       4u /* a buffer that one huge file blew up is not kept */

struct buffers {
	pthread_mutex_t mutex;     /* guards all below */
	struct fetch_buffer *free; /* the last one given back comes first */
	size_t typical_bytes;      /* about nine files in ten are no larger */
	size_t limit_bytes;        /* no capacity above this one */
	size_t lent_count;
	uint32_t owner_count;
};

int buffers_open(struct buffers **result, uint64_t max_file_bytes)
{
	const uint64_t most_bytes = PTRDIFF_MAX - GRAIN_BYTES; /* what mmap() could be asked for */
	struct buffers *buffers = calloc(1, sizeof *buffers);

	if (!buffers)
		return -ENOMEM;
	pthread_mutex_init(&buffers->mutex, NULL);
	buffers->owner_count = 1;
	buffers->typical_bytes = FIRST_GUESS_BYTES;
	buffers->limit_bytes = (size_t)(max_file_bytes < most_bytes ? max_file_bytes : most_bytes) + 1;
	*result = buffers;
	return 0;
}

static size_t mapped_bytes(size_t capacity_bytes)
{
	return (capacity_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Room for a typical file and for the byte after it. */
static size_t wanted_capacity_bytes(const struct buffers *buffers)
{
	size_t wanted_bytes = (buffers->typical_bytes / GRAIN_BYTES + 1) * GRAIN_BYTES;

	return wanted_bytes < buffers->limit_bytes ? wanted_bytes : buffers->limit_bytes;
}

static void free_buffer(struct fetch_buffer *buffer)
{
	__asan_unpoison_memory_region(buffer->data, mapped_bytes(buffer->capacity_bytes));
	munmap(buffer->data, mapped_bytes(buffer->capacity_bytes));
	free(buffer);
}

static void *map(size_t byte_count)
{
	return mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static struct fetch_buffer *new_buffer(size_t capacity_bytes)
{
	struct fetch_buffer *buffer = calloc(1, sizeof *buffer);
	void *data;

	if (!buffer)
		return NULL;
	data = map(mapped_bytes(capacity_bytes));
	if (data == MAP_FAILED) {
		free(buffer);
		return NULL;
	}
	buffer->data = data;
	buffer->capacity_bytes = capacity_bytes;
	return buffer;
}

/* Moves page tables instead of bytes, but where ThreadSanitizer looks: it takes the next user of the old addresses for a racer. */
static void *map_more(const struct fetch_buffer *buffer, size_t old_bytes, size_t new_bytes)
{
#ifdef BUFFERS_TSAN
	void *copy = map(new_bytes);

	if (copy == MAP_FAILED)
		return MAP_FAILED;
	memcpy(copy, buffer->data, buffer->byte_count);
	munmap(buffer->data, old_bytes);
	return copy;
#else
	return mremap(buffer->data, old_bytes, new_bytes, MREMAP_MAYMOVE);
#endif
}

static int resize_buffer(struct fetch_buffer *buffer, size_t capacity_bytes)
{
	size_t old_bytes = mapped_bytes(buffer->capacity_bytes), new_bytes = mapped_bytes(capacity_bytes);
	void *data;

	__asan_unpoison_memory_region(buffer->data, old_bytes);
	data = map_more(buffer, old_bytes, new_bytes);
	if (data == MAP_FAILED)
		return -ENOMEM;
	__asan_unpoison_memory_region(data, new_bytes);
	buffer->data = data;
	buffer->capacity_bytes = capacity_bytes;
	return 0;
}

static void free_pool(struct buffers *buffers)
{
	pthread_mutex_destroy(&buffers->mutex);
	free(buffers);
}

void buffers_share(struct buffers *buffers)
{
	pthread_mutex_lock(&buffers->mutex);
	buffers->owner_count++;
	pthread_mutex_unlock(&buffers->mutex);
}

static bool is_unused(const struct buffers *buffers)
{
	return buffers->owner_count == 0 && buffers->lent_count == 0;
}

void buffers_close(struct buffers *buffers)
{
	struct fetch_buffer *buffer;
	bool last;

	if (!buffers)
		return;
	pthread_mutex_lock(&buffers->mutex);
	buffers->owner_count--;
	while (buffers->owner_count == 0 && (buffer = buffers->free)) {
		buffers->free = buffer->next;
		free_buffer(buffer);
	}
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (last)
		free_pool(buffers);
}

struct fetch_buffer *buffers_acquire(struct buffers *buffers)
{
	struct fetch_buffer *buffer;
	size_t wanted_bytes;

	pthread_mutex_lock(&buffers->mutex);
	wanted_bytes = wanted_capacity_bytes(buffers);
	buffer = buffers->free;
	if (buffer)
		buffers->free = buffer->next;
	buffers->lent_count++;
	pthread_mutex_unlock(&buffers->mutex);

	if (!buffer)
		buffer = new_buffer(wanted_bytes);
	else if (buffer->capacity_bytes < wanted_bytes)
		(void)resize_buffer(buffer, wanted_bytes); /* without it the file takes one more read */
	if (!buffer) {
		pthread_mutex_lock(&buffers->mutex);
		buffers->lent_count--;
		pthread_mutex_unlock(&buffers->mutex);
		return NULL;
	}
	__asan_unpoison_memory_region(buffer->data, buffer->capacity_bytes);
	buffer->byte_count = 0;
	buffer->next = NULL;
	return buffer;
}

void buffers_release(struct buffers *buffers, struct fetch_buffer *buffer)
{
	bool keep, last;

	__asan_poison_memory_region(buffer->data, buffer->capacity_bytes);
	pthread_mutex_lock(&buffers->mutex);
	keep = buffers->owner_count > 0 && buffer->capacity_bytes / TRIM_FACTOR <= wanted_capacity_bytes(buffers);
	if (keep) {
		buffer->next = buffers->free;
		buffers->free = buffer;
	}
	buffers->lent_count--;
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (!keep)
		free_buffer(buffer);
	if (last)
		free_pool(buffers);
}

int buffers_grow(struct buffers *buffers, struct fetch_buffer *buffer)
{
	const size_t limit_bytes = buffers->limit_bytes; /* never changes, so no lock */

	if (buffer->capacity_bytes >= limit_bytes)
		return -EFBIG;
	return resize_buffer(buffer, buffer->capacity_bytes > limit_bytes / 2 ? limit_bytes : buffer->capacity_bytes * 2);
}

/*
 * Follows the sizes, upwards sixteen times as fast as downwards: it settles where few files are larger.  Those cost one read
 * more; a guess that followed the largest file would cost memory instead.
 */
void buffers_learn(struct buffers *buffers, const struct fetch_buffer *buffer)
{
	const size_t byte_count = buffer->byte_count;

	pthread_mutex_lock(&buffers->mutex);
	if (byte_count > buffers->typical_bytes)
		buffers->typical_bytes += (byte_count - buffers->typical_bytes) / 8;
	else
		buffers->typical_bytes -= (buffers->typical_bytes - byte_count) / 128;
	pthread_mutex_unlock(&buffers->mutex);
	__asan_poison_memory_region(buffer->data + byte_count, buffer->capacity_bytes - byte_count);
}

void buffers_forsake(struct buffers *buffers, struct fetch_buffer *buffer)
{
	bool last;

	__lsan_ignore_object(buffer);
	pthread_mutex_lock(&buffers->mutex);
	buffers->lent_count--;
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (last)
		free_pool(buffers);
}
