/* request_queue.c - a ring of requests under a mutex. */
#include "loader/run/request_queue.h"

#include <assert.h>
#include <stdlib.h>

void request_queue_open(struct request_queue *queue)
{
	*queue = (struct request_queue){.count = 0};
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->not_empty, NULL);
}

void request_queue_destroy(struct request_queue *queue)
{
	for (; queue->count > 0; queue->count--, queue->first++)
		free(queue->waiting[queue->first % REQUEST_QUEUE_LIMIT].bytes);
	pthread_cond_destroy(&queue->not_empty);
	pthread_mutex_destroy(&queue->lock);
}

void request_queue_close(struct request_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->is_closed = true;
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

void request_queue_push(struct request_queue *queue, struct request request)
{
	pthread_mutex_lock(&queue->lock);
	assert(queue->count < REQUEST_QUEUE_LIMIT);
	queue->waiting[(queue->first + queue->count) % REQUEST_QUEUE_LIMIT] = request;
	queue->count++;
	queue->byte_count += request.byte_count;
	if (queue->count == REQUEST_QUEUE_LIMIT || queue->byte_count > REQUEST_QUEUE_BYTES)
		queue->is_full = true;
	pthread_cond_signal(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

bool request_queue_has_room(struct request_queue *queue)
{
	bool has_room;

	pthread_mutex_lock(&queue->lock);
	has_room = !queue->is_full;
	pthread_mutex_unlock(&queue->lock);
	return has_room;
}

bool request_queue_pop(struct request_queue *queue, struct request *request, bool *made_room)
{
	bool found;

	pthread_mutex_lock(&queue->lock);
	while (queue->count == 0 && !queue->is_closed)
		pthread_cond_wait(&queue->not_empty, &queue->lock);
	found = !queue->is_closed;
	*made_room = false;
	if (found) {
		*request = queue->waiting[queue->first % REQUEST_QUEUE_LIMIT];
		queue->first++;
		queue->count--;
		queue->byte_count -= request->byte_count;
		*made_room =
			queue->is_full && queue->count <= REQUEST_QUEUE_LIMIT / 2 && queue->byte_count <= REQUEST_QUEUE_BYTES / 2;
		queue->is_full = queue->is_full && !*made_room;
	}
	pthread_mutex_unlock(&queue->lock);
	return found;
}
