/* Tests of loader/fetch with what should not be there: no regular files, files that nobody may read, ways out of the folder, no descriptors. */
#include "tests/fetch_rig.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/child_rig.h"
#include "tests/kernel_has.h"

#define LIMIT_BYTES ((uint64_t)1 << 20)

static void make_socket(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", rig_folder, name);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
}

/* With deadlines that no test reaches: who waits for a FIFO's writer hangs until the watchdog bites. */
static void what_is_not_a_regular_file_is_refused_at_once(void **state)
{
	static const char *const names[] = {"fifo", "fifo-with-silent-writer", "fifo-with-bytes", "socket", "link-to-fifo"};
	struct fetch *fetch = rig_open(state, 8, LIMIT_BYTES, RIG_PATIENCE_MS);
	int silent_fd, talking_fd;

	(void)mkfifoat(rig_folder_fd, "fifo", 0600);
	(void)mkfifoat(rig_folder_fd, "fifo-with-silent-writer", 0600);
	(void)mkfifoat(rig_folder_fd, "fifo-with-bytes", 0600);
	(void)symlinkat("fifo", rig_folder_fd, "link-to-fifo");
	if (faccessat(rig_folder_fd, "socket", F_OK, 0) != 0)
		make_socket("socket");
	rig_write("plain", 1, 1000);
	silent_fd = openat(rig_folder_fd, "fifo-with-silent-writer", O_RDWR | O_CLOEXEC);
	talking_fd = openat(rig_folder_fd, "fifo-with-bytes", O_RDWR | O_CLOEXEC);
	assert_int_equal(write(talking_fd, "GIF89a", 6), 6);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		rig_expect_failure(rig_read_one(fetch, names[i]), ITEM_UNREADABLE, FETCH_NOT_REGULAR);
	rig_expect_failure(rig_read_one(fetch, "."), ITEM_UNREADABLE, EISDIR);
	rig_expect_content(fetch, rig_read_one(fetch, "plain"), 1, 1000);
	close(silent_fd);
	close(talking_fd);
	fetch_close(fetch);
}

static struct fetch_config child_config;

static void read_as_nobody(void)
{
	struct fetch *fetch;
	struct fetch_result result;

	if (geteuid() == 0)
		EXPECT(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	fetch = rig_try_open(child_config, NULL);
	EXPECT(fetch);
	for (int i = 0; i < 2; i++) {
		EXPECT(rig_submit(fetch, i ? "closed/inside" : "locked", 0) == 0);
		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
		EXPECT(result.status == ITEM_UNREADABLE && result.error == EACCES && !result.buffer);
	}
	fetch_close(fetch);
}

static void a_file_without_permission_is_unreadable(void **state)
{
	child_config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);
	if (child_config.backend == FETCH_URING && !rig_has_uring())
		skip();
	rig_write("locked", 1, 100);
	assert_int_equal(fchmodat(rig_folder_fd, "locked", 0, 0), 0);
	if (faccessat(rig_folder_fd, "closed", F_OK, 0) != 0) {
		assert_int_equal(mkdirat(rig_folder_fd, "closed", 0700), 0);
		rig_write("closed/inside", 1, 100);
		assert_int_equal(fchmodat(rig_folder_fd, "closed", 0, 0), 0);
	}
	assert_int_equal(fchmod(rig_folder_fd, 0755), 0);
	child_succeeds(read_as_nobody);
	assert_int_equal(fchmodat(rig_folder_fd, "closed", 0700, 0), 0);
}

static struct fetch *open_beneath(void **state, bool stay_beneath)
{
	struct fetch_config config = rig_config(state, 4, LIMIT_BYTES, RIG_PATIENCE_MS);

	config.stay_beneath = stay_beneath;
	return rig_open_with(config);
}

static struct fetch_result read_beneath(struct fetch *fetch, int folder_fd, const char *path)
{
	struct fetch_job job = {.directory_fd = folder_fd, .path = path};

	assert_int_equal(fetch_submit(fetch, &job), 0);
	return rig_collect(fetch);
}

static void no_path_leaves_the_folder_when_none_may(void **state)
{
	static const char *const ways_out[] = {"../secret", "link-up", "link-absolute", "folder-up/secret", "below/../../secret"};
	static const char *const ways_in[] = {"inside", "link-in", "below/link-in", "below/../inside"};
	struct fetch *fetch, *free_fetch;
	char target[128];
	int folder_fd;

	kernel_has_openat2_or_skip();
	fetch = open_beneath(state, true);
	free_fetch = open_beneath(state, false);
	rig_write("secret", 9, 100);
	(void)mkdirat(rig_folder_fd, "source", 0700);
	(void)mkdirat(rig_folder_fd, "source/below", 0700);
	rig_write("source/inside", 1, 100);
	snprintf(target, sizeof target, "%s/secret", rig_folder);
	(void)symlinkat("../secret", rig_folder_fd, "source/link-up");
	(void)symlinkat(target, rig_folder_fd, "source/link-absolute");
	(void)symlinkat("..", rig_folder_fd, "source/folder-up");
	(void)symlinkat("inside", rig_folder_fd, "source/link-in");
	(void)symlinkat("../inside", rig_folder_fd, "source/below/link-in");
	folder_fd = openat(rig_folder_fd, "source", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof ways_out / sizeof *ways_out; i++) {
		rig_expect_failure(read_beneath(fetch, folder_fd, ways_out[i]), ITEM_UNREADABLE, EXDEV);
		rig_expect_content(free_fetch, read_beneath(free_fetch, folder_fd, ways_out[i]), 9, 100);
	}
	rig_expect_failure(read_beneath(fetch, folder_fd, target), ITEM_UNREADABLE, EXDEV);
	for (size_t i = 0; i < sizeof ways_in / sizeof *ways_in; i++)
		rig_expect_content(fetch, read_beneath(fetch, folder_fd, ways_in[i]), 1, 100);
	close(folder_fd);
	fetch_close(fetch);
	fetch_close(free_fetch);
}

static void set_descriptor_limit(rlim_t limit)
{
	struct rlimit limits;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limits), 0);
	limits.rlim_cur = limit < limits.rlim_max ? limit : limits.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limits), 0);
}

static void without_a_descriptor_a_file_waits_for_one_and_then_says_so(void **state)
{
	struct fetch *impatient = rig_open(state, 2, LIMIT_BYTES, 300);
	struct fetch *patient = rig_open(state, 2, LIMIT_BYTES, RIG_PATIENCE_MS);
	struct fetch_result none;
	struct rlimit before;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	rig_write("plain", 6, 5000);
	set_descriptor_limit(0);
	rig_expect_failure(rig_read_one(impatient, "plain"), ITEM_UNREADABLE, EMFILE);
	assert_int_equal(rig_submit(patient, "plain", 1), 0);
	assert_int_equal(fetch_collect(patient, 50, &none), -ETIMEDOUT);
	set_descriptor_limit(before.rlim_cur);
	rig_expect_content(patient, rig_collect(patient), 6, 5000);
	rig_expect_content(impatient, rig_read_one(impatient, "plain"), 6, 5000);
	fetch_close(impatient);
	fetch_close(patient);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BOTH_AND_PAST_THE_CACHE(what_is_not_a_regular_file_is_refused_at_once),
		ON_BOTH_AND_PAST_THE_CACHE(a_file_without_permission_is_unreadable),
		ON_BOTH_AND_PAST_THE_CACHE(no_path_leaves_the_folder_when_none_may),
		ON_BOTH_AND_PAST_THE_CACHE(without_a_descriptor_a_file_waits_for_one_and_then_says_so),
	};

	return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
