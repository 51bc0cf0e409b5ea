/* stats_file.c - a path, and at the end a text, in; a file out.  Two processes. */
#include "loader/run/stats_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int check_path(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";
	struct stat status;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return err_fail(err, -EINVAL, "--stats %s: this is a folder; name a file", path);
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return access(path, W_OK) == 0 ? 0 : err_fail(err, -EINVAL, "--stats %s: %s", path, strerror(errno));
	if (slash && slash - path >= (ptrdiff_t)sizeof folder)
		return err_fail(err, -EINVAL, "--stats: a path of %zu characters is too long", strlen(path));
	if (slash)
		snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
	if (access(folder, W_OK | X_OK) < 0)
		return err_fail(err, -EINVAL, "--stats %s: cannot write in the folder %s: %s", path, folder, strerror(errno));
	return 0;
}

/* ------------------------------------------------------------------ the child */

static int write_text(const char *path, const char *text, size_t text_bytes)
{
	FILE *file = fopen(path, "we");
	bool written;

	if (!file)
		return errno;
	written = fwrite(text, 1, text_bytes, file) == text_bytes;
	if (fclose(file) == 0 && written)
		return 0;
	return errno ? errno : EIO;
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

/* Waits on standard input.  Returns an errno, which becomes the exit status. */
static int take_text(const char *path, pid_t worker)
{
	char text[PIPE_BUF];
	struct stat status;
	ssize_t text_bytes;
	bool special;

	do
		text_bytes = read(STDIN_FILENO, text, sizeof text);
	while (text_bytes < 0 && errno == EINTR);
	if (text_bytes <= 0) /* 0: the worker has nothing to say */
		return text_bytes < 0 ? errno : 0;
	special = lstat(path, &status) == 0 && !S_ISREG(status.st_mode);
	return special ? write_text(path, text, (size_t)text_bytes) : write_and_rename(path, worker, text, (size_t)text_bytes);
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

__attribute__((noreturn)) static void be_the_writer(const char *path, pid_t worker, int text_fd)
{
	/* Signals to the whole group are for the worker to understand; if it dies of one, so do we. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	(void)prctl(PR_SET_NAME, "cropring stats");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != worker)
		_exit(EXIT_FAILURE);
	if (dup2(text_fd, STDIN_FILENO) < 0 || close_all_but(descriptor_named(path)) < 0)
		_exit(errno);
	_exit(take_text(path, worker));
}

/* ------------------------------------------------------------------ the worker */

int stats_file_open(struct stats_file *file, const char *path, struct err *err)
{
	pid_t worker = getpid(), child;
	int pipe_fds[2], rc;

	rc = check_path(path, err);
	if (rc < 0)
		return rc;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_fail(err, -errno, "--stats %s: pipe: %s", path, strerror(errno));
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody learns how a child ended */
	child = fork();
	if (child == 0)
		be_the_writer(path, worker, pipe_fds[0]);
	rc = -errno;
	close(pipe_fds[0]);
	if (child < 0) {
		close(pipe_fds[1]);
		return err_fail(err, rc, "--stats %s: cannot fork the process that writes it: %s", path, strerror(-rc));
	}
	*file = (struct stats_file){.path = path, .writer = child, .text_fd = pipe_fds[1]};
	return 0;
}

/* An errno. */
static int wait_for_writer(struct stats_file *file)
{
	int status;
	pid_t ended;

	close(file->text_fd);
	do
		ended = waitpid(file->writer, &status, 0);
	while (ended < 0 && errno == EINTR);
	file->writer = 0;
	if (ended < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPIPE;
}

int stats_file_write(struct stats_file *file, const char *text, size_t text_bytes, struct err *err)
{
	ssize_t written = write(file->text_fd, text, text_bytes);
	int error = written == (ssize_t)text_bytes ? 0 : written < 0 ? errno : EMSGSIZE, failure = wait_for_writer(file);

	error = error ? error : failure;
	return error ? err_fail(err, -error, "--stats %s: cannot be written: %s", file->path, strerror(error)) : 0;
}

void stats_file_close(struct stats_file *file)
{
	if (file->writer > 0)
		(void)wait_for_writer(file); /* whatever it says: it was not asked to do anything */
}
