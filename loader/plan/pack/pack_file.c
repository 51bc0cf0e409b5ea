/* pack_file.c - part of stage 1 of 5: one file of a pack, opened, its header looked at, its bytes mapped.  One thread. */
#include "loader/plan/pack/pack_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define PACK_ENDING  ".pack"
#define SHARD_ENDING ".shard"

static int refuse(const char *path, const char *fault, struct err *err)
{
	return err_fail(err, -EINVAL, "%s: not a pack that can be used: %s", path, fault);
}

/* NULL, or what is wrong. */
static const char *check_header(const struct pack_header *header, uint64_t file_bytes)
{
	bool is_shard = header->shard_number != PACK_NO_SHARD;

	if (memcmp(header->magic, PACK_MAGIC, sizeof header->magic - 1) != 0)
		return "it does not begin like one";
	if (header->magic[sizeof header->magic - 1] != PACK_MAGIC[sizeof header->magic - 1])
		return "it is of another version of the format than 1; update cropring";
	if (XXH3_64bits(header, offsetof(struct pack_header, check)) != header->check)
		return "its header is damaged";
	if (header->file_bytes != file_bytes)
		return header->file_bytes > file_bytes ? "it is shorter than it was when it was made; copy it again"
		                                       : "it is longer than it was when it was made; copy it again";
	if (header->shard_count > PACK_MOST_SHARDS || (is_shard && header->shard_number >= header->shard_count))
		return "its shards are more than any pack has";
	if (is_shard ? header->index_at != 0 || header->index_bytes != 0
	             : header->index_at < PACK_HEADER_BYTES || header->index_at > file_bytes ||
	                       header->index_bytes != file_bytes - header->index_at)
		return "its index is not at its end";
	return NULL;
}

static int read_header(struct pack_file *file, const char *path, struct err *err)
{
	struct stat status;
	const char *fault;
	ssize_t got;

	if (fstat(file->fd, &status) != 0)
		return err_fail(err, -errno, "%s: cannot measure this pack: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return refuse(path, "it is no file", err);
	if (status.st_size < PACK_HEADER_BYTES)
		return refuse(path, "it is too short", err);
	got = pread(file->fd, &file->header, sizeof file->header, 0);
	if (got < 0)
		return err_fail(err, -errno, "%s: cannot read this pack: %s", path, strerror(errno));
	fault = got != sizeof file->header ? "it is too short" : check_header(&file->header, (uint64_t)status.st_size);
	return fault ? refuse(path, fault, err) : 0;
}

int pack_file_open(struct pack_file *file, const char *path, struct err *err)
{
	int rc;

	*file = (struct pack_file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
	if (file->fd < 0)
		return err_fail(err, -errno, "%s: cannot open this file of a pack: %s%s", path, strerror(errno),
		                errno == EMFILE ? "; every shard stays open: raise the limit of open files (ulimit -n)" : "");
	rc = read_header(file, path, err);
	if (rc < 0)
		pack_file_close(file);
	return rc;
}

void pack_file_close(struct pack_file *file)
{
	if (file->mapping)
		munmap((void *)file->mapping, file->header.file_bytes);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct pack_file){.fd = -1};
}

int pack_file_map(struct pack_file *file)
{
	int flags = file->mapping ? MAP_SHARED | MAP_FIXED : MAP_SHARED;
	void *mapping = mmap((void *)file->mapping, file->header.file_bytes, PROT_READ, flags, file->fd, 0);

	if (mapping == MAP_FAILED)
		return -errno;
	/* Around a table lie images: a cold one takes 10 KB of the disk with this and 520 without.  Not needed, should it fail. */
	(void)madvise(mapping, file->header.file_bytes, MADV_RANDOM);
	if (!file->mapping) /* else others may be reading it */
		file->mapping = mapping;
	return 0;
}

uint64_t pack_file_images_end(const struct pack_file *file)
{
	return file->header.shard_number == PACK_NO_SHARD ? file->header.index_at : file->header.file_bytes;
}

/* ------------------------------------------------------------------ names */

static size_t without_ending(const char *path, const char *ending)
{
	size_t length = strlen(path), ending_length = strlen(ending);

	return length > ending_length && strcmp(path + length - ending_length, ending) == 0 ? length - ending_length : length;
}

char *pack_file_shard_path(const char *path, uint32_t number)
{
	char *shard_path;

	if (asprintf(&shard_path, "%.*s-%05u" SHARD_ENDING, (int)without_ending(path, PACK_ENDING), path, number) < 0)
		return NULL;
	return shard_path;
}

char *pack_file_pack_path(const char *shard_path)
{
	size_t length = without_ending(shard_path, SHARD_ENDING), digits = 0;
	char *path;

	if (shard_path[length] == '\0')
		return NULL;
	while (digits < length && shard_path[length - digits - 1] >= '0' && shard_path[length - digits - 1] <= '9')
		digits++;
	if (digits < 5 || digits + 1 >= length || shard_path[length - digits - 1] != '-')
		return NULL;
	return asprintf(&path, "%.*s" PACK_ENDING, (int)(length - digits - 1), shard_path) < 0 ? NULL : path;
}
