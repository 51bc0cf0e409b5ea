/*
 * stats_file.h - the file of --stats: one text, written at the end by a process that has nothing else to do.
 *
 * The worker that read strangers' files may not write any (sandbox.h).  So a child that it forks before waits for the text, and
 * knows one path.  It ends with the worker, however that ends.
 */
#ifndef CROPRING_STATS_FILE_H
#define CROPRING_STATS_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct stats_file {
	const char *path;
	pid_t writer; /* 0: none */
	int text_fd;  /* a pipe to it */
};

/* Whether there is a place for the file; then the fork.  To be called while there is one thread, before there is anything secret. */
int stats_file_open(struct stats_file *file, const char *path, struct err *err);

/*
 * Written beside the path and renamed over it; straight into it when that is there and no regular file (a pipe, a device, a link).
 * The text is one write: PIPE_BUF bytes at most.  Waits until it is written.
 */
int stats_file_write(struct stats_file *file, const char *text, size_t text_bytes, struct err *err);

/* Without a text before, nothing is written. */
void stats_file_close(struct stats_file *file);

#endif
