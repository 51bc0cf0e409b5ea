/*
 * Tests of loader/fetch/mount_table.c and of files that lie on several file systems below one folder: none is the wrong one, none
 * that hangs holds up another, and those on local file systems need no thread.
 */
#include "tests/hung_mount.h"

#include "loader/fetch/mount_table.h"

#define LIMIT_BYTES ((uint64_t)8 << 20)
#define TIMEOUT_MS  300

static int root_fd = -1;

/* A path in the rig's folder, relative to the root folder of all. */
static const char *below_root(const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", rig_folder + 1, name);
	return path;
}

static struct fetch *open_from_root(void **state, uint32_t timeout_ms)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, timeout_ms);

	if (hung_pid <= 0)
		skip();
	config.many_mounts = true;
	return rig_open_with(config);
}

static int submit_from_root(struct fetch *fetch, const char *name, uintptr_t tag)
{
	struct fetch_job job = {.directory_fd = root_fd, .path = below_root(name), .tag = (void *)tag};

	return fetch_submit(fetch, &job);
}

static struct fetch_result read_from_root(struct fetch *fetch, const char *name)
{
	assert_int_equal(submit_from_root(fetch, name, 0), 0);
	return rig_collect(fetch);
}

static void mount_tmpfs(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", rig_folder, name);
	(void)mkdir(path, 0700);
	assert_int_equal(mount("none", path, "tmpfs", 0, "size=16m"), 0);
}

static void unmount(const char *name)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%s", rig_folder, name);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void files_on_local_file_systems_need_no_thread(void **state)
{
	static const char *const names[] = {"here", "local/there", "local/deeper/below", "odd \\name\n/there", "local//there"};
	struct fetch *fetch = open_from_root(state, RIG_PATIENCE_MS);
	const struct rig_mode *mode = *state;
	uint32_t thread_count;

	mount_tmpfs("local");
	mount_tmpfs("local/deeper");
	mount_tmpfs("odd \\name\n");
	for (size_t i = 0; i < 4; i++)
		rig_write(names[i], i, 200000 + i);
	rig_write("local/there", 1, 200001);
	thread_count = rig_count("/proc/self/task");
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < 5; i++)
			rig_expect_content(fetch, read_from_root(fetch, names[i]), i % 4 + i / 4, 200000 + i % 4 + i / 4);
	if (mode->backend == FETCH_URING && !mode->past_cache)
		assert_int_equal(rig_count("/proc/self/task"), thread_count);
	rig_expect_failure(read_from_root(fetch, "local/nothing"), ITEM_MISSING, ENOENT);
	rig_expect_failure(read_from_root(fetch, "local"), ITEM_UNREADABLE, EISDIR);
	rig_expect_failure(read_from_root(fetch, "local/"), ITEM_UNREADABLE, EISDIR);
	fetch_close(fetch);
	unmount("local/deeper");
	unmount("local");
	unmount("odd \\name\n");
}

static void links_and_dots_lead_from_one_to_another(void **state)
{
	static const char *const ways[] = {"local/up",   "local/../here", "across", "absolute", "local/./../local/../here",
	                                   "folder/here"};
	struct fetch *fetch = open_from_root(state, RIG_PATIENCE_MS);
	char target[128];

	mount_tmpfs("local");
	rig_write("here", 1, 1000);
	rig_write("local/there", 2, 2000);
	snprintf(target, sizeof target, "%s/here", rig_folder);
	assert_int_equal(symlinkat("../here", rig_folder_fd, "local/up"), 0);
	(void)symlinkat("local/up", rig_folder_fd, "across");
	(void)symlinkat(target, rig_folder_fd, "absolute");
	(void)symlinkat("local/..", rig_folder_fd, "folder");
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
			rig_expect_content(fetch, read_from_root(fetch, ways[i]), 1, 1000);
		rig_expect_content(fetch, read_from_root(fetch, "folder/local/there"), 2, 2000);
	}
	fetch_close(fetch);
	unmount("local");
}

/* A folder that is kept open keeps its file system mounted. */
static void what_was_read_can_be_unmounted(void **state)
{
	struct fetch *fetch = open_from_root(state, RIG_PATIENCE_MS);
	struct fetch_result result;
	char path[128];

	snprintf(path, sizeof path, "%s/local", rig_folder);
	for (int round = 0; round < 2; round++) {
		mount_tmpfs("local");
		rig_write("local/there", 1, 1000);
		rig_expect_content(fetch, read_from_root(fetch, "local/there"), 1, 1000);
		assert_int_equal(fetch_collect(fetch, 1, &result), -ETIMEDOUT);
		assert_int_equal(umount2(path, 0), 0);
	}
	fetch_close(fetch);
}

/* The file that is seen now, whatever was there when the list of mounts was read. */
static void mounts_may_come_and_go(void **state)
{
	struct fetch *fetch;

	if (hung_pid <= 0)
		skip();
	(void)mkdirat(rig_folder_fd, "place", 0700);
	(void)mkdirat(rig_folder_fd, "place/inner", 0700);
	rig_write("place/file", 1, 1000);
	rig_write("place/inner/file", 2, 1000);
	mount_tmpfs("place/inner");
	rig_write("place/inner/file", 3, 1000);
	fetch = open_from_root(state, RIG_PATIENCE_MS);
	rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 3, 1000);
	mount_tmpfs("place/inner");
	rig_write("place/inner/file", 4, 1000);
	rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 4, 1000);
	unmount("place/inner");
	rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 3, 1000);
	unmount("place/inner");
	for (int round = 0; round < 3; round++) {
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 2, 1000);
		mount_tmpfs("place/inner");
		rig_expect_failure(read_from_root(fetch, "place/inner/file"), ITEM_MISSING, ENOENT);
		rig_write("place/inner/file", 3, 1000);
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 3, 1000);
		mount_tmpfs("place/inner"); /* on top of it */
		rig_write("place/inner/file", 4, 1000);
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 4, 1000);
		unmount("place/inner");
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 3, 1000);
		mount_tmpfs("place"); /* which hides the other */
		mkdirat(rig_folder_fd, "place/inner", 0700);
		rig_write("place/inner/file", 5, 1000);
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 5, 1000);
		rig_expect_failure(read_from_root(fetch, "place/file"), ITEM_MISSING, ENOENT);
		unmount("place");
		rig_expect_content(fetch, read_from_root(fetch, "place/inner/file"), 3, 1000);
		unmount("place/inner");
		rig_expect_content(fetch, read_from_root(fetch, "place/file"), 1, 1000);
	}
	fetch_close(fetch);
}

/* A read that hangs has the list of mounts in use: what is mounted meanwhile is left to threads, and read all the same. */
static void mounts_may_change_while_files_hang(void **state)
{
	struct fetch *fetch = open_from_root(state, TIMEOUT_MS);
	uint32_t expired = 0;

	hung_tell('h');
	assert_int_equal(submit_from_root(fetch, "mount/hung-1", 1), 0);
	mount_tmpfs("late");
	rig_write("late/file", 6, 1000);
	for (int i = 0; i < 10;) {
		struct fetch_result result;

		if (fetch_in_flight(fetch) < 2 - expired)
			assert_int_equal(submit_from_root(fetch, "late/file", 2), 0);
		result = rig_collect(fetch);
		if (result.tag == (void *)1) {
			rig_expect_failure(result, ITEM_TIMEOUT, 0);
			expired++;
			continue;
		}
		rig_expect_content(fetch, result, 6, 1000);
		i++;
	}
	hung_tell('r');
	fetch_close(fetch);
	unmount("late");
}

static void a_file_system_that_hangs_holds_up_no_other(void **state)
{
	static const char *const hanging[] = {"mount/hung-1", "mount/unopenable-1", "mount/paged-1", "by-link/unopenable-2"};
	struct fetch *fetch = open_from_root(state, TIMEOUT_MS);

	mount_tmpfs("local");
	rig_write("local/there", 2, 2000);
	(void)symlinkat("mount", rig_folder_fd, "by-link");
	hung_tell('h');
	rig_expect_content(fetch, read_from_root(fetch, "mount/short"), SHORT_SEED, SHORT_BYTES);
	for (size_t i = 0; i < sizeof hanging / sizeof *hanging; i++) {
		struct stat status;
		char path[128];

		snprintf(path, sizeof path, "%s/%s", rig_folder, hanging[i]);
		assert_int_equal(stat(path, &status), 0); /* so that the way there is in memory */
		assert_int_equal(submit_from_root(fetch, hanging[i], 1), 0);
		for (int n = 0; n < 3; n++) {
			struct fetch_result result;

			assert_int_equal(submit_from_root(fetch, "local/there", 2), 0);
			result = rig_collect(fetch);
			if (result.tag == (void *)1)
				fail_msg("%s ended before a file that does not hang", hanging[i]);
			rig_expect_content(fetch, result, 2, 2000);
		}
		rig_expect_failure(rig_collect(fetch), ITEM_TIMEOUT, 0);
	}
	hung_tell('r');
	fetch_close(fetch);
	unmount("local");
}

static void the_table_tells_what_it_knows(void **state)
{
	struct mount_table *table;
	char path[256], other[128];
	const char *rest = NULL;
	int folder_fd = -1, other_fd = -1;
	struct stat status;

	(void)state;
	if (hung_pid <= 0)
		skip();
	mount_tmpfs("local");
	assert_int_equal(mount_table_open(&table), 0);
	assert_true(mount_table_renew(table, true));
	assert_int_equal(mount_table_find(table, root_fd, below_root("file"), &folder_fd, &rest), FILE_HOME_OTHER);
	assert_int_equal(mount_table_find(table, root_fd, below_root("localfile"), &folder_fd, &rest), FILE_HOME_OTHER);
	assert_int_equal(mount_table_find(table, root_fd, "", &folder_fd, &rest), FILE_HOME_OTHER);
	assert_int_equal(mount_table_find(table, root_fd, below_root("mount/short"), &folder_fd, &rest), FILE_HOME_FUSE);
	assert_int_equal(mount_table_find(table, root_fd, "proc/self/maps", &folder_fd, &rest), FILE_HOME_FUSE);
	snprintf(path, sizeof path, "%s", below_root("local///a/b"));
	assert_int_equal(mount_table_find(table, root_fd, path, &folder_fd, &rest), FILE_HOME_LOCAL);
	assert_string_equal(rest, "a/b");
	assert_true(folder_fd >= 0);
	snprintf(path, sizeof path, "%s", below_root("local"));
	assert_int_equal(mount_table_find(table, root_fd, path, &other_fd, &rest), FILE_HOME_LOCAL);
	assert_string_equal(rest, ".");
	assert_int_equal(other_fd, folder_fd);
	mount_tmpfs("local"); /* of two at one place, the last one is seen */
	assert_true(mount_table_renew(table, false));
	assert_int_equal(mount_table_find(table, root_fd, path, &other_fd, &rest), FILE_HOME_LOCAL);
	unmount("local");
	assert_true(mount_table_renew(table, false));
	mount_tmpfs("local/deeper");
	assert_false(mount_table_renew(table, true));
	assert_false(mount_table_renew(table, true)); /* it is not forgotten */
	assert_true(mount_table_renew(table, false));
	assert_true(mount_table_renew(table, true));
	unmount("local/deeper");
	unmount("local");

	mount_tmpfs("hidden");
	(void)mkdirat(rig_folder_fd, "hidden/inner", 0700);
	mount_tmpfs("hidden/inner");
	(void)mkdirat(rig_folder_fd, "other", 0700);
	(void)mkdirat(rig_folder_fd, "other/inner", 0700);
	snprintf(path, sizeof path, "%s/hidden", rig_folder);
	snprintf(other, sizeof other, "%s/other", rig_folder);
	assert_int_equal(mount(other, path, NULL, MS_BIND, NULL), 0); /* another folder of that name is seen now */
	strcat(path, "/inner");
	assert_int_equal(stat(path, &status), 0); /* so that the way there is in memory */
	assert_true(mount_table_renew(table, false));
	assert_int_equal(mount_table_find(table, root_fd, below_root("hidden/inner/x"), &folder_fd, &rest), FILE_HOME_FUSE);
	unmount("hidden");
	unmount("hidden/inner");
	unmount("hidden");
	mount_table_close(table);
}

static int set_up(void **state)
{
	int error = rig_set_up(state);

	if (!error && hung_mount())
		root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return error;
}

static int tear_down(void **state)
{
	if (root_fd >= 0)
		close(root_fd);
	hung_unmount();
	return rig_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(files_on_local_file_systems_need_no_thread),
		ON_BOTH_AND_PAST_THE_CACHE(links_and_dots_lead_from_one_to_another),
		ON_BOTH_AND_PAST_THE_CACHE(what_was_read_can_be_unmounted),
		ON_BOTH_AND_PAST_THE_CACHE(mounts_may_come_and_go),
		ON_BOTH(mounts_may_change_while_files_hang),
		ON_BOTH(a_file_system_that_hangs_holds_up_no_other),
		cmocka_unit_test(the_table_tells_what_it_knows),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
