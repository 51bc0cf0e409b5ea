/* fetch_wish.h - what tests of parts of files share: a wish for a part, which is told when fetch asks for it. */
#ifndef CROPRING_TESTS_FETCH_WISH_H
#define CROPRING_TESTS_FETCH_WISH_H

#include "tests/fetch_rig.h"

/* From malloc. */
static inline struct file_runs *wish_copy_runs(const struct file_runs *runs)
{
	size_t byte_count = sizeof *runs + runs->count * sizeof *runs->run;
	struct file_runs *copy = malloc(byte_count);

	assert_non_null(copy);
	return memcpy(copy, runs, byte_count);
}

/* What the fetch under test is told, and what it asked; the head must be the image's. */
static struct wish {
	bool wants_part;
	struct file_part part;
	const struct file_runs *runs; /* NULL: none; else a copy of them is the answer */
	uint64_t image_offset;        /* in the file, which has seed 1 */
	uint32_t question_count;
	size_t head_bytes;
	bool had_stamp;
	struct file_stamp stamp;
	void *tag;
} wish;

static inline bool wish_choose(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                               struct file_part *part, struct file_runs **runs)
{
	struct wish *answer = context;

	answer->question_count++;
	answer->head_bytes = head_bytes;
	answer->tag = tag;
	answer->had_stamp = stamp;
	if (stamp)
		answer->stamp = *stamp;
	if (answer->runs)
		*runs = wish_copy_runs(answer->runs);
	assert_true(rig_bytes_are(head, head_bytes, 1, answer->image_offset));
	*part = answer->part;
	return answer->wants_part;
}

/* The answer comes with the file cut short: what was there before is not there when it is read. */
static inline bool wish_choose_and_cut(void *context, void *tag, const uint8_t *head, size_t head_bytes,
                                       const struct file_stamp *stamp, struct file_part *part, struct file_runs **runs)
{
	rig_cut("shrinking", 500000);
	return wish_choose(context, tag, head, head_bytes, stamp, part, runs);
}

static inline struct fetch *wish_open(void **state, uint64_t max_file_bytes)
{
	struct fetch_config config = rig_config(state, 4, max_file_bytes, RIG_PATIENCE_MS);

	config.choose_part = wish_choose;
	config.context = &wish;
	return rig_open_with(config);
}

/* Out of the page cache, so that it is not read by whoever collects. */
static inline void make_cold(const char *name)
{
	int fd = openat(rig_folder_fd, name, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fdatasync(fd), 0);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

#endif
