/*
 * log.c - events in, lines on stderr out.  Any thread; one line at a time.
 *
 * Nothing here may stop the work: a line is one write(2) to a stderr that has room for it, or it is lost.  Lines are plain text,
 * without colour, so that NO_COLOR has nothing to forbid.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "loader/run/log.h"
#include "loader/run/printable.h"

enum {
	/* With the status line redrawn after it, a line fits PIPE_BUF: it is never torn, and poll() vouches for its room. */
	LINE_BYTES = 3072,
	PROGRESS_BYTES = 512,
	SAMPLE_LINES_PER_SECOND = 10,
	PATIENCE_MS = 100, /* for a stderr that has no room; spent once, until there is room again */
};

static const char clear_line[] = "\r\033[K";

static_assert(LINE_BYTES + PROGRESS_BYTES + sizeof clear_line + 1 <= PIPE_BUF, "the longest write is atomic");

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

/* What happened, before it is put into a form.  The last three are NULL unless it is about a sample. */
struct event {
	enum log_level level;
	const char *message;
	uint64_t sample;
	const char *path, *status, *reason;
};

static struct {
	pthread_mutex_t lock; /* guards everything below, and stderr */
	int verbosity;
	bool json, has_terminal;
	uint64_t opened_ns;
	void (*keep)(const char *line, void *context);
	void *keep_context;
	char progress[PROGRESS_BYTES];
	uint64_t window_ns; /* the second in which lines about samples are counted: its begin, lines printed, lines held back */
	uint32_t window_lines;
	uint64_t held_back;
	bool is_stuck; /* stderr had no room the last time */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void write_stderr(const char *bytes, size_t byte_count)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t written;

	state.is_stuck = poll(&out, 1, state.is_stuck ? 0 : PATIENCE_MS) != 1 || !(out.revents & POLLOUT);
	if (state.is_stuck)
		return;
	do
		written = write(STDERR_FILENO, bytes, byte_count);
	while (written < 0 && errno == EINTR);
	/* Full disk, closed pipe: there is no one left to tell. */
}

static void print_line(const char *line)
{
	char bytes[LINE_BYTES + PROGRESS_BYTES + sizeof clear_line + 1];
	const char *clear = *state.progress ? clear_line : "";
	int byte_count = snprintf(bytes, sizeof bytes, "%s%s\n%s", clear, line, state.progress);

	write_stderr(bytes, (size_t)byte_count);
	if (state.keep)
		state.keep(line, state.keep_context);
}

static void print_text(const struct event *event)
{
	static const char *const labels[] = {
		[LOG_ERROR] = "error: ",
		[LOG_WARNING] = "warning: ",
		[LOG_INFO] = "",
		[LOG_DEBUG] = "debug: ",
	};
	char line[LINE_BYTES], seconds[24] = "", message[LINE_BYTES - 600], reason[512];

	if (state.verbosity > 0)
		snprintf(seconds, sizeof seconds, "%9.3f ", (double)(clock_now_ns() - state.opened_ns) / 1e9);
	printable_escape(message, sizeof message, event->path ? event->path : event->message);
	printable_escape(reason, sizeof reason, event->path ? event->reason : "");
	snprintf(line, sizeof line, "%scropring: %s%s%s%s", seconds, labels[event->level], message, event->path ? ": " : "",
	         reason);
	print_line(line);
}

static void format_utc_time(char *text, size_t text_bytes)
{
	struct timespec now;
	struct tm utc;
	char seconds[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, text_bytes, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
}

/* Bytes that the object takes, written when that is at most LINE_BYTES - 1; strings are cut to string_bytes.  0: memory is short.
 */
static size_t format_json(const struct event *event, size_t string_bytes, char *line)
{
	char time_text[48], message[LINE_BYTES], path[LINE_BYTES], reason[LINE_BYTES];
	json_t *object;
	size_t byte_count;

	format_utc_time(time_text, sizeof time_text);
	printable_utf8(message, string_bytes, event->message);
	object = json_pack("{s:s, s:s, s:s}", "time", time_text, "level", level_names[event->level], "message", message);
	if (object && event->path) {
		json_t *about;

		printable_utf8(path, string_bytes, event->path);
		printable_utf8(reason, string_bytes, event->reason);
		about = json_pack("{s:I, s:s, s:s, s:s}", "sample", (json_int_t)event->sample, "path", path, "status",
		                  event->status, "reason", reason);
		(void)json_object_update(object, about); /* memory is short: the line says less */
		json_decref(about);
	}
	byte_count = object ? json_dumpb(object, line, LINE_BYTES - 1, JSON_COMPACT) : 0;
	json_decref(object);
	return byte_count;
}

static void print_json(const struct event *event)
{
	char line[LINE_BYTES];
	size_t byte_count;

	/* A control character takes six bytes in JSON, so that the length is known only afterwards. */
	for (size_t string_bytes = LINE_BYTES; string_bytes >= 64; string_bytes /= 2) {
		byte_count = format_json(event, string_bytes, line);
		if (byte_count && byte_count < LINE_BYTES) {
			line[byte_count] = '\0';
			print_line(line);
			return;
		}
	}
}

static void print_event(const struct event *event)
{
	if (state.json)
		print_json(event);
	else
		print_text(event);
}

static void print_held_back(void)
{
	char message[64];

	if (!state.held_back)
		return;
	snprintf(message, sizeof message, "... and %llu more bad sample%s", (unsigned long long)state.held_back,
	         state.held_back == 1 ? "" : "s");
	state.held_back = 0;
	print_event(&(struct event){.level = LOG_WARNING, .message = message});
}

static bool is_wanted(enum log_level level)
{
	return (int)level <= state.verbosity + (state.verbosity < 0 ? 1 : 2);
}

void log_open(int verbosity, bool json)
{
	const char *terminal = getenv("TERM");

	signal(SIGPIPE, SIG_IGN);
	tzset(); /* this and the next would open files later, when the sandbox says no */
	json_object_seed(0);
	pthread_mutex_lock(&state.lock);
	state.verbosity = verbosity;
	state.json = json;
	state.has_terminal = !json && verbosity >= 0 && terminal && strcmp(terminal, "dumb") != 0 && isatty(STDERR_FILENO);
	state.opened_ns = clock_now_ns();
	state.progress[0] = '\0';
	state.window_ns = 0;
	state.held_back = 0;
	state.is_stuck = false;
	pthread_mutex_unlock(&state.lock);
}

void log_keep(void (*keep)(const char *line, void *context), void *context)
{
	pthread_mutex_lock(&state.lock);
	state.keep = keep;
	state.keep_context = context;
	pthread_mutex_unlock(&state.lock);
}

void log_write(enum log_level level, const char *format, ...)
{
	char message[LINE_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);

	pthread_mutex_lock(&state.lock);
	if (is_wanted(level)) {
		print_held_back();
		print_event(&(struct event){.level = level, .message = message});
	}
	pthread_mutex_unlock(&state.lock);
}

void log_sample(uint64_t sample, const char *path, const char *status, const char *reason)
{
	const struct event event = {LOG_WARNING, "bad sample", sample, path, status, reason};
	uint64_t now_ns;

	pthread_mutex_lock(&state.lock);
	now_ns = clock_now_ns();
	if (now_ns - state.window_ns >= 1000000000u) {
		print_held_back();
		state.window_ns = now_ns;
		state.window_lines = 0;
	}
	if (!is_wanted(event.level)) {
		/* not even counted */
	} else if (state.window_lines == SAMPLE_LINES_PER_SECOND) {
		state.held_back++;
	} else {
		state.window_lines++;
		print_event(&event);
	}
	pthread_mutex_unlock(&state.lock);
}

void log_flush(void)
{
	pthread_mutex_lock(&state.lock);
	print_held_back();
	pthread_mutex_unlock(&state.lock);
}

bool log_has_terminal(void)
{
	bool has_terminal;

	pthread_mutex_lock(&state.lock);
	has_terminal = state.has_terminal;
	pthread_mutex_unlock(&state.lock);
	return has_terminal;
}

/* Bytes of `text` that one row of the terminal holds; every character counts as one column. */
static size_t bytes_in_row(const char *text)
{
	struct winsize size;
	size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79;
	size_t i;

	for (i = 0; text[i]; i++) {
		bool begins_character = ((unsigned char)text[i] & 0xc0) != 0x80;

		if (begins_character && columns-- == 0)
			break;
	}
	return i;
}

void log_progress(const char *line)
{
	char bytes[PROGRESS_BYTES + sizeof clear_line];
	int byte_count;

	pthread_mutex_lock(&state.lock);
	if (state.has_terminal) {
		printable_escape(state.progress, sizeof state.progress, line);
		state.progress[bytes_in_row(state.progress)] = '\0';
		byte_count = snprintf(bytes, sizeof bytes, "%s%s", clear_line, state.progress);
		write_stderr(bytes, (size_t)byte_count);
	}
	pthread_mutex_unlock(&state.lock);
}
