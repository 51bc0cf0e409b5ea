/*
 * request_queue.h - whole requests on their way from the door to the planner, in order, as many as memory is meant for.
 *
 * One thread pushes, one pops.
 */
#ifndef CROPRING_REQUEST_QUEUE_H
#define CROPRING_REQUEST_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shmring/shmring.h"

enum {
	REQUEST_QUEUE_LIMIT = 64,
	REQUEST_QUEUE_BYTES = 3 * SHMRING_MAX_REQUEST_BYTES, /* with more it is full; one more may come, so 64 MB is the most */
};

/* Bytes from malloc(), hostile. */
struct request {
	void *bytes;
	size_t byte_count;
};

struct request_queue {
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	struct request waiting[REQUEST_QUEUE_LIMIT]; /* from `first` on, in turn */
	uint32_t first, count;
	size_t byte_count;
	bool is_full; /* since it was, and until half of it is gone */
	bool is_closed;
};

void request_queue_open(struct request_queue *queue);
void request_queue_destroy(struct request_queue *queue);

/* From now on request_queue_pop() returns false at once, whatever is left. */
void request_queue_close(struct request_queue *queue);

/* Takes the bytes over.  Only while there is room. */
void request_queue_push(struct request_queue *queue, struct request request);

/* Whether there is room for another. */
bool request_queue_has_room(struct request_queue *queue);

/* Waits for a request, whose bytes are the caller's then; *made_room: there was none before.  False after request_queue_close(). */
bool request_queue_pop(struct request_queue *queue, struct request *request, bool *made_room);

#endif
