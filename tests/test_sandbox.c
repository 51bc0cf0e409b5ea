/*
 * Tests of loader/run/sandbox: what a worker can still do.  None of it can be taken off again, so each test runs in a child process
 * that tries things from inside.  Long because what is denied is tried one by one, and the layers close each other's gaps.
 */
#include "tests/child_rig.h"
#include "tests/fetch_rig.h"

#include <errno.h>
#include <liburing.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "loader/fetch/uring_restrict.h"
#include "loader/run/sandbox.h"
#include "loader/run/sandbox_layers.h"

#define LIMIT_BYTES ((uint64_t)1 << 20)

static const struct link_targets no_links;
static char outside_folder[64], outside_file[80];

static void run_in_child(void (*body)(void))
{
	if (sandbox_obstacle())
		skip();
	child_succeeds(body);
}

static bool has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0;
}

static struct sandbox_needs needs(void)
{
	return (struct sandbox_needs){.source_fd = rig_folder_fd, .links = &no_links};
}

static void limit_files(void)
{
	const struct sandbox_needs all = needs();
	uint32_t root_count;
	struct err why = {""};

	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(sandbox_landlock(&all, &root_count, &why) >= 1);
	EXPECT(root_count == 1);
}

static void limit_calls(void)
{
	struct err why = {""};

	EXPECT(sandbox_seccomp(false, 0, &why) == 0);
}

/* ------------------------------------------------------------------ files */

static bool can_read(int directory_fd, const char *path)
{
	int fd = openat(directory_fd, path, O_RDONLY | O_CLOEXEC);
	char byte;
	bool readable = fd >= 0 && read(fd, &byte, 1) == 1;

	if (fd >= 0)
		close(fd);
	return readable;
}

#define EXPECT_REFUSED(call, error) EXPECT((errno = 0, (call) < 0) && errno == (error))

static void touch_files(void)
{
	limit_files();
	EXPECT(can_read(rig_folder_fd, "inside"));
	EXPECT(can_read(rig_folder_fd, "below/inside"));
	EXPECT(can_read(rig_folder_fd, "link-to-inside"));
	EXPECT_REFUSED(openat(rig_folder_fd, "link-to-outside", O_RDONLY), EACCES);
	EXPECT_REFUSED(open(outside_file, O_RDONLY), EACCES);
	EXPECT_REFUSED(open("/proc/self/maps", O_RDONLY), EACCES);
	EXPECT_REFUSED(openat(rig_folder_fd, "../", O_RDONLY | O_DIRECTORY), EACCES);

	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_WRONLY), EACCES);
	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_RDWR), EACCES);
	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_RDONLY | O_TRUNC), EACCES);
	EXPECT_REFUSED(openat(rig_folder_fd, "new", O_WRONLY | O_CREAT, 0600), EACCES);
	EXPECT_REFUSED(mkdirat(rig_folder_fd, "new", 0700), EACCES);
	EXPECT_REFUSED(unlinkat(rig_folder_fd, "inside", 0), EACCES);
	EXPECT_REFUSED(renameat(rig_folder_fd, "inside", rig_folder_fd, "other"), EACCES);
	EXPECT_REFUSED(symlinkat("inside", rig_folder_fd, "new"), EACCES);
}

/* The worker's own way to open files: no filter sees what openat2() is asked for. */
static void open_without_waiting(void)
{
	struct open_how reading = {.flags = O_RDONLY | O_CLOEXEC}, writing = {.flags = O_WRONLY}, creating = {.flags = O_RDWR | O_CREAT},
			cutting = {.flags = O_RDONLY | O_TRUNC};

	creating.mode = 0600;
	limit_files();
	EXPECT(sandbox_seccomp(false, 3, NULL) == 0);
	EXPECT(syscall(SYS_openat2, rig_folder_fd, "inside", &reading, sizeof reading) >= 0);
	EXPECT_REFUSED(syscall(SYS_openat2, rig_folder_fd, "inside", &writing, sizeof writing), EACCES);
	EXPECT_REFUSED(syscall(SYS_openat2, rig_folder_fd, "inside", &cutting, sizeof cutting), EACCES);
	EXPECT_REFUSED(syscall(SYS_openat2, rig_folder_fd, "new", &creating, sizeof creating), EACCES);
	EXPECT_REFUSED(syscall(SYS_openat2, rig_folder_fd, "link-to-outside", &reading, sizeof reading), EACCES);
}

static void openat2_is_there_only_beside_a_landlock_that_keeps_it_from_writing(void **state)
{
	(void)state;
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 3)
		skip();
	run_in_child(open_without_waiting);
}

static void only_files_under_the_source_can_be_read_and_none_written(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(touch_files);
}

static void follow_links(void)
{
	struct link_targets links = {.folder = {outside_folder}, .count = 1};
	struct sandbox_needs all = needs();
	uint32_t root_count;

	all.links = &links;
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(sandbox_landlock(&all, &root_count, NULL) >= 1 && root_count == 2);
	EXPECT(can_read(rig_folder_fd, "link-to-outside"));
	EXPECT_REFUSED(open(outside_file, O_WRONLY), EACCES);
	EXPECT_REFUSED(open("/proc/self/maps", O_RDONLY), EACCES);
}

static void where_links_lead_can_be_read_too(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(follow_links);
}

static void remove_socket(void)
{
	struct sandbox_needs all = needs();
	char path[96];

	snprintf(path, sizeof path, "%s/socket", outside_folder);
	all.socket_path = path;
	EXPECT(mknod(path, S_IFSOCK | 0600, 0) == 0);
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	EXPECT(sandbox_landlock(&all, &(uint32_t){0}, NULL) >= 1);
	EXPECT(sandbox_seccomp(true, 0, NULL) == 0);
	EXPECT_REFUSED(unlinkat(rig_folder_fd, "inside", 0), EACCES);
	EXPECT(unlink(path) == 0);
	EXPECT_REFUSED(open(path, O_WRONLY | O_CREAT, 0600), EPERM);
}

static void the_socket_file_can_be_removed(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(remove_socket);
}

/* ------------------------------------------------------------------ io_uring */

static struct fetch *open_fetch(enum fetch_backend backend)
{
	struct fetch_config config = {
		.backend = backend, .depth = 8, .max_file_bytes = LIMIT_BYTES, .timeout_ms = RIG_PATIENCE_MS};
	struct fetch *fetch = rig_try_open(config, NULL);

	EXPECT(fetch);
	return fetch;
}

static void expect_result(struct fetch *fetch, const char *path, enum item_status status, int error)
{
	struct fetch_result result;

	EXPECT(rig_submit(fetch, path, 0) == 0);
	EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0);
	EXPECT(result.status == status && result.error == error);
	if (result.buffer)
		fetch_return(fetch, result.buffer);
}

static void expect_reads_of_the_source_alone(struct fetch *fetch)
{
	for (int i = 0; i < 20; i++)
		expect_result(fetch, "inside", ITEM_OK, 0);
	expect_result(fetch, outside_file, ITEM_UNREADABLE, EACCES);
	expect_result(fetch, "link-to-outside", ITEM_UNREADABLE, EACCES);
	expect_result(fetch, "nowhere", ITEM_MISSING, ENOENT);
	fetch_close(fetch);
}

static void read_by_ring(void)
{
	struct fetch *before = open_fetch(FETCH_URING), *after;

	limit_files();
	after = open_fetch(FETCH_URING);
	limit_calls();
	EXPECT(fetch_is_confined(before) && fetch_is_confined(after));
	expect_reads_of_the_source_alone(before);
	expect_reads_of_the_source_alone(after);
}

static void read_by_threads(void)
{
	struct fetch *fetch;

	limit_files();
	fetch = open_fetch(FETCH_PREAD);
	limit_calls();
	for (uintptr_t i = 0; i < 8; i++) /* each may want a thread of its own */
		EXPECT(rig_submit(fetch, "inside", i) == 0);
	for (uintptr_t i = 0; i < 8; i++) {
		struct fetch_result result;

		EXPECT(fetch_collect(fetch, RIG_PATIENCE_MS, &result) == 0 && result.status == ITEM_OK);
		fetch_return(fetch, result.buffer);
	}
	expect_reads_of_the_source_alone(fetch);
}

static void both_back_ends_read_the_source_and_nothing_else(void **state)
{
	(void)state;
	if (!has_landlock() || !rig_has_uring())
		skip();
	run_in_child(read_by_threads);
	run_in_child(read_by_ring);
}

static int result_of_entry(struct io_uring *ring)
{
	struct io_uring_cqe *answer;
	int result = io_uring_submit_and_wait(ring, 1);

	if (result < 0)
		return result;
	assert_int_equal(io_uring_peek_cqe(ring, &answer), 0);
	result = answer->res;
	io_uring_cqe_seen(ring, answer);
	return result;
}

static void the_ring_can_do_nothing_but_read(void **state)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};
	struct io_uring ring;
	char byte;
	bool restricted = false;
	int fd;

	(void)state;
	if (!rig_has_uring())
		skip();
	assert_int_equal(io_uring_queue_init(8, &ring, IORING_SETUP_R_DISABLED), 0);
	assert_int_equal(uring_restrict_and_enable(&ring, &restricted, NULL), 0);
	assert_true(restricted);
	io_uring_prep_openat2(io_uring_get_sqe(&ring), rig_folder_fd, "inside", &how);
	fd = result_of_entry(&ring);
	assert_true(fd >= 0);
	io_uring_prep_read(io_uring_get_sqe(&ring), fd, &byte, 1, 0);
	assert_int_equal(result_of_entry(&ring), 1);

	io_uring_prep_openat(io_uring_get_sqe(&ring), rig_folder_fd, "inside", O_WRONLY, 0);
	assert_int_equal(result_of_entry(&ring), -EACCES);
	io_uring_prep_socket(io_uring_get_sqe(&ring), AF_INET, SOCK_STREAM, 0, 0);
	assert_int_equal(result_of_entry(&ring), -EACCES);
	io_uring_prep_write(io_uring_get_sqe(&ring), STDERR_FILENO, "!", 1, 0);
	assert_int_equal(result_of_entry(&ring), -EACCES);
	io_uring_prep_unlinkat(io_uring_get_sqe(&ring), rig_folder_fd, "inside", 0);
	assert_int_equal(result_of_entry(&ring), -EACCES);
	io_uring_prep_nop(io_uring_get_sqe(&ring));
	ring.sq.sqes[(ring.sq.sqe_tail - 1) & *ring.sq.kring_mask].flags = IOSQE_IO_LINK;
	assert_int_equal(result_of_entry(&ring), -EACCES);
	assert_int_equal(io_uring_register_personality(&ring), -EACCES);
	assert_int_equal(io_uring_register_files_sparse(&ring, 4), -EACCES);
	close(fd);
	io_uring_queue_exit(&ring);
}

/* ------------------------------------------------------------------ system calls */

static void try_calls(void)
{
	char *const arguments[] = {"/bin/true", NULL};
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/nowhere"};
	struct open_how how = {.flags = O_RDONLY};
	struct io_uring_params parameters = {.flags = 0};
	char byte = 0;
	struct iovec here = {&byte, 1}, there = {&byte, 1};
	int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(socket_fd >= 0 && page != MAP_FAILED);
	limit_calls();
	/* other programs, other processes */
	EXPECT_REFUSED(execve(arguments[0], arguments, NULL), EPERM);
	EXPECT_REFUSED(execveat(AT_FDCWD, arguments[0], arguments, NULL, 0), EPERM);
	EXPECT_REFUSED(fork(), EPERM);
	EXPECT_REFUSED(vfork(), EPERM);
	EXPECT_REFUSED(syscall(SYS_clone3, NULL, 0), ENOSYS);
	EXPECT_REFUSED(kill(1, 0), EPERM);
	EXPECT_REFUSED(kill(getpid(), 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_tgkill, 1, 1, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_tkill, 1, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_pidfd_open, getpid(), 0), EPERM);
	EXPECT_REFUSED(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM);
	EXPECT_REFUSED(process_vm_readv(getpid(), &here, 1, &there, 1, 0), EPERM);
	EXPECT_REFUSED(process_vm_writev(getpid(), &here, 1, &there, 1, 0), EPERM);
	/* the network */
	EXPECT_REFUSED(socket(AF_INET, SOCK_STREAM, 0), EPERM);
	EXPECT_REFUSED(connect(socket_fd, (struct sockaddr *)&address, sizeof address), EPERM);
	EXPECT_REFUSED(bind(socket_fd, (struct sockaddr *)&address, sizeof address), EPERM);
	/* files that are not only read */
	EXPECT(can_read(rig_folder_fd, "inside"));
	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_WRONLY), EPERM);
	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_RDWR), EPERM);
	EXPECT_REFUSED(openat(rig_folder_fd, "new", O_RDONLY | O_CREAT, 0600), EPERM);
	EXPECT_REFUSED(openat(rig_folder_fd, "inside", O_RDONLY | O_TRUNC), EPERM);
	EXPECT_REFUSED(openat(rig_folder_fd, ".", O_TMPFILE | O_RDWR, 0600), EPERM);
	EXPECT_REFUSED(syscall(SYS_openat2, rig_folder_fd, "inside", &how, sizeof how), EPERM);
	EXPECT_REFUSED(unlinkat(rig_folder_fd, "inside", 0), EPERM);
	EXPECT_REFUSED(renameat(rig_folder_fd, "inside", rig_folder_fd, "other"), EPERM);
	EXPECT_REFUSED(fchmod(rig_folder_fd, 0777), EPERM);
	EXPECT_REFUSED(memfd_create("code", 0), EPERM);
	/* code that did not come with the program */
	EXPECT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EPERM);
	EXPECT_REFUSED(mprotect(page, 4096, PROT_READ | PROT_EXEC), EPERM);
	/* the kernel's wider doors */
	EXPECT_REFUSED(syscall(SYS_io_uring_setup, 8, &parameters), EPERM);
	EXPECT_REFUSED(syscall(SYS_io_uring_register, 0, 0, NULL, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_bpf, 0, NULL, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
	EXPECT_REFUSED(syscall(SYS_userfaultfd, 0), EPERM);
	EXPECT_REFUSED(mount("none", "/", NULL, MS_REMOUNT, NULL), EPERM);
	EXPECT_REFUSED(unshare(CLONE_NEWUSER), EPERM);
	EXPECT_REFUSED(chroot("/"), EPERM);
	EXPECT_REFUSED(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), EPERM);
	EXPECT_REFUSED(setpriority(PRIO_PROCESS, 1, 0), EPERM);
}

static void calls_that_no_worker_makes_are_refused(void **state)
{
	(void)state;
	run_in_child(try_calls);
}

static pthread_barrier_t after_the_filter;

static void *try_socket(void *refused)
{
	pthread_barrier_wait(&after_the_filter);
	*(bool *)refused = socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM;
	return NULL;
}

static void filter_older_threads(void)
{
	bool refused[2] = {false, false};
	pthread_t older, newer;

	pthread_barrier_init(&after_the_filter, NULL, 3);
	EXPECT(pthread_create(&older, NULL, try_socket, &refused[0]) == 0);
	limit_calls();
	EXPECT(pthread_create(&newer, NULL, try_socket, &refused[1]) == 0);
	pthread_barrier_wait(&after_the_filter);
	EXPECT(pthread_join(older, NULL) == 0 && pthread_join(newer, NULL) == 0);
	EXPECT(refused[0] && refused[1]);
}

static void threads_from_before_and_after_are_limited_alike(void **state)
{
	(void)state;
	run_in_child(filter_older_threads);
}

static void kill_a_reader(void)
{
	pid_t reader = fork();
	int pidfd, status;

	if (reader == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	pidfd = (int)syscall(SYS_pidfd_open, reader, 0);
	EXPECT(reader > 0 && pidfd >= 0);
	if (has_landlock())
		limit_files();
	limit_calls();
	EXPECT(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0);
	EXPECT(waitpid(reader, &status, 0) == reader && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_reader_can_be_killed_through_its_pidfd(void **state)
{
	(void)state;
	run_in_child(kill_a_reader);
}

static void abort_inside(void)
{
	limit_calls();
	abort();
}

static void abort_ends_the_process(void **state)
{
	int status;

	(void)state;
	if (sandbox_obstacle())
		skip();
	status = child_status(abort_inside);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ------------------------------------------------------------------ all together */

/* The sentence of the step that fails, or "". */
static struct err enter(struct sandbox *sandbox, bool has_ring, bool ring_is_confined)
{
	const struct sandbox_needs all = needs();
	struct err err = {""};
	int rc = sandbox_limit_files(sandbox, &all, &err);

	if (rc == 0)
		rc = sandbox_limit_calls(sandbox, &all, has_ring, ring_is_confined, &err);
	EXPECT(rc == (err.text[0] ? -ENOTSUP : 0));
	return err;
}

static bool process_is_limited(void)
{
	struct rlimit core;

	return getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0 &&
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static void expect_description(const struct sandbox *sandbox, const char *begin, const char *end)
{
	char text[600];
	size_t length;

	sandbox_describe(sandbox, text, sizeof text);
	length = strlen(text);
	if (strncmp(text, begin, strlen(begin)) == 0 && length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0)
		return;
	fprintf(stderr, "'%s' is not '%s...%s'\n", text, begin, end);
	_exit(1);
}

static void enter_fully(void)
{
	struct sandbox sandbox = {.mode = SANDBOX_REQUIRE};

	EXPECT(enter(&sandbox, true, true).text[0] == '\0');
	EXPECT(sandbox.landlock_abi >= 1 && sandbox.root_count == 1 && sandbox.seccomp && sandbox.ring);
	EXPECT_REFUSED(socket(AF_INET, SOCK_STREAM, 0), EPERM);
	EXPECT_REFUSED(open(outside_file, O_RDONLY), EACCES);
	expect_description(&sandbox, "Landlock ", " (1 root), seccomp, io_uring restricted");
}

static void require_is_content_where_everything_works(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(enter_fully);
}

static void enter_without_landlock(void)
{
	struct sandbox automatic = {.mode = SANDBOX_AUTO}, strict = {.mode = SANDBOX_REQUIRE};
	struct err err;

	child_refuse_call(__NR_landlock_create_ruleset, EOPNOTSUPP);
	err = enter(&strict, false, true);
	EXPECT(strstr(err.text, "--sandbox require: Landlock is missing (Operation not supported") &&
	       strstr(err.text, "--sandbox auto"));
	EXPECT(process_is_limited());
	EXPECT(enter(&automatic, false, true).text[0] == '\0');
	EXPECT(automatic.landlock_abi == 0 && automatic.root_count == 0 && automatic.seccomp && !automatic.ring);
	EXPECT_REFUSED(socket(AF_INET, SOCK_STREAM, 0), EPERM);
	expect_description(&automatic, "no Landlock (Operation not supported: ", "), seccomp");
}

static void without_landlock_the_rest_is_in_force(void **state)
{
	(void)state;
	run_in_child(enter_without_landlock);
}

static void enter_without_seccomp(void)
{
	struct sandbox automatic = {.mode = SANDBOX_AUTO}, strict = {.mode = SANDBOX_REQUIRE};
	struct err err;

	child_refuse_call(__NR_seccomp, EPERM);
	err = enter(&strict, false, true);
	EXPECT(strstr(err.text, "--sandbox require: seccomp is missing ("));
	EXPECT(enter(&automatic, false, true).text[0] == '\0');
	EXPECT(automatic.landlock_abi >= 1 && !automatic.seccomp && process_is_limited());
	EXPECT_REFUSED(open(outside_file, O_RDONLY), EACCES);
	EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
	expect_description(&automatic, "Landlock ", ")");
}

static void without_seccomp_the_rest_is_in_force(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(enter_without_seccomp);
}

static void enter_with_an_open_ring(void)
{
	struct sandbox strict = {.mode = SANDBOX_REQUIRE};
	struct err err = enter(&strict, true, false);

	EXPECT(strstr(err.text, "io_uring is not restricted") && strstr(err.text, "--io pread") && !strict.ring);
}

static void require_refuses_a_ring_that_can_do_more(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(enter_with_an_open_ring);
}

static void enter_with_links_to_everywhere(void)
{
	static char everywhere[] = "/";
	const struct link_targets links = {.folder = {everywhere}, .count = 1};
	const struct sandbox_needs all = {.source_fd = rig_folder_fd, .links = &links};
	struct sandbox automatic = {.mode = SANDBOX_AUTO}, strict = {.mode = SANDBOX_REQUIRE};
	struct err err;

	EXPECT(sandbox_limit_files(&strict, &all, &err) == -ENOTSUP && strstr(err.text, "links"));
	EXPECT(sandbox_limit_files(&automatic, &all, &err) == 0 && automatic.reads_everything && automatic.root_count == 2);
	EXPECT(can_read(AT_FDCWD, outside_file));
	EXPECT_REFUSED(open(outside_file, O_WRONLY), EACCES);
	expect_description(&automatic, "Landlock ", " (2 roots, one is /), no seccomp ()");
}

static void links_to_everywhere_are_for_auto_only(void **state)
{
	(void)state;
	if (!has_landlock())
		skip();
	run_in_child(enter_with_links_to_everywhere);
}

static void stay_out(void)
{
	struct sandbox sandbox = {.mode = SANDBOX_OFF};

	EXPECT(enter(&sandbox, true, true).text[0] == '\0');
	EXPECT(sandbox.landlock_abi == 0 && !sandbox.seccomp && !sandbox.ring && !process_is_limited());
	EXPECT(can_read(AT_FDCWD, outside_file));
	expect_description(&sandbox, "off (--sandbox off)", "");
}

static void off_changes_nothing(void **state)
{
	(void)state;
	run_in_child(stay_out);
}

static void a_sanitizer_build_says_so(void **state)
{
	struct sandbox automatic = {.mode = SANDBOX_AUTO}, strict = {.mode = SANDBOX_REQUIRE};
	struct err err;

	(void)state;
	if (!sandbox_obstacle())
		return;
	assert_true(enter(&automatic, true, true).text[0] == '\0');
	assert_int_equal(automatic.landlock_abi, 0);
	assert_false(automatic.seccomp);
	expect_description(&automatic, "off (this is a sanitizer build", ")");
	err = enter(&strict, true, true);
	assert_non_null(strstr(err.text, "--sandbox require: there is no sandbox (this is a sanitizer build"));
}

/* ------------------------------------------------------------------ */

static int set_up(void **state)
{
	int fd;

	if (rig_set_up(state) != 0)
		return -1;
	strcpy(outside_folder, "/tmp/cropring-outside-XXXXXX");
	if (!mkdtemp(outside_folder))
		return -1;
	snprintf(outside_file, sizeof outside_file, "%s/secret", outside_folder);
	fd = open(outside_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "secret", 6) != 6 || close(fd) != 0)
		return -1;
	rig_write("inside", 1, 50000);
	if (mkdirat(rig_folder_fd, "below", 0700) != 0 || symlinkat("inside", rig_folder_fd, "link-to-inside") != 0 ||
	    symlinkat(outside_file, rig_folder_fd, "link-to-outside") != 0)
		return -1;
	rig_write("below/inside", 2, 50000);
	return 0;
}

static int tear_down(void **state)
{
	unlink(outside_file);
	return rmdir(outside_folder) + rig_tear_down(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_files_under_the_source_can_be_read_and_none_written),
		cmocka_unit_test(openat2_is_there_only_beside_a_landlock_that_keeps_it_from_writing),
		cmocka_unit_test(where_links_lead_can_be_read_too),
		cmocka_unit_test(the_socket_file_can_be_removed),
		cmocka_unit_test(both_back_ends_read_the_source_and_nothing_else),
		cmocka_unit_test(the_ring_can_do_nothing_but_read),
		cmocka_unit_test(calls_that_no_worker_makes_are_refused),
		cmocka_unit_test(threads_from_before_and_after_are_limited_alike),
		cmocka_unit_test(a_reader_can_be_killed_through_its_pidfd),
		cmocka_unit_test(abort_ends_the_process),
		cmocka_unit_test(require_is_content_where_everything_works),
		cmocka_unit_test(without_landlock_the_rest_is_in_force),
		cmocka_unit_test(without_seccomp_the_rest_is_in_force),
		cmocka_unit_test(require_refuses_a_ring_that_can_do_more),
		cmocka_unit_test(links_to_everywhere_are_for_auto_only),
		cmocka_unit_test(off_changes_nothing),
		cmocka_unit_test(a_sanitizer_build_says_so),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
