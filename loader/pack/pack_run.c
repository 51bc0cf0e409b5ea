/*
 * pack_run.c - part of `cropring pack`: numbers of pictures handed to threads, results put in order.  One lock guards all that threads
 * share; it is held for a few instructions per picture.
 */
#include "loader/pack/pack_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WINDOW = 256
}; /* pictures between the one that is waited for and the one that is begun, so that slow ones are made up for */

struct pack_run {
	const struct pack_job *job;
	uint64_t budget_bytes;
	pthread_t *threads;
	uint32_t thread_count;

	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	bool is_stopped;
	uint64_t next, granted, taken;      /* the pictures that are begun, get memory, and are handed out next */
	uint64_t granted_bytes, peak_bytes; /* at once, and the most there ever were */
	bool is_ready[WINDOW];              /* picture k in place k mod WINDOW */
	struct pack_result result[WINDOW];
};

/* ------------------------------------------------------------------ the threads */

/* False: there is no more to do. */
static bool begin_next(struct pack_run *run, uint64_t *picture)
{
	bool is_given;

	pthread_mutex_lock(&run->lock);
	while (!run->is_stopped && run->next < run->job->pictures->count && run->next - run->taken >= WINDOW)
		pthread_cond_wait(&run->changed, &run->lock);
	is_given = !run->is_stopped && run->next < run->job->pictures->count;
	*picture = run->next;
	run->next += is_given;
	pthread_mutex_unlock(&run->lock);
	return is_given;
}

/* Waits until it is the picture's turn, and there is memory, or nobody else has any.  False: there is no more to do. */
static bool grant(struct pack_run *run, uint64_t picture, uint64_t byte_count)
{
	bool is_granted;

	pthread_mutex_lock(&run->lock);
	while (!run->is_stopped &&
	       !(run->granted == picture && (run->granted_bytes == 0 || (run->granted_bytes <= run->budget_bytes &&
	                                                                 byte_count <= run->budget_bytes - run->granted_bytes))))
		pthread_cond_wait(&run->changed, &run->lock);
	is_granted = !run->is_stopped;
	if (is_granted) {
		run->granted++;
		run->granted_bytes += byte_count;
		if (run->granted_bytes > run->peak_bytes)
			run->peak_bytes = run->granted_bytes;
		pthread_cond_broadcast(&run->changed);
	}
	pthread_mutex_unlock(&run->lock);
	return is_granted;
}

static void hand_in(struct pack_run *run, uint64_t picture, uint64_t granted_bytes)
{
	struct pack_result *result = &run->result[picture % WINDOW];

	pthread_mutex_lock(&run->lock);
	run->granted_bytes += result->held_bytes - granted_bytes;
	run->is_ready[picture % WINDOW] = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

static void *work_on(void *context)
{
	struct pack_run *run = context;
	struct pack_work *work = pack_work_open(run->job);
	uint64_t picture;

	while (begin_next(run, &picture)) {
		struct pack_result *result = &run->result[picture % WINDOW];
		uint64_t byte_count = 0;

		if (work) {
			byte_count = pack_work_begin(work, run->job, picture, result);
		} else {
			*result = (struct pack_result){0};
			result->rc = err_fail(&result->err, -ENOMEM, "out of memory for a thread that packs");
		}
		if (!grant(run, picture, byte_count)) {
			if (work)
				pack_work_drop(work);
			break;
		}
		if (result->rc == 0)
			pack_work_end(work, run->job, result);
		hand_in(run, picture, byte_count);
	}
	pack_work_close(work);
	return NULL;
}

/* ------------------------------------------------------------------ who takes the results */

int pack_run_open(struct pack_run **out, const struct pack_job *job, uint64_t first, uint32_t threads, uint64_t budget_bytes,
                  struct err *err)
{
	struct pack_run *run = calloc(1, sizeof *run);
	pthread_condattr_t attributes;
	int rc = 0;

	*out = run;
	if (!run)
		return err_fail(err, -ENOMEM, "out of memory for %u threads", threads);
	run->job = job;
	run->budget_bytes = budget_bytes;
	run->next = run->granted = run->taken = first;
	pthread_mutex_init(&run->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&run->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	run->threads = calloc(threads, sizeof *run->threads);
	for (; run->threads && rc == 0 && run->thread_count < threads; run->thread_count += rc == 0)
		rc = pthread_create(&run->threads[run->thread_count], NULL, work_on, run);
	if (run->thread_count > 0)
		return 0; /* with fewer threads it takes longer */
	pack_run_close(run);
	*out = NULL;
	return err_fail(err, rc ? -rc : -ENOMEM, "no thread can be started: %s", strerror(rc ? rc : ENOMEM));
}

void pack_run_close(struct pack_run *run)
{
	if (!run)
		return;
	pthread_mutex_lock(&run->lock);
	run->is_stopped = true;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	for (uint32_t i = 0; i < run->thread_count; i++)
		pthread_join(run->threads[i], NULL);
	for (size_t i = 0; i < WINDOW; i++)
		pack_result_close(&run->result[i]);
	pthread_cond_destroy(&run->changed);
	pthread_mutex_destroy(&run->lock);
	free(run->threads);
	free(run);
}

static struct timespec time_in(uint32_t timeout_ms)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += timeout_ms / 1000;
	time.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (time.tv_nsec >= 1000000000) {
		time.tv_sec++;
		time.tv_nsec -= 1000000000;
	}
	return time;
}

int pack_run_take(struct pack_run *run, uint32_t timeout_ms, struct pack_result **result)
{
	const struct timespec until = time_in(timeout_ms);
	int rc = 0;

	pthread_mutex_lock(&run->lock);
	while (rc == 0 && !run->is_ready[run->taken % WINDOW])
		rc = pthread_cond_timedwait(&run->changed, &run->lock, &until);
	if (run->is_ready[run->taken % WINDOW])
		rc = 0;
	*result = &run->result[run->taken % WINDOW];
	pthread_mutex_unlock(&run->lock);
	return -rc;
}

void pack_run_give_back(struct pack_run *run)
{
	struct pack_result *result = &run->result[run->taken % WINDOW];

	pack_result_close(result);
	pthread_mutex_lock(&run->lock);
	run->granted_bytes -= result->held_bytes;
	run->is_ready[run->taken % WINDOW] = false;
	run->taken++;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

uint64_t pack_run_peak_bytes(struct pack_run *run)
{
	uint64_t peak_bytes;

	pthread_mutex_lock(&run->lock);
	peak_bytes = run->peak_bytes;
	pthread_mutex_unlock(&run->lock);
	return peak_bytes;
}
