/* crop_worker.c - starts `cropring serve --requests paths` over a socket pair, asks, and takes the answers. */
#include "loader/shell/crop_worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/run/serve.h"

enum {
	SOCKET_FD = 3,         /* the worker's end */
	BATCH_BYTES = 4 << 20, /* of pixels in a batch, or one crop if that is larger */
	GRACE_MS = 5000,       /* to end in, before SIGKILL */
	WAIT_MS = 1000,
};

extern char **environ;

/* Without CROPRING_ variables: those are for `cropring serve`.  The strings stay the environment's. */
static char **make_environment(void)
{
	size_t count = 0, kept = 0;
	char **copy;

	while (environ[count])
		count++;
	copy = calloc(count + 1, sizeof *copy);
	for (size_t i = 0; copy && i < count; i++)
		if (strncmp(environ[i], "CROPRING_", 9) != 0)
			copy[kept++] = environ[i];
	return copy;
}

static uint32_t rows_of(const struct crop_flags *flags)
{
	uint32_t crop_bytes = flags->worker.height_px * flags->worker.width_px * flags->worker.channels,
		 fitting = BATCH_BYTES / crop_bytes;

	return fitting < 1 ? 1 : fitting < CROP_BATCH_ROWS ? fitting : CROP_BATCH_ROWS;
}

/* The worker ignores Ctrl-C, which the terminal sends to both: it ends because we do. */
static int spawn(struct crop_worker *worker, const struct crop_flags *flags, int socket_fd)
{
	char batch_size[32], *words[CROP_WORD_LIMIT + 16] = {"cropring", "serve"}, **environment = make_environment();
	posix_spawn_file_actions_t actions;
	uint32_t count = 2;
	int rc;

	if (!environment)
		return -ENOMEM;
	snprintf(batch_size, sizeof batch_size, "--batch-size=%u", worker->batch_rows);
	for (uint32_t i = 0; i < flags->word_count; i++)
		words[count++] = flags->word[i];
	words[count++] = batch_size;
	words[count++] = "--slots=4";
	words[count++] = "--requests=paths";
	words[count++] = "--crop=window";
	words[count++] = "--hflip=0";
	words[count++] =
		flags->worker.verbosity > 0 ? "--verbose" : "--quiet"; /* bad files are named here, all of them and in order */
	words[count++] = "--reader-fd=3";
	words[count] = "/";
	rc = posix_spawn_file_actions_init(&actions);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", 1, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, socket_fd, SOCKET_FD);
	if (rc == 0)
		rc = posix_spawn(&worker->pid, "/proc/self/exe", &actions, NULL, words, environment);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	return -rc;
}

static int name_folder(struct crop_worker *worker)
{
	char *folder = get_current_dir_name();
	int length = folder ? asprintf(&worker->folder, "%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/") : -1;

	free(folder);
	if (length < 0) {
		worker->folder = NULL;
		return folder ? -ENOMEM : -errno;
	}
	return 0;
}

/* Waits until it has ended; false when the time was too short. */
static bool await_end(struct crop_worker *worker, int timeout_ms)
{
	struct pollfd ended = {.fd = pidfd_open(worker->pid, 0), .events = POLLIN};
	int rc = 0;

	if (ended.fd >= 0) {
		do
			rc = poll(&ended, 1, timeout_ms);
		while (rc < 0 && errno == EINTR);
		close(ended.fd);
	}
	if (rc <= 0 || waitpid(worker->pid, &worker->wait_status, 0) != worker->pid)
		return false;
	worker->pid = 0;
	return true;
}

/* Its ring has ended, or has lost its reader: it goes by itself, and says how it went.  One that hangs in the kernel is left to init. */
static void end(struct crop_worker *worker)
{
	if (worker->pid == 0 || await_end(worker, GRACE_MS))
		return;
	(void)kill(worker->pid, SIGKILL); /* it is our child until waitpid() */
	(void)await_end(worker, WAIT_MS);
}

/* After end(): "killed by SIGSEGV". */
static void describe_end(const struct crop_worker *worker, char *text)
{
	if (worker->pid != 0)
		snprintf(text, 64, "it does not end");
	else if (WIFSIGNALED(worker->wait_status))
		snprintf(text, 64, "killed by SIG%s", sigabbrev_np(WTERMSIG(worker->wait_status)));
	else
		snprintf(text, 64, "exit status %d", WEXITSTATUS(worker->wait_status));
}

int crop_worker_open(struct crop_worker *worker, const struct crop_flags *flags, struct err *err)
{
	const struct shmring_wish wish = {.hold = 1, .number = SHMRING_ANY_NUMBER};
	int ends[2] = {-1, -1}, rc;

	*worker = (struct crop_worker){.batch_rows = rows_of(flags)};
	rc = name_folder(worker);
	if (rc < 0)
		return err_fail(err, rc, "the current folder has no name: %s", strerror(-rc));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return err_fail(err, -errno, "socketpair: %s", strerror(errno));
	rc = spawn(worker, flags, ends[1]);
	close(ends[1]); /* or a worker that dies would not be noticed */
	if (rc < 0) {
		close(ends[0]);
		worker->pid = 0;
		return err_fail(err, rc, "the worker cannot be started: %s", strerror(-rc));
	}
	rc = shmring_attach_fd(&worker->reader, ends[0], &wish, err);
	if (rc == -EPIPE || rc == -ECONNRESET) { /* without a word */
		char how[64];

		end(worker);
		describe_end(worker, how);
		return err_fail(err, rc, "the worker ended before it was ready: %s", how);
	}
	return rc;
}

void crop_worker_close(struct crop_worker *worker)
{
	if (worker->reader)
		shmring_detach(worker->reader);
	worker->reader = NULL;
	end(worker);
	free(worker->folder);
	free(worker->packed);
}

/* Why no batch came. */
static int explain(struct crop_worker *worker, int code, bool *is_bad_data, struct err *err)
{
	char text[400];
	enum shmring_end why = shmring_end_text(worker->reader, text, sizeof text);

	if (code != -EPIPE)
		return err_fail(err, code, "the ring of the worker: %s", strerror(-code));
	end(worker);
	*is_bad_data = worker->pid == 0 && WIFEXITED(worker->wait_status) && WEXITSTATUS(worker->wait_status) == EXIT_BAD_DATA;
	if (why == SHMRING_FAILED)
		return err_fail(err, code, "%s", ""); /* it has said so itself */
	if (why != SHMRING_RUNNING)
		return err_fail(err, code, "the worker: %s", text);
	describe_end(worker, text);
	return err_fail(err, code, "the worker died (%s), so there is no output", text);
}

/* ------------------------------------------------------------------ requests */

void crop_request_clear(struct crop_request *request)
{
	request->row_count = 0;
	request->text_bytes = 0;
}

void crop_request_close(struct crop_request *request)
{
	free(request->text);
}

static int add_text(struct crop_request *request, const char *text, size_t byte_count)
{
	if (byte_count > request->text_capacity - request->text_bytes) {
		size_t capacity = 2 * (request->text_bytes + byte_count);
		char *grown = realloc(request->text, capacity);

		if (!grown)
			return -ENOMEM;
		request->text = grown;
		request->text_capacity = capacity;
	}
	memcpy(request->text + request->text_bytes, text, byte_count);
	request->text_bytes += byte_count;
	return 0;
}

int crop_request_add(struct crop_request *request, const struct crop_worker *worker, const struct crop_item *item, struct err *err)
{
	const uint32_t row = request->row_count;
	const struct crop_window *window = &item->window;
	int rc = 0;

	request->rows[row] = (struct request_row){.label = -1,
	                                          .path_at = (uint32_t)request->text_bytes,
	                                          .rule = CROP_WINDOW,
	                                          .window = {window->x, window->y, window->scale}};
	if (item->path[0] != '/')
		rc = add_text(request, worker->folder, strlen(worker->folder));
	request->named_at[row] = (uint32_t)request->text_bytes;
	if (rc == 0)
		rc = add_text(request, item->path, strlen(item->path) + 1);
	if (rc < 0)
		return err_fail(err, rc, "out of memory for paths");
	request->row_count++;
	return 0;
}

static int pack(struct crop_worker *worker, const struct crop_request *request, size_t *byte_count)
{
	const struct request_header header = {
		.magic = REQUEST_MAGIC, .row_count = request->row_count, .text_bytes = request->text_bytes};
	size_t rows_bytes = request->row_count * sizeof *request->rows;
	uint8_t *grown;

	*byte_count = sizeof header + rows_bytes + request->text_bytes;
	if (*byte_count > worker->packed_bytes) {
		grown = realloc(worker->packed, *byte_count);
		if (!grown)
			return -ENOMEM;
		worker->packed = grown;
		worker->packed_bytes = *byte_count;
	}
	memcpy(worker->packed, &header, sizeof header);
	memcpy(worker->packed + sizeof header, request->rows, rows_bytes);
	memcpy(worker->packed + sizeof header + rows_bytes, request->text, request->text_bytes);
	return 0;
}

int crop_worker_ask(struct crop_worker *worker, const struct crop_request *request, struct err *err)
{
	size_t byte_count;
	int rc = pack(worker, request, &byte_count);

	if (rc < 0)
		return err_fail(err, rc, "out of memory for a request");
	do
		rc = shmring_request(worker->reader, worker->packed, byte_count);
	while (rc == -EINTR);
	return rc < 0 ? err_fail(err, rc, "the worker cannot be asked: %s", strerror(-rc)) : 0;
}

int crop_worker_take(struct crop_worker *worker, struct shmring_lease *lease, bool *is_bad_data, struct err *err)
{
	int rc;

	do
		rc = shmring_acquire(worker->reader, WAIT_MS, lease);
	while (rc == -ETIMEDOUT || rc == -EINTR);
	return rc < 0 ? explain(worker, rc, is_bad_data, err) : 0;
}
