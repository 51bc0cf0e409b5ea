/* Stage 2 of 5, fetch: one file's answers from the kernel in, the next step out.  Whichever thread has the slot. */
#include "loader/fetch/fetch_slot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_MAX_BYTES (1u << 30) /* io_uring returns an int, and read() never gives more than 2 GB either */

void fetch_slot_push(struct fetch_slot_queue *queue, struct fetch_slot *slot)
{
	slot->next = NULL;
	if (queue->first)
		queue->last->next = slot;
	else
		queue->first = slot;
	queue->last = slot;
	queue->count++;
}

struct fetch_slot *fetch_slot_pop(struct fetch_slot_queue *queue)
{
	struct fetch_slot *slot = queue->first;

	if (slot) {
		queue->first = slot->next;
		queue->count--;
	}
	return slot;
}

bool fetch_slot_remove(struct fetch_slot_queue *queue, struct fetch_slot *slot)
{
	struct fetch_slot *before = NULL;

	for (struct fetch_slot *each = queue->first; each; before = each, each = each->next) {
		if (each != slot)
			continue;
		if (before)
			before->next = slot->next;
		else
			queue->first = slot->next;
		if (queue->last == slot)
			queue->last = before;
		queue->count--;
		return true;
	}
	return false;
}

int fetch_slot_assign(struct fetch_slot *slot, const struct fetch_job *job)
{
	size_t path_bytes = strlen(job->path) + 1;

	if (path_bytes > slot->path_capacity_bytes) {
		char *path = realloc(slot->path, path_bytes);

		if (!path)
			return -ENOMEM;
		slot->path = path;
		slot->path_capacity_bytes = path_bytes;
	}
	memcpy(slot->path, job->path, path_bytes);
	slot->directory_fd = job->directory_fd;
	slot->tag = job->tag;
	slot->status = ITEM_OK;
	slot->error = 0;
	slot->buffer = NULL;
	slot->phase = FETCH_OPENING;
	slot->is_open = slot->running = slot->stuck = false;
	atomic_init(&slot->started, false);
	atomic_init(&slot->abandoned, false);
	atomic_init(&slot->held_up_by, 0);
	return 0;
}

void fetch_slot_restart(struct fetch_slot *slot, struct buffers *buffers)
{
	if (slot->buffer)
		buffers_release(buffers, slot->buffer);
	slot->buffer = NULL;
	slot->phase = FETCH_OPENING;
	fetch_slot_fail(slot, ITEM_OK, 0);
}

void fetch_slot_free(struct fetch_slot *slot, struct buffers *buffers)
{
	if (slot->buffer)
		buffers_release(buffers, slot->buffer);
	free(slot->path);
	free(slot);
}

void fetch_slot_fail(struct fetch_slot *slot, enum item_status status, int error)
{
	slot->status = status;
	slot->error = error;
}

enum fetch_step fetch_slot_begin(struct fetch_slot *slot, struct buffers *buffers)
{
	/* Relaxed: see fetch_slot_is_started(). */
	atomic_store_explicit(&slot->started, true, memory_order_relaxed);
	slot->buffer = buffers_acquire(buffers);
	if (slot->buffer)
		return FETCH_READ;
	fetch_slot_fail(slot, ITEM_UNREADABLE, ENOMEM);
	return FETCH_DONE;
}

enum fetch_step fetch_slot_opened(struct fetch_slot *slot, int result)
{
	int error = result < 0 ? -result : 0;

	switch (error) {
	case 0:
		/* Relaxed: a hint for the report of a timeout. */
		atomic_store_explicit(&slot->held_up_by, 0, memory_order_relaxed);
		return FETCH_READ;
	case EMFILE:
	case ENFILE: /* descriptors come back as other files are closed */
		atomic_store_explicit(&slot->held_up_by, error, memory_order_relaxed); /* relaxed: as above */
		return FETCH_LATER;
	case EAGAIN: /* someone holds a lease and was asked to give it up */
	case EINTR:
	case ECANCELED: /* the thread that asked the kernel is gone */
		return FETCH_LATER;
	case ENOENT:
	case ENOTDIR:
		fetch_slot_fail(slot, ITEM_MISSING, error);
		return FETCH_DONE;
	default:
		fetch_slot_fail(slot, ITEM_UNREADABLE, error);
		return FETCH_DONE;
	}
}

uint32_t fetch_slot_wanted_bytes(const struct fetch_slot *slot)
{
	size_t room_bytes = slot->buffer->capacity_bytes - slot->buffer->byte_count;

	return room_bytes < READ_MAX_BYTES ? (uint32_t)room_bytes : READ_MAX_BYTES;
}

static enum fetch_step stop_at_the_end(struct fetch_slot *slot, struct buffers *buffers)
{
	if (slot->buffer->byte_count == 0)
		fetch_slot_fail(slot, ITEM_EMPTY, 0);
	else
		buffers_learn(buffers, slot->buffer);
	return FETCH_DONE;
}

enum fetch_step fetch_slot_took(struct fetch_slot *slot, int64_t result, struct buffers *buffers)
{
	int error;

	if (result == -EINTR)
		return FETCH_READ;
	if (result == -EAGAIN || result == -ECANCELED) /* a FIFO whose writer says nothing yet; as in fetch_slot_opened() */
		return FETCH_LATER;
	if (result < 0) {
		fetch_slot_fail(slot, ITEM_UNREADABLE, (int)-result);
		return FETCH_DONE;
	}
	if (result == 0)
		return stop_at_the_end(slot, buffers);

	slot->buffer->byte_count += (size_t)result;
	if (slot->buffer->byte_count < slot->buffer->capacity_bytes)
		return FETCH_READ;
	error = buffers_grow(buffers, slot->buffer);
	if (error == 0)
		return FETCH_READ;
	if (error == -EFBIG)
		fetch_slot_fail(slot, ITEM_TOO_LARGE, 0);
	else
		fetch_slot_fail(slot, ITEM_UNREADABLE, -error);
	return FETCH_DONE;
}
