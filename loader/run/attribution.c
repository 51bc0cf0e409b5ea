/* attribution.c - a stretch of time in; what readers waited in it out, by what decode threads did in it. */
#include "loader/run/attribution.h"

static uint64_t since(uint64_t past, uint64_t now)
{
	return now > past ? now - past : 0;
}

void attribution_update(struct attribution *attribution, const struct attribution_totals *now, uint32_t threads)
{
	const struct attribution_totals *past = &attribution->past;
	double waited_ns = (double)since(past->reader_wait_ns, now->reader_wait_ns);
	double hungry_ns = (double)since(past->hungry_ns, now->hungry_ns), idle_ns = (double)since(past->idle_ns, now->idle_ns);
	double all_ns = (double)since(past->time_ns, now->time_ns) * threads;
	uint64_t read_share_ns, idle_share_ns;

	if (all_ns < hungry_ns + idle_ns) /* the clock is read a moment before the totals are */
		all_ns = hungry_ns + idle_ns;
	if (waited_ns > 0 && all_ns > 0) {
		/* Whoever had a row worked on it, which is known before the row is done. */
		read_share_ns = (uint64_t)(waited_ns * (hungry_ns / all_ns));
		idle_share_ns = (uint64_t)(waited_ns * (idle_ns / all_ns));
		attribution->read_ns += read_share_ns;
		attribution->idle_ns += idle_share_ns;
		attribution->decode_ns += (uint64_t)waited_ns - read_share_ns - idle_share_ns;
	}
	attribution->past = *now;
}
