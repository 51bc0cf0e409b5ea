/*
 * report.h - files that a worker writes about itself while it runs: --stats, --metrics, --trace.
 *
 * The worker that read strangers' files may not write any (sandbox.h).  So a process that it forks before, one for each file, waits
 * for texts and knows one path.  It ends soon after the worker, however that ends.  Nothing here ever makes the worker wait but
 * report_finish().  The main thread's.
 */
#ifndef CROPRING_REPORT_H
#define CROPRING_REPORT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"
#include "base/err.h"

enum report_way {
	/* Each text is the whole file: written beside it and renamed over it.  Straight into it when it is there and no regular file. */
	REPORT_REPLACE,
	/* Texts are lines of a JSON array in a new file, which begins with a line "["; each element but the last ends with a comma. */
	REPORT_APPEND,
	/* The same, after the last whole line of what an earlier worker left there, in place of its line "]". */
	REPORT_CONTINUE,
};

struct report {
	const char *flag, *path; /* "--stats" */
	enum report_way way;
	pid_t writer;           /* 0: none */
	int socket_fd;          /* to it */
	int error;              /* the errno that it told last; 0: all is well */
	struct bytes unsent;    /* what did not fit into the socket yet */
	size_t sent_bytes;      /* of that */
	uint64_t earlier_bytes; /* CONTINUE: what is in the file */
};

/* Whether there is a place for the file; then the fork.  To be called while there is one thread, before there is anything secret. */
int report_open(struct report *report, const char *flag, enum report_way way, const char *path, struct err *err);

/*
 * Hands over a text.  -EAGAIN: the one that this one replaces is not on its way yet, and this one was not taken; one that is appended
 * always is, so that whoever sends many asks report_step() first.  -EPIPE: the writer is gone; -ENOMEM.
 * 0: it will be written, or report->error tells why not.
 */
int report_send(struct report *report, const char *text, size_t text_bytes);

/* Sends on what did not fit, and hears what the writer says.  -EAGAIN: there is still more; -EPIPE. */
int report_step(struct report *report);

/*
 * No more texts: waits until all is written, patience_ms long (-1: as long as it takes).  The first error, of whatever text, with a sentence.
 */
int report_finish(struct report *report, int patience_ms, struct err *err);

/* Without report_finish() before, nothing that is under way is waited for. */
void report_close(struct report *report);

#endif
