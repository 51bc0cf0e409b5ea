/* pack_recipe.h - for tests of packs: one of any images, as bytes that can be spoiled, and as files. */
#ifndef CROPRING_TESTS_PACK_RECIPE_H
#define CROPRING_TESTS_PACK_RECIPE_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "loader/plan/pack/pack_file.h"
#include "tests/index_bytes.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PACK_RECIPE_COLUMNS (INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH) | INDEX_HAS(INDEX_IMAGE))

enum { PACK_RECIPE_SHARDS = 4 };

struct pack_recipe {
	uint32_t shard_count;
	struct bytes head, shards[PACK_RECIPE_SHARDS]; /* the files; without shards images are in the head */
	struct index_build *build;
	uint64_t index_at;
};

static inline void pack_recipe_append(struct bytes *file, const void *data, size_t byte_count)
{
	if (bytes_append(file, data, byte_count) != 0)
		abort();
}

static inline void pack_recipe_pad(struct bytes *file, size_t multiple)
{
	static const char zeros[64];

	pack_recipe_append(file, zeros, (multiple - file->used_bytes % multiple) % multiple);
}

/* The file's check made right, whatever its header says now. */
static inline void pack_recipe_mend(struct bytes *file)
{
	struct pack_header *header = (void *)file->data;

	header->check = XXH3_64bits(header, offsetof(struct pack_header, check));
}

/* `columns` beside PACK_RECIPE_COLUMNS. */
static inline struct pack_recipe pack_recipe_begin(uint32_t shard_count, uint32_t columns)
{
	static const char zeros[PACK_HEADER_BYTES];
	struct pack_recipe recipe = {.shard_count = shard_count};

	recipe.build = index_build_open(PACK_RECIPE_COLUMNS | columns | (shard_count ? INDEX_HAS(INDEX_SHARD) : 0));
	if (!recipe.build)
		abort();
	pack_recipe_append(&recipe.head, zeros, sizeof zeros);
	for (uint32_t i = 0; i < shard_count; i++)
		pack_recipe_append(&recipe.shards[i], zeros, sizeof zeros);
	return recipe;
}

/* A file of an image and its table (NULL: none) into a shard; tells where it lies, and what an index has of it. */
static inline void pack_recipe_put(struct pack_recipe *recipe, uint64_t shard, const struct bytes *image, const struct bytes *table,
                                   uint64_t *offset, uint64_t *length, struct index_image *entry)
{
	struct bytes *file = recipe->shard_count ? &recipe->shards[shard] : &recipe->head;

	pack_recipe_pad(file, PACK_IMAGE_ALIGNMENT);
	*offset = file->used_bytes;
	*length = image->used_bytes;
	entry->checksum = XXH3_64bits(image->data, image->used_bytes);
	pack_recipe_append(file, image->data, image->used_bytes);
	if (table) {
		pack_recipe_pad(file, PACK_TABLE_ALIGNMENT);
		pack_recipe_append(file, table->data, table->used_bytes);
		entry->segments_bytes = (uint32_t)table->used_bytes;
	}
}

/* A sample, whose image was put there or is put here; row->shard says where. */
static inline void pack_recipe_add(struct pack_recipe *recipe, struct index_row *row, const struct bytes *image,
                                   const struct bytes *table)
{
	if (image)
		pack_recipe_put(recipe, row->shard, image, table, &row->offset, &row->length, &row->image);
	if (index_build_add(recipe->build, row) != 0)
		abort();
}

static inline void pack_recipe_seal(struct pack_recipe *recipe, struct bytes *file, uint32_t shard_number, size_t index_bytes)
{
	struct pack_header *header = (void *)file->data;

	*header = (struct pack_header){.id = "sixteen letters",
	                               .shard_count = recipe->shard_count,
	                               .shard_number = shard_number,
	                               .file_bytes = file->used_bytes,
	                               .index_at = index_bytes ? file->used_bytes - index_bytes : 0,
	                               .index_bytes = index_bytes};
	memcpy(header->magic, PACK_MAGIC, sizeof header->magic);
	pack_recipe_mend(file);
}

/* Index and headers: then head and shards are whole. */
static inline void pack_recipe_finish(struct pack_recipe *recipe)
{
	int fd = index_build_finish(recipe->build, "nowhere");
	struct index_bytes index;

	if (fd < 0)
		abort();
	index = index_bytes_of(fd);
	close(fd);
	index_build_close(recipe->build);
	pack_recipe_pad(&recipe->head, PACK_TABLE_ALIGNMENT);
	recipe->index_at = recipe->head.used_bytes;
	pack_recipe_append(&recipe->head, index.bytes, index.byte_count);
	free(index.bytes);
	pack_recipe_seal(recipe, &recipe->head, PACK_NO_SHARD, index.byte_count);
	for (uint32_t i = 0; i < recipe->shard_count; i++)
		pack_recipe_seal(recipe, &recipe->shards[i], i, 0);
}

/* The index in the head, which takes pack_recipe_mend_index() when it was changed. */
static inline struct index_header *pack_recipe_index(const struct pack_recipe *recipe)
{
	return (void *)(recipe->head.data + recipe->index_at);
}

static inline void pack_recipe_mend_index(const struct pack_recipe *recipe)
{
	struct index_header *header = pack_recipe_index(recipe);

	index_view_fingerprint(header, header->fingerprint);
}

static inline void pack_recipe_write_file(const char *path, const struct bytes *file)
{
	FILE *out = fopen(path, "wb");

	if (!out || fwrite(file->data, 1, file->used_bytes, out) != file->used_bytes || fclose(out) != 0)
		abort();
}

static inline void pack_recipe_write(const struct pack_recipe *recipe, const char *path)
{
	pack_recipe_write_file(path, &recipe->head);
	for (uint32_t i = 0; i < recipe->shard_count; i++) {
		char *shard_path = pack_file_shard_path(path, i);

		pack_recipe_write_file(shard_path, &recipe->shards[i]);
		free(shard_path);
	}
}

static inline void pack_recipe_free(struct pack_recipe *recipe)
{
	bytes_free(&recipe->head);
	for (uint32_t i = 0; i < recipe->shard_count; i++)
		bytes_free(&recipe->shards[i]);
}

#endif
