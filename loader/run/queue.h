/*
 * queue.h - items waiting for a stage: first in, first out, linked through the items themselves, so that pushing never fails.
 *
 * Any thread pushes and pops.
 */
#ifndef CROPRING_QUEUE_H
#define CROPRING_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "loader/run/item.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t not_empty;
	struct item *first, *last;
	uint32_t length;
	bool closed;
};

void queue_open(struct queue *queue);
void queue_destroy(struct queue *queue);

/* From now on queue_pop() returns NULL at once, whatever is left. */
void queue_close(struct queue *queue);

void queue_push(struct queue *queue, struct item *item);
void queue_push_front(struct queue *queue, struct item *item);

/* Waits for an item; NULL after queue_close(). */
struct item *queue_pop(struct queue *queue);

/* NULL when there is none now. */
struct item *queue_try_pop(struct queue *queue);

uint32_t queue_length(struct queue *queue);

#endif
