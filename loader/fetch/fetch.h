/*
 * fetch.h - stage 2 of 5: file names in, their bytes in memory out, many files in flight.
 *
 * What the page cache holds is read at once, by whoever collects.  For the rest there are two back ends with the same results:
 * io_uring, and a pool of threads that do the same with plain system calls.  One thread submits and collects; any thread may give
 * buffers back and wake the collector.
 */
#ifndef CROPRING_FETCH_H
#define CROPRING_FETCH_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/file_bytes.h"
#include "loader/item_status.h"

enum fetch_backend { FETCH_AUTO, FETCH_URING, FETCH_PREAD }; /* in the order of --io */

#define FETCH_HEAD_BYTES     ((size_t)16384) /* what choose_part() gets to see */
#define FETCH_PART_MIN_BYTES 131072u         /* smaller files are read whole without a question */

struct fetch_config {
	enum fetch_backend backend;
	uint32_t depth;          /* files in flight at most */
	uint64_t max_file_bytes; /* larger images end as ITEM_TOO_LARGE, whatever part of them is wanted */
	uint32_t timeout_ms;     /* a file that takes longer, from when its turn came, ends as ITEM_TIMEOUT */

	/*
	 * Memory for all files together, those that were not given back yet included.  A file that does not fit waits, and those
	 * behind it too; one at least always goes on.  0: 256 MB, or what the largest file needs if that is more.
	 */
	uint64_t budget_bytes;

	/* Files that jobs will come with, open: io_uring then looks them up once.  Copied; a job's that is not among them does as well. */
	const int *open_fds;
	uint32_t open_fd_count;

	bool past_cache; /* for tests: everything goes through the back end */

	/* No path leaves its directory, by a link or otherwise; where that was refused the status is ITEM_UNREADABLE with EXDEV. */
	bool stay_beneath;

	/*
	 * directory_fd of every job is the root folder of all, below which lie several file systems.  Without this, what does not
	 * lie on that of directory_fd itself is read by threads that may wait; correct, but slower.
	 */
	bool many_mounts;

	/*
	 * Is a part of this image enough?  Asked once at most, in fetch_collect(), for one of more than FETCH_PART_MIN_BYTES of which no
	 * runs were asked for; `head` is how it begins, *stamp how the file was when it was opened for it (NULL: it was open already).
	 * True: nothing but the head and *part will be read, one run of bytes behind the head or rows wherever they begin; or, if *runs is
	 * set, which is from malloc and fetch's from then on, nothing but these runs, which need not begin behind the head.  Nonsense from a
	 * hostile file does no harm: then all is read.  NULL: images are read whole.
	 */
	bool (*choose_part)(void *context, void *tag, const uint8_t *head, size_t head_bytes, const struct file_stamp *stamp,
	                    struct file_part *part, struct file_runs **runs);
	void *context;
};

struct fetch_job {
	int directory_fd; /* stays open and the same folder until fetch_close() */
	const char *path; /* relative to directory_fd; copied */
	void *tag;        /* comes back with the result */

	/*
	 * Where the image lies in that file.  It is read as if it were a file of its own: limits, sizes and parts are the image's.
	 * Both 0: it is the whole file.
	 */
	uint64_t offset, length;

	/* The file is open already: fd, which stays open until fetch_close(); then path is a mere name. */
	bool is_open;
	int fd;

	/* Only these runs of the image, copied; see fetch_buffer.runs.  NULL: the whole image. */
	const struct file_runs *runs;
};

/*
 * The bytes of a file, or its head and the part that was chosen: they make a file_bytes_with_part().  If runs is not NULL, they are these
 * runs one behind the other, all of them, whether the job named them or choose_part(): they make a file_bytes_in_runs().  Whoever holds
 * the result gives the buffer back with fetch_return(), without waiting for other files: they may be waiting for its memory.
 */
struct fetch_buffer {
	uint8_t *data;
	size_t byte_count;
	size_t head_bytes; /* byte_count, and part is all zero, when the file was read whole or in runs */
	struct file_part part;
	struct file_runs *runs; /* the buffer's, until it is given back */
	size_t capacity_bytes;
	struct fetch_buffer *next; /* for fetch's own list of free ones */
};

#define FETCH_NOT_REGULAR ENXIO /* a FIFO, a socket or a device; a directory is EISDIR */

struct fetch_result {
	void *tag;
	enum item_status status;     /* ITEM_OK, or MISSING, UNREADABLE, EMPTY, TOO_LARGE, TIMEOUT; TRUNCATED: not all there */
	int error;                   /* the errno behind ITEM_MISSING and ITEM_UNREADABLE, else 0 */
	struct fetch_buffer *buffer; /* NULL unless ITEM_OK */
};

struct fetch;

/*
 * Starts a back end.  FETCH_AUTO tries io_uring with a real probe and takes the threads when it is refused in any way;
 * fetch_backend_name() then tells which it was and fetch_fallback_reason() why.  FETCH_URING fails where io_uring does.
 */
int fetch_open(struct fetch **fetch, const struct fetch_config *config, struct err *err);

/*
 * All buffers were given back before.  Files still in flight are abandoned safely: who does not come back within 200 ms, for
 * instance from a hung file system, leaves a little memory and a descriptor behind on purpose.
 */
void fetch_close(struct fetch *fetch);

const char *fetch_backend_name(const struct fetch *fetch);    /* "uring" or "pread" */
const char *fetch_fallback_reason(const struct fetch *fetch); /* "" or one clause */

/* False: there is an io_uring, and the kernel did not restrict it to what reading files takes. */
bool fetch_is_confined(const struct fetch *fetch);

/* CPU time of the threads that read beside the one that collects, which asks. */
uint64_t fetch_cpu_ns(const struct fetch *fetch);

/* Room for another job? */
uint32_t fetch_in_flight(const struct fetch *fetch);

/* Queues one file; never blocks.  -EAGAIN when `depth` are in flight, -ENOMEM. */
int fetch_submit(struct fetch *fetch, const struct fetch_job *job);

/*
 * The next finished job, in any order.  -ETIMEDOUT after timeout_ms (-1: no limit), -EINTR after fetch_wake().
 * Time counts against a file only while nothing else is ready here, so that a pause of the caller makes no file late.
 */
int fetch_collect(struct fetch *fetch, int timeout_ms, struct fetch_result *result);

/* From any thread: a fetch_collect() that waits, or the next one that would, returns -EINTR. */
void fetch_wake(struct fetch *fetch);

/* From any thread. */
void fetch_return(struct fetch *fetch, struct fetch_buffer *buffer);

#endif
