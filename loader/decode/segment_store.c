/* Stage 3 of 5, decode: segment tables of files in, the same on later visits out.  Any thread. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "loader/decode/segment_store.h"

enum { BUCKET_COUNT = 1024 };

struct entry {
	struct entry *next;
	uint64_t id;
	struct file_stamp stamp;
	struct segments segments;
	uint8_t table[];
};

struct segment_store {
	size_t budget_bytes;
	pthread_mutex_t mutex; /* for what follows; an entry that is there does not change */
	size_t used_bytes;
	struct entry *buckets[BUCKET_COUNT];
};

struct segment_store *segment_store_open(size_t budget_bytes)
{
	struct segment_store *store = calloc(1, sizeof *store);

	if (!store)
		return NULL;
	pthread_mutex_init(&store->mutex, NULL);
	store->budget_bytes = budget_bytes;
	return store;
}

void segment_store_close(struct segment_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < BUCKET_COUNT; i++) {
		for (struct entry *entry = store->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			free(entry);
		}
	}
	pthread_mutex_destroy(&store->mutex);
	free(store);
}

static bool is_same(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->size_bytes == b->size_bytes && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns && a->inode == b->inode &&
	       a->device == b->device;
}

static struct entry **bucket_of(struct segment_store *store, uint64_t id)
{
	return &store->buckets[id % BUCKET_COUNT];
}

static const struct entry *find(struct segment_store *store, uint64_t id, const struct file_stamp *stamp)
{
	for (const struct entry *entry = *bucket_of(store, id); entry; entry = entry->next) {
		if (entry->id == id && is_same(&entry->stamp, stamp))
			return entry;
	}
	return NULL;
}

bool segment_store_find(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, struct segments *segments)
{
	const struct entry *entry;

	pthread_mutex_lock(&store->mutex);
	entry = find(store, id, stamp);
	pthread_mutex_unlock(&store->mutex);
	if (!entry)
		return false;
	*segments = entry->segments;
	return true;
}

/* With the mutex. */
static bool is_wanted(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, size_t table_bytes)
{
	return id != FILE_BYTES_NO_ID && table_bytes <= store->budget_bytes &&
	       sizeof(struct entry) + table_bytes <= store->budget_bytes - store->used_bytes && !find(store, id, stamp);
}

bool segment_store_wants(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, size_t table_bytes)
{
	bool wants;

	pthread_mutex_lock(&store->mutex);
	wants = is_wanted(store, id, stamp, table_bytes);
	pthread_mutex_unlock(&store->mutex);
	return wants;
}

void segment_store_keep(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, const struct segments *picture,
                        const struct bytes *table)
{
	struct entry *entry = malloc(sizeof *entry + table->used_bytes), **bucket = bucket_of(store, id);

	if (!entry)
		return;
	*entry = (struct entry){.id = id, .stamp = *stamp, .segments = *picture};
	memcpy(entry->table, table->data, table->used_bytes);
	if (!segment_table_open(&entry->segments, entry->table, table->used_bytes)) {
		free(entry);
		return;
	}
	pthread_mutex_lock(&store->mutex);
	if (is_wanted(store, id, stamp, table->used_bytes)) {
		store->used_bytes += sizeof *entry + table->used_bytes;
		entry->next = *bucket;
		*bucket = entry;
		entry = NULL;
	}
	pthread_mutex_unlock(&store->mutex);
	free(entry);
}
