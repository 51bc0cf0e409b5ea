/*
 * crop_worker.h - a `cropring serve` of our own that cuts what it is asked for: requests in, batches of its ring out, in order.
 *
 * It ends when this process does, however it does.  One thread.
 */
#ifndef CROPRING_CROP_WORKER_H
#define CROPRING_CROP_WORKER_H

#include <stdbool.h>
#include <sys/types.h>

#include "loader/plan/request.h"
#include "loader/shell/crop_flags.h"
#include "loader/shell/crop_list.h"
#include "shmring/shmring.h"

enum { CROP_BATCH_ROWS = 64 };

/* One batch, from question to answer: the bytes of a request, and the paths as the user named them. */
struct crop_request {
	uint32_t row_count;
	struct request_row rows[CROP_BATCH_ROWS];
	uint32_t named_at[CROP_BATCH_ROWS]; /* where in `text` the user's name of the row's file begins */
	char *text;
	size_t text_bytes, text_capacity;
};

struct crop_worker {
	pid_t pid; /* 0: none */
	struct shmring_reader *reader;
	uint32_t batch_rows; /* of a full request */
	char *folder;        /* where relative paths begin, with a slash at its end */
	uint8_t *packed;     /* a request as it is sent */
	size_t packed_bytes;
	int wait_status; /* once it has ended */
};

/* Starts the worker and waits for its ring.  Negative errno with the worker's sentence; -EINVAL when a flag is wrong. */
int crop_worker_open(struct crop_worker *worker, const struct crop_flags *flags, struct err *err);

/* Ends it, if it runs. */
void crop_worker_close(struct crop_worker *worker);

/* Empties a request, and adds to it.  -ENOMEM. */
void crop_request_clear(struct crop_request *request);
int crop_request_add(struct crop_request *request, const struct crop_worker *worker, const struct crop_item *item, struct err *err);
void crop_request_close(struct crop_request *request);

/* Sends a request: its answer is the next batch but those that were asked for before.  Errors as shmring_request(), with a sentence. */
int crop_worker_ask(struct crop_worker *worker, const struct crop_request *request, struct err *err);

/*
 * The next batch, to be given back by shmring_release().  -EPIPE: there will be none, and why, unless the worker has printed it;
 * *is_bad_data: it ended by --on-error stop.
 */
int crop_worker_take(struct crop_worker *worker, struct shmring_lease *lease, bool *is_bad_data, struct err *err);

#endif
