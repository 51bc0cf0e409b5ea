/* manifest_fixture.h - what tests of manifests share: a file with these bytes. */
#ifndef CROPRING_TESTS_MANIFEST_FIXTURE_H
#define CROPRING_TESTS_MANIFEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A string literal with all its bytes, NULs included. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* A descriptor of a file in memory, at its beginning. */
static inline int file_of(const char *bytes, size_t byte_count)
{
	int fd = memfd_create("manifest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	for (size_t written = 0; written < byte_count;) {
		ssize_t part = write(fd, bytes + written, byte_count - written);

		assert_true(part > 0);
		written += (size_t)part;
	}
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

#endif
