/* test_segment.c - shared memory is reserved in full or refused with need, have and remedy; a foreign descriptor is looked at. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

static void a_small_dev_shm_is_told_or_gone_around(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			_exit(77);
		if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(use_a_small_dev_shm());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no right to mount here */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void what_is_no_private_unlinked_file_is_refused(void **state)
{
	char path[] = "/tmp/cropring-test-XXXXXX";
	struct err err = {.text = ""};
	uint64_t byte_count;
	int linked = mkstemp(path), shared, tiny, folder;

	(void)state;
	assert_true(linked >= 0);
	assert_int_equal(ftruncate(linked, 1 << 20), 0);
	assert_int_equal(segment_verify(linked, &byte_count, &err), -EPROTO);
	assert_non_null(strstr(err.text, "unlinked"));
	unlink(path);
	assert_int_equal(segment_verify(linked, &byte_count, &err), 0);

	shared = memfd_create("shared", MFD_CLOEXEC); /* mode 0777 */
	assert_int_equal(ftruncate(shared, 1 << 20), 0);
	assert_int_equal(segment_verify(shared, &byte_count, &err), -EPROTO);

	tiny = memfd_create("tiny", MFD_CLOEXEC);
	assert_int_equal(fchmod(tiny, 0600), 0);
	assert_int_equal(ftruncate(tiny, LAYOUT_SLOTS_OFFSET - 1), 0);
	assert_int_equal(segment_verify(tiny, &byte_count, &err), -EPROTO);

	folder = open("/tmp", O_RDONLY | O_DIRECTORY);
	assert_int_equal(segment_verify(folder, &byte_count, &err), -EPROTO);
	close(linked);
	close(shared);
	close(tiny);
	close(folder);
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
		cmocka_unit_test(what_is_no_private_unlinked_file_is_refused),
		cmocka_unit_test(the_part_beyond_the_limit_is_mapped_read_only),
	};

	return cmocka_run_group_tests_name("segment", tests, NULL, NULL);
}
