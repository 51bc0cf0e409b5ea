/*
 * Tests of loader/fetch with files whose reads hang: nothing waits for them, and their memory is left alone until they end.
 *
 * FUSE files go to the threads, whatever the back end.  Other file systems can hang io_uring's reads just so, but need a dead
 * server to show it; therefore the last tests hand FUSE files to the ring itself, past fetch.c.
 */
#include "tests/hung_mount.h"

#include <sys/mman.h>
#include <time.h>

#include "loader/fetch/fetch_backend.h"

#define LIMIT_BYTES ((uint64_t)8 << 20)
#define TIMEOUT_MS  150

static void sleep_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static struct fetch *open_beside_hung_files(void **state, uint32_t depth)
{
	if (hung_pid <= 0)
		skip();
	rig_write("good", 1, 50000);
	hung_tell('h');
	return rig_open(state, depth, LIMIT_BYTES, TIMEOUT_MS);
}

static void submit_hung(struct fetch *fetch, const char *kind, uint32_t number)
{
	char path[32];

	snprintf(path, sizeof path, "mount/%s-%u", kind, number);
	assert_int_equal(rig_submit(fetch, path, 1000 + number), 0);
}

/* After hung files were let go, their slots come back behind the scenes. */
static void expect_recovery(struct fetch *fetch)
{
	struct fetch_result result;

	hung_tell('r');
	do {
		result = rig_read_one(fetch, "mount/short");
	} while (result.status == ITEM_TIMEOUT);
	rig_expect_content(fetch, result, SHORT_SEED, SHORT_BYTES);
}

static void short_reads_are_not_the_end(void **state)
{
	struct fetch *fetch = open_beside_hung_files(state, 4);

	for (int i = 0; i < 3; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "mount/short"), SHORT_SEED, SHORT_BYTES);
	rig_expect_content(fetch, rig_read_from(fetch, hung_folder, "short"), SHORT_SEED, SHORT_BYTES);
	fetch_close(fetch);
}

static bool choose_run(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
                       struct file_part *part, struct file_runs **runs)
{
	(void)tag;
	(void)head;
	(void)stamp;
	(void)runs;
	assert_int_equal(head_bytes, FETCH_HEAD_BYTES);
	*part = *(const struct file_part *)context;
	return part->row_count > 0;
}

static struct fetch *open_with_parts(void **state, uint32_t timeout_ms, struct file_part *part)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, timeout_ms);

	config.choose_part = choose_run;
	config.context = part;
	return rig_open_with(config);
}

static void short_reads_are_not_the_end_of_a_part(void **state)
{
	struct file_part part = {.offset = 30000, .row_bytes = 100000, .row_count = 1};
	struct fetch *fetch;
	struct fetch_result result;

	if (hung_pid <= 0)
		skip();
	fetch = open_with_parts(state, RIG_PATIENCE_MS, &part);
	result = rig_read_one(fetch, "mount/short");
	assert_int_equal(result.status, ITEM_OK);
	assert_int_equal(result.buffer->byte_count, FETCH_HEAD_BYTES + part.row_bytes);
	assert_true(rig_bytes_are(result.buffer->data + FETCH_HEAD_BYTES, part.row_bytes, SHORT_SEED, part.offset));
	fetch_return(fetch, result.buffer);
	part.row_count = 0;
	rig_expect_content(fetch, rig_read_one(fetch, "mount/short"), SHORT_SEED, SHORT_BYTES);
	fetch_close(fetch);
}

enum { RUN_COUNT = 40 };

/* Each of run_bytes, stride_bytes apart; from malloc. */
static struct file_runs *make_runs(uint64_t run_bytes, uint64_t stride_bytes)
{
	struct file_runs *runs = malloc(sizeof *runs + RUN_COUNT * sizeof *runs->run);

	assert_non_null(runs);
	*runs = (struct file_runs){.count = RUN_COUNT, .total_bytes = RUN_COUNT * run_bytes};
	for (uint32_t i = 0; i < RUN_COUNT; i++)
		runs->run[i] = (struct file_run){.offset = i * stride_bytes, .byte_count = run_bytes};
	return runs;
}

static int open_in_mount(const char *path)
{
	int fd = openat(rig_folder_fd, path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void submit_open(struct fetch *fetch, int fd, const struct file_runs *runs, uintptr_t tag)
{
	struct fetch_job job = {.directory_fd = -1,
	                        .path = "a name",
	                        .offset = 7,
	                        .length = 200000,
	                        .is_open = true,
	                        .fd = fd,
	                        .runs = runs,
	                        .tag = (void *)tag};

	assert_int_equal(fetch_submit(fetch, &job), 0);
}

static void short_reads_are_not_the_end_of_runs(void **state)
{
	static const uint64_t strides[] = {400, 500, 4999};
	struct fetch_result result;
	struct fetch *fetch;
	int fd;

	if (hung_pid <= 0)
		skip();
	fd = open_in_mount("mount/short");
	fetch = rig_open(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	for (size_t i = 0; i < sizeof strides / sizeof *strides; i++) {
		struct file_runs *runs = make_runs(400, strides[i]);

		submit_open(fetch, fd, runs, 0);
		result = rig_collect(fetch);
		assert_int_equal(result.status, ITEM_OK);
		for (uint64_t k = 0; k < runs->total_bytes; k++)
			assert_int_equal(result.buffer->data[k], rig_byte(SHORT_SEED, 7 + k / 400 * strides[i] + k % 400));
		fetch_return(fetch, result.buffer);
		free(runs);
	}
	fetch_close(fetch);
	assert_true(is_open(fd));
	close(fd);
}

/* Its runs are the fetch's own, its descriptor is not. */
static void an_open_file_that_hangs_is_given_up_and_stays_open(void **state)
{
	struct fetch *fetch = open_beside_hung_files(state, 4);
	struct fetch_result held[3];
	uint32_t before_count;
	int fds[2] = {open_in_mount("mount/hung-0"), open_in_mount("mount/paged-0")};

	rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	before_count = rig_count("/proc/self/fd");
	for (int i = 0; i < 2; i++) {
		struct file_runs *runs = make_runs(300, i ? 3001 : 3000);

		submit_open(fetch, fds[i], runs, 0);
		memset(runs, 0xff, sizeof *runs + RUN_COUNT * sizeof *runs->run);
		free(runs);
	}
	for (int i = 0; i < 5; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	for (int i = 0; i < 2; i++)
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	for (int i = 0; i < 3; i++)
		held[i] = rig_read_one(fetch, "good");
	hung_tell('r');
	for (int i = 0; i < 5; i++) /* here the late answers come in */
		assert_int_equal(fetch_collect(fetch, 20, &(struct fetch_result){0}), -ETIMEDOUT);
	for (int i = 0; i < 3; i++)
		rig_expect_content(fetch, held[i], 1, 50000);
	assert_int_equal(rig_count("/proc/self/fd"), before_count);
	assert_true(is_open(fds[0]) && is_open(fds[1]));

	hung_tell('h');
	submit_open(fetch, fds[0], NULL, 0);
	assert_int_equal(fetch_collect(fetch, 20, &(struct fetch_result){0}), -ETIMEDOUT);
	fetch_close(fetch); /* while it hangs */
	assert_true(is_open(fds[0]));
	hung_tell('r');
	close(fds[1]); /* the other one is left open: whoever hung with it comes back unseen */
}

/* The collector asks whether the rest is in the cache, and must not be the one that waits for it. */
static void a_file_that_hangs_behind_its_head_holds_up_no_other(void **state)
{
	struct file_part nothing = {.row_count = 0};
	struct fetch *fetch;
	struct fetch_result result;

	if (hung_pid <= 0)
		skip();
	assert_int_equal(HALF_BYTES, FETCH_HEAD_BYTES);
	rig_write("good", 1, 50000);
	hung_tell('h');
	fetch = open_with_parts(state, TIMEOUT_MS, &nothing);
	submit_hung(fetch, "half", 1);
	for (int i = 0; i < 3; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	result = rig_collect(fetch);
	assert_int_equal((uintptr_t)result.tag, 1001);
	rig_expect_failure(result, ITEM_TIMEOUT, 0);
	expect_recovery(fetch);
	fetch_close(fetch);
}

/* It comes back as one that would have to be asked which part is wanted, but nobody waits for it any more. */
static void a_head_that_comes_too_late_leaves_nothing_open(void **state)
{
	struct file_part nothing = {.row_count = 0};
	uint32_t before_count;
	struct fetch *fetch;

	if (hung_pid <= 0)
		skip();
	rig_write("good", 1, 50000);
	hung_tell('h');
	fetch = open_with_parts(state, TIMEOUT_MS, &nothing);
	rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	before_count = rig_count("/proc/self/fd");
	submit_hung(fetch, "hung", 1);
	rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	assert_int_equal(rig_count("/proc/self/fd"), before_count + 1);
	hung_tell('r');
	while (rig_count("/proc/self/fd") > before_count) { /* until the watchdog comes */
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
		sleep_ms(10);
	}
	fetch_close(fetch);
}

static void late_answers_of_hung_files_reach_no_other_buffer(const char *kind, void **state)
{
	enum { HUNG_COUNT = 3, HELD_COUNT = 12 };
	struct fetch *fetch = open_beside_hung_files(state, HUNG_COUNT + 1);
	struct fetch_result held[HELD_COUNT];

	for (uint32_t i = 0; i < HUNG_COUNT; i++)
		submit_hung(fetch, kind, i);
	for (int i = 0; i < 20; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	for (uint32_t i = 0; i < HUNG_COUNT; i++)
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	assert_int_equal(fetch_in_flight(fetch), 0);
	for (int i = 0; i < HELD_COUNT; i++)
		held[i] = rig_read_one(fetch, "good");
	hung_tell('r');
	for (int i = 0; i < 5; i++) /* here the late answers come in */
		assert_int_equal(fetch_collect(fetch, 20, &(struct fetch_result){0}), -ETIMEDOUT);
	for (int i = 0; i < HELD_COUNT; i++)
		rig_expect_content(fetch, held[i], 1, 50000);
	for (int i = 0; i < 20; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	fetch_close(fetch);
}

static void late_reads_reach_no_other_buffer(void **state)
{
	late_answers_of_hung_files_reach_no_other_buffer("hung", state);
}

static void late_opens_reach_no_other_buffer(void **state)
{
	late_answers_of_hung_files_reach_no_other_buffer("unopenable", state);
}

static void stuck_files_do_not_take_room_from_others(void **state)
{
	struct fetch *fetch = open_beside_hung_files(state, 2);

	for (uint32_t i = 0; i < FETCH_STUCK_SPARE; i++) {
		submit_hung(fetch, "hung", i);
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	}
	for (int i = 0; i < 5; i++) {
		assert_int_equal(rig_submit(fetch, "mount/short", 0), 0);
		assert_int_equal(rig_submit(fetch, "mount/short", 0), 0);
		rig_expect_content(fetch, rig_collect(fetch), SHORT_SEED, SHORT_BYTES);
		rig_expect_content(fetch, rig_collect(fetch), SHORT_SEED, SHORT_BYTES);
	}
	expect_recovery(fetch);
	fetch_close(fetch);
}

static void when_everything_is_stuck_files_fail_at_once_until_it_is_not(void **state)
{
	struct fetch *fetch = open_beside_hung_files(state, 2);

	for (uint32_t i = 0; i < 2 + FETCH_STUCK_SPARE; i++) {
		submit_hung(fetch, "hung", i);
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	}
	for (int i = 0; i < 2000; i++) /* at TIMEOUT_MS each, the watchdog would bite */
		rig_expect_failure(rig_read_one(fetch, "mount/short"), ITEM_TIMEOUT, 0);
	expect_recovery(fetch);
	for (uint32_t i = 0; i < 4; i++)
		rig_expect_content(fetch, rig_read_one(fetch, "good"), 1, 50000);
	fetch_close(fetch);
}

static void many_hung_files_end_though_few_are_started_at_once(void **state)
{
	enum { DEPTH = 40 };
	struct fetch *fetch = open_beside_hung_files(state, DEPTH);

	for (uint32_t i = 0; i < DEPTH; i++)
		submit_hung(fetch, "hung", i);
	for (uint32_t i = 0; i < DEPTH; i++)
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	expect_recovery(fetch);
	fetch_close(fetch);
}

/* Each asks for 1 MB, as stat says; the memory of those that do not come back is spent, and the others go on one by one. */
static void hung_files_may_take_the_whole_budget(void **state)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, TIMEOUT_MS);
	struct fetch *fetch;

	config.budget_bytes = 1500000;
	fetch_close(open_beside_hung_files(state, 1));
	fetch = rig_open_with(config);
	for (uint32_t i = 0; i < 3; i++) {
		submit_hung(fetch, "hung", i);
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
		for (int k = 0; k < 5; k++) {
			assert_int_equal(rig_submit(fetch, "good", 0), 0);
			assert_int_equal(rig_submit(fetch, "good", 0), 0);
			rig_expect_content(fetch, rig_collect(fetch), 1, 50000);
			rig_expect_content(fetch, rig_collect(fetch), 1, 50000);
		}
	}
	expect_recovery(fetch);
	fetch_close(fetch);
}

static void closing_waits_for_no_hung_file(void **state)
{
	static const char *const kinds[] = {"hung", "unopenable"};

	for (size_t k = 0; k < 2; k++) {
		struct fetch *fetch = open_beside_hung_files(state, 8);

		for (uint32_t i = 0; i < 3; i++)
			submit_hung(fetch, kinds[k], i);
		assert_int_equal(fetch_collect(fetch, 20, &(struct fetch_result){0}), -ETIMEDOUT);
		fetch_close(fetch);
		hung_tell('r');
		sleep_ms(100); /* the late answers find memory that is still there: sanitizers look */
	}
}

/* A ring without fetch.c before it. */
struct bare_ring {
	struct fetch_engine *engine;
	struct buffers *buffers;
	int mount_fd;
};

static struct bare_ring open_bare_ring(uint32_t depth)
{
	struct bare_ring ring = {0};
	struct err err;

	if (hung_pid <= 0)
		skip();
	hung_tell('h');
	assert_int_equal(buffers_open(&ring.buffers, LIMIT_BYTES, 0), 0);
	if (fetch_uring_open(&ring.engine, &(struct fetch_config){.depth = depth},
	                     &(struct fetch_rules){.buffers = ring.buffers, .max_file_bytes = LIMIT_BYTES}, &err) != 0) {
		print_message("%s\n", err.text);
		buffers_close(ring.buffers);
		skip();
	}
	ring.mount_fd = open(hung_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(ring.mount_fd >= 0);
	rig_write("good", 1, 50000);
	return ring;
}

static void close_bare_ring(struct bare_ring ring)
{
	ring.engine->ops->close(ring.engine);
	buffers_close(ring.buffers);
	close(ring.mount_fd);
}

static struct fetch_slot *start_slot(struct bare_ring ring, int directory_fd, const char *path)
{
	struct fetch_slot *slot = calloc(1, sizeof *slot);

	assert_non_null(slot);
	assert_int_equal(fetch_slot_assign(slot, &(struct fetch_job){.directory_fd = directory_fd, .path = path}), 0);
	ring.engine->ops->start(ring.engine, slot);
	return slot;
}

static struct fetch_slot *wait_for_slot(struct bare_ring ring, uint32_t patience_ms)
{
	struct fetch_slot *slot = NULL;

	for (uint32_t waited_ms = 0; !slot && waited_ms < patience_ms; waited_ms += 10)
		slot = ring.engine->ops->next(ring.engine, 10 * 1000000);
	return slot;
}

static void abandon_slot(struct bare_ring ring, struct fetch_slot *slot)
{
	atomic_store_explicit(&slot->abandoned, true, memory_order_relaxed); /* relaxed: one thread */
	ring.engine->ops->abandon(ring.engine, slot);
}

static void the_ring_keeps_the_buffer_of_a_hung_read_until_it_ends(void **state)
{
	enum { GOOD_COUNT = 12 };
	struct bare_ring ring = open_bare_ring(4);
	struct fetch_slot *hung = start_slot(ring, ring.mount_fd, "hung-0"), *good[GOOD_COUNT], *back;

	(void)state;
	assert_null(wait_for_slot(ring, 100));
	abandon_slot(ring, hung);
	assert_null(wait_for_slot(ring, 100)); /* the kernel does not let go of it */
	for (size_t i = 0; i < GOOD_COUNT; i++) {
		good[i] = start_slot(ring, rig_folder_fd, "good");
		assert_ptr_equal(wait_for_slot(ring, RIG_PATIENCE_MS), good[i]);
		assert_ptr_not_equal(good[i]->buffer, hung->buffer);
	}
	hung_tell('r');
	back = wait_for_slot(ring, RIG_PATIENCE_MS);
	assert_ptr_equal(back, hung);
	assert_int_equal(back->buffer->data[0], 0xee); /* so late did the answer come */
	for (size_t i = 0; i < GOOD_COUNT; i++) {
		assert_int_equal(good[i]->status, ITEM_OK);
		assert_int_equal(good[i]->buffer->byte_count, 50000);
		assert_true(rig_content_is(good[i]->buffer, 1));
		fetch_slot_free(good[i], ring.buffers);
	}
	fetch_slot_free(back, ring.buffers);
	close_bare_ring(ring);
}

static void the_ring_lets_go_of_an_open_file_that_hung_and_does_not_close_it(void **state)
{
	struct bare_ring ring = open_bare_ring(4);
	struct fetch_rules rules = {.buffers = ring.buffers, .max_file_bytes = LIMIT_BYTES, .past_cache = true};
	int fd = openat(ring.mount_fd, "hung-0", O_RDONLY | O_CLOEXEC);
	struct file_runs *runs = make_runs(300, 3000);
	struct fetch_slot *slot = calloc(1, sizeof *slot);
	struct fetch_job job = {.path = "a name", .length = 200000, .is_open = true, .fd = fd, .runs = runs};

	(void)state;
	assert_true(fd >= 0);
	assert_non_null(slot);
	assert_int_equal(fetch_slot_assign(slot, &job), 0);
	free(runs);
	assert_int_equal(fetch_slot_was_open(slot, &rules), FETCH_READ);
	ring.engine->ops->start(ring.engine, slot);
	assert_null(wait_for_slot(ring, 100));
	abandon_slot(ring, slot);
	assert_null(wait_for_slot(ring, 50));
	hung_tell('r');
	assert_ptr_equal(wait_for_slot(ring, RIG_PATIENCE_MS), slot);
	assert_true(is_open(fd));
	fetch_slot_free(slot, ring.buffers);
	close_bare_ring(ring);
	assert_true(is_open(fd));
	close(fd);
}

static void the_ring_stays_usable_whatever_number_of_reads_hangs(void **state)
{
	enum { HUNG_COUNT = 30 }; /* more than it has descriptors, and than the kernel has threads for them */
	struct bare_ring ring = open_bare_ring(2);
	struct fetch_slot *slot, *back;
	char path[16];
	uint32_t back_count = 0;

	(void)state;
	for (uint32_t i = 0; i < HUNG_COUNT; i++) {
		snprintf(path, sizeof path, "hung-%u", i);
		slot = start_slot(ring, ring.mount_fd, path);
		for (back = wait_for_slot(ring, 10); back && back != slot; back = wait_for_slot(ring, 10)) {
			fetch_slot_free(back, ring.buffers); /* cancelled before a thread of the kernel had begun with it */
			back_count++;
		}
		if (!back) {
			abandon_slot(ring, slot);
			continue;
		}
		assert_int_equal(slot->status, ITEM_TIMEOUT); /* refused, as all were stuck */
		fetch_slot_free(slot, ring.buffers);
		back_count++;
	}
	hung_tell('r');
	while (back_count < HUNG_COUNT) {
		slot = wait_for_slot(ring, RIG_PATIENCE_MS);
		assert_non_null(slot);
		fetch_slot_free(slot, ring.buffers);
		back_count++;
	}
	slot = start_slot(ring, rig_folder_fd, "good");
	assert_ptr_equal(wait_for_slot(ring, RIG_PATIENCE_MS), slot);
	assert_int_equal(slot->status, ITEM_OK);
	assert_true(rig_content_is(slot->buffer, 1));
	fetch_slot_free(slot, ring.buffers);
	close_bare_ring(ring);
}

/* Memory that was freed is given out again here; a late answer that lands in it shows. */
static void expect_no_late_answer(void)
{
	enum { MAP_COUNT = 16, MAP_BYTES = 196608 };
	uint8_t *maps[MAP_COUNT];

	for (size_t i = 0; i < MAP_COUNT; i++) {
		maps[i] = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		assert_ptr_not_equal(maps[i], MAP_FAILED);
	}
	hung_tell('r');
	sleep_ms(100);
	for (size_t i = 0; i < MAP_COUNT; i++) {
		for (size_t k = 0; k < MAP_BYTES; k++)
			assert_int_equal(maps[i][k], 0);
		munmap(maps[i], MAP_BYTES);
	}
}

static void the_ring_closes_while_reads_and_opens_hang(void **state)
{
	(void)state;
	for (int abandoned = 0; abandoned < 2; abandoned++) {
		struct bare_ring ring = open_bare_ring(4);
		struct fetch_slot *read = start_slot(ring, ring.mount_fd, "hung-0");
		struct fetch_slot *open = start_slot(ring, ring.mount_fd, "unopenable-0");
		struct fetch_slot *page = start_slot(ring, ring.mount_fd, "paged-0");

		assert_null(wait_for_slot(ring, 50));
		if (abandoned) {
			abandon_slot(ring, read);
			abandon_slot(ring, open);
			abandon_slot(ring, page);
		}
		close_bare_ring(ring);
		expect_no_late_answer();
	}
}

static int set_up(void **state)
{
	int error = rig_set_up(state);

	if (!error)
		(void)hung_mount();
	return error;
}

static int tear_down(void **state)
{
	hung_unmount();
	return rig_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH(short_reads_are_not_the_end),
		ON_BOTH(short_reads_are_not_the_end_of_a_part),
		ON_BOTH(short_reads_are_not_the_end_of_runs),
		ON_BOTH(an_open_file_that_hangs_is_given_up_and_stays_open),
		ON_BOTH(a_head_that_comes_too_late_leaves_nothing_open),
		ON_BOTH(a_file_that_hangs_behind_its_head_holds_up_no_other),
		ON_BOTH(late_reads_reach_no_other_buffer),
		ON_BOTH(late_opens_reach_no_other_buffer),
		ON_BOTH(stuck_files_do_not_take_room_from_others),
		ON_BOTH(when_everything_is_stuck_files_fail_at_once_until_it_is_not),
		ON_BOTH(many_hung_files_end_though_few_are_started_at_once),
		ON_BOTH(hung_files_may_take_the_whole_budget),
		ON_BOTH(closing_waits_for_no_hung_file),
		cmocka_unit_test(the_ring_keeps_the_buffer_of_a_hung_read_until_it_ends),
		cmocka_unit_test(the_ring_lets_go_of_an_open_file_that_hung_and_does_not_close_it),
		cmocka_unit_test(the_ring_stays_usable_whatever_number_of_reads_hangs),
		cmocka_unit_test(the_ring_closes_while_reads_and_opens_hang),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
