/* manifest_check.h - what fuzzers of manifests share: whatever is read from these bytes has to be an index that can be used. */
#ifndef CROPRING_FUZZ_MANIFEST_CHECK_H
#define CROPRING_FUZZ_MANIFEST_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/plan/index/index_view.h"
#include "loader/plan/manifest/manifest.h"

static inline _Noreturn void manifest_finding(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

/* Paths go to openat() below the root: none may be absolute or climb. */
static inline void manifest_check_path(const char *path)
{
	if (*path == '/' || strncmp(path, "../", 3) == 0 || strcmp(path, "..") == 0 || strstr(path, "/../"))
		manifest_finding("a path that leaves the root");
}

static inline void manifest_check_index(struct index_build *build)
{
	int fd = index_build_finish(build, "/data");
	off_t byte_count = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	void *memory = byte_count < 0 ? MAP_FAILED : mmap(NULL, (size_t)byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
	struct index_view view;
	struct err err;

	if (memory == MAP_FAILED)
		manifest_finding("no memory for an index");
	if (index_view_open(&view, memory, (size_t)byte_count, "index", &err) != 0)
		manifest_finding(err.text);
	for (uint64_t i = 0; i < view.header->sample_count; i++)
		manifest_check_path(view.text + ((const uint64_t *)view.column[INDEX_PATH])[i]);
	munmap(memory, (size_t)byte_count);
	close(fd);
}

static inline void manifest_check(enum manifest_format format, const uint8_t *data, size_t byte_count)
{
	static int file = -1;
	struct manifest_root root = {.fd = -1, .folder = "/data", .named = "/data", .real = "/home/data"};
	struct manifest_names others;
	struct index_build *build;
	struct err err = {""};
	int rc;

	if (file < 0)
		file = memfd_create("manifest", MFD_CLOEXEC);
	if (ftruncate(file, 0) != 0 || pwrite(file, data, byte_count, 0) != (ssize_t)byte_count || lseek(file, 0, SEEK_SET) != 0)
		manifest_finding("no file for the input");
	rc = manifest_read(&build, file, "m", format, &root, &others, &err);
	if (rc == 0)
		manifest_check_index(build);
	else if ((rc != -EINVAL && rc != -ENODATA) || strncmp(err.text, "m:", 2) != 0)
		manifest_finding("refused without a sentence that tells where");
	index_build_close(build);
}

#endif
