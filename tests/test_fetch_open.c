/* Tests of loader/fetch with files that are open already. */
#include <sys/resource.h>

#include "loader/fetch/uring_files.h"
#include "tests/fetch_runs_rig.h"

static void open_files_are_read_whole_and_in_parts_as_others_are(void **state)
{
	static const struct place places[] = {{0, 1},      {0, FILE_BYTES}, {FILE_BYTES - 1, 1},
	                                      {7, 131072}, {7, 131073},     {700001, 1500000}};
	static const struct file_part rows = {.offset = 54, .row_bytes = 880, .stride_bytes = 4000, .row_count = 300};
	struct fetch *fetch = wish_open(state, LIMIT_BYTES);
	struct fetch_result result;
	struct file_bytes file;
	int fd;

	write_file("pack");
	fd = open_file("pack");
	wish = (struct wish){.wants_part = false};
	for (size_t i = 0; i < sizeof places / sizeof *places; i++)
		expect_image(fetch, read_runs(fetch, "a name", fd, places[i], NULL), places[i]);
	rig_expect_content(fetch, read_runs(fetch, "a name", fd, whole_file, NULL), 1, FILE_BYTES);

	for (int cold = 0; cold < 2; cold++) {
		if (cold)
			make_cold("pack");
		wish = (struct wish){.wants_part = true, .part = rows, .had_stamp = true};
		result = read_runs(fetch, "a name", fd, middle, NULL);
		assert_int_equal(wish.question_count, 1);
		assert_false(wish.had_stamp); /* nobody looked */
		assert_int_equal(result.status, ITEM_OK);
		assert_null(result.buffer->runs);
		file = file_bytes_with_part(result.buffer->data, result.buffer->byte_count, result.buffer->head_bytes,
		                            &result.buffer->part);
		for (uint64_t row = 0; row < rows.row_count; row++) {
			uint64_t offset = rows.offset + row * rows.stride_bytes;
			const uint8_t *bytes = file_bytes_at(&file, offset, rows.row_bytes);

			assert_non_null(bytes);
			assert_true(rig_bytes_are(bytes, rows.row_bytes, 1, middle.offset + offset));
		}
		fetch_return(fetch, result.buffer);
	}
	fetch_close(fetch);
	expect_still_open(fd, "pack");
	close(fd);
}

static void no_failure_closes_a_file_that_was_open(void **state)
{
	static const struct place beyond[] = {{FILE_BYTES, 1},    {FILE_BYTES - 1, 2}, {1, FILE_BYTES},         {INT64_MAX, 1},
	                                      {INT64_MAX - 1, 1}, {UINT64_MAX, 1},     {UINT64_MAX, UINT64_MAX}};
	struct fetch *fetch = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs one = make_even_runs(1, 0, 1, 1);
	uint32_t before_count;
	int fd;

	write_file("pack");
	fd = open_file("pack");
	expect_runs(fetch, read_runs(fetch, "a name", fd, middle, &one), middle, &one);
	before_count = rig_count("/proc/self/fd");
	for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
		rig_expect_failure(read_runs(fetch, "a name", fd, beyond[i], NULL), ITEM_TRUNCATED, 0);
	rig_expect_failure(read_runs(fetch, "a name", fd, (struct place){5, LIMIT_BYTES + 1}, NULL), ITEM_TOO_LARGE, 0);
	rig_expect_failure(read_runs(fetch, "a name", fd, (struct place){5, 0}, NULL), ITEM_EMPTY, 0);
	expect_still_open(fd, "pack");
	assert_int_equal(rig_count("/proc/self/fd"), before_count);
	assert_int_equal(submit_runs(fetch, "a name", fd, middle, &one, 0), 0);
	fetch_close(fetch); /* with a job that nobody collected */
	expect_still_open(fd, "pack");
	close(fd);
}

/* It would take as many places as the highest number, and gets no more than there may be descriptors. */
static void files_that_the_ring_refuses_are_read_all_the_same(void **state)
{
	enum { HIGH_FD = 500 };
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	union some_runs some = make_even_runs(50, 0, 1000, 1500000);
	struct rlimit before, low;
	struct fetch *fetch;
	int fds[2];

	fetch_close(rig_open_with(config)); /* where that is skipped, the limit is as it was */
	write_file("pack");
	fds[0] = open_file("pack");
	fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, HIGH_FD);
	assert_true(fds[1] >= HIGH_FD);
	config.open_fds = fds;
	config.open_fd_count = 2;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){.rlim_cur = HIGH_FD, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	fetch = rig_open_with(config);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	for (int i = 0; i < 2; i++)
		expect_runs(fetch, read_runs(fetch, "a name", fds[i], middle, &some), middle, &some);
	fetch_close(fetch);
	close(fds[0]);
	close(fds[1]);
}

static void the_ring_looks_files_up_once(void **state)
{
	struct uring_files files, none;
	struct io_uring ring, other;
	struct io_uring_sqe *entry;
	struct io_uring_cqe *answer;
	uint8_t byte = 0;
	int fds[2], other_fd;

	(void)state;
	if (!rig_has_uring())
		skip();
	rig_write("pack", 1, 1000);
	rig_write("other", 2, 1000);
	fds[0] = open_file("pack");
	fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, fds[0] + 2);
	assert_int_equal(io_uring_queue_init(4, &ring, 0), 0);
	assert_int_equal(io_uring_queue_init(4, &other, 0), 0);
	uring_files_register(&files, &ring, fds, 2);
	uring_files_register(&none, &other, NULL, 0);
	assert_true(uring_files_have(&files, fds[0]) && uring_files_have(&files, fds[1]));
	assert_false(uring_files_have(&files, fds[0] + 1) || uring_files_have(&files, fds[1] + 1) || uring_files_have(&files, -1));
	assert_false(uring_files_have(&none, fds[0]));

	other_fd = open_file("other");
	assert_int_equal(dup2(other_fd, fds[1]), fds[1]); /* the ring still has the one that it was told of */
	entry = io_uring_get_sqe(&ring);
	io_uring_prep_read(entry, fds[1], &byte, 1, 77);
	entry->flags |= IOSQE_FIXED_FILE;
	assert_int_equal(io_uring_submit(&ring), 1);
	assert_int_equal(io_uring_wait_cqe(&ring, &answer), 0);
	assert_int_equal(answer->res, 1);
	assert_int_equal(byte, rig_byte(1, 77));
	uring_files_free(&files);
	uring_files_free(&none);
	io_uring_queue_exit(&ring);
	io_uring_queue_exit(&other);
	close(fds[0]);
	close(fds[1]);
	close(other_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(open_files_are_read_whole_and_in_parts_as_others_are),
		ON_BOTH_AND_PAST_THE_CACHE(no_failure_closes_a_file_that_was_open),
		ON_BOTH_AND_PAST_THE_CACHE(files_that_the_ring_refuses_are_read_all_the_same),
		cmocka_unit_test(the_ring_looks_files_up_once),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
