/* test_segment.c - shared memory is reserved in full or refused with need, have and remedy; a foreign descriptor is looked at. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shmring/layout.h"
#include "shmring/segment.h"

static void every_kind_is_private_nameless_and_fully_reserved(void **state)
{
	static const enum shmring_segment kinds[] = {SHMRING_SEGMENT_AUTO, SHMRING_SEGMENT_SHM, SHMRING_SEGMENT_MEMFD};

	(void)state;
	for (int i = 0; i < 3; i++) {
		const uint64_t asked_bytes = LAYOUT_SLOTS_OFFSET + 123 * LAYOUT_PAGE_BYTES;
		enum shmring_segment used;
		uint64_t byte_count;
		struct stat status;
		int fd;

		assert_int_equal(segment_create(kinds[i], asked_bytes, &fd, &used, NULL), 0);
		assert_int_equal(used, kinds[i] == SHMRING_SEGMENT_MEMFD ? SHMRING_SEGMENT_MEMFD : SHMRING_SEGMENT_SHM);
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(status.st_nlink, 0);
		assert_int_equal(status.st_mode & 0777, 0600);
		assert_int_equal((uint64_t)status.st_blocks * 512, asked_bytes);
		assert_int_equal(segment_verify(fd, &byte_count, NULL), 0);
		assert_int_equal(byte_count, asked_bytes);
		close(fd);
	}
}

/* In a child, with a /dev/shm of 1 MB: the exit status tells which check failed. */
static int use_a_small_dev_shm(void)
{
	enum shmring_segment used;
	struct err err = {.text = ""};
	int fd;

	if (mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=1m") < 0)
		return 77;
	if (segment_create(SHMRING_SEGMENT_SHM, 4 << 20, &fd, &used, &err) != -ENOSPC)
		return 1;
	if (!strstr(err.text, "needs 4 MB") || !strstr(err.text, "1 MB free of 1 MB") || !strstr(err.text, "--segment memfd"))
		return 2;
	if (segment_create(SHMRING_SEGMENT_AUTO, 4 << 20, &fd, &used, &err) != 0 || used != SHMRING_SEGMENT_MEMFD)
		return 3;
	return 0;
}

/* In a child, with a /dev/shm that nobody else uses: a name that is made there, for however short a time, is told by inotify. */
static int watch_for_names(void)
{
	enum shmring_segment used;
	struct inotify_event event[8];
	int watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), fd;

	if (mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=4m") < 0)
		return 77;
	if (inotify_add_watch(watch_fd, "/dev/shm", IN_CREATE) < 0)
		return 77;
	if (segment_create(SHMRING_SEGMENT_SHM, 1 << 20, &fd, &used, NULL) < 0)
		return 1;
	return read(watch_fd, event, sizeof event) < 0 && errno == EAGAIN ? 0 : 2;
}

/* In a mount namespace of its own; skips the test where that is not allowed. */
static void must_succeed_alone(int (*check)(void))
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			_exit(77);
		if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(check());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no right to mount here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_small_dev_shm_is_told_or_gone_around(void **state)
{
	(void)state;
	must_succeed_alone(use_a_small_dev_shm);
}

static void no_name_is_made_that_a_death_could_leave(void **state)
{
	(void)state;
	must_succeed_alone(watch_for_names);
}

/* A sealed memfd as a worker makes it, so that a test can spoil one thing about it. */
static int good_memfd(void)
{
	enum shmring_segment used;
	int fd;

	assert_int_equal(segment_create(SHMRING_SEGMENT_MEMFD, LAYOUT_SLOTS_OFFSET, &fd, &used, NULL), 0);
	return fd;
}

/* One that was forgotten half-way, with these seals. */
static int half_made_memfd(int64_t byte_count, int seals)
{
	int fd = memfd_create("half-made", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, byte_count), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* Closes the descriptor. */
static void assert_refused(int fd, const char *reason)
{
	struct err err = {.text = ""};
	uint64_t byte_count;

	assert_true(fd >= 0);
	assert_int_equal(segment_verify(fd, &byte_count, &err), -EPROTO);
	if (!strstr(err.text, reason))
		fail_msg("'%s' is not in: %s", reason, err.text);
	close(fd);
}

static void what_is_no_file_is_refused(void **state)
{
	int pipes[2];

	(void)state;
	assert_refused(open("/tmp", O_RDONLY | O_DIRECTORY), "type 040000");
	assert_refused(open("/dev/null", O_RDWR), "type 020000");
	assert_int_equal(pipe(pipes), 0);
	assert_refused(pipes[0], "type 010000");
	close(pipes[1]);
}

static void memory_of_another_user_is_refused(void **state)
{
	int fd = good_memfd();

	(void)state;
	if (geteuid() != 0) {
		close(fd);
		skip(); /* only root can give a file away */
	}
	assert_int_equal(fchown(fd, 12345, (gid_t)-1), 0);
	assert_refused(fd, "belongs to user 12345, this process to user 0");
}

static void memory_that_others_can_open_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0602, 0610, 0777};

	(void)state;
	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		int fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		char reason[16];

		assert_int_equal(fchmod(fd, modes[i]), 0);
		snprintf(reason, sizeof reason, "mode %04o", (unsigned)modes[i]);
		assert_refused(fd, reason);
	}
}

static void memory_with_a_name_is_refused(void **state)
{
	char path[] = "/dev/shm/test-segment-XXXXXX";
	int fd = mkstemp(path);
	uint64_t byte_count;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, LAYOUT_SLOTS_OFFSET), 0);
	assert_refused(dup(fd), "unlinked (1 links)");
	unlink(path);
	assert_int_equal(segment_verify(fd, &byte_count, NULL), 0);
	close(fd);
}

static void a_file_on_a_disk_is_refused(void **state)
{
	char path[] = "/var/tmp/cropring-test-XXXXXX";
	int fd = mkstemp(path);
	struct statfs file_system;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, LAYOUT_SLOTS_OFFSET), 0);
	assert_int_equal(fstatfs(fd, &file_system), 0);
	if (file_system.f_type == TMPFS_MAGIC) {
		close(fd);
		skip(); /* no disk here */
	}
	assert_refused(fd, "a file on a disk");
}

static void a_memfd_that_can_change_its_size_is_refused(void **state)
{
	static const int too_few[] = {0, F_SEAL_SHRINK, F_SEAL_GROW | F_SEAL_SEAL, F_SEAL_SHRINK | F_SEAL_SEAL,
	                              F_SEAL_SHRINK | F_SEAL_GROW};

	(void)state;
	for (size_t i = 0; i < sizeof too_few / sizeof too_few[0]; i++)
		assert_refused(half_made_memfd(LAYOUT_SLOTS_OFFSET, too_few[i]), "shrink, grow or be sealed");
}

static void too_little_memory_is_refused(void **state)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	uint64_t byte_count;
	int least = half_made_memfd(LAYOUT_SLOTS_OFFSET, seals);

	(void)state;
	assert_refused(half_made_memfd(0, seals), "only 0 bytes");
	assert_refused(half_made_memfd(LAYOUT_SLOTS_OFFSET - 1, seals), "bytes, a ring has at least");
	assert_int_equal(segment_verify(least, &byte_count, NULL), 0);
	close(least);
}

/* What a worker hands over can be trusted by a reader that does not trust the worker. */
static void a_memfd_can_neither_be_resized_nor_executed(void **state)
{
	int fd = good_memfd(), probe = memfd_create("probe", MFD_CLOEXEC | 0x8 /* MFD_NOEXEC_SEAL */);
	struct stat status;

	(void)state;
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_mode & 0111, 0);
	if (probe >= 0) { /* Linux 6.3 or newer */
		assert_int_equal(fchmod(fd, 0700), -1);
		assert_int_equal(errno, EPERM);
		close(probe);
	}
	close(fd);
}

static void the_part_beyond_the_limit_is_mapped_read_only(void **state)
{
	enum shmring_segment used;
	void *address;
	int fd, pipes[2];

	(void)state;
	assert_int_equal(segment_create(SHMRING_SEGMENT_AUTO, 4 * LAYOUT_PAGE_BYTES, &fd, &used, NULL), 0);
	assert_int_equal(segment_map(fd, 4 * LAYOUT_PAGE_BYTES, LAYOUT_PAGE_BYTES, &address, NULL), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "ab", 2), 2);
	assert_int_equal(read(pipes[0], address, 1), 1); /* the kernel writes where we may, */
	assert_int_equal(read(pipes[0], (char *)address + LAYOUT_PAGE_BYTES, 1), -1);
	assert_int_equal(errno, EFAULT); /* and tells where we may not */
	munmap(address, 4 * LAYOUT_PAGE_BYTES);
	close(fd);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_private_nameless_and_fully_reserved),
		cmocka_unit_test(a_small_dev_shm_is_told_or_gone_around),
		cmocka_unit_test(no_name_is_made_that_a_death_could_leave),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(memory_of_another_user_is_refused),
		cmocka_unit_test(memory_that_others_can_open_is_refused),
		cmocka_unit_test(memory_with_a_name_is_refused),
		cmocka_unit_test(a_file_on_a_disk_is_refused),
		cmocka_unit_test(a_memfd_that_can_change_its_size_is_refused),
		cmocka_unit_test(too_little_memory_is_refused),
		cmocka_unit_test(a_memfd_can_neither_be_resized_nor_executed),
		cmocka_unit_test(the_part_beyond_the_limit_is_mapped_read_only),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
