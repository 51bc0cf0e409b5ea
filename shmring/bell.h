/*
 * bell.h - POSIX semaphores as doorbells: they wake, they never count.
 *
 * A post may be lost with the process that was to make or take it, so nobody sleeps longer than BELL_SLICE_MS, and every waker is
 * followed by a fresh look at the slot words.
 */
#ifndef SHMRING_BELL_H
#define SHMRING_BELL_H

#include <errno.h>
#include <semaphore.h>
#include <stdint.h>

#include "base/clock.h"

enum { BELL_SLICE_MS = 100 };

static inline void bell_ring(sem_t *bell)
{
	int value;

	/* On a weakly ordered processor this look may overtake the change of state that it follows; the sleeper then finds out at the
	 * end of its slice. */
	if (sem_getvalue(bell, &value) == 0 && value < 1)
		(void)sem_post(bell); /* fails only at 2^31 - 1 */
}

#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 30) /* built for older ones, too, where the weak symbol is NULL */
int sem_clockwait(sem_t *bell, clockid_t clock, const struct timespec *until) __attribute__((weak));
#define BELL_HAS_CLOCKWAIT (sem_clockwait != NULL)
#else
#define BELL_HAS_CLOCKWAIT 1
#endif

/* What bell_wait() does without sem_clockwait(): sem_timedwait() knows only the clock that can be set back. */
static inline int bell_wait_in_naps(sem_t *bell, uint64_t until_ns)
{
	const struct timespec nap = {.tv_nsec = 1000000};

	while (sem_trywait(bell) < 0) {
		if (errno != EAGAIN)
			return -errno;
		if (clock_now_ns() >= until_ns)
			return -ETIMEDOUT;
		if (clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL) == EINTR)
			return -EINTR;
	}
	return 0;
}

/* Sleeps until the bell rings, deadline_ns or the end of a slice: 0, -ETIMEDOUT (slice or deadline), -EINTR. */
static inline int bell_wait(sem_t *bell, uint64_t deadline_ns)
{
	uint64_t now_ns = clock_now_ns(), until_ns = now_ns + BELL_SLICE_MS * UINT64_C(1000000);
	struct timespec until;

	if (deadline_ns <= now_ns) /* a mere look; the kernel would make it a sleep of some 50 us */
		return sem_trywait(bell) == 0 ? 0 : -ETIMEDOUT;
	if (until_ns > deadline_ns)
		until_ns = deadline_ns;
	if (!BELL_HAS_CLOCKWAIT)
		return bell_wait_in_naps(bell, until_ns);
	until.tv_sec = (time_t)(until_ns / 1000000000u);
	until.tv_nsec = (long)(until_ns % 1000000000u);
	return sem_clockwait(bell, CLOCK_MONOTONIC, &until) == 0 ? 0 : -errno;
}

/* now + timeout_ms; a negative timeout has no deadline. */
static inline uint64_t bell_deadline_ns(int timeout_ms)
{
	return timeout_ms < 0 ? UINT64_MAX : clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
}

#endif
