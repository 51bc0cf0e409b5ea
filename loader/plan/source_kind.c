/* source_kind.c - part of stage 1 of 5: what the user named in, what kind of source it is out.  One thread. */
#include "loader/plan/source_kind.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/folder/listing.h"
#include "loader/plan/index/index_layout.h"
#include "loader/plan/pack/pack_layout.h"

static const char *const manifest_endings[] = {".csv", ".tsv", ".jsonl"};

/* The compressed ones cannot be read, which their reader explains better than one that expects a folder. */
static const char *const tar_endings[] = {".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4"};

static bool ends_with_one_of(const char *name, const char *const *endings, size_t ending_count)
{
	for (size_t i = 0; i < ending_count; i++)
		if (listing_ends_with(name, endings[i]))
			return true;
	return false;
}

/* The folder's metadata.csv, .tsv or .jsonl, to be freed; NULL in *path: there is none. */
static int find_metadata(const char *folder, char **path)
{
	struct stat status;

	for (size_t i = 0; i < sizeof manifest_endings / sizeof *manifest_endings; i++) {
		if (asprintf(path, "%s/metadata%s", folder, manifest_endings[i]) < 0) {
			*path = NULL; /* else it is what was freed below */
			return -ENOMEM;
		}
		if (stat(*path, &status) == 0 && S_ISREG(status.st_mode))
			return 0;
		free(*path);
	}
	*path = NULL;
	return 0;
}

static bool is_folder(int directory_fd, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(directory_fd, entry->d_name, &status, 0) == 0 && S_ISDIR(status.st_mode);
}

/* The first image or sub-folder tells that these are not shards: a folder of a million images is not listed for it. */
static bool holds_only_tars(const char *folder)
{
	DIR *stream = opendir(folder);
	const struct dirent *entry;
	bool any = false;

	if (!stream)
		return false; /* whoever reads it says why it cannot be */
	while ((entry = readdir(stream))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (listing_is_image_name(entry->d_name) || is_folder(dirfd(stream), entry)) {
			any = false;
			break;
		}
		any = any || listing_ends_with(entry->d_name, ".tar");
	}
	closedir(stream);
	return any;
}

/* All magics are of 8 bytes; "": it cannot be read, or is shorter. */
static void read_magic(const char *path, char magic[9])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t byte_count = fd < 0 ? -1 : read(fd, magic, 8);

	if (fd >= 0)
		close(fd);
	magic[byte_count == 8 ? 8 : 0] = '\0';
}

static enum source_kind kind_of_file(const char *path, bool is_regular)
{
	char magic[9] = "";

	if (ends_with_one_of(path, manifest_endings, sizeof manifest_endings / sizeof *manifest_endings))
		return SOURCE_MANIFEST;
	if (ends_with_one_of(path, tar_endings, sizeof tar_endings / sizeof *tar_endings))
		return SOURCE_TAR;
	if (is_regular)
		read_magic(path, magic);
	if (listing_ends_with(path, ".cropidx") || strcmp(magic, INDEX_MAGIC) == 0)
		return SOURCE_INDEX;
	/* One of another version is a pack as well, and refused as such. */
	if (listing_ends_with(path, ".pack") || listing_ends_with(path, ".shard") ||
	    strncmp(magic, PACK_MAGIC, sizeof PACK_MAGIC - 2) == 0)
		return SOURCE_PACK;
	return SOURCE_FOLDER;
}

int source_kind_find(const char *source, enum source_kind *kind, char **path, struct err *err)
{
	struct stat status;
	bool exists = stat(source, &status) == 0;

	*path = NULL;
	if (!exists && strstr(source, "://"))
		return err_fail(err, -ENOENT, "%s: this is an address, and a folder or file is expected; mount what lies there, or copy it", source);
	if (exists && S_ISDIR(status.st_mode)) {
		if (find_metadata(source, path) != 0)
			return err_fail(err, -ENOMEM, "%s: out of memory", source);
		*kind = *path ? SOURCE_MANIFEST : holds_only_tars(source) ? SOURCE_TAR : SOURCE_FOLDER;
	} else {
		*kind = kind_of_file(source, exists && S_ISREG(status.st_mode));
	}
	if (!*path)
		*path = strdup(source);
	return *path ? 0 : err_fail(err, -ENOMEM, "%s: out of memory", source);
}

char *source_kind_folder(const char *path, const char **name)
{
	struct stat status;
	bool exists = stat(path, &status) == 0;
	size_t chars = exists ? strlen(path) : strcspn(path, "{");

	while (chars > 0 && path[chars - 1] != '/')
		chars--;
	if (exists && S_ISDIR(status.st_mode))
		chars = strlen(path);
	*name = path + chars;
	if (**name != '\0' && chars > 1)
		chars--; /* the slash between them */
	return chars == 0 ? strdup(".") : strndup(path, chars);
}
