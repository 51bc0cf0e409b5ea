/*
 * fuzz_index.c - hostile index files: what is taken can be read to its last byte, and every path in it stays in its root folder.
 *
 * Both checksums are made right first, for else nothing would come past them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/plan/index/index_stamp.h"
#include "loader/plan/index/index_view.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static volatile uint64_t sum; /* so that no read can be left out */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void touch_path(const char *path)
{
	sum += strlen(path);
	if (*path == '\0' || *path == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 || strstr(path, "/../") ||
	    (strlen(path) > 2 && strcmp(path + strlen(path) - 3, "/..") == 0))
		give_up("a path that leads out");
}

static void touch_view(const struct index_view *view)
{
	const struct index_header *header = view->header;

	for (int i = 0; i < INDEX_COLUMN_COUNT; i++) {
		const uint8_t *bytes = view->column[i];

		for (uint64_t b = 0; bytes && b < header->sample_count * index_value_bytes((enum index_column)i); b++)
			sum += bytes[b];
	}
	for (uint64_t i = 0; i < header->sample_count; i++) {
		touch_path(view->text + ((const uint64_t *)view->column[INDEX_PATH])[i]);
		if (view->column[INDEX_TARGET])
			touch_path(view->text + ((const uint64_t *)view->column[INDEX_TARGET])[i]);
	}
	for (uint64_t i = 0; i < header->class_count; i++)
		sum += strlen(view->text + view->class_offsets[i]);
	sum += strlen(view->text + header->root_at);
	for (uint64_t i = 0; i < header->stamp_bytes; i++)
		sum += (uint8_t)view->stamps[i];
}

static void try_stamps(const char *bytes, size_t byte_count)
{
	struct link_targets links = {.stay_beneath = true};
	struct index_stamps_view view;
	struct err err;

	if (index_stamps_open(&view, bytes, byte_count) != NULL)
		return;
	sum += strlen(view.origin.asked);
	if (index_stamps_add_links(&view, &links) != 0)
		give_up("no memory for links");
	/* Without a folder: nothing is found, but all that is not absolute is looked for. */
	sum += (uint64_t)index_stamps_check(&view, -1, "root", &err);
	link_targets_close(&links);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	char *bytes = malloc(byte_count ? byte_count : 1); /* of exactly this size, for the sanitizers */
	struct index_header *header = (void *)bytes;
	struct index_view view;

	if (!bytes)
		give_up("no memory");
	memcpy(bytes, data, byte_count);
	if (index_view_check_header(header, byte_count) == NULL) {
		char *stamps = bytes + byte_count - header->stamp_bytes;

		index_view_fingerprint(bytes, header->fingerprint);
		if (index_view_open(&view, bytes, byte_count, "index", NULL) == 0)
			touch_view(&view);
		if (header->stamp_bytes >= 8) {
			uint64_t hash = XXH3_64bits(stamps + 8, header->stamp_bytes - 8);

			memcpy(stamps, &hash, sizeof hash);
		}
		try_stamps(stamps, header->stamp_bytes);
	}
	free(bytes);
	return 0;
}
