/* listing.c - part of stage 1 of 5: a directory in, the sorted names of sub-directories and images out.  One thread. */
#include "loader/plan/listing.h"

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

	size_t *offsets = grown(names->offsets, &names->capacity, names->count + 1, sizeof *offsets);

	if (!offsets)
		return -ENOMEM;
	names->offsets = offsets;
	names->offsets[names->count++] = names->used_bytes;
	memcpy(names->bytes + names->used_bytes, name, name_bytes);
	names->used_bytes += name_bytes;
	return 0;
}

static int compare_names(const void *left, const void *right, void *bytes)
{
	return strcmp((char *)bytes + *(const size_t *)left, (char *)bytes + *(const size_t *)right);
}

static void sort_names(struct listing_names *names)
{
	if (names->count > 1)
		qsort_r(names->offsets, names->count, sizeof *names->offsets, compare_names, names->bytes);
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
	return names->bytes + names->offsets[index];
}

void listing_close(struct listing *listing)
{
	free(listing->directories.bytes);
	free(listing->directories.offsets);
	free(listing->images.bytes);
	free(listing->images.offsets);
}
