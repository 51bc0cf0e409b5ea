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
	size_t budget_bytes;       /* for the next two together */
	size_t lent_bytes, free_bytes;
	size_t lent_count;
	uint32_t owner_count;
	bool somebody_waits;
};

int buffers_open(struct buffers **result, uint64_t max_file_bytes, uint64_t budget_bytes)
{
	const uint64_t most_bytes = PTRDIFF_MAX - GRAIN_BYTES; /* what mmap() could be asked for */
	struct buffers *buffers = calloc(1, sizeof *buffers);

	if (!buffers)
		return -ENOMEM;
	pthread_mutex_init(&buffers->mutex, NULL);
	buffers->owner_count = 1;
	buffers->typical_bytes = FIRST_GUESS_BYTES;
	buffers->limit_bytes = (size_t)(max_file_bytes < most_bytes ? max_file_bytes : most_bytes) + 1;
	if (budget_bytes == 0)
		budget_bytes = buffers->limit_bytes > BUFFERS_BUDGET_BYTES ? buffers->limit_bytes : BUFFERS_BUDGET_BYTES;
	buffers->budget_bytes = (size_t)(budget_bytes < most_bytes ? budget_bytes : most_bytes);
	*result = buffers;
	return 0;
}

static size_t mapped_bytes(size_t capacity_bytes)
{
	return (capacity_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

/* Room for so many bytes, and for a typical file and the byte after it. */
static size_t wanted_capacity_bytes(const struct buffers *buffers, uint64_t room_bytes)
{
	const uint64_t least_bytes = buffers->typical_bytes + 1;
	uint64_t wanted_bytes = room_bytes > least_bytes ? room_bytes : least_bytes;

	if (wanted_bytes > buffers->limit_bytes - buffers->limit_bytes % GRAIN_BYTES)
		return buffers->limit_bytes;
	return (size_t)(wanted_bytes + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES;
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

static struct fetch_buffer *take_free(struct buffers *buffers)
{
	struct fetch_buffer *buffer = buffers->free;

	if (buffer) {
		buffers->free = buffer->next;
		buffers->free_bytes -= buffer->capacity_bytes;
	}
	return buffer;
}

void buffers_close(struct buffers *buffers)
{
	struct fetch_buffer *buffer;
	bool last;

	if (!buffers)
		return;
	pthread_mutex_lock(&buffers->mutex);
	buffers->owner_count--;
	while (buffers->owner_count == 0 && (buffer = take_free(buffers)))
		free_buffer(buffer);
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (last)
		free_pool(buffers);
}

/* May so much more be lent?  What lies here unused does not count: it makes room. */
static bool fits(const struct buffers *buffers, size_t more_bytes)
{
	return buffers->lent_bytes <= buffers->budget_bytes && more_bytes <= buffers->budget_bytes - buffers->lent_bytes;
}

static void make_room(struct buffers *buffers)
{
	while (buffers->free && !fits(buffers, buffers->free_bytes))
		free_buffer(take_free(buffers));
}

static void forget_lent(struct buffers *buffers, size_t byte_count)
{
	pthread_mutex_lock(&buffers->mutex);
	buffers->lent_bytes -= byte_count;
	buffers->lent_count--;
	pthread_mutex_unlock(&buffers->mutex);
}

int buffers_acquire(struct buffers *buffers, uint64_t room_bytes, enum buffers_rank rank, struct fetch_buffer **result)
{
	struct fetch_buffer *buffer = NULL;
	size_t wanted_bytes;
	bool granted;

	pthread_mutex_lock(&buffers->mutex);
	wanted_bytes = wanted_capacity_bytes(buffers, room_bytes);
	if (buffers->free && buffers->free->capacity_bytes > wanted_bytes)
		wanted_bytes = buffers->free->capacity_bytes;
	granted =
		rank == BUFFERS_AT_ANY_COST || ((rank == BUFFERS_NEXT || !buffers->somebody_waits) && fits(buffers, wanted_bytes));
	if (granted) {
		buffer = take_free(buffers);
		buffers->lent_bytes += wanted_bytes;
		buffers->lent_count++;
		make_room(buffers);
	}
	pthread_mutex_unlock(&buffers->mutex);
	if (!granted)
		return -EAGAIN;

	if (buffer && buffer->capacity_bytes < wanted_bytes && resize_buffer(buffer, wanted_bytes) != 0) {
		free_buffer(buffer);
		buffer = NULL;
	} else if (!buffer) {
		buffer = new_buffer(wanted_bytes);
	}
	if (!buffer) {
		forget_lent(buffers, wanted_bytes);
		return -ENOMEM;
	}
	__asan_unpoison_memory_region(buffer->data, buffer->capacity_bytes);
	buffer->byte_count = buffer->head_bytes = 0;
	buffer->part = (struct file_part){0};
	buffer->next = NULL;
	*result = buffer;
	return 0;
}

void buffers_release(struct buffers *buffers, struct fetch_buffer *buffer)
{
	const size_t capacity_bytes = buffer->capacity_bytes;
	bool keep, last;

	free(buffer->runs);
	buffer->runs = NULL;
	__asan_poison_memory_region(buffer->data, capacity_bytes);
	pthread_mutex_lock(&buffers->mutex);
	keep = buffers->owner_count > 0 && capacity_bytes / TRIM_FACTOR <= wanted_capacity_bytes(buffers, 0) &&
	       fits(buffers, buffers->free_bytes);
	if (keep) {
		buffer->next = buffers->free;
		buffers->free = buffer;
		buffers->free_bytes += capacity_bytes;
	}
	buffers->lent_bytes -= capacity_bytes;
	buffers->lent_count--;
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (!keep)
		free_buffer(buffer);
	if (last)
		free_pool(buffers);
}

void buffers_set_waiting(struct buffers *buffers, bool waiting)
{
	pthread_mutex_lock(&buffers->mutex);
	buffers->somebody_waits = waiting;
	pthread_mutex_unlock(&buffers->mutex);
}

int buffers_grow(struct buffers *buffers, struct fetch_buffer *buffer, uint64_t room_bytes)
{
	size_t wanted_bytes, more_bytes;
	bool granted;
	int error;

	if (room_bytes <= buffer->capacity_bytes)
		return 0;
	if (buffer->capacity_bytes >= buffers->limit_bytes) /* which never changes, so no lock */
		return -EFBIG;
	pthread_mutex_lock(&buffers->mutex);
	wanted_bytes = wanted_capacity_bytes(buffers, room_bytes);
	more_bytes = wanted_bytes - buffer->capacity_bytes;
	granted = fits(buffers, more_bytes);
	if (granted) {
		buffers->lent_bytes += more_bytes;
		make_room(buffers);
	}
	pthread_mutex_unlock(&buffers->mutex);
	if (!granted)
		return -EAGAIN;

	error = resize_buffer(buffer, wanted_bytes);
	if (error) {
		pthread_mutex_lock(&buffers->mutex);
		buffers->lent_bytes -= more_bytes;
		pthread_mutex_unlock(&buffers->mutex);
	}
	return error;
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

size_t buffers_kept_bytes(struct buffers *buffers)
{
	size_t kept_bytes;

	pthread_mutex_lock(&buffers->mutex);
	kept_bytes = buffers->free_bytes;
	pthread_mutex_unlock(&buffers->mutex);
	return kept_bytes;
}

void buffers_forsake(struct buffers *buffers, struct fetch_buffer *buffer)
{
	bool last;

	__lsan_ignore_object(buffer);
	pthread_mutex_lock(&buffers->mutex);
	buffers->lent_count--; /* but not lent_bytes: the memory is as gone as before */
	last = is_unused(buffers);
	pthread_mutex_unlock(&buffers->mutex);
	if (last)
		free_pool(buffers);
}
