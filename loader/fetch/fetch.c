/*
 * Stage 2 of 5, fetch: the front of both back ends.  Jobs in, results out; what the page cache has, the order in which memory is
 * given out, deadlines, wake-ups and the choice of the back end.
 * One thread submits and collects, others wake it and give buffers back.
 *
 * A job is an active slot until its result is collected.  First it is fresh: collecting tries to read it from the page cache, and
 * hands it to a back end for whatever would have to wait.  A file that finds the budget spent stands in line, without a buffer.
 * A job over its deadline is reported at once, but its slot, buffer and descriptor stay with the back end until the kernel lets go
 * of them: the slot is abandoned, and freed when it comes back.
 */
#include "loader/fetch/fetch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "loader/fetch/fetch_backend.h"
#include "loader/fetch/fetch_clock.h"
#include "loader/fetch/file_open.h"
#include "loader/fetch/mount_table.h"

#define NS_PER_MS 1000000u
#define SLICE_NS  (100 * (uint64_t)NS_PER_MS) /* deadlines are noticed within this time */

struct fetch {
	struct fetch_engine *engine;  /* io_uring, or the threads */
	struct fetch_engine *threads; /* beside io_uring, for files that it cannot read; NULL until there is one */
	struct fetch_rules rules;
	struct fetch_config config;
	bool has_uring;
	uint32_t in_flight;

	struct fetch_slot_queue fresh, line, free_slots;
	uint32_t engine_count; /* slots that the back ends have, not counting those that are abandoned */
	uint32_t abandoned_count;
	_Atomic uint32_t lent_count; /* buffers that the caller has */
	atomic_bool line_waits;      /* for fetch_return() */

	struct fetch_clock clock; /* of the active ones but those in line */

	int home_fd; /* the folder or open file of the last job */
	enum file_home home;
	struct mount_table *mounts; /* NULL: a job's folder lies on one file system, or so we do as if */
	bool cache_refused;         /* by the kernel or a filter: nothing can be opened without waiting */

	atomic_bool woken;
	char fallback_reason[sizeof((struct err *)NULL)->text];
};

static int open_backend(struct fetch *fetch, const struct fetch_config *config, struct err *err)
{
	struct err why;
	int error;

	if (config->backend != FETCH_PREAD) {
		error = fetch_uring_open(&fetch->engine, config, &fetch->rules, &why);
		fetch->has_uring = !error;
		if (!error)
			return 0;
		if (config->backend == FETCH_URING)
			return err_fail(err, error, "--io uring: %.400s; allow io_uring or use --io auto or --io pread", why.text);
		memcpy(fetch->fallback_reason, why.text, sizeof why.text);
	}
	error = fetch_pread_open(&fetch->engine, config->depth, &fetch->rules, NULL, &why);
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
	fetch->config = *config;
	fetch->rules = (struct fetch_rules){.max_file_bytes = config->max_file_bytes,
	                                    .stay_beneath = config->stay_beneath,
	                                    .past_cache = config->past_cache,
	                                    .asks_for_parts = config->choose_part != NULL};
	fetch->home_fd = -1;
	fetch->clock.timeout_ns = config->timeout_ms * (uint64_t)NS_PER_MS;
	atomic_init(&fetch->woken, false);
	atomic_init(&fetch->line_waits, false);
	atomic_init(&fetch->lent_count, 0);

	error = buffers_open(&fetch->rules.buffers, config->max_file_bytes, config->budget_bytes);
	if (error) {
		err_fail(err, error, "no memory to read files with");
		goto fail;
	}
	error = open_backend(fetch, config, err);
	if (error)
		goto fail;
	if (config->many_mounts)
		(void)mount_table_open(&fetch->mounts); /* without it, it is slower */
	*result = fetch;
	return 0;
fail:
	buffers_close(fetch->rules.buffers);
	free(fetch);
	return error;
}

void fetch_close(struct fetch *fetch)
{
	struct fetch_slot *slot;

	if (!fetch)
		return;
	while ((slot = fetch_slot_pop(&fetch->fresh)) || (slot = fetch_slot_pop(&fetch->line)) ||
	       (slot = fetch_slot_pop(&fetch->free_slots)))
		fetch_slot_free(slot, fetch->rules.buffers);
	if (fetch->threads)
		fetch->threads->ops->close(fetch->threads);
	fetch->engine->ops->close(fetch->engine);
	mount_table_close(fetch->mounts);
	buffers_close(fetch->rules.buffers);
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

static uint64_t engine_cpu_ns(struct fetch_engine *engine)
{
	return engine && engine->ops->cpu_ns ? engine->ops->cpu_ns(engine) : 0;
}

uint64_t fetch_cpu_ns(const struct fetch *fetch)
{
	return engine_cpu_ns(fetch->engine) + engine_cpu_ns(fetch->threads);
}

const char *fetch_fallback_reason(const struct fetch *fetch)
{
	return fetch->fallback_reason;
}

uint32_t fetch_in_flight(const struct fetch *fetch)
{
	return fetch->in_flight;
}

/* Asked once per folder or open file; absolute paths (nobody promised them to work) may lead anywhere. */
static enum file_home home_of(struct fetch *fetch, const struct fetch_slot *slot)
{
	int fd = slot->is_lent ? slot->fd : slot->directory_fd;

	if (!slot->is_lent && slot->path[0] == '/')
		return FILE_HOME_FUSE;
	if (fetch->home_fd != fd) {
		fetch->home = file_open_home(fd);
		fetch->home_fd = fd;
	}
	return fetch->home;
}

/* That of the file itself, which may lie beyond a mount point. */
static enum file_home find_home(struct fetch *fetch, struct fetch_slot *slot)
{
	enum file_home home = FILE_HOME_OTHER;

	if (fetch->mounts && slot->path[0] != '/') {
		bool in_use = fetch->engine_count + fetch->abandoned_count > 0;

		home = mount_table_renew(fetch->mounts, in_use) ? mount_table_find(fetch->mounts, slot->directory_fd, slot->path,
		                                                                   &slot->folder_fd, &slot->path_in_folder)
		                                                : FILE_HOME_FUSE;
	}
	return home == FILE_HOME_OTHER ? home_of(fetch, slot) : home;
}

/* NULL: they cannot be started. */
static struct fetch_engine *threads_beside_uring(struct fetch *fetch)
{
	if (!fetch->threads && fetch_pread_open(&fetch->threads, fetch->config.depth, &fetch->rules, fetch->engine, NULL) != 0)
		return NULL;
	return fetch->threads;
}

int fetch_submit(struct fetch *fetch, const struct fetch_job *job)
{
	struct fetch_slot *slot;
	int error;

	if (fetch->in_flight >= fetch->config.depth)
		return -EAGAIN;
	slot = fetch_slot_pop(&fetch->free_slots);
	if (!slot)
		slot = calloc(1, sizeof *slot); /* at most depth of them, and one for each stuck file */
	if (!slot)
		return -ENOMEM;
	error = fetch_slot_assign(slot, job);
	slot->engine = fetch->engine;
	if (!error && fetch->has_uring && home_of(fetch, slot) == FILE_HOME_FUSE) {
		slot->engine = threads_beside_uring(fetch);
		error = slot->engine ? 0 : -ENOMEM;
	}
	if (error) {
		fetch_slot_push(&fetch->free_slots, slot);
		return error;
	}
	fetch_clock_add(&fetch->clock, slot);
	fetch_slot_push(&fetch->fresh, slot);
	fetch->in_flight++;
	return 0;
}

static void set_line_waits(struct fetch *fetch, bool waits)
{
	buffers_set_waiting(fetch->rules.buffers, waits);
	/* Relaxed: a wake-up that is missed costs SLICE_NS. */
	atomic_store_explicit(&fetch->line_waits, waits, memory_order_relaxed);
}

static void stand_in_line(struct fetch *fetch, struct fetch_slot *slot)
{
	fetch_clock_remove(&fetch->clock, slot);
	fetch_slot_push(&fetch->line, slot);
	if (fetch->line.count == 1)
		set_line_waits(fetch, true);
}

static enum fetch_step choose(struct fetch *fetch, struct fetch_slot *slot)
{
	const struct fetch_buffer *head = slot->buffer;
	struct file_part part = {0};
	struct file_runs *runs = NULL;
	bool wants_part = fetch->config.choose_part(fetch->config.context, slot->tag, head->data, head->byte_count,
	                                            slot->has_stamp ? &slot->stamp : NULL, &part, &runs);

	if (!wants_part) {
		free(runs);
		runs = NULL;
	}
	return fetch_slot_choose(slot, wants_part ? &part : NULL, runs, &fetch->rules);
}

/* True: the file is done, here and now.  False: a back end has it, or it stands in line. */
static bool go_on(struct fetch *fetch, struct fetch_slot *slot, enum fetch_step step)
{
	for (;;) {
		if (step == FETCH_READ)
			step = fetch_slot_read_cached(slot, &fetch->rules);
		if (step != FETCH_HALT || slot->need != FETCH_NEEDS_CHOICE)
			break;
		step = choose(fetch, slot);
	}
	if (step == FETCH_DONE)
		return true;
	if (step == FETCH_HALT) {
		stand_in_line(fetch, slot);
		return false;
	}
	fetch->engine_count++;
	slot->engine->ops->start(slot->engine, slot);
	return false;
}

/* What cannot be opened without waiting, whatever the reason, is left to the back end. */
static enum fetch_step open_cached(struct fetch *fetch, struct fetch_slot *slot)
{
	enum file_home home = find_home(fetch, slot);
	int result;

	if (home == FILE_HOME_FUSE && fetch->has_uring && threads_beside_uring(fetch))
		slot->engine = fetch->threads; /* without them io_uring says EXDEV */
	if (fetch->cache_refused || fetch->rules.past_cache || home != FILE_HOME_LOCAL)
		return FETCH_OPEN;
	result = file_open_cached(slot->folder_fd, slot->path_in_folder, fetch->rules.stay_beneath);
	if (result == -ENOSYS || result == -EINVAL || result == -EPERM)
		fetch->cache_refused = true;
	if (result == -EXDEV && fetch->has_uring && threads_beside_uring(fetch))
		slot->engine = fetch->threads;
	return result < 0 ? FETCH_OPEN : fetch_slot_opened(slot, result, &fetch->rules);
}

/* The first fresh file that is done without a back end; those before it are on their way.  NULL: none. */
static struct fetch_slot *start_fresh_ones(struct fetch *fetch)
{
	while (fetch->fresh.count > 0 && fetch->line.count == 0) {
		struct fetch_slot *slot = fetch_slot_pop(&fetch->fresh);

		if (go_on(fetch, slot, slot->is_lent ? fetch_slot_was_open(slot, &fetch->rules) : open_cached(fetch, slot)))
			return slot;
	}
	return NULL;
}

/* The same for those who wait for memory. */
static struct fetch_slot *serve_line(struct fetch *fetch)
{
	while (fetch->line.count > 0) {
		/* Relaxed: seen a moment later at worst, as the wake-up is. */
		bool is_alone = fetch->engine_count == 0 && atomic_load_explicit(&fetch->lent_count, memory_order_relaxed) == 0;
		struct fetch_slot *slot = fetch->line.first;
		enum fetch_step step = fetch_slot_get_memory(slot, is_alone ? BUFFERS_AT_ANY_COST : BUFFERS_NEXT, &fetch->rules);

		if (step == FETCH_HALT)
			return NULL;
		(void)fetch_slot_pop(&fetch->line);
		if (fetch->line.count == 0)
			set_line_waits(fetch, false);
		fetch_clock_add_started(&fetch->clock, slot);
		if (go_on(fetch, slot, step))
			return slot;
	}
	return NULL;
}

/* True when the file turned out to be none for io_uring and was handed to the threads. */
static bool hand_over(struct fetch *fetch, struct fetch_slot *slot)
{
	if (!fetch->has_uring || slot->engine != fetch->engine || slot->error != EXDEV || !threads_beside_uring(fetch))
		return false;
	fetch_slot_fail(slot, ITEM_OK, 0);
	slot->engine = fetch->threads;
	fetch->engine_count++;
	slot->engine->ops->start(slot->engine, slot);
	return true;
}

/* A slot came back from its back end.  True: it is done, and somebody waits for its result. */
static bool take_back(struct fetch *fetch, struct fetch_slot *slot)
{
	if (fetch_slot_is_abandoned(slot)) {
		fetch->abandoned_count--;
		if (slot->buffer)
			buffers_release(fetch->rules.buffers, slot->buffer);
		slot->buffer = NULL;
		fetch_slot_close(slot);
		fetch_slot_push(&fetch->free_slots, slot);
		return false;
	}
	fetch->engine_count--;
	if (slot->need != FETCH_NEEDS_NOTHING)
		return go_on(fetch, slot, FETCH_HALT);
	return !hand_over(fetch, slot);
}

/* The caller's from here on. */
static void report(struct fetch *fetch, struct fetch_slot *slot, struct fetch_result *result)
{
	*result = (struct fetch_result){.tag = slot->tag, .status = slot->status, .error = slot->error};
	if (slot->status == ITEM_OK) {
		result->buffer = slot->buffer;
		/* Relaxed: see serve_line(). */
		atomic_fetch_add_explicit(&fetch->lent_count, 1, memory_order_relaxed);
	} else if (slot->buffer) {
		buffers_release(fetch->rules.buffers, slot->buffer);
	}
	slot->buffer = NULL;
	fetch_slot_close(slot);
	fetch_clock_remove(&fetch->clock, slot);
	fetch_slot_push(&fetch->free_slots, slot);
	fetch->in_flight--;
	fetch_clock_pause(&fetch->clock);
}

static void give_up(struct fetch *fetch, struct fetch_slot *slot, struct fetch_result *result)
{
	/* Relaxed, both: see struct fetch_slot. */
	int held_up_by = atomic_load_explicit(&slot->held_up_by, memory_order_relaxed);

	atomic_store_explicit(&slot->abandoned, true, memory_order_relaxed);
	fetch_clock_remove(&fetch->clock, slot);
	fetch->in_flight--;
	fetch->engine_count--;
	fetch->abandoned_count++;
	*result = (struct fetch_result){
		.tag = slot->tag,
		.status = held_up_by ? ITEM_UNREADABLE : ITEM_TIMEOUT, /* "too many open files" says more than "timeout" */
		.error = held_up_by,
	};
	slot->engine->ops->abandon(slot->engine, slot);
}

static struct fetch_slot *ask_back_ends(struct fetch *fetch, uint64_t wait_ns)
{
	struct fetch_slot *slot = NULL;

	if (fetch->threads) /* a file that is done after this look ends the wait below */
		slot = fetch->threads->ops->next(fetch->threads, 0);
	return slot ? slot : fetch->engine->ops->next(fetch->engine, wait_ns);
}

/* NULL: none within wait_ns, or for no reason. */
static struct fetch_slot *next_done(struct fetch *fetch, uint64_t wait_ns)
{
	struct fetch_slot *slot;

	/* First what was waited for, or files in the cache could hold it up for ever. */
	while (fetch->engine_count + fetch->abandoned_count > 0 && (slot = ask_back_ends(fetch, 0)))
		if (take_back(fetch, slot))
			return slot;
	slot = serve_line(fetch);
	if (!slot)
		slot = start_fresh_ones(fetch);
	if (slot)
		return slot;
	/* Down to the last: what a back end has ready here must not be found late. */
	slot = ask_back_ends(fetch, wait_ns);
	while (slot && !take_back(fetch, slot))
		slot = ask_back_ends(fetch, 0);
	return slot;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int fetch_collect(struct fetch *fetch, int timeout_ms, struct fetch_result *result)
{
	uint64_t end_ns = 0, wait_ns = 0;

	for (;;) {
		struct fetch_slot *slot = next_done(fetch, wait_ns);
		uint64_t now_ns, left_ns;

		if (slot) {
			if (wait_ns > 0)
				(void)fetch_clock_look(&fetch->clock, SLICE_NS); /* the wait counts */
			report(fetch, slot, result);
			return 0;
		}
		now_ns = fetch_clock_look(&fetch->clock, SLICE_NS);
		slot = fetch_clock_next(&fetch->clock, &left_ns);
		if (slot && left_ns == 0) {
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
		if (fetch->mounts && fetch->in_flight + fetch->abandoned_count == 0)
			mount_table_rest(fetch->mounts);
		wait_ns = earlier(SLICE_NS, end_ns - now_ns);
		if (slot)
			wait_ns = earlier(wait_ns, left_ns);
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
	buffers_release(fetch->rules.buffers, buffer);
	/* Relaxed, both: see serve_line() and set_line_waits(). */
	atomic_fetch_sub_explicit(&fetch->lent_count, 1, memory_order_relaxed);
	if (atomic_load_explicit(&fetch->line_waits, memory_order_relaxed))
		fetch->engine->ops->wake(fetch->engine);
}
