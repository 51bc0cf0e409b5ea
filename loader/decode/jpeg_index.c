/* Stage 3 of 5, decode: checkpoints of JPEG files in, the same for the next visit out.  Any thread. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc64.h>

#include "loader/decode/jpeg_index.h"

enum { CHECKPOINT_EVERY_PX = 128, BUCKET_COUNT = 1024 };

/* Positions are 32 bits. */
#define MOST_SCAN_BYTES ((size_t)UINT32_MAX / 8)

struct jpeg_index_store {
	size_t budget_bytes, least_gain_bytes;
	pthread_mutex_t mutex; /* for all that follows, reference counts too */
	size_t used_bytes;
	struct jpeg_index *buckets[BUCKET_COUNT];
};

uint32_t jpeg_index_stride_mcus(const struct jpeg_header *header)
{
	return CHECKPOINT_EVERY_PX / header->grid.mcu_width_px; /* an MCU is at most 32 pixels wide */
}

static uint32_t checkpoints_per_row(const struct jpeg_header *header)
{
	uint32_t stride = jpeg_index_stride_mcus(header);

	return (header->grid.mcus_across + stride - 1) / stride;
}

static size_t checkpoint_count(size_t row_count, uint32_t per_row)
{
	return row_count * per_row + 1;
}

static size_t index_bytes(uint32_t row_count, uint32_t per_row)
{
	size_t bytes = sizeof(struct jpeg_index) + checkpoint_count(row_count, per_row) * sizeof(struct jpeg_checkpoint);

	/* The checksums follow, aligned. */
	return (bytes + 7) / 8 * 8 + row_count * sizeof(uint64_t);
}

struct jpeg_index *jpeg_index_make(const struct file_bytes *file, const struct jpeg_header *header, uint32_t row_count,
                                   const struct jpeg_index *known)
{
	uint32_t per_row = checkpoints_per_row(header), known_rows = known ? known->row_count : 0;
	size_t bytes = index_bytes(row_count, per_row), scan_bytes = file->byte_count - header->scan_at;
	struct jpeg_index *index;

	/* A header that promises more than the file can hold. */
	if (scan_bytes > MOST_SCAN_BYTES || bytes > scan_bytes || row_count < known_rows)
		return NULL;
	index = malloc(bytes);
	if (!index)
		return NULL;
	*index = (struct jpeg_index){
		.id = file->id,
		.file_bytes = file->byte_count,
		.scan_at = header->scan_at,
		.checkpoints_per_row = per_row,
		.row_count = known_rows,
		.most_rows = row_count,
		.checksums = (uint64_t *)((uint8_t *)index + bytes) - row_count,
	};
	if (known) {
		memcpy(index->checkpoints, known->checkpoints,
		       checkpoint_count(known_rows, per_row) * sizeof index->checkpoints[0]);
		memcpy(index->checksums, known->checksums, known_rows * sizeof index->checksums[0]);
	} else {
		index->checkpoints[0] = (struct jpeg_checkpoint){0};
	}
	return index;
}

struct jpeg_checkpoint *jpeg_index_row(struct jpeg_index *index, uint32_t row)
{
	return &index->checkpoints[(size_t)row * index->checkpoints_per_row];
}

/* From the file's first byte to the end of the row before `row`, with all of a byte that both have bits of. */
static size_t bytes_before_row(const struct jpeg_index *index, uint32_t row)
{
	uint32_t position = index->checkpoints[(size_t)row * index->checkpoints_per_row].position;

	return index->scan_at + position / 8 + (position % 8 != 0);
}

void jpeg_index_end_row(struct jpeg_index *index, const uint8_t *file)
{
	uint32_t row = index->row_count++;
	uint64_t before = row > 0 ? index->checksums[row - 1] : 0;
	size_t begin = row > 0 ? bytes_before_row(index, row) : 0;

	/* 24 GB/s. */
	index->checksums[row] = crc64_ecma_refl(before, file + begin, bytes_before_row(index, row + 1) - begin);
}

bool jpeg_index_fits(const struct jpeg_index *index, const struct file_bytes *file, const struct jpeg_header *header,
                     uint32_t row_count)
{
	if (index->file_bytes != file->byte_count || index->scan_at != header->scan_at ||
	    index->checkpoints_per_row != checkpoints_per_row(header))
		return false;
	if (row_count > index->row_count)
		row_count = index->row_count;
	return row_count == 0 ||
	       crc64_ecma_refl(0, file->data, bytes_before_row(index, row_count)) == index->checksums[row_count - 1];
}

struct jpeg_index_store *jpeg_index_store_open(size_t budget_bytes, size_t least_gain_bytes)
{
	struct jpeg_index_store *store = calloc(1, sizeof *store);

	if (!store)
		return NULL;
	pthread_mutex_init(&store->mutex, NULL);
	store->budget_bytes = budget_bytes;
	store->least_gain_bytes = least_gain_bytes;
	return store;
}

void jpeg_index_store_close(struct jpeg_index_store *store)
{
	if (!store)
		return;
	for (int i = 0; i < BUCKET_COUNT; i++) {
		for (struct jpeg_index *index = store->buckets[i], *next; index; index = next) {
			next = index->next;
			free(index);
		}
	}
	pthread_mutex_destroy(&store->mutex);
	free(store);
}

size_t jpeg_index_store_least_gain_bytes(const struct jpeg_index_store *store)
{
	return store->least_gain_bytes;
}

/* Where the file's index hangs, or would. */
static struct jpeg_index **find(struct jpeg_index_store *store, uint64_t id)
{
	struct jpeg_index **at = &store->buckets[id % BUCKET_COUNT];

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

static void drop_reference(struct jpeg_index *index)
{
	if (--index->reference_count == 0)
		free(index);
}

const struct jpeg_index *jpeg_index_acquire(struct jpeg_index_store *store, uint64_t id)
{
	struct jpeg_index *index;

	pthread_mutex_lock(&store->mutex);
	index = *find(store, id);
	if (index)
		index->reference_count++;
	pthread_mutex_unlock(&store->mutex);
	return index;
}

void jpeg_index_release(struct jpeg_index_store *store, const struct jpeg_index *index)
{
	pthread_mutex_lock(&store->mutex);
	drop_reference((struct jpeg_index *)index); /* made by jpeg_index_make() */
	pthread_mutex_unlock(&store->mutex);
}

static size_t kept_bytes(const struct jpeg_index *index)
{
	return index_bytes(index->most_rows, index->checkpoints_per_row);
}

const struct jpeg_index *jpeg_index_keep(struct jpeg_index_store *store, struct jpeg_index *index)
{
	struct jpeg_index **at, *last;

	index->reference_count = 1; /* the caller's */
	pthread_mutex_lock(&store->mutex);
	at = find(store, index->id);
	last = *at;
	if (last) {
		*at = last->next;
		store->used_bytes -= kept_bytes(last);
		drop_reference(last);
	}
	if (index->id != FILE_BYTES_NO_ID && kept_bytes(index) <= store->budget_bytes - store->used_bytes) {
		index->next = *at;
		*at = index;
		store->used_bytes += kept_bytes(index);
		index->reference_count++;
	}
	pthread_mutex_unlock(&store->mutex);
	return index;
}
