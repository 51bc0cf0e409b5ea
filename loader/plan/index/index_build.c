/* index_build.c - part of stage 1 of 5: samples in, one after the other, an index in a sealed memfd out.  One thread. */
#include "loader/plan/index/index_build.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "loader/plan/index/index_memory.h"
#include "loader/plan/index/index_view.h"

struct index_build {
	uint32_t columns;
	uint64_t sample_count, class_count;
	struct bytes column[INDEX_COLUMN_COUNT], class_offsets, text;
	uint64_t last_path, last_target; /* where the last ones stand in the text */
};

struct index_build *index_build_open(uint32_t columns)
{
	struct index_build *build = calloc(1, sizeof *build);

	if (build) {
		build->columns = columns | INDEX_HAS(INDEX_PATH) | INDEX_HAS(INDEX_LABEL);
		build->last_path = build->last_target = UINT64_MAX;
	}
	return build;
}

void index_build_close(struct index_build *build)
{
	if (!build)
		return;
	for (int i = 0; i < INDEX_COLUMN_COUNT; i++)
		bytes_free(&build->column[i]);
	bytes_free(&build->class_offsets);
	bytes_free(&build->text);
	free(build);
}

int index_build_class(struct index_build *build, const char *name)
{
	uint64_t at = build->text.used_bytes;
	int rc = bytes_append(&build->text, name, strlen(name) + 1);

	if (rc == 0)
		rc = bytes_append(&build->class_offsets, &at, sizeof at);
	build->class_count += rc == 0;
	return rc;
}

/* Puts a path into the text, unless it is the one at *last, and its place into the column. */
static int add_path(struct index_build *build, enum index_column column, const char *path, uint64_t *last)
{
	if (*last == UINT64_MAX || strcmp(build->text.data + *last, path) != 0) {
		uint64_t at = build->text.used_bytes;
		int rc = bytes_append(&build->text, path, strlen(path) + 1);

		if (rc < 0)
			return rc;
		*last = at;
	}
	return bytes_append(&build->column[column], last, sizeof *last);
}

static int add_value(struct index_build *build, enum index_column column, const void *value)
{
	return build->columns & INDEX_HAS(column) ? bytes_append(&build->column[column], value, index_value_bytes(column)) : 0;
}

int index_build_add(struct index_build *build, const struct index_row *row)
{
	int rc = add_path(build, INDEX_PATH, row->path, &build->last_path);

	rc = rc ? rc : add_value(build, INDEX_LABEL, &row->label);
	rc = rc ? rc : add_value(build, INDEX_OFFSET, &row->offset);
	rc = rc ? rc : add_value(build, INDEX_LENGTH, &row->length);
	rc = rc ? rc : add_value(build, INDEX_BOX, &row->box);
	rc = rc ? rc : add_value(build, INDEX_WINDOW, &row->window);
	if (rc == 0 && build->columns & INDEX_HAS(INDEX_TARGET))
		rc = add_path(build, INDEX_TARGET, row->target, &build->last_target);
	rc = rc ? rc : add_value(build, INDEX_TARGET_OFFSET, &row->target_offset);
	rc = rc ? rc : add_value(build, INDEX_TARGET_LENGTH, &row->target_length);
	rc = rc ? rc : add_value(build, INDEX_WEIGHT, &row->weight);
	rc = rc ? rc : add_value(build, INDEX_IMAGE, &row->image);
	rc = rc ? rc : add_value(build, INDEX_TARGET_IMAGE, &row->target_image);
	rc = rc ? rc : add_value(build, INDEX_SHARD, &row->shard);
	build->sample_count += rc == 0;
	return rc;
}

int index_build_add_paths(struct index_build *build, const struct bytes *paths, int64_t label)
{
	uint64_t at = build->text.used_bytes;
	int rc = bytes_append(&build->text, paths->data, paths->used_bytes);

	assert(build->columns == (INDEX_HAS(INDEX_PATH) | INDEX_HAS(INDEX_LABEL)));
	while (rc == 0 && at < build->text.used_bytes) {
		build->last_path = at;
		rc = bytes_append(&build->column[INDEX_PATH], &at, sizeof at);
		rc = rc ? rc : bytes_append(&build->column[INDEX_LABEL], &label, sizeof label);
		build->sample_count += rc == 0;
		at += strlen(build->text.data + at) + 1;
	}
	return rc;
}

uint64_t index_build_sample_count(const struct index_build *build)
{
	return build->sample_count;
}

const char *index_build_path(const struct index_build *build, enum index_column column, uint64_t sample)
{
	const uint64_t *offsets = (const uint64_t *)(const void *)build->column[column].data;

	return build->columns & INDEX_HAS(column) ? build->text.data + offsets[sample] : NULL;
}

int64_t *index_build_labels(struct index_build *build)
{
	return (int64_t *)(void *)build->column[INDEX_LABEL].data;
}

static char *put(char *to, const struct bytes *bytes)
{
	if (bytes->used_bytes > 0)
		memcpy(to, bytes->data, bytes->used_bytes);
	return to + bytes->used_bytes;
}

/* Lays the index out in zeroed memory, freeing each part as it goes. */
static void write_index(struct index_build *build, const struct index_header *header, const char *root, char *memory)
{
	char *to = memory + sizeof *header;

	for (int i = 0; i < INDEX_COLUMN_COUNT; i++) {
		to = put(to, &build->column[i]);
		to += -(to - memory) & 7;
		bytes_free(&build->column[i]);
	}
	to = put(to, &build->class_offsets);
	to = put(to, &build->text);
	strcpy(to, root);
	memcpy(memory, header, sizeof *header);
	index_view_fingerprint(memory, ((struct index_header *)(void *)memory)->fingerprint);
}

int index_build_finish(struct index_build *build, const char *root)
{
	struct index_header header = {
		.columns = build->columns,
		.sample_count = build->sample_count,
		.class_count = build->class_count,
		.text_bytes = build->text.used_bytes + strlen(root) + 1,
		.root_at = build->text.used_bytes,
	};
	size_t byte_count = index_view_bytes(&header);
	void *memory;
	int fd, rc;

	memcpy(header.magic, INDEX_MAGIC, sizeof header.magic);
	rc = index_memory_open(byte_count, &fd, &memory);
	if (rc < 0)
		return rc;
	write_index(build, &header, root, memory);
	rc = index_memory_seal(byte_count, &fd, memory);
	return rc < 0 ? rc : fd;
}
