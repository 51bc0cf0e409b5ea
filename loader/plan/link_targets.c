/* link_targets.c - part of stage 1 of 5: symbolic links in, the few folders that they lead to out.  One thread. */
#include "loader/plan/link_targets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel calls the file behind the descriptor: every link on the way is resolved.  False: nobody knows. */
static bool real_path(int fd, char path[PATH_MAX])
{
	char link[32];
	ssize_t byte_count;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	byte_count = readlink(link, path, PATH_MAX);
	if (byte_count <= 0 || byte_count == PATH_MAX || path[0] != '/')
		return false;
	path[byte_count] = '\0';
	return true;
}

static bool lies_in(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	return strcmp(folder, "/") == 0 || (strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0'));
}

/* "/a/b/c" -> "/a/b" -> "/a" -> "/". */
static void cut_last_name(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path ? 1 : 0] = '\0';
}

static void remove_folder(struct link_targets *targets, uint32_t index)
{
	free(targets->folder[index]);
	targets->folder[index] = targets->folder[--targets->count];
}

/* How many of the folders lie in `path`. */
static uint32_t count_inside(const struct link_targets *targets, const char *path)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < targets->count; i++)
		count += lies_in(targets->folder[i], path);
	return count;
}

static void remove_inside(struct link_targets *targets, const char *path)
{
	for (uint32_t i = targets->count; i > 0; i--)
		if (lies_in(targets->folder[i - 1], path))
			remove_folder(targets, i - 1);
}

/* The parent that most of the folders have in common takes their place; of several such, the one with the longest path. */
static void merge_siblings(struct link_targets *targets)
{
	char parent[PATH_MAX], best[PATH_MAX] = "/";
	uint32_t best_count = 0, best_index = 0;
	char *merged;

	for (uint32_t i = 0; i < targets->count; i++) {
		uint32_t count;

		strcpy(parent, targets->folder[i]);
		cut_last_name(parent);
		count = count_inside(targets, parent);
		if (count < best_count || (count == best_count && strlen(parent) <= strlen(best)))
			continue;
		strcpy(best, parent);
		best_count = count;
		best_index = i;
	}
	merged = targets->folder[best_index];
	cut_last_name(merged);
	targets->folder[best_index] = targets->folder[--targets->count];
	remove_inside(targets, merged);
	targets->folder[targets->count++] = merged;
}

static bool is_known(const struct link_targets *targets, const char *path)
{
	/* The newest first: links that stand side by side mostly lead to the same place. */
	for (uint32_t i = targets->count; i > 0; i--)
		if (lies_in(path, targets->folder[i - 1]))
			return true;
	return targets->source && lies_in(path, targets->source);
}

int link_targets_add_folder(struct link_targets *targets, const char *path)
{
	char *copy;

	while (!is_known(targets, path) && targets->count == LINK_TARGETS_MAX)
		merge_siblings(targets);
	if (is_known(targets, path))
		return 0;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	remove_inside(targets, path);
	targets->folder[targets->count++] = copy;
	return 0;
}

void link_targets_open(struct link_targets *targets, int root_fd)
{
	char path[PATH_MAX];

	*targets = (struct link_targets){.stay_beneath = true, .root_fd = root_fd};
	if (real_path(root_fd, path))
		targets->source = strdup(path);
}

void link_targets_close(struct link_targets *targets)
{
	while (targets->count > 0)
		remove_folder(targets, targets->count - 1);
	free(targets->source);
	targets->source = NULL;
}

static bool stays_beneath(const struct link_targets *targets, const char *name)
{
	const struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
	char path[PATH_MAX];
	int length, fd;

	if (!targets->place)
		return false;
	length = snprintf(path, sizeof path, "%s%s%s", targets->place, *targets->place ? "/" : "", name);
	if (length < 0 || (size_t)length >= sizeof path)
		return false;
	fd = (int)syscall(SYS_openat2, targets->root_fd, path, &how, sizeof how);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int link_targets_add(struct link_targets *targets, int directory_fd, const char *name, bool is_folder)
{
	int fd = openat(directory_fd, name, O_PATH | O_CLOEXEC);
	char path[PATH_MAX];

	if (fd < 0)
		return 0;
	if (!real_path(fd, path))
		strcpy(path, "/");
	else if (!is_folder)
		cut_last_name(path);
	close(fd);
	if (targets->stay_beneath)
		targets->stay_beneath = stays_beneath(targets, name);
	return link_targets_add_folder(targets, path);
}

int link_targets_join(struct link_targets *targets, const struct link_targets *more)
{
	int rc = 0;

	targets->stay_beneath = targets->stay_beneath && more->stay_beneath;
	for (uint32_t i = 0; rc == 0 && i < more->count; i++)
		rc = link_targets_add_folder(targets, more->folder[i]);
	return rc;
}
