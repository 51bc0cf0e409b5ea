/* index_bytes.h - for tests of indexes: one with everything in it, as bytes that can be spoiled. */
#ifndef CROPRING_TESTS_INDEX_BYTES_H
#define CROPRING_TESTS_INDEX_BYTES_H

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/index/index_build.h"
#include "loader/plan/index/index_view.h"

#define INDEX_BYTES_ALL                                                                                                            \
	(INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH) | INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_TARGET_OFFSET) |            \
	 INDEX_HAS(INDEX_TARGET_LENGTH) | INDEX_HAS(INDEX_WEIGHT))

/* An index in memory of exactly its size. */
struct index_bytes {
	union {
		char *bytes;
		struct index_header *header;
	};
	size_t byte_count;
};

/* Two classes, three samples; `more` is INDEX_BOX or INDEX_WINDOW. */
static inline struct index_build *index_bytes_build(enum index_column more)
{
	static const struct index_row rows[] = {
		{.path = "a/1.jpg",
	         .label = 0,
	         .offset = 0,
	         .length = 10,
	         .box = {1, 2, 3, 4},
	         .window = {0, 0.5f, 1},
	         .target = "m/1.png",
	         .target_offset = 0,
	         .target_length = 7,
	         .weight = 0.5},
		{.path = "x.tar",
	         .label = 1,
	         .offset = 512,
	         .length = 20,
	         .box = {0, 0, 1, 1},
	         .window = {1, 1, 0},
	         .target = "m/2.png",
	         .target_offset = 8,
	         .target_length = 9,
	         .weight = 0},
		{.path = "x.tar",
	         .label = -1,
	         .offset = 1024,
	         .length = 30,
	         .box = {9, 9, 9, 9},
	         .window = {0.25f, 0, 0.75f},
	         .target = "m/2.png",
	         .target_offset = 99,
	         .target_length = 0,
	         .weight = 4},
	};
	struct index_build *build = index_build_open(INDEX_BYTES_ALL | INDEX_HAS(more));

	if (!build || index_build_class(build, "cat") != 0 || index_build_class(build, "dog") != 0)
		abort();
	for (size_t i = 0; i < 3; i++)
		if (index_build_add(build, &rows[i]) != 0)
			abort();
	return build;
}

static inline struct index_bytes index_bytes_of(int fd)
{
	struct index_bytes index;
	struct stat status;

	if (fstat(fd, &status) != 0)
		abort();
	index.byte_count = (size_t)status.st_size;
	index.bytes = malloc(index.byte_count);
	if (!index.bytes || pread(fd, index.bytes, index.byte_count, 0) != status.st_size)
		abort();
	return index;
}

static inline struct index_bytes index_bytes_make(enum index_column more)
{
	struct index_build *build = index_bytes_build(more);
	int fd = index_build_finish(build, "root");
	struct index_bytes index;

	if (fd < 0)
		abort();
	index = index_bytes_of(fd);
	close(fd);
	index_build_close(build);
	return index;
}

#endif
