/* Stage 3 of 5, decode: segment tables of files in, the same on later visits out.  Any thread. */
#include <pthread.h>
#include <stdlib.h>

#include "loader/decode/segment_store.h"

enum { BUCKET_COUNT = 1024 };

struct entry {
	struct entry *next;
	uint64_t id;
	struct file_stamp stamp;
	struct segments segments;
	struct bytes table;
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

static void free_entry(struct entry *entry)
{
	if (!entry)
		return;
	bytes_free(&entry->table);
	free(entry);
}

void segment_store_close(struct segment_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < BUCKET_COUNT; i++) {
		for (struct entry *entry = store->buckets[i], *next; entry; entry = next) {
			next = entry->next;
			free_entry(entry);
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

static size_t kept_bytes(const struct entry *entry)
{
	return sizeof *entry + entry->table.capacity_bytes;
}

void segment_store_keep(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, const struct segments *picture,
                        struct bytes *table)
{
	struct entry *entry = malloc(sizeof *entry), **bucket = bucket_of(store, id);

	if (!entry) {
		bytes_free(table);
		return;
	}
	*entry = (struct entry){.id = id, .stamp = *stamp, .segments = *picture, .table = *table};
	*table = (struct bytes){0};
	if (!segment_table_open(&entry->segments, (const uint8_t *)entry->table.data, entry->table.used_bytes)) {
		free_entry(entry);
		return;
	}
	pthread_mutex_lock(&store->mutex);
	if (id != FILE_BYTES_NO_ID && kept_bytes(entry) <= store->budget_bytes - store->used_bytes && !find(store, id, stamp)) {
		store->used_bytes += kept_bytes(entry);
		entry->next = *bucket;
		*bucket = entry;
		entry = NULL;
	}
	pthread_mutex_unlock(&store->mutex);
	free_entry(entry);
}
