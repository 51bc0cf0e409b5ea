/* Stage 2 of 5, fetch: one file's answers from the kernel in, the next step out.  Whichever thread has the slot. */
#include "loader/fetch/fetch_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loader/fetch/fetch_part.h"
#include "loader/fetch/fetch_runs.h"
#include "loader/fetch/file_open.h"

#define NS_PER_SECOND 1000000000u

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

	slot->is_lent = job->is_open;
	slot->fd = job->is_open ? job->fd : -1;
	slot->buffer = NULL;
	free(slot->runs);
	slot->runs = NULL;
	if (job->runs && !(slot->runs = fetch_runs_copy(job->runs)))
		return -ENOMEM;
	if (path_bytes > slot->path_capacity_bytes) {
		char *path = realloc(slot->path, path_bytes);

		if (!path)
			return -ENOMEM;
		slot->path = path;
		slot->path_capacity_bytes = path_bytes;
	}
	memcpy(slot->path, job->path, path_bytes);
	slot->directory_fd = slot->folder_fd = job->directory_fd;
	slot->path_in_folder = slot->path;
	slot->image_offset = job->offset;
	slot->is_whole_file = job->offset == 0 && job->length == 0;
	slot->image_bytes = slot->is_whole_file ? UINT64_MAX : job->length;
	slot->tag = job->tag;
	slot->status = ITEM_OK;
	slot->error = 0;
	slot->need = FETCH_NEEDS_NOTHING;
	slot->size_bytes = slot->room_bytes = 0;
	slot->head_bytes = slot->image_bytes;
	slot->part = (struct file_part){0};
	slot->part_done_bytes = 0;
	slot->run_index = slot->advised_count = 0;
	slot->run_done_bytes = 0;
	slot->has_stamp = slot->chosen = slot->skips = slot->always_waits = slot->never_waits = false;
	slot->answer_count = 0;
	slot->closing = slot->running = slot->stuck = false;
	atomic_init(&slot->started, false);
	atomic_init(&slot->abandoned, false);
	atomic_init(&slot->held_up_by, 0);
	return 0;
}

void fetch_slot_close(struct fetch_slot *slot)
{
	if (slot->fd >= 0 && !slot->is_lent)
		close(slot->fd);
	slot->fd = -1;
}

void fetch_slot_free(struct fetch_slot *slot, struct buffers *buffers)
{
	fetch_slot_close(slot);
	if (slot->buffer)
		buffers_release(buffers, slot->buffer);
	free(slot->runs);
	free(slot->path);
	free(slot);
}

void fetch_slot_fail(struct fetch_slot *slot, enum item_status status, int error)
{
	slot->status = status;
	slot->error = error;
}

static enum fetch_step fail(struct fetch_slot *slot, enum item_status status, int error)
{
	fetch_slot_fail(slot, status, error);
	return FETCH_DONE;
}

static enum fetch_step halt(struct fetch_slot *slot, enum fetch_need need)
{
	slot->need = need;
	return FETCH_HALT;
}

enum fetch_step fetch_slot_begin(struct fetch_slot *slot)
{
	/* Relaxed: see fetch_slot_is_started(). */
	atomic_store_explicit(&slot->started, true, memory_order_relaxed);
	return slot->fd < 0 ? FETCH_OPEN : FETCH_READ;
}

enum fetch_step fetch_slot_get_memory(struct fetch_slot *slot, enum buffers_rank rank, const struct fetch_rules *rules)
{
	int error = buffers_acquire(rules->buffers, slot->room_bytes, rank, &slot->buffer);

	slot->need = FETCH_NEEDS_NOTHING;
	if (error == -EAGAIN)
		return halt(slot, FETCH_NEEDS_MEMORY);
	return error ? fail(slot, ITEM_UNREADABLE, -error) : FETCH_READ;
}

/* Who waits for memory holds none, and reads it all again: it happens to few, and nobody waits for somebody who waits. */
static enum fetch_step get_more_memory(struct fetch_slot *slot, const struct fetch_rules *rules)
{
	int error = buffers_grow(rules->buffers, slot->buffer, slot->room_bytes);

	switch (error) {
	case 0:
		return FETCH_READ;
	case -EFBIG:
		return fail(slot, ITEM_TOO_LARGE, 0);
	case -EAGAIN:
		buffers_release(rules->buffers, slot->buffer);
		slot->buffer = NULL;
		return halt(slot, FETCH_NEEDS_MEMORY);
	default:
		return fail(slot, ITEM_UNREADABLE, -error);
	}
}

static bool has_room_for(uint64_t file_bytes, uint64_t offset, uint64_t length)
{
	return offset <= file_bytes && length <= file_bytes - offset;
}

static int64_t as_ns(struct statx_timestamp time)
{
	return (int64_t)((uint64_t)time.tv_sec * NS_PER_SECOND + time.tv_nsec);
}

static struct file_stamp stamp_of(const struct statx *status)
{
	return (struct file_stamp){.size_bytes = status->stx_size,
	                           .mtime_ns = as_ns(status->stx_mtime),
	                           .ctime_ns = as_ns(status->stx_ctime),
	                           .inode = status->stx_ino,
	                           .device = (uint64_t)status->stx_dev_major << 32 | status->stx_dev_minor};
}

/* Of a file that has so many bytes, or perhaps fewer. */
static enum fetch_step begin_image(struct fetch_slot *slot, uint64_t file_bytes, const struct fetch_rules *rules)
{
	if (slot->image_bytes == 0)
		return fail(slot, ITEM_EMPTY, 0);
	if (!slot->is_whole_file && !has_room_for(file_bytes, slot->image_offset, slot->image_bytes))
		return fail(slot, ITEM_TRUNCATED, 0);
	slot->size_bytes = slot->is_whole_file ? file_bytes : slot->image_bytes;
	if (slot->size_bytes > rules->max_file_bytes)
		return fail(slot, ITEM_TOO_LARGE, 0);
	if (slot->runs && !fetch_runs_make_sense(slot->runs, slot->size_bytes))
		return fail(slot, ITEM_TRUNCATED, 0);
	slot->room_bytes = slot->runs ? fetch_runs_room_bytes(slot->runs) : slot->size_bytes + 1;
	slot->chosen = !rules->asks_for_parts || slot->runs || slot->size_bytes <= FETCH_PART_MIN_BYTES;
	if (!slot->chosen)
		slot->room_bytes = slot->head_bytes = FETCH_HEAD_BYTES;
	return fetch_slot_get_memory(slot, BUFFERS_IN_TURN, rules);
}

/* AT_STATX_DONT_SYNC: no server is asked, what opening has told is enough. */
static enum fetch_step look_at(struct fetch_slot *slot, const struct fetch_rules *rules)
{
	struct statx status;

	if (statx(slot->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status) != 0)
		return fail(slot, ITEM_UNREADABLE, errno);
	if (!S_ISREG(status.stx_mode))
		return fail(slot, ITEM_UNREADABLE, S_ISDIR(status.stx_mode) ? EISDIR : FETCH_NOT_REGULAR);
	slot->stamp = stamp_of(&status);
	slot->has_stamp = true;
	return begin_image(slot, status.stx_size, rules);
}

enum fetch_step fetch_slot_was_open(struct fetch_slot *slot, const struct fetch_rules *rules)
{
	slot->always_waits = rules->past_cache;
	return slot->is_whole_file ? look_at(slot, rules) : begin_image(slot, INT64_MAX, rules);
}

enum fetch_step fetch_slot_opened(struct fetch_slot *slot, int result, const struct fetch_rules *rules)
{
	int error = result < 0 ? -result : 0;

	switch (error) {
	case 0:
		/* Relaxed: a hint for the report of a timeout. */
		atomic_store_explicit(&slot->held_up_by, 0, memory_order_relaxed);
		slot->fd = result;
		slot->always_waits = rules->past_cache;
		return look_at(slot, rules);
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
		return fail(slot, ITEM_MISSING, error);
	default:
		return fail(slot, ITEM_UNREADABLE, error);
	}
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static bool has_head(const struct fetch_slot *slot)
{
	return slot->buffer->byte_count >= slot->head_bytes;
}

void fetch_slot_plan_read(struct fetch_slot *slot)
{
	const struct fetch_buffer *buffer = slot->buffer;

	if (slot->runs)
		fetch_runs_plan_read(slot);
	else if (has_head(slot))
		fetch_part_plan_read(slot);
	else
		slot->read = (struct fetch_slot_read){
			.data = buffer->data + buffer->byte_count,
			.byte_count = (uint32_t)least(least(buffer->capacity_bytes, slot->head_bytes) - buffer->byte_count,
		                                      FETCH_READ_MAX_BYTES),
			.offset = buffer->byte_count,
		};
	slot->read.offset += slot->image_offset;
}

static enum fetch_step finish(struct fetch_slot *slot, const struct fetch_rules *rules)
{
	struct fetch_buffer *buffer = slot->buffer;

	if (slot->runs ? buffer->byte_count < slot->runs->total_bytes : !slot->is_whole_file && !has_head(slot))
		return fail(slot, ITEM_TRUNCATED, 0); /* the file became shorter */
	if (buffer->byte_count == 0)
		return fail(slot, ITEM_EMPTY, 0);
	buffer->head_bytes = buffer->byte_count;
	if (slot->runs) {
		buffer->runs = slot->runs;
		slot->runs = NULL;
	} else if (slot->chosen && has_head(slot)) {
		buffer->head_bytes = (size_t)slot->head_bytes;
		buffer->part = slot->part;
		buffer->byte_count += (size_t)fetch_part_got_bytes(slot);
	}
	buffers_learn(rules->buffers, buffer);
	return FETCH_DONE;
}

enum fetch_step fetch_slot_took(struct fetch_slot *slot, int64_t result, const struct fetch_rules *rules)
{
	if (result == -EINTR)
		return FETCH_READ;
	if (result == -EAGAIN || result == -ECANCELED) /* as in fetch_slot_opened() */
		return FETCH_LATER;
	if (result < 0)
		return fail(slot, ITEM_UNREADABLE, (int)-result);
	if (result == 0)
		return finish(slot, rules);
	if (slot->runs)
		return fetch_runs_took(slot, (uint64_t)result) ? finish(slot, rules) : FETCH_READ;
	if (has_head(slot))
		return fetch_part_took(slot, (uint64_t)result) ? finish(slot, rules) : FETCH_READ;

	slot->buffer->byte_count += (size_t)result;
	if (has_head(slot) && !slot->chosen)
		return halt(slot, FETCH_NEEDS_CHOICE);
	if (has_head(slot))
		return slot->part.row_count > 0 ? FETCH_READ : finish(slot, rules);
	if (slot->buffer->byte_count < slot->buffer->capacity_bytes)
		return FETCH_READ;
	slot->room_bytes = slot->buffer->capacity_bytes * (uint64_t)2; /* it has grown */
	return get_more_memory(slot, rules);
}

enum fetch_step fetch_slot_read_cached(struct fetch_slot *slot, const struct fetch_rules *rules)
{
	enum fetch_step step = FETCH_READ;

	while (step == FETCH_READ && !slot->always_waits) {
		struct iovec place;
		ssize_t got_bytes;

		fetch_slot_plan_read(slot);
		place = (struct iovec){.iov_base = slot->read.data, .iov_len = slot->read.byte_count};
		got_bytes = preadv2(slot->fd, &place, 1, (off_t)slot->read.offset, slot->never_waits ? 0 : RWF_NOWAIT);
		if (got_bytes < 0 && errno == EAGAIN) {
			if (slot->runs)
				fetch_runs_advise(slot);
			break;
		}
		if (got_bytes < 0 && errno == EOPNOTSUPP && !slot->never_waits && file_is_in_memory(slot->fd))
			slot->never_waits = true;         /* tmpfs, which a thread reads no sooner */
		else if (got_bytes < 0 && errno != EINTR) /* EOPNOTSUPP: the file system; EPERM, ENOSYS: a filter */
			slot->always_waits = true;        /* other errors come again when somebody waits for them */
		else
			step = fetch_slot_took(slot, got_bytes < 0 ? -errno : got_bytes, rules);
	}
	if (step == FETCH_READ)
		slot->skips = false; /* a disk rather reads it all: one by one, rows took 26 times as long */
	return step;
}

enum fetch_step fetch_slot_choose(struct fetch_slot *slot, const struct file_part *part, struct file_runs *runs,
                                  const struct fetch_rules *rules)
{
	uint64_t room_bytes = slot->head_bytes;

	slot->need = FETCH_NEEDS_NOTHING;
	slot->chosen = true;
	if (runs && fetch_runs_make_sense(runs, slot->size_bytes)) {
		slot->runs = runs;
		slot->room_bytes = fetch_runs_room_bytes(runs);
		slot->buffer->byte_count = 0; /* they may lie in the head, which is read again: it is in the cache now */
		return get_more_memory(slot, rules);
	}
	if (runs)
		part = NULL;
	free(runs);
	if (part && part->row_count == 0)
		return finish(slot, rules);
	if (part && fetch_part_makes_sense(part, slot->head_bytes)) {
		slot->part = *part;
		if (!fetch_part_clip(&slot->part, slot->size_bytes))
			return finish(slot, rules);
		room_bytes += fetch_part_room_bytes(&slot->part);
		if (room_bytes <= slot->size_bytes) {
			slot->skips = fetch_part_has_wide_gaps(&slot->part);
			slot->room_bytes = room_bytes;
			return get_more_memory(slot, rules);
		}
	}
	slot->part = (struct file_part){0};
	slot->head_bytes = slot->image_bytes;
	slot->room_bytes = slot->size_bytes + 1;
	return get_more_memory(slot, rules);
}
