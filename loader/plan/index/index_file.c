/* index_file.c - part of stage 1 of 5: an index file in, its bytes in memory of our own out, and back.  One thread. */
#include "loader/plan/index/index_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "loader/plan/index/index_memory.h"
#include "loader/plan/index/index_view.h"

/* 0, -errno, or -ENODATA when the file ends before. */
static int read_at(int fd, void *to, size_t byte_count, uint64_t offset)
{
	for (char *at = to; byte_count > 0;) {
		ssize_t got = pread(fd, at, byte_count, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		at += got;
		offset += (uint64_t)got;
		byte_count -= (size_t)got;
	}
	return 0;
}

/* A sparse file may claim to be of any length. */
static bool exceeds_memory(uint64_t byte_count)
{
	struct sysinfo machine;

	return sysinfo(&machine) == 0 && byte_count > (uint64_t)machine.totalram * machine.mem_unit / 2;
}

static int refuse(const char *path, const char *fault, struct err *err)
{
	return err_fail(err, -EINVAL, "%s: not an index that can be used: %s", path, fault);
}

static int cannot_read(const char *path, int code, struct err *err)
{
	if (code == -ENODATA)
		return refuse(path, "it is shorter than it was", err);
	return err_fail(err, code, "%s: cannot read this index: %s", path, strerror(-code));
}

/* Of all that lies before the root folder's name. */
static uint64_t head_bytes(const struct index_header *header)
{
	return index_view_bytes(header) - header->stamp_bytes - header->text_bytes + header->root_at;
}

static uint64_t tail_bytes(const struct index_header *header)
{
	return header->text_bytes - header->root_at + header->stamp_bytes;
}

/* Header and tail of an index of byte_count bytes; what lies between is only read to be kept. */
static int read_ends(struct index_file *file, uint64_t byte_count, const char *path, struct err *err)
{
	const char *fault = NULL;
	size_t root_bytes;
	int rc;

	if (byte_count < sizeof file->header)
		fault = "it is too short";
	else if (exceeds_memory(byte_count))
		fault = "it is longer than half of this machine's memory";
	if (fault)
		return refuse(path, fault, err);
	rc = read_at(file->fd, &file->header, sizeof file->header, file->at);
	if (rc < 0)
		return cannot_read(path, rc, err);
	fault = index_view_check_header(&file->header, byte_count);
	if (fault)
		return refuse(path, fault, err);
	root_bytes = file->header.text_bytes - file->header.root_at;
	file->tail = malloc(tail_bytes(&file->header));
	if (!file->tail)
		return err_fail(err, -ENOMEM, "%s: out of memory", path);
	rc = read_at(file->fd, file->tail, tail_bytes(&file->header), file->at + head_bytes(&file->header));
	if (rc < 0)
		return cannot_read(path, rc, err);
	if (strnlen(file->tail, root_bytes) != root_bytes - 1 || root_bytes > PATH_MAX)
		return refuse(path, "its root folder is not one name", err);
	return 0;
}

int index_file_open(struct index_file *file, const char *path, struct err *err)
{
	struct stat status;
	int rc;

	*file = (struct index_file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
	if (file->fd < 0 || fstat(file->fd, &status) != 0)
		return err_fail(err, -errno, "%s: cannot open this index: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(path, "it is no file", err);
	rc = read_ends(file, (uint64_t)status.st_size, path, err);
	if (rc == 0 && file->header.columns & INDEX_HAS(INDEX_IMAGE))
		rc = refuse(path, "it is that of a pack, whose images are not here", err);
	return rc;
}

int index_file_open_within(struct index_file *file, int fd, uint64_t at, uint64_t byte_count, const char *path, struct err *err)
{
	*file = (struct index_file){.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .at = at};
	if (file->fd < 0)
		return err_fail(err, -errno, "%s: cannot open its index: %s", path, strerror(errno));
	return read_ends(file, byte_count, path, err);
}

void index_file_close(struct index_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	free(file->tail);
	*file = (struct index_file){.fd = -1};
}

const char *index_file_stamps(const struct index_file *file)
{
	return file->tail + file->header.text_bytes - file->header.root_at;
}

static int write_all(int fd, const void *data, size_t byte_count)
{
	for (const char *at = data; byte_count > 0;) {
		ssize_t done = write(fd, at, byte_count);

		if (done < 0 && errno != EINTR)
			return -errno;
		at += done > 0 ? done : 0;
		byte_count -= done > 0 ? (size_t)done : 0;
	}
	return 0;
}

/* What the file system does not send is read. */
static int copy_by_reading(int from, uint64_t at, uint64_t byte_count, int to)
{
	char bytes[16384];
	int rc = 0;

	for (; rc == 0 && byte_count > 0;) {
		size_t now_bytes = byte_count < sizeof bytes ? (size_t)byte_count : sizeof bytes;

		rc = read_at(from, bytes, now_bytes, at);
		rc = rc ? rc : write_all(to, bytes, now_bytes);
		at += now_bytes;
		byte_count -= now_bytes;
	}
	return rc;
}

/* From page to page, which takes 37 ms for the 88 MB of a million samples; to read into a mapping takes 59, through a buffer 45. */
static int copy(int from, uint64_t at, uint64_t byte_count, int to)
{
	off_t offset = (off_t)at, end = offset + (off_t)byte_count;

	while (offset < end) {
		ssize_t done = sendfile(to, from, &offset, (size_t)(end - offset));

		if (done < 0 && (errno == EINVAL || errno == ENOSYS))
			return copy_by_reading(from, (uint64_t)offset, (uint64_t)(end - offset), to);
		if (done < 0 && errno != EINTR)
			return -errno;
		if (done == 0)
			return -ENODATA;
	}
	return 0;
}

int index_file_load(const struct index_file *file, const char *path, const char *root, struct err *err)
{
	struct index_header header = file->header;
	int fd = index_memory_create(), rc;

	header.text_bytes = header.root_at + strlen(root) + 1;
	header.stamp_bytes = 0;
	rc = fd < 0 ? fd : write_all(fd, &header, sizeof header);
	if (rc == 0)
		rc = copy(file->fd, file->at + sizeof header, head_bytes(&header) - sizeof header, fd);
	rc = rc ? rc : write_all(fd, root, strlen(root) + 1);
	rc = rc ? rc : index_memory_seal(0, &fd, NULL);
	if (rc == 0)
		return fd;
	if (fd >= 0)
		index_memory_drop(0, &fd, NULL);
	if (rc == -ENOMEM || rc == -ENOSPC)
		return err_fail(err, rc, "%s: no memory for this index of %llu bytes: %s", path,
		                (unsigned long long)index_view_bytes(&header), strerror(-rc));
	return cannot_read(path, rc, err);
}

/* ------------------------------------------------------------------ writing */

static int write_parts(int fd, const struct index_view *view, const char *root, const struct bytes *stamps)
{
	struct index_header header = *view->header;
	int rc;

	header.text_bytes = header.root_at + strlen(root) + 1;
	header.stamp_bytes = stamps->used_bytes;
	rc = write_all(fd, &header, sizeof header);
	rc = rc ? rc : write_all(fd, view->header + 1, head_bytes(&header) - sizeof header);
	rc = rc ? rc : write_all(fd, root, strlen(root) + 1);
	rc = rc ? rc : write_all(fd, stamps->data, stamps->used_bytes);
	if (rc == 0 && fsync(fd) != 0)
		rc = -errno;
	return rc;
}

int index_file_look(int folder_fd, const char *name)
{
	char magic[sizeof INDEX_MAGIC - 1];
	ssize_t byte_count;
	struct stat status;
	int fd, rc;

	if (fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISREG(status.st_mode))
		return -EEXIST;
	if (status.st_size == 0)
		return 1;
	fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	byte_count = read(fd, magic, sizeof magic);
	rc = byte_count < 0 ? -errno : byte_count == sizeof magic && memcmp(magic, INDEX_MAGIC, sizeof magic) == 0 ? 1 : -EEXIST;
	close(fd);
	return rc;
}

/* Reading the source may have taken minutes: what is there is looked at once more. */
static int put_in_place(int folder_fd, const char *beside, const char *name)
{
	int rc = index_file_look(folder_fd, name);

	if (rc < 0)
		return rc;
	return renameat(folder_fd, beside, folder_fd, name) == 0 ? 0 : -errno;
}

/* Other processes may do the same, also such as have our number in a container of their own: each has a file with a name of chance. */
static int write_beside(const struct index_view *view, const char *root, const struct bytes *stamps, int folder_fd,
                        const char *name)
{
	char beside[NAME_MAX + 1];
	uint64_t chance;
	int fd, rc;

	if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
		return -errno;
	if (snprintf(beside, sizeof beside, ".%s.%016llx", name, (unsigned long long)chance) >= (int)sizeof beside)
		return -ENAMETOOLONG;
	fd = openat(folder_fd, beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return -errno;
	rc = write_parts(fd, view, root, stamps);
	close(fd);
	rc = rc ? rc : put_in_place(folder_fd, beside, name);
	if (rc < 0)
		(void)unlinkat(folder_fd, beside, 0); /* what failed has its error already */
	return rc;
}

int index_file_write(const struct index_view *view, const char *root, const struct bytes *stamps, int folder_fd, const char *name)
{
	sigset_t all, before;
	int rc;

	/* A signal that ends us waits until nothing is left half done. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = write_beside(view, root, stamps, folder_fd, name);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}
