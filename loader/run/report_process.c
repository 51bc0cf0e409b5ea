/*
 * report_process.c - texts from a socket in, a file out.  A process of its own, which holds nothing of the worker's.
 *
 * What cannot be written is said over the socket, an errno at a time, and tried again with the next text: a full disk may be emptied.
 */
#include "loader/run/report_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	GRACE_S = 2, /* for what is in the socket still, once the worker is dead */
	CHUNK_BYTES = 65536,
	LINE_LIMIT_BYTES = 65536, /* no line of a file that is continued is longer */
	LOOK_MS = 10,
	LOCK_PATIENCE_MS = GRACE_S * 1000 + 1000, /* longer than the writer of a dead worker lives */
};

/* ------------------------------------------------------------------ a file that is replaced */

/* All of these return an errno, or 0. */
static int write_all(int fd, const char *text, size_t text_bytes)
{
	for (size_t done = 0; done < text_bytes;) {
		ssize_t count = write(fd, text + done, text_bytes - done);

		if (count < 0 && errno != EINTR)
			return errno;
		done += count > 0 ? (size_t)count : 0;
	}
	return 0;
}

static int write_text(const char *path, const char *text, size_t text_bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int error = fd < 0 ? errno : write_all(fd, text, text_bytes);

	if (fd >= 0 && close(fd) < 0 && error == 0)
		error = errno;
	return error;
}

static int write_and_rename(const char *path, pid_t worker, const char *text, size_t text_bytes)
{
	char temporary[4200];
	int error;

	snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, worker);
	error = write_text(temporary, text, text_bytes);
	if (error == 0 && rename(temporary, path) < 0)
		error = errno;
	if (error != 0)
		unlink(temporary);
	return error;
}

static int replace_file(const char *path, pid_t worker, const char *text, size_t text_bytes)
{
	struct stat status;
	bool special = lstat(path, &status) == 0 && !S_ISREG(status.st_mode);

	return special ? write_text(path, text, text_bytes) : write_and_rename(path, worker, text, text_bytes);
}

/* ------------------------------------------------------------------ a file that grows */

/* Where to go on: behind the last whole line that is an event.  `tail` is how the file ends, without a terminator. */
static size_t find_end(const char *tail, size_t tail_bytes)
{
	static const char closing[] = "]\n";
	const char *last;

	if (tail_bytes >= 2 && memcmp(tail + tail_bytes - 2, closing, 2) == 0 && (tail_bytes == 2 || tail[tail_bytes - 3] == '\n'))
		return tail_bytes - 2;
	last = memrchr(tail, '\n', tail_bytes);
	return last ? (size_t)(last - tail) + 1 : 0;
}

/* An event that was the last one has no comma behind it. */
static int end_with_comma(int fd, off_t *end, const char *tail, size_t kept_bytes)
{
	if (kept_bytes < 2 || tail[kept_bytes - 2] != '}')
		return 0;
	*end += 1;
	return pwrite(fd, ",\n", 2, *end - 2) == 2 ? 0 : EIO;
}

static int go_on_where_it_ends(int fd)
{
	char tail[LINE_LIMIT_BYTES];
	off_t size = lseek(fd, 0, SEEK_END), from = size > (off_t)sizeof tail ? size - (off_t)sizeof tail : 0, end;
	ssize_t tail_bytes = size > 0 ? pread(fd, tail, sizeof tail, from) : 0;
	size_t kept_bytes;
	int error;

	if (size <= 0) /* new, or no file */
		return 0;
	if (tail_bytes < 0)
		return errno;
	kept_bytes = find_end(tail, (size_t)tail_bytes);
	end = from + (off_t)kept_bytes;
	error = end_with_comma(fd, &end, tail, kept_bytes);
	if (error != 0)
		return error;
	return ftruncate(fd, end) < 0 || lseek(fd, end, SEEK_SET) < 0 ? errno : 0;
}

static int make_empty(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && ftruncate(fd, 0) < 0 ? errno : 0;
}

/*
 * Whoever writes for an earlier worker, which has just died, comes first to its end.  Of two workers that live and were given the same
 * file only one can have it: the other gets EBUSY.
 */
static int lock(int fd, enum report_way way)
{
	for (int waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited_ms += LOOK_MS) {
		if (errno != EWOULDBLOCK) /* nobody can lock anything there */
			return 0;
		if (way == REPORT_APPEND && waited_ms >= LOCK_PATIENCE_MS)
			return EBUSY;
		(void)poll(NULL, 0, LOOK_MS);
	}
	return 0;
}

static int open_growing(const struct report *report, int *fd)
{
	int error;

	*fd = open(report->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (*fd < 0) /* something that can only be written, such as a pipe */
		*fd = open(report->path, O_WRONLY | O_CLOEXEC);
	if (*fd < 0)
		return errno;
	error = lock(*fd, report->way);
	if (error == 0)
		error = report->way == REPORT_CONTINUE ? go_on_where_it_ends(*fd) : make_empty(*fd);
	if (error == 0 && lseek(*fd, 0, SEEK_CUR) <= 0)
		error = write_all(*fd, "[\n", 2);
	return error;
}

/* ------------------------------------------------------------------ the process */

/* Exactly byte_count bytes, unless the end comes first. */
static bool receive(int socket_fd, void *data, size_t byte_count)
{
	for (size_t done = 0; done < byte_count;) {
		ssize_t count = read(socket_fd, (char *)data + done, byte_count - done);

		if (count == 0 || (count < 0 && errno != EINTR))
			return false;
		done += count > 0 ? (size_t)count : 0;
	}
	return true;
}

/* Only changes are told, so that one that lasts is told once. */
static void tell(int socket_fd, int error, int *told, int *first)
{
	const uint8_t code = (uint8_t)error;

	if (error == *told)
		return;
	*told = error;
	if (*first == 0)
		*first = error;
	(void)send(socket_fd, &code, sizeof code, MSG_DONTWAIT | MSG_NOSIGNAL); /* a worker that is gone need not know */
}

static int replace_until_end(const struct report *report, pid_t worker, int socket_fd)
{
	int told = 0, first = 0;
	uint32_t text_bytes;

	while (receive(socket_fd, &text_bytes, REPORT_LENGTH_BYTES)) {
		char *text = malloc(text_bytes);

		if (!text)
			return ENOMEM;
		if (receive(socket_fd, text, text_bytes))
			tell(socket_fd, replace_file(report->path, worker, text, text_bytes), &told, &first);
		free(text);
	}
	return told; /* what was made good meanwhile is forgotten */
}

/*
 * The file is begun with the first text: a worker that cannot start leaves what is there.  After an error the rest is only taken in: a
 * file with a hole in it would not be what it says.
 */
static int append_until_end(const struct report *report, int socket_fd)
{
	static char chunk[CHUNK_BYTES];
	int told = 0, first = 0, fd = -1, error = 0;
	ssize_t count;

	while ((count = read(socket_fd, chunk, sizeof chunk)) != 0) {
		if (count < 0 && errno != EINTR)
			break;
		if (count > 0 && fd < 0 && error == 0)
			error = open_growing(report, &fd);
		if (count > 0 && error == 0)
			error = write_all(fd, chunk, (size_t)count);
		tell(socket_fd, error, &told, &first);
	}
	return first;
}

/* The descriptor that the path is another name of, as in bash's --stats >(jq .); -1: none. */
static int descriptor_named(const char *path)
{
	int fd = -1, end = 0;

	return sscanf(path, "/dev/fd/%d%n", &fd, &end) == 1 && !path[end] && fd > STDERR_FILENO ? fd : -1;
}

/* Nothing of the worker's is kept open by us, above all no socket: its end must show. */
static int close_all_but(int wanted_fd)
{
	unsigned first = STDERR_FILENO + 1, wanted = (unsigned)wanted_fd;

	if (wanted_fd < 0)
		return close_range(first, ~0u, 0);
	if (wanted > first && close_range(first, wanted - 1, 0) < 0)
		return -1;
	return close_range(wanted + 1, ~0u, 0);
}

static pid_t worker_pid;

/* Whoever reads what we write may never come.  While the worker lives, this was a signal to its whole group. */
static void hurry(int signal_number)
{
	(void)signal_number;
	if (getppid() != worker_pid)
		alarm(GRACE_S);
}

void report_process_run(const struct report *report, pid_t worker, int socket_fd)
{
	char name[16];
	int error;

	/* Signals to the whole group are for the worker to understand; if it dies of one, so do we, when all that it said is written. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not be larger is an error like any other */
	signal(SIGALRM, SIG_DFL);
	worker_pid = worker;
	signal(SIGUSR2, hurry);
	snprintf(name, sizeof name, "cropring %s", report->flag + 2); /* without its -- */
	(void)prctl(PR_SET_NAME, name);
	if (prctl(PR_SET_PDEATHSIG, SIGUSR2) < 0 || getppid() != worker)
		_exit(EXIT_FAILURE);
	if (dup2(socket_fd, STDIN_FILENO) < 0 || close_all_but(descriptor_named(report->path)) < 0)
		_exit(errno);
	if (report->way == REPORT_REPLACE)
		error = replace_until_end(report, worker, STDIN_FILENO);
	else
		error = append_until_end(report, STDIN_FILENO);
	_exit(error);
}
