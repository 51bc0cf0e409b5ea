/* report.c - a path and texts in; the worker's side of a file that another process writes. */
#include "loader/run/report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/run/report_process.h"

enum { LOOK_MS = 10 }; /* while the writer's end is waited for */

static int check_path(const struct report *report, struct err *err)
{
	const char *flag = report->flag, *path = report->path, *slash = strrchr(path, '/');
	char folder[4096] = ".";
	struct stat status;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return err_fail(err, -EINVAL, "%s %s: this is a folder; name a file", flag, path);
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return access(path, W_OK) == 0 ? 0 : err_fail(err, -EINVAL, "%s %s: %s", flag, path, strerror(errno));
	if (slash && slash - path >= (ptrdiff_t)sizeof folder)
		return err_fail(err, -EINVAL, "%s: a path of %zu characters is too long", flag, strlen(path));
	if (slash)
		snprintf(folder, sizeof folder, "%.*s", slash > path ? (int)(slash - path) : 1, path);
	if (access(folder, W_OK | X_OK) < 0)
		return err_fail(err, -EINVAL, "%s %s: cannot write in the folder %s: %s", flag, path, folder, strerror(errno));
	return 0;
}

int report_open(struct report *out, const char *flag, enum report_way way, const char *path, struct err *err)
{
	struct report report = {.flag = flag, .path = path, .way = way, .socket_fd = -1};
	pid_t worker = getpid(), child;
	struct stat status;
	int sockets[2], rc;

	rc = check_path(&report, err);
	if (rc < 0)
		return rc;
	if (way == REPORT_CONTINUE && stat(path, &status) == 0 && S_ISREG(status.st_mode))
		report.earlier_bytes = (uint64_t)status.st_size;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return err_fail(err, -errno, "%s %s: socketpair: %s", flag, path, strerror(errno));
	signal(SIGCHLD, SIG_DFL); /* where it is ignored, nobody learns how a child ended */
	child = fork();
	if (child == 0)
		report_process_run(&report, worker, sockets[1]);
	rc = -errno;
	close(sockets[1]);
	if (child < 0) {
		close(sockets[0]);
		return err_fail(err, rc, "%s %s: cannot fork the process that writes it: %s", flag, path, strerror(-rc));
	}
	report.writer = child;
	report.socket_fd = sockets[0];
	*out = report;
	return 0;
}

/* sendmsg() and recvmsg() without anything around: what the sandbox knows. */
static ssize_t send_some(int socket_fd, const char *text, size_t text_bytes)
{
	struct iovec part = {.iov_base = (char *)(uintptr_t)text, .iov_len = text_bytes};

	return sendmsg(socket_fd, &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1}, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hear(struct report *report)
{
	uint8_t codes[64];
	struct iovec part = {.iov_base = codes, .iov_len = sizeof codes};
	ssize_t count = recvmsg(report->socket_fd, &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1}, MSG_DONTWAIT);

	if (count > 0)
		report->error = codes[count - 1];
}

int report_step(struct report *report)
{
	if (report->socket_fd < 0)
		return -EPIPE;
	hear(report);
	while (report->sent_bytes < report->unsent.used_bytes) {
		ssize_t count = send_some(report->socket_fd, report->unsent.data + report->sent_bytes,
		                          report->unsent.used_bytes - report->sent_bytes);

		if (count < 0)
			return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? -EAGAIN : -EPIPE;
		report->sent_bytes += (size_t)count;
	}
	report->sent_bytes = report->unsent.used_bytes = 0;
	return 0;
}

int report_send(struct report *report, const char *text, size_t text_bytes)
{
	bool replaces = report->way == REPORT_REPLACE;
	uint32_t length = (uint32_t)text_bytes;
	int rc = report_step(report);

	if (rc == -EPIPE || (rc == -EAGAIN && replaces))
		return rc;
	rc = bytes_reserve(&report->unsent, REPORT_LENGTH_BYTES + text_bytes);
	if (rc < 0)
		return rc;
	if (replaces)
		(void)bytes_append(&report->unsent, &length, REPORT_LENGTH_BYTES); /* there is room */
	(void)bytes_append(&report->unsent, text, text_bytes);
	rc = report_step(report);
	return rc == -EAGAIN ? 0 : rc; /* the rest goes with the next step */
}

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns();

	if (deadline_ns == UINT64_MAX)
		return -1;
	return now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / 1000000u) + 1 : 0;
}

/* An errno. */
static int await_end(struct report *report, uint64_t deadline_ns)
{
	pid_t ended;
	int status;

	do {
		ended = waitpid(report->writer, &status, deadline_ns == UINT64_MAX ? 0 : WNOHANG);
		if (ended == 0 && left_ms(deadline_ns) == 0)
			return ETIMEDOUT;
		if (ended == 0)
			(void)poll(NULL, 0, LOOK_MS);
	} while (ended == 0 || (ended < 0 && errno == EINTR));
	report->writer = 0;
	if (ended < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EPIPE;
}

int report_finish(struct report *report, int patience_ms, struct err *err)
{
	uint64_t deadline_ns = patience_ms < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)patience_ms * 1000000u;
	struct pollfd wait = {.fd = report->socket_fd, .events = POLLOUT};
	int error, rc;

	while ((rc = report_step(report)) == -EAGAIN && left_ms(deadline_ns) != 0)
		(void)poll(&wait, 1, left_ms(deadline_ns));
	if (report->socket_fd >= 0)
		close(report->socket_fd);
	report->socket_fd = -1;
	error = report->writer > 0 ? await_end(report, deadline_ns) : EPIPE;
	if (error == 0 && rc < 0)
		error = -rc;
	return error ? err_fail(err, -error, "%s %s: cannot be written: %s", report->flag, report->path, strerror(error)) : 0;
}

void report_close(struct report *report)
{
	if (report->writer > 0 && report->socket_fd >= 0) {
		close(report->socket_fd);
		(void)await_end(report, clock_now_ns() + 1000000000u); /* whatever it says: it was not asked to do anything */
	}
	bytes_free(&report->unsent);
}
