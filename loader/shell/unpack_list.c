/*
 * unpack_list.c - part of `cropring unpack`: the samples of a pack in, files with safe names out.  One thread.
 *
 * All names are known before the first file is written, so that they do not depend on what is done first.
 */
#include "loader/shell/unpack_list.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *extension_of(const struct index_image *image)
{
	static const char *const extensions[] = {"", ".jpg", ".png", ".bmp"};

	return image->format < sizeof extensions / sizeof *extensions ? extensions[image->format] : "";
}

/* The name's last dot, if its last part has one behind its first character; else its end. */
static size_t stem_bytes(const char *name)
{
	const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strrchr(base, '.');

	return dot && dot > base ? (size_t)(dot - name) : strlen(name);
}

static bool ends_like(const char *name, const char *extension)
{
	return strcasecmp(name + stem_bytes(name), extension) == 0;
}

/* ---------------------------------------------------------------- one name */

/* "" and "." are the folder itself; ".." would lead out of it. */
static bool is_no_name(const char *part, size_t byte_count)
{
	return byte_count == 0 || (byte_count == 1 && part[0] == '.') || (byte_count == 2 && part[0] == '.' && part[1] == '.');
}

static bool is_tidy(const char *name)
{
	for (;; name++) {
		size_t byte_count = strcspn(name, "/");

		if (is_no_name(name, byte_count))
			return false;
		name += byte_count;
		if (*name == '\0')
			return true;
	}
}

/* Leaves out of a name what is no name of a file or folder. */
static void tidy(char *name)
{
	char *out = name;

	for (const char *part = name; *part;) {
		size_t byte_count = strcspn(part, "/");

		if (!is_no_name(part, byte_count)) {
			if (out > name)
				*out++ = '/';
			memmove(out, part, byte_count);
			out += byte_count;
		}
		part += byte_count;
		part += *part == '/';
	}
	*out = '\0';
}

/* In an archive all members have its name: there they go into a folder of that name, by their numbers. */
static char *member_name(const struct unpack_item *item)
{
	char *name;

	if (asprintf(&name, "%s/%08llu%s%s", item->file.path, (unsigned long long)item->sample, item->is_target ? ".target" : "",
	             extension_of(item->file.image)) < 0)
		return NULL;
	return name;
}

/* What was a BMP may be a PNG now. */
static char *png_name(const char *name)
{
	char *changed;

	return asprintf(&changed, "%.*s.png", (int)stem_bytes(name), name) < 0 ? NULL : changed;
}

static int name_item(struct unpack_item *item)
{
	const char *path = item->file.path;
	bool is_png = item->file.image->format == 2;

	item->name = path;
	if (ends_like(path, ".tar"))
		item->tidy_name = member_name(item);
	else if (is_png && (ends_like(path, ".bmp") || ends_like(path, ".dib")))
		item->tidy_name = png_name(path);
	else if (is_tidy(path))
		return 0;
	else
		item->tidy_name = strdup(path);
	if (!item->tidy_name)
		return -ENOMEM;
	tidy(item->tidy_name);
	item->name = *item->tidy_name ? item->tidy_name : "unnamed";
	return 0;
}

/* ---------------------------------------------------------------- all of them */

static int compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

/* As strcmp(), but a folder stands right before what is in it: a slash is less than any other character. */
static int compare_names(const char *left, const char *right)
{
	while (*left && *left == *right) {
		left++;
		right++;
	}
	if (!*left || !*right || (*left != '/' && *right != '/'))
		return (unsigned char)*left - (unsigned char)*right;
	return *left == '/' ? -1 : 1;
}

static int by_name_and_bytes(const void *left, const void *right)
{
	const struct unpack_item *a = left, *b = right;
	int order = compare_names(a->name, b->name);

	if (order == 0)
		order = compare_numbers(a->file.image->checksum, b->file.image->checksum);
	if (order == 0)
		order = compare_numbers(a->file.length, b->file.length);
	if (order == 0)
		order = compare_numbers(a->sample, b->sample);
	return order ? order : a->is_target - b->is_target;
}

static int by_name(const void *left, const void *right)
{
	const struct unpack_item *a = left, *b = right;
	int order = compare_names(a->name, b->name);

	if (order == 0)
		order = compare_numbers(a->sample, b->sample);
	return order ? order : a->is_target - b->is_target;
}

static int by_place(const void *left, const void *right)
{
	const struct unpack_item *a = left, *b = right;

	return a->file.fd != b->file.fd ? compare_numbers((uint64_t)a->file.fd, (uint64_t)b->file.fd)
	                                : compare_numbers(a->file.offset, b->file.offset);
}

static void sort(struct unpack_list *list, int (*compare)(const void *, const void *))
{
	if (list->count > 0)
		qsort(list->items, list->count, sizeof *list->items, compare);
}

/* Of the same name and bytes one is enough. */
static void drop_copies(struct unpack_list *list)
{
	uint64_t kept = 0;

	sort(list, by_name_and_bytes);
	for (uint64_t i = 0; i < list->count; i++) {
		const struct unpack_item *item = &list->items[i], *last = kept ? &list->items[kept - 1] : NULL;

		if (last && last->file.image->checksum == item->file.image->checksum && last->file.length == item->file.length &&
		    strcmp(last->name, item->name) == 0)
			free(item->tidy_name);
		else
			list->items[kept++] = *item;
	}
	list->count = kept;
}

static bool is_folder_of(const char *folder, const char *name)
{
	size_t byte_count = strlen(folder);

	return strncmp(folder, name, byte_count) == 0 && name[byte_count] == '/';
}

/* The names as they were, in by_name()'s order: what may be neither taken again nor be a folder and a file. */
static bool is_taken(const char *const *names, uint64_t count, const char *name)
{
	uint64_t low = 0, high = count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (compare_names(names[middle], name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && (strcmp(names[low], name) == 0 || is_folder_of(name, names[low]));
}

/* "a/b.jpg" becomes "a/b~2.jpg", or what is free of ~3, ~4, ... */
static int rename_item(struct unpack_item *item, const char *const *names, uint64_t count, uint64_t *number)
{
	int stem = (int)stem_bytes(item->name);
	char *name;

	for (;;) {
		if (asprintf(&name, "%.*s~%llu%s", stem, item->name, (unsigned long long)++*number, item->name + stem) < 0)
			return -ENOMEM;
		if (!is_taken(names, count, name))
			break;
		free(name);
	}
	item->name = item->new_name = name; /* names[] still has the other one */
	return 0;
}

/*
 * The first of a name keeps it, if it is no folder of another.  Two new names are never alike: each is that of its group with a number
 * that the group has given once.
 */
static int tell_apart(struct unpack_list *list)
{
	const char **names = malloc((list->count + 1) * sizeof *names);
	int rc = names ? 0 : -ENOMEM;

	sort(list, by_name);
	for (uint64_t i = 0; rc == 0 && i < list->count; i++)
		names[i] = list->items[i].name;
	for (uint64_t first = 0, next; rc == 0 && first < list->count; first = next) {
		const char *name = names[first];
		uint64_t number = 1; /* that was given last */
		bool is_folder;

		for (next = first + 1; next < list->count && strcmp(names[next], name) == 0;)
			next++;
		is_folder = next < list->count && is_folder_of(name, names[next]);
		for (uint64_t i = first + !is_folder; rc == 0 && i < next; i++) {
			rc = rename_item(&list->items[i], names, list->count, &number);
			list->renamed++;
		}
	}
	free(names);
	return rc;
}

static bool is_wanted(const struct unpack_wish *wish, const struct unpack_item *item)
{
	return !wish->only || fnmatch(wish->only, item->file.path, 0) == 0 || fnmatch(wish->only, item->name, 0) == 0;
}

static int add(struct unpack_list *list, const struct unpack_wish *wish, const struct unpack_item *given)
{
	struct unpack_item *item = &list->items[list->count];
	int rc;

	*item = *given;
	rc = name_item(item);
	if (rc == 0 && is_wanted(wish, item))
		list->count++;
	else
		free(item->tidy_name);
	return rc;
}

static int add_sample(struct unpack_list *list, const struct dataset *dataset, const struct unpack_wish *wish, uint64_t sample)
{
	struct unpack_item item = {.sample = sample};
	int rc;

	dataset_image(dataset, sample, &item.file);
	rc = add(list, wish, &item);
	if (rc < 0 || !dataset_has(dataset, INDEX_TARGET))
		return rc;
	dataset_target(dataset, sample, &item.file);
	item.is_target = true;
	return add(list, wish, &item);
}

int unpack_list_make(struct unpack_list *list, const struct dataset *dataset, const struct unpack_wish *wish, struct err *err)
{
	uint64_t count = dataset_sample_count(dataset), begin = 0, end = count;
	int rc = 0;

	*list = (struct unpack_list){0};
	if (wish->sample != UINT64_MAX) {
		if (wish->sample >= count)
			return err_fail(err, -ERANGE, "--index %llu: the pack has %llu samples, 0 to %llu",
			                (unsigned long long)wish->sample, (unsigned long long)count, (unsigned long long)count - 1);
		begin = wish->sample;
		end = begin + 1;
	}
	list->items = calloc((size_t)(end - begin) * 2, sizeof *list->items);
	if (!list->items)
		rc = -ENOMEM;
	for (uint64_t sample = begin; rc == 0 && sample < end; sample++)
		rc = add_sample(list, dataset, wish, sample);
	if (rc == 0)
		drop_copies(list);
	if (rc == 0)
		rc = tell_apart(list);
	if (rc == -ENOMEM)
		return err_fail(err, rc, "out of memory for the names of %llu samples", (unsigned long long)(end - begin));
	if (rc == 0 && list->count == 0)
		return err_fail(err, -ENODATA, "--only '%s': no image of the pack has such a name", wish->only);
	sort(list, by_place);
	for (uint64_t i = 0; i < list->count; i++)
		list->byte_count += list->items[i].file.length;
	return rc;
}

void unpack_list_close(struct unpack_list *list)
{
	for (uint64_t i = 0; i < list->count; i++) {
		free(list->items[i].tidy_name);
		free(list->items[i].new_name);
	}
	free(list->items);
	*list = (struct unpack_list){0};
}
