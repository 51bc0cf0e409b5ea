/*
 * segment.c - shared memory that cannot leak, collide or run dry.
 *
 * A POSIX shared memory object is a file in /dev/shm.  O_TMPFILE makes one that never had a name, so that not even a kill between
 * two system calls can leave one; where that is not to be had, shm_open() with O_EXCL and a random name, unlinked at once.  The
 * descriptor is the only way in.
 * fallocate() reserves every page: ftruncate() alone would promise memory that a small tmpfs (64 MB in Docker) does not have and
 * deliver SIGBUS later.
 */
#include "shmring/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shmring/layout.h"

#define MEBIBYTES(bytes) ((double)(bytes) / 1048576.0)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3: never executable, sealed so */
#endif

enum { MEMFD_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

static int open_unlinked_shm(struct err *err)
{
	int nameless_fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	if (nameless_fd >= 0)
		return nameless_fd;
	for (int attempt = 0; attempt < 16; attempt++) {
		uint64_t random[2];
		char name[64];
		int fd;

		if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
			return err_fail(err, -EIO, "no random numbers from the kernel: %s", strerror(errno));
		snprintf(name, sizeof name, "/cropring-%016llx%016llx", (unsigned long long)random[0],
		         (unsigned long long)random[1]);
		fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0) {
			if (shm_unlink(name) == 0 || shm_unlink(name) == 0) /* twice: the name would outlive us */
				return fd;
			close(fd);
			return err_fail(err, -EIO, "cannot unlink /dev/shm%s: %s", name, strerror(errno));
		}
		if (errno != EEXIST)
			return err_fail(err, -errno, "cannot create shared memory in /dev/shm: %s", strerror(errno));
	}
	return err_fail(err, -EEXIST, "16 random names in /dev/shm were all taken");
}

static int reserve(int fd, uint64_t byte_count)
{
	int rc;

	do {
		rc = fallocate(fd, 0, 0, (off_t)byte_count) == 0 ? 0 : -errno;
	} while (rc == -EINTR);
	return rc;
}

static int create_shm(uint64_t byte_count, struct err *err)
{
	struct statvfs space;
	int fd = open_unlinked_shm(err);
	int rc;

	if (fd < 0)
		return fd;
	rc = reserve(fd, byte_count);
	if (rc == 0)
		return fd;
	if (rc == -ENOSPC && fstatvfs(fd, &space) == 0)
		err_fail(err, rc,
		         "the ring needs %.0f MB, /dev/shm has %.0f MB free of %.0f MB: use --segment memfd, fewer --slots or a "
		         "smaller "
		         "--batch-size, or a larger /dev/shm (Docker: --shm-size)",
		         MEBIBYTES(byte_count), MEBIBYTES((uint64_t)space.f_bavail * space.f_bsize),
		         MEBIBYTES((uint64_t)space.f_blocks * space.f_bsize));
	else
		err_fail(err, rc, "cannot reserve %.0f MB of shared memory: %s", MEBIBYTES(byte_count), strerror(-rc));
	close(fd);
	return rc;
}

/* Newer kernels log a warning about a memfd that does not say whether it may be executed; older ones do not know the flag. */
static int open_memfd(void)
{
	int fd = memfd_create("cropring", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	return fd < 0 && errno == EINVAL ? memfd_create("cropring", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static int create_memfd(uint64_t byte_count, struct err *err)
{
	int fd = open_memfd();
	int rc;

	if (fd < 0)
		return err_fail(err, -errno, "memfd_create: %s", strerror(errno));
	rc = fchmod(fd, 0600) == 0 ? reserve(fd, byte_count) : -errno;
	if (rc == 0 && fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0)
		rc = -errno;
	if (rc == 0)
		return fd;
	err_fail(err, rc, "cannot reserve %.0f MB of shared memory: %s; use fewer --slots or a smaller --batch-size",
	         MEBIBYTES(byte_count), strerror(-rc));
	close(fd);
	return rc;
}

int segment_create(enum shmring_segment kind, uint64_t byte_count, int *fd, enum shmring_segment *used, struct err *err)
{
	*used = kind == SHMRING_SEGMENT_MEMFD ? SHMRING_SEGMENT_MEMFD : SHMRING_SEGMENT_SHM;
	*fd = *used == SHMRING_SEGMENT_SHM ? create_shm(byte_count, err) : create_memfd(byte_count, err);
	if (*fd < 0 && kind == SHMRING_SEGMENT_AUTO) {
		/* Whatever is wrong with /dev/shm (too small, not mounted), an anonymous file does not depend on it. */
		*used = SHMRING_SEGMENT_MEMFD;
		*fd = create_memfd(byte_count, err);
	}
	return *fd < 0 ? *fd : 0;
}

int segment_open_view(int fd)
{
	char path[40];
	int view_fd;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	view_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (view_fd < 0)
		view_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return view_fd < 0 ? -errno : view_fd;
}

int segment_map(int fd, uint64_t byte_count, uint64_t writable_bytes, void **address, struct err *err)
{
	int protection = writable_bytes > 0 ? PROT_READ | PROT_WRITE : PROT_READ; /* the descriptor may be for reading only */
	void *base = mmap(NULL, byte_count, protection, MAP_SHARED, fd, 0);

	if (base == MAP_FAILED)
		return err_fail(err, -errno, "cannot map %.0f MB of shared memory: %s", MEBIBYTES(byte_count), strerror(errno));
	if (writable_bytes > 0 && writable_bytes < byte_count && mprotect((uint8_t *)base + writable_bytes, byte_count - writable_bytes, PROT_READ) < 0) {
		int rc = -errno;

		munmap(base, byte_count);
		return err_fail(err, rc, "mprotect: %s", strerror(-rc));
	}
	*address = base;
	return 0;
}

/*
 * A memfd must be sealed against a change of its size, which would turn our next access into SIGBUS.  A POSIX shm object cannot be
 * sealed at all (F_SEAL_SEAL alone): there the uid and the mode have to do, for only its owner can change its size.
 */
static int verify_seals(int fd, struct err *err)
{
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return err_fail(err, -EPROTO, "the segment is a file on a disk, not shared memory");
	if (seals == F_SEAL_SEAL || (seals & MEMFD_SEALS) == MEMFD_SEALS)
		return 0;
	return err_fail(err, -EPROTO, "the segment is a memfd that can still shrink, grow or be sealed (seals %#x, %#x are needed)",
	                (unsigned)seals, (unsigned)MEMFD_SEALS);
}

int segment_verify(int fd, uint64_t *byte_count, struct err *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return err_fail(err, -errno, "fstat of the segment: %s", strerror(errno));
	if (!S_ISREG(status.st_mode))
		return err_fail(err, -EPROTO, "the segment is no memory: its descriptor is of type %#o, %#o is expected",
		                (unsigned)(status.st_mode & S_IFMT), (unsigned)S_IFREG);
	if (status.st_uid != geteuid())
		return err_fail(err, -EPROTO, "the segment belongs to user %u, this process to user %u", (unsigned)status.st_uid,
		                (unsigned)geteuid());
	if ((status.st_mode & 077) != 0)
		return err_fail(err, -EPROTO, "the segment is open to other users: mode %04o, 0600 is expected",
		                (unsigned)(status.st_mode & 07777));
	if (status.st_nlink != 0)
		return err_fail(err, -EPROTO, "the segment has a name in a file system, where it must be unlinked (%lu links)",
		                (unsigned long)status.st_nlink);
	if (verify_seals(fd, err) < 0)
		return -EPROTO;
	if (status.st_size < LAYOUT_SLOTS_OFFSET)
		return err_fail(err, -EPROTO, "the segment has only %lld bytes, a ring has at least %d", (long long)status.st_size,
		                LAYOUT_SLOTS_OFFSET);
	*byte_count = (uint64_t)status.st_size;
	return 0;
}
