/*
 * index_stamp.c - part of stage 1 of 5: what a source looked like in, whether it still does out.  One thread.
 *
 *   offset  bytes  what
 *   0       8      XXH3-64 of all that follows
 *   8       8      images beside class folders
 *   16      4      count of the folders that links led to
 *   20      4      1: no link leaves the root (link_targets.h)
 *   24      ...    strings, each NUL-terminated: what was asked for, those folders
 *   ...     ...    for each folder or file that was looked at: struct stamp, then its path, NUL-terminated
 */
#include "loader/plan/index/index_stamp.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define RACY_NS (INT64_C(2) * 1000000000) /* the coarsest clock of a file system in use: FAT's */
#define CHANGED INT64_MIN                 /* for a time: unlike any */

struct stamp {
	uint64_t inode, size_bytes; /* a folder's size is its file system's own matter: 0 */
	int64_t mtime_ns, ctime_ns;
};

struct stamps_header {
	uint64_t hash, stray_count;
	uint32_t link_count, stay_beneath;
};

static int64_t to_ns(struct timespec time)
{
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t index_stamps_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return to_ns(now);
}

static struct stamp stamp_of(const struct stat *status)
{
	return (struct stamp){.inode = status->st_ino,
	                      .size_bytes = S_ISDIR(status->st_mode) ? 0 : (uint64_t)status->st_size,
	                      .mtime_ns = to_ns(status->st_mtim),
	                      .ctime_ns = to_ns(status->st_ctim)};
}

int index_stamps_add(struct index_stamps *stamps, const char *path, const struct stat *status)
{
	struct stamp stamp = stamp_of(status);
	size_t before = stamps->records.used_bytes;
	int rc;

	if (stamp.mtime_ns > stamps->began_ns - RACY_NS || stamp.ctime_ns > stamps->began_ns - RACY_NS)
		stamp.mtime_ns = CHANGED;
	rc = bytes_append(&stamps->records, &stamp, sizeof stamp);
	rc = rc ? rc : bytes_append(&stamps->records, path, strlen(path) + 1);
	if (rc)
		stamps->records.used_bytes = before;
	return rc;
}

int index_stamps_join(struct index_stamps *stamps, const struct index_stamps *more)
{
	return bytes_append(&stamps->records, more->records.data, more->records.used_bytes);
}

void index_stamps_close(struct index_stamps *stamps)
{
	bytes_free(&stamps->records);
}

/* Moves *at behind the string that begins there; NULL: it does not end before `end`. */
static const char *take_string(const char **at, const char *end)
{
	const char *string = *at, *nul = memchr(string, '\0', (size_t)(end - string));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return string;
}

/* The same for a folder or file that was looked at; NULL: none is left, or it is not whole. */
static const char *take_record(const char **at, const char *end, struct stamp *stamp)
{
	if ((size_t)(end - *at) <= sizeof *stamp)
		return NULL;
	memcpy(stamp, *at, sizeof *stamp);
	*at += sizeof *stamp;
	return take_string(at, end);
}

bool index_stamps_include(const struct index_stamps *stamps, int root_fd, const struct stat *folder)
{
	const char *at = stamps->records.data, *end = at + stamps->records.used_bytes, *path;
	struct stamp stamp;
	struct stat status;

	while ((path = take_record(&at, end, &stamp)))
		if (stamp.inode == folder->st_ino && fstatat(root_fd, *path ? path : ".", &status, 0) == 0 &&
		    status.st_ino == folder->st_ino && status.st_dev == folder->st_dev)
			return true;
	return false;
}

/* ------------------------------------------------------------------ to bytes */

static int append_string(struct bytes *bytes, const char *string)
{
	return bytes_append(bytes, string, strlen(string) + 1);
}

static uint64_t hash_of(const char *bytes, size_t byte_count)
{
	return XXH3_64bits(bytes + sizeof(uint64_t), byte_count - sizeof(uint64_t));
}

int index_stamps_write(const struct index_stamps *stamps, const struct index_origin *origin, const struct link_targets *links,
                       struct bytes *bytes)
{
	struct stamps_header header = {
		.stray_count = origin->stray_count, .link_count = links->count, .stay_beneath = links->stay_beneath};
	size_t begin = bytes->used_bytes;
	int rc = bytes_append(bytes, &header, sizeof header);

	rc = rc ? rc : append_string(bytes, origin->asked);
	for (uint32_t i = 0; rc == 0 && i < links->count; i++)
		rc = append_string(bytes, links->folder[i]);
	rc = rc ? rc : bytes_append(bytes, stamps->records.data, stamps->records.used_bytes);
	if (rc)
		return rc;
	header.hash = hash_of(bytes->data + begin, bytes->used_bytes - begin);
	memcpy(bytes->data + begin, &header.hash, sizeof header.hash);
	return 0;
}

/* ------------------------------------------------------------------ and back */

const char *index_stamps_open(struct index_stamps_view *view, const char *bytes, size_t byte_count)
{
	const char *at = bytes + sizeof(struct stamps_header), *end = bytes + byte_count;
	struct stamps_header header;
	struct stamp stamp;

	if (byte_count == 0)
		return "it does not say what its source looked like";
	if (byte_count < sizeof header)
		return "its stamps are too short";
	memcpy(&header, bytes, sizeof header);
	if (header.hash != hash_of(bytes, byte_count))
		return "its stamps are not those that were written";
	if (header.link_count > LINK_TARGETS_MAX || header.stay_beneath > 1)
		return "its stamps are impossible";
	*view = (struct index_stamps_view){.link_count = header.link_count, .stay_beneath = header.stay_beneath};
	view->origin.stray_count = header.stray_count;
	view->origin.asked = take_string(&at, end);
	if (!view->origin.asked)
		return "its stamps have no end";
	view->links = at;
	for (uint32_t i = 0; i < header.link_count; i++) {
		const char *folder = take_string(&at, end);

		if (!folder || *folder != '/')
			return "a folder that its links led to has no name";
	}
	view->records = at;
	view->records_bytes = (size_t)(end - at);
	while (at < end)
		if (!take_record(&at, end, &stamp))
			return "its stamps have no end";
	return NULL;
}

int index_stamps_check(const struct index_stamps_view *view, int root_fd, const char *root, struct err *err)
{
	const char *at = view->records, *end = at + view->records_bytes, *path;
	struct stamp then, now;
	struct stat status;

	if (at == end)
		return err_fail(err, -ESTALE, "it does not say what its source looked like");
	while ((path = take_record(&at, end, &then))) {
		const char *folder = *path == '/' ? "" : root, *slash = *path == '/' || *path == '\0' ? "" : "/";

		if (fstatat(root_fd, *path ? path : ".", &status, 0) != 0)
			return err_fail(err, -ESTALE, "%s%s%s is gone: %s", folder, slash, path, strerror(errno));
		now = stamp_of(&status);
		if (then.mtime_ns == CHANGED)
			return err_fail(err, -ESTALE, "%s%s%s had changed within 2 s before it was read", folder, slash, path);
		if (memcmp(&then, &now, sizeof now) != 0)
			return err_fail(err, -ESTALE, "%s%s%s changed", folder, slash, path);
	}
	return 0;
}

int index_stamps_add_links(const struct index_stamps_view *view, struct link_targets *links)
{
	const char *folder = view->links;
	int rc = 0;

	links->stay_beneath = links->stay_beneath && view->stay_beneath;
	for (uint32_t i = 0; rc == 0 && i < view->link_count; i++, folder += strlen(folder) + 1)
		rc = link_targets_add_folder(links, folder);
	return rc;
}
