/* Stage 2 of 5, fetch: the kernel's list of mounts in, a folder from which a path can be opened without waiting out. */
#include "loader/fetch/mount_table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000u /* Linux 5.8 */
#endif

#define MOST_LIST_BYTES ((size_t)16 << 20) /* some 100,000 mounts */

struct mount {
	const char *point; /* without the slash in front; in `list` */
	uint64_t id;
	bool is_local;
	int fd; /* O_PATH; -1: not opened */
};

struct mount_table {
	int list_fd; /* of /proc/self/mountinfo, which tells poll() when it changed */
	bool is_old;
	char *list;
	size_t list_capacity_bytes;
	struct mount *mount; /* sorted by points, each of which is there once */
	size_t count, open_count, capacity;
};

static const char *const local_types[] = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs"}; /* as in file_open_home() */

static bool is_local_type(const char *type)
{
	for (size_t i = 0; i < sizeof local_types / sizeof *local_types; i++)
		if (strcmp(type, local_types[i]) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------ reading the list */

/* All of it, NUL-terminated. */
static int read_list(struct mount_table *table)
{
	size_t used = 0;
	ssize_t got;

	if (lseek(table->list_fd, 0, SEEK_SET) != 0)
		return -errno;
	do {
		if (table->list_capacity_bytes - used < 4096) {
			size_t capacity = 2 * table->list_capacity_bytes + 16384;
			char *larger = capacity <= MOST_LIST_BYTES ? realloc(table->list, capacity) : NULL;

			if (!larger)
				return -ENOMEM;
			table->list = larger;
			table->list_capacity_bytes = capacity;
		}
		got = read(table->list_fd, table->list + used, table->list_capacity_bytes - used - 1);
		if (got < 0 && errno != EINTR)
			return -errno;
		used += got > 0 ? (size_t)got : 0;
	} while (got != 0);
	table->list[used] = '\0';
	return 0;
}

/* Spaces, tabs, newlines and backslashes stand there as \040 and the like. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] && text[3]) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* proc(5): "36 35 98:0 /root /point options... - type source options".  False: a line that is not so, or the root folder's own. */
static bool read_line(char *line, struct mount *mount)
{
	char *rest = line, *field[5], *type;

	for (int i = 0; i < 5; i++)
		field[i] = strsep(&rest, " ");
	type = rest ? strstr(rest, " - ") : NULL;
	if (!type || field[4][0] != '/' || field[4][1] == '\0')
		return false;
	type += 3;
	type[strcspn(type, " ")] = '\0';
	unescape(field[4]);
	*mount = (struct mount){
		.point = field[4] + 1, .id = strtoull(field[0], NULL, 10), .is_local = is_local_type(type), .fd = -1};
	return true;
}

/* Of several at one point the last that was mounted comes first: it is the one that is seen. */
static int by_point(const void *left, const void *right)
{
	const struct mount *a = left, *b = right;
	int order = strcmp(a->point, b->point);

	return order != 0 ? order : a->point < b->point ? 1 : -1;
}

static void keep_the_seen(struct mount_table *table)
{
	size_t kept = 0;

	if (table->count > 0)
		qsort(table->mount, table->count, sizeof *table->mount, by_point);
	for (size_t i = 0; i < table->count; i++)
		if (kept == 0 || strcmp(table->mount[kept - 1].point, table->mount[i].point) != 0)
			table->mount[kept++] = table->mount[i];
	table->count = kept;
}

static void close_folders(struct mount_table *table)
{
	for (size_t i = 0; i < table->count && table->open_count > 0; i++) {
		if (table->mount[i].fd < 0)
			continue;
		close(table->mount[i].fd);
		table->mount[i].fd = -1;
		table->open_count--;
	}
}

static int read_mounts(struct mount_table *table)
{
	char *rest, *line;
	int rc;

	close_folders(table);
	table->count = 0;
	rc = read_list(table);
	rest = table->list;
	while (rc == 0 && (line = strsep(&rest, "\n"))) {
		if (table->count == table->capacity) {
			size_t capacity = 2 * table->capacity + 64;
			struct mount *larger = reallocarray(table->mount, capacity, sizeof *larger);

			if (!larger)
				return -ENOMEM;
			table->mount = larger;
			table->capacity = capacity;
		}
		table->count += read_line(line, &table->mount[table->count]);
	}
	keep_the_seen(table);
	table->is_old = rc < 0;
	return rc;
}

int mount_table_open(struct mount_table **result)
{
	struct mount_table *table = calloc(1, sizeof *table);
	int rc;

	if (!table)
		return -ENOMEM;
	table->list_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	rc = table->list_fd < 0 ? -errno : 0;
	if (rc == 0) {
		(void)mount_table_renew(table, true); /* poll() tells of changes since the last one */
		rc = read_mounts(table);
	}
	if (rc < 0) {
		mount_table_close(table);
		return rc;
	}
	*result = table;
	return 0;
}

void mount_table_close(struct mount_table *table)
{
	if (!table)
		return;
	close_folders(table);
	if (table->list_fd >= 0)
		close(table->list_fd);
	free(table->mount);
	free(table->list);
	free(table);
}

bool mount_table_renew(struct mount_table *table, bool in_use)
{
	struct pollfd change = {.fd = table->list_fd, .events = POLLPRI};

	if (poll(&change, 1, 0) != 0)
		table->is_old = true;
	if (table->is_old && !in_use)
		(void)read_mounts(table);
	return !table->is_old;
}

void mount_table_rest(struct mount_table *table)
{
	close_folders(table);
}

/* ------------------------------------------------------------------ finding a path's mount */

struct wanted {
	const char *path;
	size_t chars;
};

static int compare_point(const void *left, const void *right)
{
	const struct wanted *wanted = left;
	const struct mount *mount = right;
	int order = strncmp(wanted->path, mount->point, wanted->chars);

	return order != 0 ? order : mount->point[wanted->chars] == '\0' ? 0 : -1;
}

/* The mount point that the first `chars` of the path name; NULL: they name none. */
static struct mount *mount_at(const struct mount_table *table, const char *path, size_t chars)
{
	const struct wanted wanted = {path, chars};

	return table->count > 0 ? bsearch(&wanted, table->mount, table->count, sizeof *table->mount, compare_point) : NULL;
}

/* That of the longest part of the path. */
static struct mount *mount_of(const struct mount_table *table, const char *path, size_t *chars)
{
	for (*chars = strlen(path); *chars > 0; (*chars)--) {
		bool ends_here = path[*chars] == '\0' || path[*chars] == '/';
		struct mount *mount = ends_here ? mount_at(table, path, *chars) : NULL;

		if (mount)
			return mount;
	}
	return NULL;
}

/* The folder where it begins: what is seen there, which another mount may hide.  Local, and so opened without waiting. */
static void open_folder(struct mount_table *table, struct mount *mount, int root_fd)
{
	const struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED};
	struct statx status;

	mount->fd = (int)syscall(SYS_openat2, root_fd, mount->point, &how, sizeof how);
	if (mount->fd < 0) {
		mount->is_local = errno == EAGAIN; /* the way there is not in memory: another time */
		return;
	}
	mount->is_local = statx(mount->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) == 0 &&
	                  (status.stx_mask & STATX_MNT_ID) && status.stx_mnt_id == mount->id;
	if (!mount->is_local) {
		close(mount->fd);
		mount->fd = -1;
	}
	table->open_count += mount->is_local;
}

enum file_home mount_table_find(struct mount_table *table, int root_fd, const char *path, int *folder_fd, const char **rest)
{
	size_t chars;
	struct mount *mount = mount_of(table, path, &chars);

	if (!mount)
		return FILE_HOME_OTHER;
	if (mount->is_local && mount->fd < 0)
		open_folder(table, mount, root_fd);
	if (mount->fd < 0)
		return FILE_HOME_FUSE;
	*folder_fd = mount->fd;
	*rest = path + chars;
	*rest += strspn(*rest, "/");
	if (**rest == '\0')
		*rest = ".";
	return FILE_HOME_LOCAL;
}
