/*
 * ticker.c - a thread that must act every so often, as one that launches kernels must, and how late it is.  Built as a library, which
 * neighbour.py loads into the process of a training loop; no Python runs in it, so that only the scheduler can delay it.
 */
#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Arithmetic for so much CPU time: a thread that is interrupted has not done its work sooner. */
static void work(uint64_t cpu_ns)
{
	uint64_t end_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) + cpu_ns;
	volatile uint64_t number = end_ns;

	while (now_ns(CLOCK_THREAD_CPUTIME_ID) < end_ns)
		for (int i = 0; i < 200; i++)
			number = number * 6364136223846793005u + 1;
}

/*
 * Act `count` times, one every period_ns, for work_ns of CPU time each.  late_ns gets how long after its moment each act began.  The moments
 * stand fixed: who is late by three periods is late for the next two as well, as launches are that queue up.  0, or an errno.
 */
int ticker_run(uint64_t period_ns, uint64_t work_ns, uint32_t count, uint64_t late_ns[])
{
	uint64_t due_ns = now_ns(CLOCK_MONOTONIC);

	if (prctl(PR_SET_TIMERSLACK, 1) < 0) /* ns; by default the kernel may add 50000 to each sleep */
		return errno;
	for (uint32_t i = 0; i < count; i++) {
		struct timespec due;
		int rc;

		due_ns += period_ns;
		due = (struct timespec){.tv_sec = (time_t)(due_ns / 1000000000u), .tv_nsec = (long)(due_ns % 1000000000u)};
		do
			rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
		while (rc == EINTR);
		if (rc != 0)
			return rc;
		late_ns[i] = now_ns(CLOCK_MONOTONIC) - due_ns;
		work(work_ns);
	}
	return 0;
}
