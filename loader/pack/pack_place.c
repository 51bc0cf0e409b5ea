/* pack_place.c - part of `cropring pack`: folders and names.  A pack appears under its name when it is whole.  One thread. */
#include "loader/pack/pack_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/pack/pack_io.h"
#include "loader/pack/pack_journal.h"
#include "loader/pack/pack_part.h"
#include "loader/plan/pack/pack_file.h"

#define PACK_ENDING ".pack"

static bool exists(int folder_fd, const char *name)
{
	struct stat status;

	return fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The names in OUT's folder are on the disk. */
static int sync_folder(const struct pack_place *place, struct err *err)
{
	int fd = openat(place->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -errno : pack_io_sync_folder(fd);

	if (fd >= 0)
		close(fd);
	return rc < 0 ? err_fail(err, rc, "%.300s: its folder cannot be synced: %s", place->out, strerror(-rc)) : 0;
}

/* The first is enough: all come together. */
static int refuse_shard(const struct pack_place *place, struct err *err)
{
	char *name = pack_file_shard_path(place->name, 0);
	int rc = !name ? err_fail(err, -ENOMEM, "out of memory")
	         : exists(place->folder_fd, name)
	                 ? err_fail(err, -EEXIST,
	                            "%.200s: %.200s is there already, a shard of an earlier pack of that name; remove them",
	                            place->out, name)
	                 : 0;

	free(name);
	return rc;
}

/* ------------------------------------------------------------------ at the begin */

static int find_folder(struct pack_place *place, struct err *err)
{
	const char *slash = strrchr(place->out, '/');
	char folder[PATH_MAX] = ".";

	if (slash && snprintf(folder, sizeof folder, "%.*s", (int)(slash - place->out + 1), place->out) >= (int)sizeof folder)
		return err_fail(err, -ENAMETOOLONG, "%.300s: this name is too long", place->out);
	place->folder_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return place->folder_fd < 0 ? err_fail(err, -errno, "%.300s: its folder cannot be opened: %s", place->out, strerror(errno))
	                            : 0;
}

static int check_name(const struct pack_place *place, struct err *err)
{
	size_t chars = strlen(place->name), ending = strlen(PACK_ENDING);

	if (chars <= ending || strcmp(place->name + chars - ending, PACK_ENDING) != 0)
		return err_fail(err, -EINVAL, "'%.200s' is not the name of a pack; one that ends in " PACK_ENDING " is expected",
		                place->out);
	if (chars > NAME_MAX - 16) /* with ".partial", or "-00000.shard" */
		return err_fail(err, -EINVAL, "%.300s: this name is too long", place->out);
	return 0;
}

/* Whether the folder is that of a packing, or empty, so that one may begin in it. */
static bool is_of_packing(int folder_fd)
{
	int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool is_empty = true;

	if (!stream) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while ((entry = readdir(stream)))
		is_empty = is_empty && entry->d_name[0] == '.' && (!entry->d_name[1] || !strcmp(entry->d_name, ".."));
	closedir(stream);
	return is_empty || exists(folder_fd, PACK_JOURNAL_NAME);
}

static int open_partial(struct pack_place *place, struct err *err)
{
	place->partial_fd = open(place->partial, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place->partial_fd < 0)
		return err_fail(err, -errno, "%.300s cannot be opened: %s", place->partial, strerror(errno));
	if (!is_of_packing(place->partial_fd))
		return err_fail(err, -EEXIST,
		                "%.300s is not the folder of an interrupted packing; remove it, or choose another name",
		                place->partial);
	return 0;
}

int pack_place_open(struct pack_place *place, const char *out, bool resume, struct err *err)
{
	const char *slash = strrchr(out, '/');
	int rc;

	*place = (struct pack_place){.out = out, .name = slash ? slash + 1 : out, .folder_fd = -1, .partial_fd = -1};
	rc = check_name(place, err);
	rc = rc ? rc : find_folder(place, err);
	if (rc < 0)
		return rc;
	if (asprintf(&place->partial, "%s.partial", out) < 0) {
		place->partial = NULL;
		return err_fail(err, -ENOMEM, "out of memory");
	}
	if (!exists(place->folder_fd, place->partial + (place->name - out))) {
		if (mkdir(place->partial, 0777) < 0 && errno != EEXIST)
			rc = err_fail(err, -errno, "%.300s cannot be made: %s", place->partial, strerror(errno));
		rc = rc ? rc : sync_folder(place, err);
	} else if (!resume) {
		rc = err_fail(err, -EEXIST, "%.200s was interrupted: go on with --resume, or remove %.200s", out, place->partial);
	}
	rc = rc ? rc : open_partial(place, err);
	if (rc == 0 && !exists(place->partial_fd,
	                       PACK_JOURNAL_NAME)) /* it may have been left beside a whole pack, by an end at the very last */
		rc = pack_place_check_free(place, err);
	return rc;
}

int pack_place_check_free(const struct pack_place *place, struct err *err)
{
	if (exists(place->folder_fd, place->name))
		return err_fail(err, -EEXIST, "%.300s is there already; remove it, or choose another name", place->out);
	return refuse_shard(place, err);
}

void pack_place_close(struct pack_place *place)
{
	if (place->folder_fd >= 0)
		close(place->folder_fd);
	if (place->partial_fd >= 0)
		close(place->partial_fd);
	if (place->partial)
		(void)rmdir(place->partial); /* where nothing was begun it is empty, else it stays */
	free(place->partial);
	*place = (struct pack_place){.folder_fd = -1, .partial_fd = -1};
}

/* ------------------------------------------------------------------ at the end */

/* An earlier call gave it its name. */
static bool is_published(const struct pack_place *place, const char *name, const uint8_t id[16])
{
	int fd = openat(place->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct pack_header header;
	bool is_ours = fd >= 0 && pack_io_read(fd, &header, sizeof header, 0) == 0 &&
	               memcmp(header.magic, PACK_MAGIC, sizeof header.magic) == 0 && memcmp(header.id, id, sizeof header.id) == 0;

	if (fd >= 0)
		close(fd);
	return is_ours;
}

/* Nothing is replaced; file systems that cannot promise that are asked before. */
static int rename_new(const struct pack_place *place, const char *from, const char *to)
{
	if (renameat2(place->partial_fd, from, place->folder_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (exists(place->folder_fd, to))
		return -EEXIST;
	return renameat(place->partial_fd, from, place->folder_fd, to) == 0 ? 0 : -errno;
}

static int publish(const struct pack_place *place, const char *from, const char *to, const uint8_t id[16], struct err *err)
{
	int rc = rename_new(place, from, to);

	if (rc == 0 || (rc == -ENOENT && is_published(place, to, id)))
		return 0;
	if (rc == -EEXIST)
		return err_fail(err, rc, "%.200s: %.255s is there already; remove it, and end with --resume", place->out, to);
	return err_fail(err, rc, "%.200s: %.255s cannot be given its name: %s; end with --resume", place->out, to, strerror(-rc));
}

int pack_place_publish(struct pack_place *place, uint64_t shard_count, const uint8_t id[16], struct err *err)
{
	int rc = 0;

	for (uint64_t shard = 0; rc == 0 && shard < shard_count; shard++) {
		char from[PACK_PART_NAME_BYTES], *to = pack_file_shard_path(place->name, (uint32_t)shard);

		snprintf(from, sizeof from, PACK_PART_SHARD_FORMAT, shard);
		rc = to ? publish(place, from, to, id, err) : err_fail(err, -ENOMEM, "out of memory");
		free(to);
	}
	rc = rc ? rc : sync_folder(place, err);
	rc = rc ? rc : publish(place, PACK_PART_NAME, place->name, id, err);
	rc = rc ? rc : sync_folder(place, err);
	if (rc < 0)
		return rc;
	/* The pack is there; if a leftover cannot be removed it spoils nothing.  The folder goes when the place is closed. */
	(void)unlinkat(place->partial_fd, PACK_JOURNAL_NAME, 0);
	return 0;
}
