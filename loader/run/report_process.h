/* report_process.h - the process that report.c forks. */
#ifndef CROPRING_REPORT_PROCESS_H
#define CROPRING_REPORT_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "loader/run/report.h"

/* What stands before a text that replaces the file: its bytes.  Those that are appended come as they are. */
enum { REPORT_LENGTH_BYTES = sizeof(uint32_t) };

/* Writes what comes over the socket until its other end is closed, says each errno there, and ends with the first one as exit status. */
__attribute__((noreturn)) void report_process_run(const struct report *report, pid_t worker, int socket_fd);

#endif
