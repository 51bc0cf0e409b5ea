/*
 * Stage 2 of 5, fetch: files read through one io_uring.  The collector's thread only, but wake().
 *
 * A file takes two linked entries (open into a direct descriptor, read into a buffer), then a read that sees the end, then a
 * close; each group waits for its completions before the next one is queued.  Linking the close to the last read saves nothing
 * that can be measured, and would close files that have more to give.
 *
 * How many files are in the kernel at once follows from what it is like to wait for them.  Files in the page cache are read while
 * they are submitted; more than a few at once only push each other's buffers out of the CPU's cache (64 cost 12 % more CPU than
 * 8).  When submitting brings nothing back, the disk is asked for twice as many, and so on.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/fetch/fetch_backend.h"
#include "loader/fetch/uring_probe.h"
#include "loader/fetch/uring_restrict.h"

#define WINDOW_FIRST      8u
#define WINDOW_SHRINKS_BY 8u  /* an eighth at a time */
#define WINDOW_MAX        96u /* two entries each, and those of stuck files, fit into 256: RLIMIT_MEMLOCK may be 64 KB */
#define SPARE_ENTRIES     16u /* for the wake-up and for cancellations */
#define NS_PER_SECOND     1000000000u
#define NS_PER_MS         1000000u

/* user_data is a slot, or NULL, and which of its entries this is: slots are aligned, so their low bits are free. */
enum entry_kind { ENTRY_OPEN, ENTRY_READ, ENTRY_CLOSE, ENTRY_WAKE, ENTRY_CANCEL, ENTRY_KIND_MASK = 7 };

struct fetch_uring {
	struct fetch_engine base;
	struct buffers *buffers;
	struct io_uring ring;
	int wake_fd; /* an eventfd that the ring polls */
	bool wake_armed;
	int broken; /* the errno of the call that failed: the ring is not used any more */

	/* The table of direct descriptors: who has which, and those from [issued_count] on that nobody has. */
	struct fetch_slot **in_table;
	uint32_t *free_indices;
	uint32_t file_count, issued_count, stuck_count;

	uint32_t window, window_limit; /* files in the kernel or finished, not counting those that are stuck */
	bool waited;                   /* since the kernel last had none of them */

	struct fetch_slot_queue waiting;  /* not issued yet */
	struct fetch_slot_queue later;    /* issued, to be tried again at retry_at_ns */
	struct fetch_slot_queue finished; /* for next() */
	uint64_t retry_at_ns;
};

static struct fetch_uring *as_uring(struct fetch_engine *engine)
{
	return (struct fetch_uring *)engine;
}

/* There is always room: a slot has at most two entries in the queue, and cancellations leave room, see WINDOW_MAX. */
static struct io_uring_sqe *new_entry(struct fetch_uring *uring)
{
	struct io_uring_sqe *entry = io_uring_get_sqe(&uring->ring);

	if (!entry)
		abort();
	return entry;
}

static void set_owner(struct io_uring_sqe *entry, struct fetch_slot *slot, enum entry_kind kind)
{
	io_uring_sqe_set_data64(entry, (uint64_t)(uintptr_t)slot | (uint64_t)kind);
}

static void queue_read(struct fetch_uring *uring, struct fetch_slot *slot)
{
	struct io_uring_sqe *entry = new_entry(uring);
	struct fetch_buffer *buffer = slot->buffer;

	io_uring_prep_read(entry, (int)slot->file_index, buffer->data + buffer->byte_count, fetch_slot_wanted_bytes(slot),
	                   buffer->byte_count);
	io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
	set_owner(entry, slot, ENTRY_READ);
	slot->answer_count++;
}

static void queue_open(struct fetch_uring *uring, struct fetch_slot *slot)
{
	/*
	 * No O_CLOEXEC: direct descriptors belong to the ring, and the kernel refuses the flag.  No O_NONBLOCK: the kernel takes it
	 * as a promise that reads do not block, and would run those of a dead NFS server inside of io_uring_enter().
	 * RESOLVE_NO_XDEV: see fetch_backend.h.
	 */
	static struct open_how how = {.flags = O_RDONLY | O_NOCTTY, .resolve = RESOLVE_NO_XDEV};
	struct io_uring_sqe *entry = new_entry(uring);

	io_uring_prep_openat2_direct(entry, slot->directory_fd, slot->path, &how, slot->file_index);
	io_uring_sqe_set_flags(entry, IOSQE_IO_LINK);
	set_owner(entry, slot, ENTRY_OPEN);
	slot->answer_count++;
	queue_read(uring, slot);
}

static void queue_close(struct fetch_uring *uring, struct fetch_slot *slot)
{
	struct io_uring_sqe *entry = new_entry(uring);

	io_uring_prep_close_direct(entry, slot->file_index);
	set_owner(entry, slot, ENTRY_CLOSE);
	slot->answer_count++;
	slot->phase = FETCH_CLOSING;
}

static void queue_cancel(struct fetch_uring *uring, struct fetch_slot *slot, enum entry_kind kind)
{
	struct io_uring_sqe *entry;

	if (io_uring_sq_space_left(&uring->ring) <= SPARE_ENTRIES / 2) /* a file that is not cancelled only stays longer */
		return;
	entry = new_entry(uring);
	io_uring_prep_cancel64(entry, (uint64_t)(uintptr_t)slot | (uint64_t)kind, 0);
	set_owner(entry, NULL, ENTRY_CANCEL);
}

static void finish(struct fetch_uring *uring, struct fetch_slot *slot)
{
	uring->in_table[slot->file_index] = NULL;
	uring->issued_count--;
	uring->free_indices[uring->issued_count] = slot->file_index;
	if (slot->stuck)
		uring->stuck_count--;
	fetch_slot_push(&uring->finished, slot);
}

static void take_step(struct fetch_uring *uring, struct fetch_slot *slot, enum fetch_step step)
{
	if (fetch_slot_is_abandoned(slot))
		step = FETCH_DONE;
	switch (step) {
	case FETCH_READ:
		if (slot->phase == FETCH_OPENING)
			queue_open(uring, slot);
		else
			queue_read(uring, slot);
		break;
	case FETCH_LATER:
		if (uring->later.count == 0)
			uring->retry_at_ns = clock_now_ns() + FETCH_SLOT_RETRY_MS * (uint64_t)NS_PER_MS;
		fetch_slot_push(&uring->later, slot);
		break;
	case FETCH_DONE:
		if (slot->is_open)
			queue_close(uring, slot);
		else
			finish(uring, slot);
		break;
	}
}

static void issue(struct fetch_uring *uring, struct fetch_slot *slot)
{
	slot->file_index = uring->free_indices[uring->issued_count];
	uring->issued_count++;
	uring->in_table[slot->file_index] = slot;
	take_step(uring, slot, fetch_slot_begin(slot, uring->buffers));
}

/* All answers to what was queued last are in. */
static void go_on(struct fetch_uring *uring, struct fetch_slot *slot)
{
	enum fetch_step step = FETCH_READ;

	if (slot->phase == FETCH_CLOSING) {
		finish(uring, slot); /* whatever close said: the descriptor is gone */
		return;
	}
	if (slot->phase == FETCH_OPENING) {
		step = fetch_slot_opened(slot, slot->open_result);
		slot->is_open = slot->open_result >= 0;
		if (slot->is_open)
			slot->phase = FETCH_READING;
	}
	if (step == FETCH_READ)
		step = fetch_slot_took(slot, slot->read_result, uring->buffers);
	take_step(uring, slot, step);
}

static void handle_wake_up(struct fetch_uring *uring)
{
	uint64_t knock_count;

	uring->wake_armed = false;
	(void)!read(uring->wake_fd, &knock_count, sizeof knock_count); /* EAGAIN: nobody knocked, the poll was cancelled */
}

static void handle_answer(struct fetch_uring *uring, const struct io_uring_cqe *answer)
{
	enum entry_kind kind = (enum entry_kind)(answer->user_data & ENTRY_KIND_MASK);
	struct fetch_slot *slot = (struct fetch_slot *)(uintptr_t)(answer->user_data & ~(uint64_t)ENTRY_KIND_MASK);

	if (kind == ENTRY_WAKE)
		handle_wake_up(uring);
	if (!slot)
		return;
	if (kind == ENTRY_OPEN)
		slot->open_result = answer->res;
	if (kind == ENTRY_READ)
		slot->read_result = answer->res;
	if (--slot->answer_count == 0)
		go_on(uring, slot);
}

static void try_again(struct fetch_uring *uring)
{
	for (uint32_t left = uring->later.count; left > 0; left--)
		take_step(uring, fetch_slot_pop(&uring->later), FETCH_READ);
}

static void reap(struct fetch_uring *uring)
{
	struct io_uring_cqe *answer;
	unsigned head, answer_count = 0;

	io_uring_for_each_cqe(&uring->ring, head, answer)
	{
		handle_answer(uring, answer);
		answer_count++;
	}
	io_uring_cq_advance(&uring->ring, answer_count);
	if (answer_count > 0 && uring->issued_count == uring->stuck_count) {
		/* All that was asked for is here.  If none of it had to be waited for, fewer at once will do. */
		if (!uring->waited && uring->window > WINDOW_FIRST)
			uring->window -= uring->window / WINDOW_SHRINKS_BY;
		uring->waited = false;
	}
	if (uring->later.count > 0 && clock_now_ns() >= uring->retry_at_ns)
		try_again(uring);
}

/*
 * io_uring_enter() does not work any more, for instance because a seccomp filter came later.  Every file ends here; the kernel
 * may still write into the buffers that it was given, so those are lost.
 */
static void break_ring(struct fetch_uring *uring, int error)
{
	struct fetch_slot *slot;

	uring->broken = error;
	while ((slot = fetch_slot_pop(&uring->waiting))) {
		fetch_slot_fail(slot, ITEM_UNREADABLE, error);
		fetch_slot_push(&uring->finished, slot);
	}
	uring->later = (struct fetch_slot_queue){0}; /* these are in the table as well */
	for (uint32_t i = 0; i < uring->file_count; i++) {
		slot = uring->in_table[i];
		if (!slot)
			continue;
		if (slot->buffer && slot->answer_count > 0) {
			buffers_forsake(uring->buffers, slot->buffer);
			slot->buffer = NULL;
		}
		fetch_slot_fail(slot, ITEM_UNREADABLE, error);
		finish(uring, slot);
	}
}

static void check_call(struct fetch_uring *uring, int result)
{
	if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY && result != -ETIME)
		break_ring(uring, -result);
}

/* Files that take up a part of the window. */
static uint32_t busy_count(const struct fetch_uring *uring)
{
	return uring->issued_count - uring->stuck_count + uring->finished.count;
}

/* No descriptor is left but those of stuck files: what waits ends now, for nobody would ever start with it. */
static void refuse_if_all_are_stuck(struct fetch_uring *uring)
{
	struct fetch_slot *slot;

	if (uring->stuck_count < uring->file_count)
		return;
	while ((slot = fetch_slot_pop(&uring->waiting))) {
		fetch_slot_fail(slot, ITEM_TIMEOUT, 0);
		fetch_slot_push(&uring->finished, slot);
	}
}

static void submit(struct fetch_uring *uring)
{
	for (;;) {
		while (uring->waiting.count > 0 && busy_count(uring) < uring->window && uring->issued_count < uring->file_count)
			issue(uring, fetch_slot_pop(&uring->waiting));
		if (io_uring_sq_ready(&uring->ring) > 0)
			check_call(uring, io_uring_submit(&uring->ring));
		if (uring->broken || uring->finished.count > 0 || io_uring_cq_ready(&uring->ring) > 0)
			return;
		if (uring->waiting.count == 0 || uring->window == uring->window_limit)
			return;
		uring->window = uring->window * 2 < uring->window_limit ? uring->window * 2 : uring->window_limit;
	}
}

static void wait_for_answers(struct fetch_uring *uring, uint64_t wait_ns)
{
	struct __kernel_timespec timeout;
	struct io_uring_cqe *answer;

	if (uring->later.count > 0 && wait_ns > FETCH_SLOT_RETRY_MS * (uint64_t)NS_PER_MS)
		wait_ns = FETCH_SLOT_RETRY_MS * (uint64_t)NS_PER_MS;
	if (!uring->wake_armed) {
		struct io_uring_sqe *entry = new_entry(uring);

		io_uring_prep_poll_add(entry, uring->wake_fd, POLLIN);
		set_owner(entry, NULL, ENTRY_WAKE);
		uring->wake_armed = true;
	}
	timeout.tv_sec = (long long)(wait_ns / NS_PER_SECOND);
	timeout.tv_nsec = (long long)(wait_ns % NS_PER_SECOND);
	uring->waited = true;
	check_call(uring, io_uring_submit_and_wait_timeout(&uring->ring, &answer, 1, &timeout, NULL));
}

static void start(struct fetch_engine *engine, struct fetch_slot *slot)
{
	struct fetch_uring *uring = as_uring(engine);

	if (uring->broken) {
		fetch_slot_fail(slot, ITEM_UNREADABLE, uring->broken);
		fetch_slot_push(&uring->finished, slot);
		return;
	}
	fetch_slot_push(&uring->waiting, slot);
	refuse_if_all_are_stuck(uring);
}

static struct fetch_slot *next(struct fetch_engine *engine, uint64_t wait_ns)
{
	struct fetch_uring *uring = as_uring(engine);

	if (!uring->broken)
		reap(uring);
	/* The disk stays busy while results are handed out: more is asked for half a window at a time. */
	if (!uring->broken && (uring->finished.count == 0 || (uring->waiting.count > 0 && busy_count(uring) <= uring->window / 2)))
		submit(uring);
	if (uring->finished.count > 0)
		return fetch_slot_pop(&uring->finished);

	if (uring->broken) {
		struct pollfd knock = {.fd = uring->wake_fd, .events = POLLIN};

		if (wait_ns > 0 && poll(&knock, 1, (int)(wait_ns / NS_PER_MS) + 1) > 0)
			handle_wake_up(uring);
		return NULL;
	}
	if (wait_ns > 0 && io_uring_cq_ready(&uring->ring) == 0)
		wait_for_answers(uring, wait_ns);
	if (!uring->broken)
		reap(uring);
	return fetch_slot_pop(&uring->finished);
}

static void abandon(struct fetch_engine *engine, struct fetch_slot *slot)
{
	struct fetch_uring *uring = as_uring(engine);

	if (fetch_slot_remove(&uring->waiting, slot)) {
		fetch_slot_push(&uring->finished, slot);
		return;
	}
	slot->stuck = true;
	uring->stuck_count++;
	if (fetch_slot_remove(&uring->later, slot)) {
		take_step(uring, slot, FETCH_DONE);
		return;
	}
	queue_cancel(uring, slot, ENTRY_READ);
	if (slot->phase == FETCH_OPENING)
		queue_cancel(uring, slot, ENTRY_OPEN);
	refuse_if_all_are_stuck(uring);
}

static void wake(struct fetch_engine *engine)
{
	const uint64_t one = 1;

	(void)!write(as_uring(engine)->wake_fd, &one, sizeof one); /* cannot fail: it is read each time, the sum stays small */
}

/* Asks for every file back and waits for them, for a moment. */
static void call_back_files(struct fetch_uring *uring)
{
	const uint64_t end_ns = clock_now_ns() + FETCH_CLOSE_GRACE_MS * (uint64_t)NS_PER_MS;
	struct io_uring_sqe *entry;
	struct fetch_slot *slot;

	while ((slot = fetch_slot_pop(&uring->waiting)))
		fetch_slot_push(&uring->finished, slot);
	for (uint32_t i = 0; i < uring->file_count; i++)
		if (uring->in_table[i]) /* relaxed: there is one thread */
			atomic_store_explicit(&uring->in_table[i]->abandoned, true, memory_order_relaxed);
	try_again(uring);
	if (uring->issued_count == 0)
		return;
	entry = new_entry(uring);
	io_uring_prep_cancel64(entry, 0, IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY);
	set_owner(entry, NULL, ENTRY_CANCEL);
	for (;;) {
		uint64_t now_ns = clock_now_ns();

		if (uring->issued_count == 0 || uring->broken || now_ns >= end_ns)
			break;
		wait_for_answers(uring, end_ns - now_ns);
		reap(uring);
	}
}

static void free_ring(struct fetch_uring *uring)
{
	io_uring_queue_exit(&uring->ring); /* does not wait for what is stuck */
	if (uring->wake_fd >= 0)
		close(uring->wake_fd);
	buffers_close(uring->buffers);
	free(uring->in_table);
	free(uring->free_indices);
	free(uring);
}

static void close_ring(struct fetch_engine *engine)
{
	struct fetch_uring *uring = as_uring(engine);
	struct fetch_slot *slot;

	if (!uring->broken)
		call_back_files(uring);
	break_ring(uring, ECANCELED); /* who is still missing is left to the kernel */
	while ((slot = fetch_slot_pop(&uring->finished)))
		fetch_slot_free(slot, uring->buffers);
	free_ring(uring);
}

static const struct fetch_engine_ops uring_ops = {
	.name = "uring",
	.start = start,
	.next = next,
	.abandon = abandon,
	.wake = wake,
	.close = close_ring,
};

int fetch_uring_open(struct fetch_engine **engine, uint32_t depth, struct buffers *buffers, struct err *err)
{
	/* Completions need not interrupt the collector, who picks them up anyway.  Linux 5.19, like the sparse table below. */
	struct io_uring_params parameters = {.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
	                                              IORING_SETUP_R_DISABLED};
	struct fetch_uring *uring = calloc(1, sizeof *uring);
	int error;

	if (!uring)
		return err_fail(err, -ENOMEM, "no memory for an io_uring");
	uring->base.ops = &uring_ops;
	uring->window_limit = depth < WINDOW_MAX ? depth : WINDOW_MAX;
	uring->window = uring->window_limit < WINDOW_FIRST ? uring->window_limit : WINDOW_FIRST;
	uring->file_count = uring->window_limit + FETCH_STUCK_SPARE;
	error = io_uring_queue_init_params(2 * uring->file_count + SPARE_ENTRIES, &uring->ring, &parameters);
	if (error) {
		free(uring);
		return err_fail(err, error, "io_uring_setup: %s", strerror(-error));
	}

	uring->buffers = buffers;
	buffers_share(buffers);
	uring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uring->in_table = calloc(uring->file_count, sizeof(struct fetch_slot *));
	uring->free_indices = calloc(uring->file_count, sizeof(uint32_t));
	if (uring->wake_fd < 0 || !uring->in_table || !uring->free_indices) {
		error = err_fail(err, -ENOMEM, "no memory or no descriptor for what goes with an io_uring");
		goto fail;
	}
	for (uint32_t i = 0; i < uring->file_count; i++)
		uring->free_indices[i] = i;
	error = io_uring_register_files_sparse(&uring->ring, uring->file_count);
	if (error) {
		err_fail(err, error, "io_uring_register, %u files: %s", uring->file_count, strerror(-error));
		goto fail;
	}
	error = uring_restrict_and_enable(&uring->ring, &uring->base.confined, err);
	if (!error)
		error = uring_probe(&uring->ring, err);
	if (error)
		goto fail;
	*engine = &uring->base;
	return 0;
fail:
	free_ring(uring);
	return error;
}
