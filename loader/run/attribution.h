/*
 * attribution.h - what the decode threads did while readers waited: that is what readers waited for.
 *
 * Totals of a run cannot tell it: a loader that is too slow for an hour of training and idles for an hour of evaluation looks as if
 * it had been idle while its readers waited.  So both sides are looked at several times a second, and what readers waited meanwhile is
 * shared out in proportion to what the threads did meanwhile.  The main thread's.
 */
#ifndef CROPRING_ATTRIBUTION_H
#define CROPRING_ATTRIBUTION_H

#include <stdint.h>

/* Running totals in nanoseconds. */
struct attribution_totals {
	uint64_t time_ns;        /* of the clock */
	uint64_t reader_wait_ns; /* without that for first batches */
	uint64_t hungry_ns;      /* decode threads, summed: without a row while bytes were on their way */
	uint64_t idle_ns;        /* without one while none were */
};

struct attribution {
	struct attribution_totals past;
	uint64_t decode_ns, read_ns, idle_ns; /* readers waited while threads worked, waited for bytes, had nothing to do */
};

/* Shares out what has passed since the last call. */
void attribution_update(struct attribution *attribution, const struct attribution_totals *now, uint32_t threads);

#endif
