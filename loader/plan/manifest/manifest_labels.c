/*
 * manifest_labels.c - part of stage 1 of 5: a manifest's labels in, numbers and classes out.  One thread.
 *
 * Each text is kept once, and found again by its hash in a table with open addressing of which at most half is full.
 */
#include "loader/plan/manifest/manifest_labels.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "loader/plan/manifest/manifest_cell.h"

struct label {
	char *text;
	size_t text_bytes;
	uint64_t hash;
};

struct manifest_labels {
	struct label *label; /* in the order in which they came */
	uint32_t count, capacity;
	uint32_t *table; /* 1 + a label's number; 0: free */
	uint32_t table_mask;
	uint32_t last; /* samples of a class often stand together */
};

enum { FIRST_CAPACITY = 64 };

struct manifest_labels *manifest_labels_open(void)
{
	struct manifest_labels *labels = calloc(1, sizeof *labels);

	if (labels) {
		labels->capacity = FIRST_CAPACITY;
		labels->label = calloc(labels->capacity, sizeof *labels->label);
		labels->table_mask = 2 * labels->capacity - 1;
		labels->table = calloc(2 * (size_t)labels->capacity, sizeof *labels->table);
		if (labels->label && labels->table)
			return labels;
	}
	manifest_labels_close(labels);
	return NULL;
}

void manifest_labels_close(struct manifest_labels *labels)
{
	if (!labels)
		return;
	for (uint32_t i = 0; i < labels->count; i++)
		free(labels->label[i].text);
	free(labels->label);
	free(labels->table);
	free(labels);
}

static bool is_text(const struct label *label, const char *text, size_t byte_count)
{
	return label->text_bytes == byte_count && memcmp(label->text, text, byte_count) == 0;
}

/* The place of this text in the table, or the free one where it belongs. */
static uint32_t *find(struct manifest_labels *labels, const char *text, size_t byte_count, uint64_t hash)
{
	for (uint32_t at = (uint32_t)hash & labels->table_mask;; at = (at + 1) & labels->table_mask) {
		uint32_t *place = &labels->table[at];

		if (*place == 0 ||
		    (labels->label[*place - 1].hash == hash && is_text(&labels->label[*place - 1], text, byte_count)))
			return place;
	}
}

static int double_capacity(struct manifest_labels *labels)
{
	uint32_t capacity = 2 * labels->capacity;
	uint32_t *table = capacity <= UINT32_MAX / 4 ? calloc(2 * (size_t)capacity, sizeof *table) : NULL;
	struct label *grown = table ? realloc(labels->label, capacity * sizeof *grown) : NULL;

	if (!grown) {
		free(table);
		return -ENOMEM;
	}
	free(labels->table);
	labels->table = table;
	labels->table_mask = 2 * capacity - 1;
	labels->label = grown;
	labels->capacity = capacity;
	for (uint32_t i = 0; i < labels->count; i++) {
		uint32_t at = (uint32_t)grown[i].hash & labels->table_mask;

		while (table[at] != 0)
			at = (at + 1) & labels->table_mask;
		table[at] = i + 1;
	}
	return 0;
}

int64_t manifest_labels_add(struct manifest_labels *labels, const char *text, size_t byte_count)
{
	uint64_t hash;
	uint32_t *place;
	char *copy;

	if (labels->count > 0 && is_text(&labels->label[labels->last], text, byte_count))
		return labels->last;
	if (labels->count == labels->capacity && double_capacity(labels) < 0)
		return -ENOMEM;
	hash = XXH3_64bits(text, byte_count);
	place = find(labels, text, byte_count, hash);
	if (*place == 0) {
		copy = strndup(text, byte_count);
		if (!copy)
			return -ENOMEM;
		labels->label[labels->count] = (struct label){.text = copy, .text_bytes = byte_count, .hash = hash};
		*place = ++labels->count;
	}
	labels->last = *place - 1;
	return labels->last;
}

static bool are_whole(const struct manifest_labels *labels, int64_t *values)
{
	for (uint32_t i = 0; i < labels->count; i++) {
		const struct manifest_cell cell = {.kind = CELL_WRITTEN, .text = labels->label[i].text};

		if (!manifest_cell_whole(&cell, &values[i]))
			return false;
	}
	return true;
}

static int by_name(const void *left, const void *right)
{
	const struct label *const *a = left, *const *b = right;

	return strcmp((*a)->text, (*b)->text);
}

/* The classes in their order, and each label's place among them. */
static int number_names(const struct manifest_labels *labels, struct index_build *build, int64_t *values)
{
	const struct label **sorted = malloc(labels->count * sizeof *sorted);
	int rc = sorted ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < labels->count; i++)
		sorted[i] = &labels->label[i];
	if (rc == 0)
		qsort(sorted, labels->count, sizeof *sorted, by_name);
	for (uint32_t i = 0; rc == 0 && i < labels->count; i++) {
		values[sorted[i] - labels->label] = i;
		rc = index_build_class(build, sorted[i]->text);
	}
	free(sorted);
	return rc;
}

int manifest_labels_finish(const struct manifest_labels *labels, struct index_build *build)
{
	int64_t *values, *of_rows = index_build_labels(build);
	int rc = 0;

	if (labels->count == 0)
		return 0;
	values = malloc(labels->count * sizeof *values);
	if (!values)
		return -ENOMEM;
	if (!are_whole(labels, values))
		rc = number_names(labels, build, values);
	for (uint64_t i = 0; rc == 0 && i < index_build_sample_count(build); i++)
		if (of_rows[i] >= 0)
			of_rows[i] = values[of_rows[i]];
	free(values);
	return rc;
}
