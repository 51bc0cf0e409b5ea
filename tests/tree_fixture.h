/* tree_fixture.h - what tests of files share: a fresh folder in which the process stands, files in it, and its removal. */
#ifndef CROPRING_TESTS_TREE_FIXTURE_H
#define CROPRING_TESTS_TREE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char workplace[32];

static inline int make_workplace(void **state)
{
	(void)state;
	strcpy(workplace, "/tmp/cropring-test-XXXXXX");
	return mkdtemp(workplace) && chdir(workplace) == 0 ? 0 : -1;
}

static inline int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	(void)place;
	return remove(path);
}

/* With all that is in it, on its own file system. */
static inline int remove_folder(const char *path)
{
	return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* One for each test, in the workplace of all. */
static inline int make_tree(void **state)
{
	(void)state;
	return mkdir("tree", 0755);
}

static inline int remove_tree(void **state)
{
	(void)state;
	return remove_folder("tree");
}

static inline int remove_workplace(void **state)
{
	(void)state;
	return chdir("/") == 0 ? remove_folder(workplace) : -1;
}

/* A new one. */
static inline void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void put_folder(const char *path)
{
	if (mkdir(path, 0755) != 0)
		fail_msg("%s: %s", path, strerror(errno));
}

#endif
