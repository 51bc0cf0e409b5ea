/* listing.c - part of stage 1 of 5: a directory in, the sorted names of sub-directories and images out.  One thread. */
#include "loader/plan/folder/listing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* torchvision, datasets/folder.py, IMG_EXTENSIONS.  Those that are not decoded here keep their numbers and become bad samples. */
static const char *const extensions[] = {".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"};

/* Whatever the locale: no letter but an ASCII one has one of these in lower case. */
bool listing_ends_with(const char *name, const char *ending)
{
	size_t name_chars = strlen(name), ending_chars = strlen(ending);

	if (name_chars < ending_chars)
		return false;
	name += name_chars - ending_chars;
	for (; *ending; name++, ending++) {
		char lower = *name >= 'A' && *name <= 'Z' ? (char)(*name - 'A' + 'a') : *name;

		if (lower != *ending)
			return false;
	}
	return true;
}

bool listing_is_image_name(const char *name)
{
	for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++)
		if (listing_ends_with(name, extensions[i]))
			return true;
	return false;
}

/*
 * What the entry is, or what the link leads to: DT_DIR, DT_REG or anything else.  A link that leads nowhere counts as a file, as it
 * does for ImageFolder: it keeps its number and becomes a bad sample.  FIFOs, sockets and devices never hold a picture.
 */
static int target_type(int directory_fd, const struct dirent *entry, bool *is_link)
{
	struct stat status;

	*is_link = entry->d_type == DT_LNK;
	/* Some file systems do not tell the type. */
	if (entry->d_type == DT_UNKNOWN && fstatat(directory_fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
		*is_link = S_ISLNK(status.st_mode);
		if (!*is_link)
			return (int)IFTODT(status.st_mode);
	} else if (!*is_link) {
		return entry->d_type;
	}
	if (fstatat(directory_fd, entry->d_name, &status, 0) != 0)
		return DT_REG;
	return (int)IFTODT(status.st_mode);
}

/* Room for `needed` elements: the array or its successor, or NULL and the array is as it was. */
static void *grown(void *array, size_t *capacity, size_t needed, size_t element_bytes)
{
	size_t wanted = *capacity ? *capacity : 64;

	while (wanted < needed)
		wanted *= 2;
	if (wanted == *capacity)
		return array;

	void *larger = reallocarray(array, wanted, element_bytes);

	if (larger)
		*capacity = wanted;
	return larger;
}

static int add_name(struct listing_names *names, const char *name)
{
	size_t name_bytes = strlen(name) + 1;
	char *bytes = grown(names->bytes, &names->capacity_bytes, names->used_bytes + name_bytes, 1);

	if (!bytes)
		return -ENOMEM;
	names->bytes = bytes;

	struct listing_entry *entries = grown(names->entries, &names->capacity, names->count + 1, sizeof *entries);

	if (!entries)
		return -ENOMEM;
	names->entries = entries;
	names->entries[names->count++] = (struct listing_entry){.offset = names->used_bytes};
	memcpy(names->bytes + names->used_bytes, name, name_bytes);
	names->used_bytes += name_bytes;
	return 0;
}

/* How many bytes all names begin with alike. */
static size_t common_bytes(const struct listing_names *names)
{
	const char *first = listing_name(names, 0);
	size_t common = strlen(first);

	for (size_t i = 1; i < names->count; i++) {
		const char *name = listing_name(names, i);
		size_t same = 0;

		while (same < common && name[same] == first[same])
			same++;
		common = same;
	}
	return common;
}

/* The first eight bytes of a string, compared as a number as strcmp() compares them; a NUL and what may follow it count as 0. */
static uint64_t key_of(const char *string)
{
	uint64_t key = 0;

	for (int shift = 56; shift >= 0 && *string; shift -= 8)
		key |= (uint64_t)(unsigned char)*string++ << shift;
	return key;
}

static int compare_entries(const void *left_entry, const void *right_entry, void *bytes)
{
	const struct listing_entry *left = left_entry, *right = right_entry;

	if (left->key != right->key)
		return left->key < right->key ? -1 : 1;
	return strcmp((char *)bytes + left->offset, (char *)bytes + right->offset);
}

/* By keys from where the names differ: most pairs need no look at the names, which lie all over the memory. */
static void sort_names(struct listing_names *names)
{
	size_t common;

	if (names->count < 2)
		return;
	common = common_bytes(names);
	for (size_t i = 0; i < names->count; i++)
		names->entries[i].key = key_of(listing_name(names, i) + common);
	qsort_r(names->entries, names->count, sizeof *names->entries, compare_entries, names->bytes);
}

static int add_entry(struct listing *listing, int directory_fd, const struct dirent *entry)
{
	struct listing_names *names;
	bool is_link;
	int type, result;

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
		return 0;
	type = target_type(directory_fd, entry, &is_link);
	if (type == DT_DIR)
		names = &listing->directories;
	else if (type == DT_REG && listing_is_image_name(entry->d_name))
		names = &listing->images;
	else
		return 0;
	result = add_name(names, entry->d_name);
	if (result == 0 && is_link && listing->link_targets)
		result = link_targets_add(listing->link_targets, directory_fd, entry->d_name, type == DT_DIR);
	return result;
}

int listing_read(struct listing *listing, int directory_fd)
{
	const struct dirent *entry;
	int result = 0;
	DIR *stream = fdopendir(directory_fd);

	if (!stream) {
		result = -errno;
		close(directory_fd);
		return result;
	}
	listing->directories.count = listing->directories.used_bytes = 0;
	listing->images.count = listing->images.used_bytes = 0;

	/* readdir() tells an error from the end by errno alone. */
	while (errno = 0, result == 0 && (entry = readdir(stream)))
		result = add_entry(listing, directory_fd, entry);
	if (result == 0)
		result = -errno;
	closedir(stream);

	sort_names(&listing->directories);
	sort_names(&listing->images);
	return result;
}

const char *listing_name(const struct listing_names *names, size_t index)
{
	return names->bytes + names->entries[index].offset;
}

void listing_close(struct listing *listing)
{
	free(listing->directories.bytes);
	free(listing->directories.entries);
	free(listing->images.bytes);
	free(listing->images.entries);
}
