/* pack_read.c - part of `cropring pack`: a picture's place in the source in, its bytes out.  Each thread for itself. */
#include "loader/pack/pack_read.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loader/fetch/file_open.h"
#include "loader/pack/pack_io.h"

static int open_file(const struct pack_pictures *pictures, uint64_t picture, const char *path)
{
	const struct dataset *dataset = pictures->dataset;
	int root_fd = pack_picture_is_target(pictures, picture) ? dataset_target_root_fd(dataset) : dataset_root_fd(dataset);

	return file_open_waiting(root_fd, path, dataset_stays_beneath(dataset));
}

static int measure(struct pack_read *reading, uint64_t length, uint64_t max_bytes, struct err *err)
{
	struct stat status;
	uint64_t file_bytes;

	if (fstat(reading->fd, &status) < 0)
		return err_fail(err, -errno, "%.300s: cannot be read: %s", reading->path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return err_fail(err, -EISDIR, "%.300s: cannot be read: it is %s", reading->path,
		                S_ISDIR(status.st_mode) ? "a folder" : "no ordinary file");
	file_bytes = (uint64_t)status.st_size;
	if (!reading->is_archive)
		length = file_bytes;
	else if (reading->offset > file_bytes || length > file_bytes - reading->offset)
		return err_fail(err, -ENODATA, "%.300s at byte %llu: the file ends before this image does: it has changed",
		                reading->path, (unsigned long long)reading->offset);
	if (length > max_bytes)
		return err_fail(err, -EFBIG, "%.300s: %llu bytes, over --max-file-bytes %llu", reading->path,
		                (unsigned long long)length, (unsigned long long)max_bytes);
	reading->byte_count = (size_t)length;
	return 0;
}

int pack_read_open(struct pack_read *reading, const struct pack_pictures *pictures, uint64_t picture, uint64_t max_bytes,
                   struct err *err)
{
	struct dataset_file file;
	int rc;

	pack_picture_file(pictures, picture, &file);
	*reading = (struct pack_read){.fd = file.fd,
	                              .is_archive = file.fd >= 0 || file.offset > 0 || file.length > 0,
	                              .is_borrowed = file.fd >= 0,
	                              .offset = file.offset,
	                              .path = file.path};
	if (!reading->is_borrowed)
		reading->fd = open_file(pictures, picture, file.path);
	if (reading->fd < 0)
		return err_fail(err, reading->fd, "%.300s: cannot be opened: %s", file.path, strerror(-reading->fd));
	rc = measure(reading, file.length, max_bytes, err);
	if (rc < 0)
		pack_read_close(reading);
	return rc;
}

void pack_read_close(struct pack_read *reading)
{
	if (reading->fd >= 0 && !reading->is_borrowed)
		close(reading->fd);
	reading->fd = -1;
}

int pack_read_bytes(const struct pack_read *reading, void *bytes, size_t byte_count, struct err *err)
{
	int rc = pack_io_read(reading->fd, bytes, byte_count, reading->offset);

	return rc < 0 ? err_fail(err, rc, "%.300s: cannot be read: %s", reading->path,
	                         rc == -ENODATA ? "it is shorter than it was" : strerror(-rc))
	              : 0;
}
