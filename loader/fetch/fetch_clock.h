/*
 * fetch_clock.h - whose time runs, and whose is up.
 *
 * Time counts against a file from when its back end has started with it, and only while the collector waits with nothing to hand
 * out: no file is late because the collector was busy with others, the trainer evaluated for an hour or the process was stopped.
 * The collector's thread only.
 */
#ifndef CROPRING_FETCH_CLOCK_H
#define CROPRING_FETCH_CLOCK_H

#include <stdint.h>

#include "loader/fetch/fetch_slot.h"

/* All zero but the timeout before it begins. */
struct fetch_clock {
	uint64_t timeout_ns;
	uint64_t waited_ns, looked_at_ns; /* looked_at_ns is 0 after a result */

	/* In order of submission, which is the order in which the back ends start with them. */
	struct fetch_slot *oldest, *newest;
	struct fetch_slot *no_deadline; /* the first that was not seen to be started */
};

/* One that waits for its turn. */
void fetch_clock_add(struct fetch_clock *clock, struct fetch_slot *slot);

/* One that goes on after it had to wait for others: its time starts anew. */
void fetch_clock_add_started(struct fetch_clock *clock, struct fetch_slot *slot);

void fetch_clock_remove(struct fetch_clock *clock, struct fetch_slot *slot);

/* Nothing is ready: counts the time since the last look, by a slice at most.  What time it is now. */
uint64_t fetch_clock_look(struct fetch_clock *clock, uint64_t slice_ns);

/* There is a result: nothing counts until the next look. */
void fetch_clock_pause(struct fetch_clock *clock);

/* The file whose time is up first, and when, in time that counts: *left_ns is 0 when it is.  NULL: no file's time runs. */
struct fetch_slot *fetch_clock_next(const struct fetch_clock *clock, uint64_t *left_ns);

#endif
