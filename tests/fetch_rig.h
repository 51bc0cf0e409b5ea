/* fetch_rig.h - what the tests of fetch share: a scratch folder, files with a known content, and one fetch under test. */
#ifndef CROPRING_TESTS_FETCH_RIG_H
#define CROPRING_TESTS_FETCH_RIG_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>

#include "loader/fetch/fetch.h"
#include "tests/tree_fixture.h"

#define RIG_WATCHDOG_S  180 /* what hangs is killed, so that a run ends */
#define RIG_PATIENCE_MS 60000

/* One body, both back ends, each behind what the page cache has and alone. */
struct rig_mode {
	enum fetch_backend backend; /* the first member: some tests look at nothing else */
	bool past_cache;
};

/* clang-format off */
#define RIG_TEST(test, words, ...) \
	{.name = #test " (" words ")", .test_func = test, .initial_state = &(struct rig_mode){__VA_ARGS__}}
#define ON_BOTH(test)                                \
	RIG_TEST(test, "uring", FETCH_URING, false), \
	RIG_TEST(test, "pread", FETCH_PREAD, false)
#define ON_BOTH_AND_PAST_THE_CACHE(test)                            \
	ON_BOTH(test),                                              \
	RIG_TEST(test, "uring, past the cache", FETCH_URING, true), \
	RIG_TEST(test, "pread, past the cache", FETCH_PREAD, true)
/* clang-format on */

static char rig_folder[64];
static int rig_folder_fd = -1;

static inline int rig_set_up(void **state)
{
	(void)state;
	alarm(RIG_WATCHDOG_S);
	strcpy(rig_folder, "/tmp/cropring-test-XXXXXX");
	if (!mkdtemp(rig_folder))
		return -1;
	rig_folder_fd = open(rig_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return rig_folder_fd < 0 ? -1 : 0;
}

static inline int rig_tear_down(void **state)
{
	(void)state;
	close(rig_folder_fd);
	return remove_folder(rig_folder);
}

/* The whole path, valid until the fourth call from now. */
static inline const char *rig_path(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", rig_folder, name);
	return path;
}

static inline void rig_link(const char *target, const char *name)
{
	assert_int_equal(symlinkat(target, rig_folder_fd, name), 0);
}

static inline void rig_cut(const char *name, off_t byte_count)
{
	int fd = openat(rig_folder_fd, name, O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, byte_count), 0);
	close(fd);
}

static inline struct fetch *rig_try_open(struct fetch_config config, struct err *err)
{
	struct fetch *fetch = NULL;

	return fetch_open(&fetch, &config, err) == 0 ? fetch : NULL;
}

static inline bool rig_has_uring(void)
{
	struct err err = {""};
	struct fetch *fetch =
		rig_try_open((struct fetch_config){.backend = FETCH_URING, .depth = 1, .max_file_bytes = 1, .timeout_ms = 1}, &err);

	if (!fetch)
		print_message("%s\n", err.text);
	fetch_close(fetch);
	return fetch;
}

static inline struct fetch_config rig_config(void **state, uint32_t depth, uint64_t max_file_bytes, uint32_t timeout_ms)
{
	const struct rig_mode *mode = *state;

	return (struct fetch_config){.backend = mode->backend,
	                             .past_cache = mode->past_cache,
	                             .depth = depth,
	                             .max_file_bytes = max_file_bytes,
	                             .timeout_ms = timeout_ms};
}

/* Skips, visibly, where the machine has no io_uring. */
static inline struct fetch *rig_open_with(struct fetch_config config)
{
	struct err err = {""};
	struct fetch *fetch = rig_try_open(config, &err);

	if (!fetch && config.backend == FETCH_URING) {
		print_message("%s\n", err.text);
		skip();
	}
	assert_non_null(fetch);
	assert_string_equal(fetch_backend_name(fetch), config.backend == FETCH_URING ? "uring" : "pread");
	assert_string_equal(fetch_fallback_reason(fetch), "");
	return fetch;
}

static inline struct fetch *rig_open(void **state, uint32_t depth, uint64_t max_file_bytes, uint32_t timeout_ms)
{
	return rig_open_with(rig_config(state, depth, max_file_bytes, timeout_ms));
}

/* Different for each file and each position, so that mixed-up bytes show. */
static inline uint8_t rig_byte(uint64_t seed, uint64_t position)
{
	uint64_t mixed = (seed * 1000003u + position) * 0x9e3779b97f4a7c15u;

	return (uint8_t)(mixed >> 56);
}

enum { RIG_PIECE_BYTES = 4096 };

/* ThreadSanitizer would look at each byte of what no other thread sees: most of these tests' time. */
__attribute__((no_sanitize("thread"))) static inline void rig_fill(uint8_t *piece, size_t byte_count, uint64_t seed, uint64_t position)
{
	for (size_t i = 0; i < byte_count; i++)
		piece[i] = rig_byte(seed, position + i);
}

static inline void rig_write(const char *name, uint64_t seed, size_t byte_count)
{
	int fd = openat(rig_folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t piece[RIG_PIECE_BYTES];

	assert_true(fd >= 0);
	for (size_t done_bytes = 0; done_bytes < byte_count;) {
		size_t piece_bytes = byte_count - done_bytes < sizeof piece ? byte_count - done_bytes : sizeof piece;

		rig_fill(piece, piece_bytes, seed, done_bytes);
		assert_int_equal(write(fd, piece, piece_bytes), piece_bytes);
		done_bytes += piece_bytes;
	}
	close(fd);
}

static inline int rig_bytes_are(const uint8_t *data, size_t byte_count, uint64_t seed, uint64_t position)
{
	uint8_t piece[RIG_PIECE_BYTES];

	for (size_t seen_bytes = 0; seen_bytes < byte_count; seen_bytes += sizeof piece) {
		size_t piece_bytes = byte_count - seen_bytes < sizeof piece ? byte_count - seen_bytes : sizeof piece;

		rig_fill(piece, piece_bytes, seed, position + seen_bytes);
		if (memcmp(data + seen_bytes, piece, piece_bytes) != 0)
			return 0;
	}
	return 1;
}

static inline int rig_content_is(const struct fetch_buffer *buffer, uint64_t seed)
{
	return rig_bytes_are(buffer->data, buffer->byte_count, seed, 0);
}

/* The tag is a number that the test chooses. */
static inline int rig_submit(struct fetch *fetch, const char *path, uintptr_t tag)
{
	struct fetch_job job = {.directory_fd = rig_folder_fd, .path = path, .tag = (void *)tag};

	return fetch_submit(fetch, &job);
}

static inline struct fetch_result rig_collect(struct fetch *fetch)
{
	struct fetch_result result = {0};

	assert_int_equal(fetch_collect(fetch, RIG_PATIENCE_MS, &result), 0);
	return result;
}

static inline struct fetch_result rig_read_one(struct fetch *fetch, const char *path)
{
	struct fetch_result result;

	assert_int_equal(rig_submit(fetch, path, 4711), 0);
	result = rig_collect(fetch);
	assert_int_equal((uintptr_t)result.tag, 4711);
	if (result.status == ITEM_OK)
		assert_non_null(result.buffer);
	else
		assert_null(result.buffer);
	return result;
}

static inline struct fetch_result rig_read_from(struct fetch *fetch, const char *folder, const char *path)
{
	struct fetch_job job = {.directory_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), .path = path};
	struct fetch_result result;

	assert_true(job.directory_fd >= 0);
	assert_int_equal(fetch_submit(fetch, &job), 0);
	result = rig_collect(fetch);
	close(job.directory_fd);
	return result;
}

static inline void rig_expect_content(struct fetch *fetch, struct fetch_result result, uint64_t seed, size_t byte_count)
{
	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.buffer->byte_count, byte_count);
	assert_true(rig_content_is(result.buffer, seed));
	fetch_return(fetch, result.buffer);
}

static inline void rig_expect_failure(struct fetch_result result, enum item_status status, int error)
{
	assert_string_equal(item_status_name(result.status), item_status_name(status));
	assert_int_equal(result.error, error);
	assert_null(result.buffer);
}

/* Entries of a folder of /proc/self: its descriptors, its threads. */
static inline uint32_t rig_count(const char *path)
{
	DIR *folder = opendir(path);
	uint32_t count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

#endif
