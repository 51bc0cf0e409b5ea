/* queue.c - an intrusive first-in-first-out list under a mutex: taken a few thousand times a second, it is never the bottleneck. */
#include "loader/run/queue.h"

void queue_open(struct queue *queue)
{
	*queue = (struct queue){.first = NULL};
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->not_empty, NULL);
}

void queue_destroy(struct queue *queue)
{
	pthread_cond_destroy(&queue->not_empty);
	pthread_mutex_destroy(&queue->lock);
}

void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

void queue_push(struct queue *queue, struct item *item)
{
	pthread_mutex_lock(&queue->lock);
	item->next = NULL;
	if (queue->last)
		queue->last->next = item;
	else
		queue->first = item;
	queue->last = item;
	queue->length++;
	pthread_cond_signal(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

void queue_push_front(struct queue *queue, struct item *item)
{
	pthread_mutex_lock(&queue->lock);
	item->next = queue->first;
	queue->first = item;
	if (!queue->last)
		queue->last = item;
	queue->length++;
	pthread_cond_signal(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

/* Under the lock. */
static struct item *take_first(struct queue *queue)
{
	struct item *item = queue->first;

	if (!item)
		return NULL;
	queue->first = item->next;
	if (!queue->first)
		queue->last = NULL;
	item->next = NULL;
	queue->length--;
	return item;
}

struct item *queue_pop(struct queue *queue)
{
	struct item *item;

	pthread_mutex_lock(&queue->lock);
	while (!queue->first && !queue->closed)
		pthread_cond_wait(&queue->not_empty, &queue->lock);
	item = queue->closed ? NULL : take_first(queue);
	pthread_mutex_unlock(&queue->lock);
	return item;
}

struct item *queue_try_pop(struct queue *queue)
{
	struct item *item;

	pthread_mutex_lock(&queue->lock);
	item = take_first(queue);
	pthread_mutex_unlock(&queue->lock);
	return item;
}

uint32_t queue_length(struct queue *queue)
{
	uint32_t length;

	pthread_mutex_lock(&queue->lock);
	length = queue->length;
	pthread_mutex_unlock(&queue->lock);
	return length;
}
