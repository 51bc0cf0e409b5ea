/* fetch_runs_rig.h - what tests of runs and of open files share: runs of a file with seed 1, submitted and compared with it. */
#ifndef CROPRING_TESTS_FETCH_RUNS_RIG_H
#define CROPRING_TESTS_FETCH_RUNS_RIG_H

#include <sys/stat.h>

#include "tests/fetch_wish.h"

#define LIMIT_BYTES ((uint64_t)4 << 20)
#define FILE_BYTES  3000000u

enum { RUNS_MAX = 300 };

union some_runs {
	struct file_runs runs;
	struct {
		uint32_t count;
		uint64_t total_bytes;
		struct file_run run[RUNS_MAX]; /* where runs.run is */
	};
};

struct place {
	uint64_t offset, length;
};

static uint8_t file_content[FILE_BYTES]; /* as rig_write() has it with seed 1; filled by write_file() */

/* A file of FILE_BYTES. */
static inline void write_file(const char *name)
{
	int fd = openat(rig_folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (file_content[1] != rig_byte(1, 1))
		rig_fill(file_content, FILE_BYTES, 1, 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file_content, FILE_BYTES), FILE_BYTES);
	close(fd);
}

static const struct place whole_file = {0, 0}, middle = {700001, 1500000};

static inline void add_run(union some_runs *some, uint64_t offset, uint64_t byte_count)
{
	assert_true(some->runs.count < RUNS_MAX);
	some->run[some->runs.count++] = (struct file_run){.offset = offset, .byte_count = byte_count};
	some->runs.total_bytes += byte_count;
}

/* So many, each of byte_count, with as much between them as is left when the last one ends at `end`. */
static inline union some_runs make_even_runs(uint32_t count, uint64_t begin, uint64_t byte_count, uint64_t end)
{
	union some_runs some = {.runs = {.count = 0}};
	uint64_t gap_bytes = count > 1 ? (end - begin - count * byte_count) / (count - 1) : 0;

	for (uint32_t i = 0; i < count; i++)
		add_run(&some, begin + i * (byte_count + gap_bytes), byte_count);
	return some;
}

/* fd: -1 to have it opened.  What the job points to is overwritten at once: it was copied. */
static inline int submit_runs(struct fetch *fetch, const char *name, int fd, struct place place, const union some_runs *some,
                              uintptr_t tag)
{
	struct file_runs *runs = some ? wish_copy_runs(&some->runs) : NULL;
	struct fetch_job job = {.directory_fd = fd < 0 ? rig_folder_fd : -1,
	                        .path = name,
	                        .tag = (void *)tag,
	                        .offset = place.offset,
	                        .length = place.length,
	                        .is_open = fd >= 0,
	                        .fd = fd,
	                        .runs = runs};
	int rc = fetch_submit(fetch, &job);

	if (runs)
		memset(runs, 0xff, sizeof *runs + runs->count * sizeof *runs->run);
	free(runs);
	return rc;
}

static inline struct fetch_result read_runs(struct fetch *fetch, const char *name, int fd, struct place place,
                                            const union some_runs *some)
{
	wish.image_offset = place.offset;
	assert_int_equal(submit_runs(fetch, name, fd, place, some, 4711), 0);
	return rig_collect(fetch);
}

static inline void expect_runs(struct fetch *fetch, struct fetch_result result, struct place place, const union some_runs *some)
{
	const struct fetch_buffer *buffer = result.buffer;
	size_t at = 0;

	assert_string_equal(item_status_name(result.status), "ok");
	assert_int_equal(buffer->byte_count, some->runs.total_bytes);
	assert_int_equal(buffer->head_bytes, buffer->byte_count);
	assert_int_equal(buffer->part.row_count, 0);
	assert_non_null(buffer->runs);
	assert_int_equal(buffer->runs->count, some->runs.count);
	assert_int_equal(buffer->runs->total_bytes, some->runs.total_bytes);
	assert_memory_equal(buffer->runs->run, some->run, some->runs.count * sizeof *some->run);
	for (uint32_t i = 0; i < some->runs.count; at += some->run[i++].byte_count)
		assert_memory_equal(buffer->data + at, file_content + place.offset + some->run[i].offset, some->run[i].byte_count);
	fetch_return(fetch, result.buffer);
}

static inline void expect_image(struct fetch *fetch, struct fetch_result result, struct place place)
{
	assert_string_equal(item_status_name(result.status), "ok");
	assert_null(result.buffer->runs);
	assert_int_equal(result.buffer->byte_count, place.length);
	assert_memory_equal(result.buffer->data, file_content + place.offset, place.length);
	fetch_return(fetch, result.buffer);
}

static inline int open_file(const char *name)
{
	int fd = openat(rig_folder_fd, name, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline void expect_still_open(int fd, const char *name)
{
	struct stat here, there;

	assert_int_equal(fstat(fd, &here), 0);
	assert_int_equal(fstatat(rig_folder_fd, name, &there, 0), 0);
	assert_true(here.st_ino == there.st_ino && here.st_dev == there.st_dev);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
}

#endif
