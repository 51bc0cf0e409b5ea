/*
 * Stage 2 of 5, fetch: the front of both back ends.  Jobs in, results out; deadlines, wake-ups and the choice of the back end.
 * One thread submits and collects, others wake it and give buffers back.
 *
 * A job is an active slot until its result is collected.  A job over its deadline is reported at once, but its slot, buffer and
 * descriptor stay with the back end until the kernel lets go of them: the slot is abandoned, and freed when it comes back.
 */
#include "loader/fetch/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/clock.h"
#include "loader/fetch/fetch_backend.h"

#define NS_PER_MS 1000000u
#define SLICE_NS  (100 * (uint64_t)NS_PER_MS) /* deadlines are noticed within this time */

struct fetch {
	struct fetch_engine *engine;  /* io_uring, or the threads */
	struct fetch_engine *threads; /* beside io_uring, for files that it cannot read; NULL until there is one */
	struct buffers *buffers;
	bool has_uring;
	uint32_t depth, in_flight;
	uint64_t timeout_ns;

	/*
	 * Time spent waiting for files.  Deadlines are measured by it: no file is late because the collector was busy with others,
	 * the trainer evaluated for an hour or the process was stopped.
	 */
	uint64_t waited_ns, looked_at_ns; /* looked_at_ns is 0 after a result */

	/* The active ones, in order of submission, which is the order in which the back end starts with them. */
	struct fetch_slot *oldest, *newest;
	struct fetch_slot *no_deadline; /* the first that was not seen to be started: its clock does not run yet */

	struct fetch_slot_queue free_slots;

	/* The folder of the last job, and whether io_uring may be used there. */
	int directory_fd;
	bool directory_suits_uring;

	atomic_bool woken;
	char fallback_reason[sizeof((struct err *)NULL)->text];
};

static int open_backend(struct fetch *fetch, const struct fetch_config *config, struct err *err)
{
	struct err why;
	int error;

	if (config->backend != FETCH_PREAD) {
		error = fetch_uring_open(&fetch->engine, config->depth, fetch->buffers, &why);
		fetch->has_uring = !error;
		if (!error)
			return 0;
		if (config->backend == FETCH_URING)
			return err_fail(err, error, "--io uring: %.400s; allow io_uring or use --io auto or --io pread", why.text);
		memcpy(fetch->fallback_reason, why.text, sizeof why.text);
	}
	error = fetch_pread_open(&fetch->engine, config->depth, fetch->buffers, NULL, &why);
	return error ? err_fail(err, error, "--io pread: %.400s", why.text) : 0;
}

int fetch_open(struct fetch **result, const struct fetch_config *config, struct err *err)
{
	struct fetch *fetch;
	int error;

	if (config->depth < 1 || config->max_file_bytes < 1 || config->timeout_ms < 1)
		return err_fail(err, -EINVAL,
		                "--io-depth, --max-file-bytes and --item-timeout-ms are %u, %llu and %u; each must be 1 or more",
		                config->depth, (unsigned long long)config->max_file_bytes, config->timeout_ms);
	fetch = calloc(1, sizeof *fetch);
	if (!fetch)
		return err_fail(err, -ENOMEM, "no memory to read files with");
	fetch->depth = config->depth;
	fetch->directory_fd = -1;
	fetch->timeout_ns = config->timeout_ms * (uint64_t)NS_PER_MS;
	atomic_init(&fetch->woken, false);

	error = buffers_open(&fetch->buffers, config->max_file_bytes);
	if (error) {
		err_fail(err, error, "no memory to read files with");
		goto fail;
	}
	error = open_backend(fetch, config, err);
	if (error)
		goto fail;
	*result = fetch;
	return 0;
fail:
	buffers_close(fetch->buffers);
	free(fetch);
	return error;
}

void fetch_close(struct fetch *fetch)
{
	struct fetch_slot *slot;

	if (!fetch)
		return;
	while ((slot = fetch_slot_pop(&fetch->free_slots)))
		fetch_slot_free(slot, fetch->buffers);
	if (fetch->threads)
		fetch->threads->ops->close(fetch->threads);
	fetch->engine->ops->close(fetch->engine);
	buffers_close(fetch->buffers);
	free(fetch);
}

const char *fetch_backend_name(const struct fetch *fetch)
{
	return fetch->engine->ops->name;
}

bool fetch_is_confined(const struct fetch *fetch)
{
	return fetch->engine->confined;
}

const char *fetch_fallback_reason(const struct fetch *fetch)
{
	return fetch->fallback_reason;
}

uint32_t fetch_in_flight(const struct fetch *fetch)
{
	return fetch->in_flight;
}

static void append_active(struct fetch *fetch, struct fetch_slot *slot)
{
	slot->older = fetch->newest;
	slot->newer = NULL;
	if (fetch->newest)
		fetch->newest->newer = slot;
	else
		fetch->oldest = slot;
	fetch->newest = slot;
	if (!fetch->no_deadline)
		fetch->no_deadline = slot;
	fetch->in_flight++;
}

static void remove_active(struct fetch *fetch, struct fetch_slot *slot)
{
	if (slot->older)
		slot->older->newer = slot->newer;
	else
		fetch->oldest = slot->newer;
	if (slot->newer)
		slot->newer->older = slot->older;
	else
		fetch->newest = slot->older;
	if (fetch->no_deadline == slot)
		fetch->no_deadline = slot->newer;
	fetch->in_flight--;
}

/* See fetch_backend.h.  Asked once per folder; absolute paths (nobody promised them to work) may lead anywhere. */
static bool suits_uring(struct fetch *fetch, const struct fetch_job *job)
{
	struct statfs file_system;

	if (job->path[0] == '/')
		return false;
	if (fetch->directory_fd != job->directory_fd) {
		int error = job->directory_fd == AT_FDCWD ? statfs(".", &file_system) : fstatfs(job->directory_fd, &file_system);

		fetch->directory_suits_uring = error == 0 && file_system.f_type != FUSE_SUPER_MAGIC;
		fetch->directory_fd = job->directory_fd;
	}
	return fetch->directory_suits_uring;
}

/* NULL: they cannot be started. */
static struct fetch_engine *threads_beside_uring(struct fetch *fetch)
{
	if (!fetch->threads && fetch_pread_open(&fetch->threads, fetch->depth, fetch->buffers, fetch->engine, NULL) != 0)
		return NULL;
	return fetch->threads;
}

static struct fetch_engine *engine_for(struct fetch *fetch, const struct fetch_job *job)
{
	return !fetch->has_uring || suits_uring(fetch, job) ? fetch->engine : threads_beside_uring(fetch);
}

int fetch_submit(struct fetch *fetch, const struct fetch_job *job)
{
	struct fetch_engine *engine;
	struct fetch_slot *slot;
	int error;

	if (fetch->in_flight >= fetch->depth)
		return -EAGAIN;
	engine = engine_for(fetch, job);
	if (!engine)
		return -ENOMEM;
	slot = fetch_slot_pop(&fetch->free_slots);
	if (!slot)
		slot = calloc(1, sizeof *slot); /* at most depth of them, and one for each stuck file */
	if (!slot)
		return -ENOMEM;
	error = fetch_slot_assign(slot, job);
	if (error) {
		fetch_slot_push(&fetch->free_slots, slot);
		return error;
	}
	append_active(fetch, slot);
	slot->engine = engine;
	engine->ops->start(engine, slot);
	return 0;
}

/* True when the file turned out to be none for io_uring and was handed to the threads. */
static bool hand_over(struct fetch *fetch, struct fetch_slot *slot)
{
	if (!fetch->has_uring || slot->engine != fetch->engine || slot->error != EXDEV || fetch_slot_is_abandoned(slot) ||
	    !threads_beside_uring(fetch))
		return false;
	fetch_slot_restart(slot, fetch->buffers);
	slot->engine = fetch->threads;
	slot->engine->ops->start(slot->engine, slot);
	return true;
}

/* True when somebody waits for the result of this slot. */
static bool take_back(struct fetch *fetch, struct fetch_slot *slot, struct fetch_result *result)
{
	bool wanted = !fetch_slot_is_abandoned(slot);

	if (wanted) {
		remove_active(fetch, slot);
		*result = (struct fetch_result){.tag = slot->tag, .status = slot->status, .error = slot->error};
	}
	if (wanted && slot->status == ITEM_OK)
		result->buffer = slot->buffer;
	else if (slot->buffer)
		buffers_release(fetch->buffers, slot->buffer);
	slot->buffer = NULL;
	fetch_slot_push(&fetch->free_slots, slot);
	return wanted;
}

static void give_up(struct fetch *fetch, struct fetch_slot *slot, struct fetch_result *result)
{
	/* Relaxed, both: see struct fetch_slot. */
	int held_up_by = atomic_load_explicit(&slot->held_up_by, memory_order_relaxed);

	atomic_store_explicit(&slot->abandoned, true, memory_order_relaxed);
	remove_active(fetch, slot);
	*result = (struct fetch_result){
		.tag = slot->tag,
		.status = held_up_by ? ITEM_UNREADABLE : ITEM_TIMEOUT, /* "too many open files" says more than "timeout" */
		.error = held_up_by,
	};
	slot->engine->ops->abandon(slot->engine, slot);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Time passed without a result since the last look, by a slice at most.  It starts to pass for files that were started. */
static uint64_t look_at_the_clock(struct fetch *fetch)
{
	uint64_t now_ns = clock_now_ns();

	if (fetch->looked_at_ns != 0)
		fetch->waited_ns += earlier(now_ns - fetch->looked_at_ns, SLICE_NS);
	fetch->looked_at_ns = now_ns;
	for (; fetch->no_deadline && fetch_slot_is_started(fetch->no_deadline); fetch->no_deadline = fetch->no_deadline->newer)
		fetch->no_deadline->deadline_ns = fetch->waited_ns + fetch->timeout_ns;
	return now_ns;
}

/* The file whose deadline comes first, NULL: none. */
static struct fetch_slot *next_to_be_late(const struct fetch *fetch)
{
	return fetch->oldest != fetch->no_deadline ? fetch->oldest : NULL;
}

static struct fetch_slot *next_finished(struct fetch *fetch, uint64_t wait_ns)
{
	struct fetch_slot *slot = NULL;

	if (fetch->threads) /* a file that is done after this look ends the wait below */
		slot = fetch->threads->ops->next(fetch->threads, 0);
	return slot ? slot : fetch->engine->ops->next(fetch->engine, wait_ns);
}

int fetch_collect(struct fetch *fetch, int timeout_ms, struct fetch_result *result)
{
	uint64_t end_ns = 0, wait_ns = 0;

	for (;;) {
		struct fetch_slot *slot = next_finished(fetch, wait_ns);
		uint64_t now_ns;

		if (slot) {
			if (wait_ns > 0)
				(void)look_at_the_clock(fetch); /* for the sake of waited_ns */
			fetch->looked_at_ns = 0;
			if (!hand_over(fetch, slot) && take_back(fetch, slot, result))
				return 0;
			continue;
		}
		now_ns = look_at_the_clock(fetch);
		slot = next_to_be_late(fetch);
		if (slot && fetch->waited_ns >= slot->deadline_ns) {
			give_up(fetch, slot, result);
			return 0;
		}
		/* [WAKE] acquire: what the waker did before is seen by whoever gets -EINTR.  Pairs with fetch_wake(). */
		if (atomic_exchange_explicit(&fetch->woken, false, memory_order_acquire))
			return -EINTR;
		if (end_ns == 0)
			end_ns = timeout_ms < 0 ? UINT64_MAX : now_ns + (uint64_t)timeout_ms * NS_PER_MS;
		if (now_ns >= end_ns)
			return -ETIMEDOUT;
		wait_ns = earlier(SLICE_NS, end_ns - now_ns);
		if (slot)
			wait_ns = earlier(wait_ns, slot->deadline_ns - fetch->waited_ns);
	}
}

void fetch_wake(struct fetch *fetch)
{
	/* [WAKE] release: pairs with the acquire exchange in fetch_collect().  Who finds it set already need not knock again. */
	if (!atomic_exchange_explicit(&fetch->woken, true, memory_order_acq_rel))
		fetch->engine->ops->wake(fetch->engine);
}

void fetch_return(struct fetch *fetch, struct fetch_buffer *buffer)
{
	buffers_release(fetch->buffers, buffer);
}
