/*
 * Stage 2 of 5, fetch: files read through one io_uring.  The collector's thread only, but wake().
 *
 * A file takes one entry at a time: open, then a read for what is not in the page cache.  What is there after each answer is taken
 * without the ring, by fetch_slot_read_cached(), and so is the end.  An open and a read in one chain would save a round, but then
 * one of the kernel's worker threads does both, and sleeps for each.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/fetch/fetch_backend.h"
#include "loader/fetch/file_open.h"
#include "loader/fetch/uring_files.h"
#include "loader/fetch/uring_probe.h"
#include "loader/fetch/uring_restrict.h"

#define FILES_MAX     192u /* with the stuck ones and SPARE_ENTRIES, they fit into 256 entries: RLIMIT_MEMLOCK may be 64 KB */
#define SPARE_ENTRIES 32u  /* for the wake-up and for cancellations */
#define BATCH_ENTRIES 16u  /* the disk is not kept waiting for longer while results are handed out */
#define NS_PER_SECOND 1000000000u
#define NS_PER_MS     1000000u

/* user_data is a slot, or NULL, and which of its entries this is: slots are aligned, so their low bits are free. */
enum entry_kind { ENTRY_OPEN, ENTRY_READ, ENTRY_CLOSE, ENTRY_WAKE, ENTRY_CANCEL, ENTRY_KIND_MASK = 7 };

struct fetch_uring {
	struct fetch_engine base;
	struct fetch_rules rules;
	struct open_how how;
	struct io_uring ring;
	int wake_fd; /* an eventfd that the ring polls */
	bool wake_armed;
	int broken; /* the errno of the call that failed: the ring is not used any more */

	struct uring_files files; /* the caller's, which are open all the time */

	struct fetch_slot **issued; /* those that the kernel may have */
	uint32_t file_limit, issued_count, stuck_count;

	struct fetch_slot_queue waiting;  /* not issued yet */
	struct fetch_slot_queue later;    /* issued, to be tried again at retry_at_ns */
	struct fetch_slot_queue finished; /* for next() */
	uint64_t retry_at_ns;
};

static struct fetch_uring *as_uring(struct fetch_engine *engine)
{
	return (struct fetch_uring *)engine;
}

/* There is always room: a slot has at most one entry in the queue, and cancellations leave room, see FILES_MAX. */
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
	if (slot)
		slot->answer_count++;
}

/*
 * Opening goes to a worker thread of the kernel at once: that it need not wait was tried before, or cannot be known.  So do reads
 * of files for which the kernel cannot say whether they would wait: with O_NONBLOCK it takes their word for it, and would run those
 * of a dead NFS server inside of io_uring_enter().
 */
static void queue_open(struct fetch_uring *uring, struct fetch_slot *slot)
{
	struct io_uring_sqe *entry = new_entry(uring);

	io_uring_prep_openat2(entry, slot->folder_fd, slot->path_in_folder, &uring->how);
	io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
	set_owner(entry, slot, ENTRY_OPEN);
}

static void queue_read(struct fetch_uring *uring, struct fetch_slot *slot)
{
	struct io_uring_sqe *entry = new_entry(uring);

	fetch_slot_plan_read(slot);
	io_uring_prep_read(entry, slot->fd, slot->read.data, slot->read.byte_count, slot->read.offset);
	if (slot->always_waits)
		entry->flags |= IOSQE_ASYNC;
	if (slot->is_lent && uring_files_have(&uring->files, slot->fd))
		entry->flags |= IOSQE_FIXED_FILE;
	set_owner(entry, slot, ENTRY_READ);
}

static void queue_close(struct fetch_uring *uring, struct fetch_slot *slot)
{
	struct io_uring_sqe *entry = new_entry(uring);

	io_uring_prep_close(entry, slot->fd);
	io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
	set_owner(entry, slot, ENTRY_CLOSE);
	slot->fd = -1;
	slot->closing = true;
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
	struct fetch_slot *last = uring->issued[--uring->issued_count];

	uring->issued[slot->place] = last;
	last->place = slot->place;
	if (slot->stuck)
		uring->stuck_count--;
	fetch_slot_push(&uring->finished, slot);
}

static void take_step(struct fetch_uring *uring, struct fetch_slot *slot, enum fetch_step step)
{
	if (fetch_slot_is_abandoned(slot))
		step = FETCH_DONE;
	else if (step == FETCH_READ)
		step = fetch_slot_read_cached(slot, &uring->rules);
	switch (step) {
	case FETCH_OPEN:
		queue_open(uring, slot);
		break;
	case FETCH_READ:
		queue_read(uring, slot);
		break;
	case FETCH_LATER:
		if (uring->later.count == 0)
			uring->retry_at_ns = clock_now_ns() + FETCH_SLOT_RETRY_MS * (uint64_t)NS_PER_MS;
		fetch_slot_push(&uring->later, slot);
		break;
	case FETCH_DONE:
		if (slot->fd >= 0 && !slot->is_lent && slot->always_waits) { /* perhaps for closing as well */
			queue_close(uring, slot);
			break;
		}
		fetch_slot_close(slot);
		finish(uring, slot);
		break;
	case FETCH_HALT:
		finish(uring, slot);
		break;
	}
}

static void issue(struct fetch_uring *uring, struct fetch_slot *slot)
{
	slot->place = uring->issued_count;
	uring->issued[uring->issued_count++] = slot;
	take_step(uring, slot, fetch_slot_begin(slot));
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

	if (slot)
		slot->answer_count--;
	switch (kind) {
	case ENTRY_OPEN:
		take_step(uring, slot, fetch_slot_opened(slot, answer->res, &uring->rules));
		break;
	case ENTRY_READ:
		take_step(uring, slot, fetch_slot_took(slot, answer->res, &uring->rules));
		break;
	case ENTRY_CLOSE:
		finish(uring, slot); /* whatever close said: the descriptor is gone */
		break;
	case ENTRY_WAKE:
		handle_wake_up(uring);
		break;
	default:
		break;
	}
}

static void try_again(struct fetch_uring *uring)
{
	for (uint32_t left = uring->later.count; left > 0; left--) {
		struct fetch_slot *slot = fetch_slot_pop(&uring->later);

		take_step(uring, slot, fetch_slot_begin(slot));
	}
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
	uring->later = (struct fetch_slot_queue){0}; /* these are in the other list as well */
	while (uring->issued_count > 0) {
		slot = uring->issued[0];
		if (slot->buffer && slot->answer_count > 0) {
			buffers_forsake(uring->rules.buffers, slot->buffer);
			slot->buffer = NULL;
		}
		fetch_slot_close(slot);
		fetch_slot_fail(slot, ITEM_UNREADABLE, error);
		finish(uring, slot);
	}
}

static void check_call(struct fetch_uring *uring, int result)
{
	if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY && result != -ETIME)
		break_ring(uring, -result);
}

/* No room is left but that of stuck files: what waits ends now, for nobody would ever start with it. */
static void refuse_if_all_are_stuck(struct fetch_uring *uring)
{
	struct fetch_slot *slot;

	if (uring->stuck_count < uring->file_limit)
		return;
	while ((slot = fetch_slot_pop(&uring->waiting))) {
		fetch_slot_fail(slot, ITEM_TIMEOUT, 0);
		fetch_slot_push(&uring->finished, slot);
	}
}

static void submit(struct fetch_uring *uring)
{
	while (uring->waiting.count > 0 && uring->issued_count < uring->file_limit)
		issue(uring, fetch_slot_pop(&uring->waiting));
	if (io_uring_sq_ready(&uring->ring) > 0)
		check_call(uring, io_uring_submit(&uring->ring));
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
	if (!uring->broken && (uring->finished.count == 0 || io_uring_sq_ready(&uring->ring) >= BATCH_ENTRIES))
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
	if (!slot->closing)
		queue_cancel(uring, slot, slot->fd < 0 ? ENTRY_OPEN : ENTRY_READ);
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
	for (uint32_t i = 0; i < uring->issued_count; i++) /* relaxed: there is one thread */
		atomic_store_explicit(&uring->issued[i]->abandoned, true, memory_order_relaxed);
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
	buffers_close(uring->rules.buffers);
	uring_files_free(&uring->files);
	free(uring->issued);
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
		fetch_slot_free(slot, uring->rules.buffers);
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

int fetch_uring_open(struct fetch_engine **engine, const struct fetch_config *config, const struct fetch_rules *rules,
                     struct err *err)
{
	/* Completions need not interrupt the collector, who picks them up anyway.  Linux 5.19. */
	struct io_uring_params parameters = {.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
	                                              IORING_SETUP_R_DISABLED};
	struct fetch_uring *uring = calloc(1, sizeof *uring);
	int error;

	if (!uring)
		return err_fail(err, -ENOMEM, "no memory for an io_uring");
	uring->base.ops = &uring_ops;
	uring->how = file_open_how(rules->stay_beneath);
	uring->file_limit = (config->depth < FILES_MAX ? config->depth : FILES_MAX) + FETCH_STUCK_SPARE;
	error = io_uring_queue_init_params(uring->file_limit + SPARE_ENTRIES, &uring->ring, &parameters);
	if (error) {
		free(uring);
		return err_fail(err, error, "io_uring_setup: %s", strerror(-error));
	}

	uring->rules = *rules;
	buffers_share(rules->buffers);
	uring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uring->issued = calloc(uring->file_limit, sizeof(struct fetch_slot *));
	if (uring->wake_fd < 0 || !uring->issued) {
		error = err_fail(err, -ENOMEM, "no memory or no descriptor for what goes with an io_uring");
		goto fail;
	}
	uring_files_register(&uring->files, &uring->ring, config->open_fds, config->open_fd_count);
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
