/* weights_file.c - part of stage 1 of 5: a .npy file in, its numbers out.  One thread, before any work. */
#include "loader/plan/weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/plan/npy.h"

enum { PIECE_BYTES = 1 << 16 }; /* a multiple of every value's size */

/* Up to byte_count bytes at `offset`, less at the file's end; or -errno. */
static ssize_t read_at(int fd, uint8_t *bytes, size_t byte_count, off_t offset)
{
	size_t got = 0;

	while (got < byte_count) {
		ssize_t rc = pread(fd, bytes + got, byte_count - got, offset + (off_t)got);

		if (rc < 0 && errno == EINTR)
			continue;
		if (rc < 0)
			return -errno;
		if (rc == 0)
			break;
		got += (size_t)rc;
	}
	return (ssize_t)got;
}

/* The file's length was looked at; should it shrink now, that is seen as well. */
static int read_values(int fd, const char *path, const struct npy *npy, double *values, struct err *err)
{
	uint64_t per_piece = PIECE_BYTES / npy->value_bytes;
	uint8_t piece[PIECE_BYTES];

	for (uint64_t done = 0; done < npy->count; done += per_piece) {
		uint64_t count = npy->count - done < per_piece ? npy->count - done : per_piece;
		size_t byte_count = count * npy->value_bytes;
		ssize_t got = read_at(fd, piece, byte_count, (off_t)(npy->data_offset + done * npy->value_bytes));

		if (got < 0)
			return err_fail(err, (int)got, "--weights %s: cannot be read: %s", path, strerror((int)-got));
		if ((size_t)got < byte_count)
			return err_fail(err, -EINVAL, "--weights %s: it became shorter while it was read", path);
		for (uint64_t i = 0; i < count; i++)
			values[done + i] = npy_value(npy, piece + i * npy->value_bytes);
	}
	return 0;
}

static int read_open_file(int fd, const char *path, uint64_t expected, double **values, struct err *err)
{
	uint8_t head[NPY_HEAD_BYTES];
	struct stat status;
	struct npy npy;
	const char *fault;
	ssize_t got;
	int rc;

	if (fstat(fd, &status) < 0)
		return err_fail(err, -errno, "--weights %s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return err_fail(err, -EINVAL, "--weights %s: not a file", path);
	got = read_at(fd, head, sizeof head, 0);
	if (got < 0)
		return err_fail(err, (int)got, "--weights %s: cannot be read: %s", path, strerror((int)-got));
	fault = npy_parse(head, (size_t)got, &npy);
	if (fault)
		return err_fail(err, -EINVAL, "--weights %s: %s; a one-dimensional array that numpy.save() wrote is expected", path,
		                fault);
	if (npy.count != expected)
		return err_fail(err, -EINVAL, "--weights %s: %llu weights for %llu samples; one for each is expected", path,
		                (unsigned long long)npy.count, (unsigned long long)expected);
	if ((uint64_t)status.st_size < npy.data_offset ||
	    ((uint64_t)status.st_size - npy.data_offset) / npy.value_bytes < npy.count)
		return err_fail(err, -EINVAL, "--weights %s: its %lld bytes are too few for %llu values of %u bytes", path,
		                (long long)status.st_size, (unsigned long long)npy.count, npy.value_bytes);
	*values = malloc(npy.count * sizeof **values); /* npy.count samples are in memory already */
	if (!*values)
		return err_fail(err, -ENOMEM, "--weights %s: out of memory for %llu weights", path, (unsigned long long)npy.count);
	rc = read_values(fd, path, &npy, *values, err);
	if (rc < 0) {
		free(*values);
		*values = NULL;
	}
	return rc;
}

int weights_file_read(const char *path, uint64_t expected, double **values, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* no waiting for the other end of a FIFO */
	int rc;

	*values = NULL;
	if (fd < 0)
		return err_fail(err, -errno, "--weights %s: cannot be opened: %s", path, strerror(errno));
	rc = read_open_file(fd, path, expected, values, err);
	close(fd);
	return rc;
}
