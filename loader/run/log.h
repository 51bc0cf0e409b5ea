/*
 * log.h - lines for people on stderr (or JSON objects under --log json), and the worker's last lines for its readers.
 *
 * At most a fixed number of warnings per second reaches stderr; the rest is counted and summed up in one line.  Any thread.
 */
#ifndef CROPRING_LOG_H
#define CROPRING_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/*
 * verbosity -1: errors only; 0: warnings and info; 1: debug, and a column of seconds since this call.
 * From here on SIGPIPE is ignored: a reader of stderr that goes away costs lines, not the process.  A reader that stays but does
 * not read costs lines as well, never more than 100 ms.
 */
void log_open(int verbosity, bool json);

/*
 * Also hands every line that is printed to `keep` (the ring's log), from now on; NULL ends it.  `keep` must not log.  When this
 * call returns, the former `keep` is not running any more.
 */
void log_keep(void (*keep)(const char *line, void *context), void *context);

__attribute__((format(printf, 2, 3))) void log_write(enum log_level level, const char *format, ...);

/*
 * A bad sample: `path: reason`; in JSON with fields sample, path, status, reason.  After ten in a second the rest of that second
 * is only counted; `and N more bad samples` stands before the next line of any kind, or comes with log_flush().
 */
void log_sample(uint64_t sample, const char *path, const char *status, const char *reason);

/* Prints the count that log_sample() holds back, if any: once a second or so, and at the end. */
void log_flush(void);

/*
 * The one status line of a terminal, rewritten in place and cut to its width; "" takes it away.  Nothing when stderr is no
 * terminal or a dumb one, or under --log json or -q.
 */
bool log_has_terminal(void);
void log_progress(const char *line);

#endif
