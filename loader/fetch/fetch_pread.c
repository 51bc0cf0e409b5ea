/*
 * Stage 2 of 5, fetch: files read by a pool of threads with openat, pread and close.
 *
 * Threads come as they are needed, up to one per file in flight and 16; a thread that is stuck in a hung file system is replaced,
 * FETCH_STUCK_SPARE times at most.  All are detached: whoever of them and of the owner leaves last frees what they share.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "loader/fetch/fetch_backend.h"
#include "loader/fetch/file_open.h"

#define THREADS_MAX   16u                  /* more did not help cold disks */
#define STACK_BYTES   ((size_t)256 * 1024) /* virtual; sanitizers need more than the 16 KB that we do */
#define NS_PER_SECOND 1000000000u
#define NS_PER_MS     1000000u

struct fetch_pread {
	struct fetch_engine base;
	struct fetch_rules rules;
	atomic_bool stopping; /* relaxed reads outside of the mutex: a hint to stop early */

	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t work, done;
	struct fetch_slot_queue waiting, finished;
	uint32_t thread_limit; /* while none is stuck */
	uint32_t thread_count, idle_count, stuck_count;
	uint64_t cpu_ns; /* of all threads, up to the last file that each has read */
	bool collector_waits, woken, orphaned;
	struct fetch_engine *listener; /* NULL: none, or not any more */
};

static struct fetch_pread *as_pread(struct fetch_engine *engine)
{
	return (struct fetch_pread *)engine;
}

static bool nobody_cares(struct fetch_pread *pool, const struct fetch_slot *slot)
{
	return fetch_slot_is_abandoned(slot) || atomic_load_explicit(&pool->stopping, memory_order_relaxed);
}

static void pause_until_next_try(void)
{
	const struct timespec pause = {.tv_nsec = FETCH_SLOT_RETRY_MS * (long)NS_PER_MS};

	(void)nanosleep(&pause, NULL); /* a signal only makes the try earlier */
}

static enum fetch_step open_file(struct fetch_pread *pool, struct fetch_slot *slot)
{
	for (;;) {
		int result = file_open_waiting(slot->directory_fd, slot->path, pool->rules.stay_beneath);
		enum fetch_step step = fetch_slot_opened(slot, result, &pool->rules);

		if (step != FETCH_LATER)
			return step;
		if (nobody_cares(pool, slot))
			return FETCH_DONE;
		pause_until_next_try();
	}
}

static enum fetch_step read_on(struct fetch_pread *pool, struct fetch_slot *slot)
{
	ssize_t got_bytes;

	fetch_slot_plan_read(slot);
	got_bytes = pread(slot->fd, slot->read.data, slot->read.byte_count, (off_t)slot->read.offset);
	return fetch_slot_took(slot, got_bytes < 0 ? -errno : got_bytes, &pool->rules);
}

/* To its end, or as far as it gets. */
static void read_file(struct fetch_pread *pool, struct fetch_slot *slot)
{
	enum fetch_step step = fetch_slot_begin(slot);

	if (step == FETCH_OPEN)
		step = open_file(pool, slot);
	while ((step == FETCH_READ || step == FETCH_LATER) && !nobody_cares(pool, slot)) {
		if (step == FETCH_LATER)
			pause_until_next_try();
		step = read_on(pool, slot);
	}
	if (step != FETCH_HALT)
		fetch_slot_close(slot);
}

static void free_pool(struct fetch_pread *pool)
{
	struct fetch_slot *slot;

	while ((slot = fetch_slot_pop(&pool->finished)))
		fetch_slot_free(slot, pool->rules.buffers);
	buffers_close(pool->rules.buffers);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->done);
	pthread_mutex_destroy(&pool->mutex);
	free(pool);
}

static uint32_t wanted_threads(const struct fetch_pread *pool)
{
	return pool->thread_limit + (pool->stuck_count < FETCH_STUCK_SPARE ? pool->stuck_count : FETCH_STUCK_SPARE);
}

static void finish(struct fetch_pread *pool, struct fetch_slot *slot)
{
	fetch_slot_push(&pool->finished, slot);
	if (pool->collector_waits)
		pthread_cond_signal(&pool->done);
	if (pool->listener)
		pool->listener->ops->wake(pool->listener);
}

static void *work(void *argument)
{
	struct fetch_pread *pool = argument;
	uint64_t cpu_ns, counted_ns = 0;
	bool last;

	pthread_mutex_lock(&pool->mutex);
	/* Relaxed: set under the mutex that is held here. */
	while (!atomic_load_explicit(&pool->stopping, memory_order_relaxed) && pool->thread_count <= wanted_threads(pool)) {
		struct fetch_slot *slot = fetch_slot_pop(&pool->waiting);

		if (!slot) {
			pool->idle_count++;
			pthread_cond_wait(&pool->work, &pool->mutex);
			pool->idle_count--;
			continue;
		}
		slot->running = true;
		pthread_mutex_unlock(&pool->mutex);
		read_file(pool, slot);
		cpu_ns = clock_thread_cpu_ns();
		pthread_mutex_lock(&pool->mutex);
		pool->cpu_ns += cpu_ns - counted_ns;
		counted_ns = cpu_ns;
		slot->running = false;
		if (slot->stuck)
			pool->stuck_count--;
		finish(pool, slot);
	}
	pool->thread_count--;
	last = pool->orphaned && pool->thread_count == 0;
	pthread_cond_signal(&pool->done);
	pthread_mutex_unlock(&pool->mutex);
	if (last)
		free_pool(pool);
	return NULL;
}

static int start_thread(struct fetch_pread *pool)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attributes, work, pool);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (!error)
		pool->thread_count++;
	return error;
}

/*
 * A thread for the work that is waiting; when no more can be made, those that there are do it.  A thread counts as idle until it
 * has woken up, so the work that earlier calls woke it for is compared with that count.
 */
static void call_a_thread(struct fetch_pread *pool)
{
	if (pool->waiting.count <= pool->idle_count)
		pthread_cond_signal(&pool->work);
	else if (pool->thread_count < wanted_threads(pool))
		(void)start_thread(pool);
}

/* No thread is left that could do the work, nor can there be another one: it ends now, for nobody would ever start with it. */
static void refuse_if_all_are_stuck(struct fetch_pread *pool)
{
	struct fetch_slot *slot;

	if (pool->stuck_count < pool->thread_count)
		return;
	while ((slot = fetch_slot_pop(&pool->waiting))) {
		fetch_slot_fail(slot, ITEM_TIMEOUT, 0);
		finish(pool, slot);
	}
}

static void start(struct fetch_engine *engine, struct fetch_slot *slot)
{
	struct fetch_pread *pool = as_pread(engine);

	pthread_mutex_lock(&pool->mutex);
	fetch_slot_push(&pool->waiting, slot);
	call_a_thread(pool);
	refuse_if_all_are_stuck(pool);
	pthread_mutex_unlock(&pool->mutex);
}

static struct timespec time_from_now(uint64_t wait_ns)
{
	uint64_t then_ns = clock_now_ns() + wait_ns;

	return (struct timespec){.tv_sec = (time_t)(then_ns / NS_PER_SECOND), .tv_nsec = (long)(then_ns % NS_PER_SECOND)};
}

static struct fetch_slot *next(struct fetch_engine *engine, uint64_t wait_ns)
{
	struct fetch_pread *pool = as_pread(engine);
	struct fetch_slot *slot;

	pthread_mutex_lock(&pool->mutex);
	slot = fetch_slot_pop(&pool->finished);
	if (!slot && wait_ns > 0 && !pool->woken) {
		struct timespec until = time_from_now(wait_ns);

		pool->collector_waits = true;
		(void)pthread_cond_timedwait(&pool->done, &pool->mutex, &until); /* too early is allowed */
		pool->collector_waits = false;
		slot = fetch_slot_pop(&pool->finished);
	}
	if (!slot && wait_ns > 0)
		pool->woken = false;
	pthread_mutex_unlock(&pool->mutex);
	return slot;
}

static void abandon(struct fetch_engine *engine, struct fetch_slot *slot)
{
	struct fetch_pread *pool = as_pread(engine);

	pthread_mutex_lock(&pool->mutex);
	if (slot->running) {
		slot->stuck = true;
		pool->stuck_count++;
		if (pool->waiting.count > 0)
			call_a_thread(pool);
		refuse_if_all_are_stuck(pool);
	} else if (fetch_slot_remove(&pool->waiting, slot)) {
		finish(pool, slot);
	} /* else it was finished just now */
	pthread_mutex_unlock(&pool->mutex);
}

static void wake(struct fetch_engine *engine)
{
	struct fetch_pread *pool = as_pread(engine);

	pthread_mutex_lock(&pool->mutex);
	pool->woken = true;
	pthread_cond_signal(&pool->done);
	pthread_mutex_unlock(&pool->mutex);
}

static void close_pool(struct fetch_engine *engine)
{
	struct fetch_pread *pool = as_pread(engine);
	struct timespec until = time_from_now(FETCH_CLOSE_GRACE_MS * (uint64_t)NS_PER_MS);
	struct fetch_slot *slot;
	bool last;

	pthread_mutex_lock(&pool->mutex);
	pool->listener = NULL;
	atomic_store_explicit(&pool->stopping, true, memory_order_relaxed); /* relaxed: under the mutex, and a hint outside of it */
	while ((slot = fetch_slot_pop(&pool->waiting)))
		fetch_slot_push(&pool->finished, slot);
	pthread_cond_broadcast(&pool->work);
	while (pool->thread_count > 0)
		if (pthread_cond_timedwait(&pool->done, &pool->mutex, &until) == ETIMEDOUT)
			break;
	/* Threads that are still stuck keep the pool alive, for ever if the kernel says so. */
	last = pool->thread_count == 0;
	pool->orphaned = !last;
	pthread_mutex_unlock(&pool->mutex);
	if (last)
		free_pool(pool);
}

static uint64_t spent_cpu_ns(struct fetch_engine *engine)
{
	struct fetch_pread *pool = as_pread(engine);
	uint64_t cpu_ns;

	pthread_mutex_lock(&pool->mutex);
	cpu_ns = pool->cpu_ns;
	pthread_mutex_unlock(&pool->mutex);
	return cpu_ns;
}

static const struct fetch_engine_ops pread_ops = {
	.name = "pread",
	.start = start,
	.next = next,
	.abandon = abandon,
	.wake = wake,
	.cpu_ns = spent_cpu_ns,
	.close = close_pool,
};

int fetch_pread_open(struct fetch_engine **engine, uint32_t depth, const struct fetch_rules *rules, struct fetch_engine *listener,
                     struct err *err)
{
	struct fetch_pread *pool = calloc(1, sizeof *pool);
	pthread_condattr_t monotonic;
	int error;

	if (!pool)
		return err_fail(err, -ENOMEM, "no memory for the threads that read");
	pool->base.ops = &pread_ops;
	pool->base.confined = true;
	pool->listener = listener;
	pool->rules = *rules;
	buffers_share(rules->buffers);
	pool->thread_limit = depth < THREADS_MAX ? depth : THREADS_MAX;
	atomic_init(&pool->stopping, false);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_mutex_init(&pool->mutex, NULL);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->done, &monotonic);
	pthread_condattr_destroy(&monotonic);

	pthread_mutex_lock(&pool->mutex);
	error = start_thread(pool); /* the first one shows whether there can be any */
	pthread_mutex_unlock(&pool->mutex);
	if (error) {
		free_pool(pool);
		return err_fail(err, -error, "starting a thread: %s", strerror(error));
	}
	*engine = &pool->base;
	return 0;
}
