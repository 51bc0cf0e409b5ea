/* fuzz_crop_list.c - hostile standard input of `cropring crop`: each item has a path and three shares, each refusal a sentence. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/shell/crop_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static void require(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static bool is_share(float number)
{
	return number >= 0 && number <= 1;
}

static void read_all(const uint8_t *data, size_t byte_count, bool ends_in_nul)
{
	static float none = 0, all = 1;
	const struct crop_flags flags = {.ends_in_nul = ends_in_nul,
	                                 .x = {.value = &none, .count = 1},
	                                 .y = {.value = &none, .count = 1},
	                                 .scale = {.value = &all, .count = 1}};
	static struct crop_list list;
	struct crop_item item;
	struct err err = {.text = ""};
	uint64_t count = 0;
	int rc;

	crop_list_open(&list, &flags);
	list.lines = byte_count ? fmemopen((void *)(uintptr_t)data, byte_count, "r") : fopen("/dev/null", "r");
	require(list.lines, "no memory for a stream");
	while ((rc = crop_list_next(&list, &item, &err)) > 0) {
		require(*item.path && strlen(item.path) < CROP_LINE_BYTES, "a path of no or too many bytes");
		require(is_share(item.window.x) && is_share(item.window.y) && is_share(item.window.scale), "a number that is no share");
		require(ends_in_nul || !strpbrk(item.path, "\t\n"), "a path with what parts fields or lines");
		count++;
	}
	require(rc == 0 || *err.text, "refused without a sentence");
	require(list.position == count && list.line >= count, "counts that are none");
	fclose(list.lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	read_all(data, byte_count, false);
	read_all(data, byte_count, true);
	return 0;
}
