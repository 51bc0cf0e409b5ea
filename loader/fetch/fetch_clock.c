/* Stage 2 of 5, fetch: files in flight in, the one that is late out.  The collector's thread. */
#include "loader/fetch/fetch_clock.h"

#include <stddef.h>

#include "base/clock.h"

static void insert(struct fetch_clock *clock, struct fetch_slot *slot, struct fetch_slot *newer)
{
	slot->newer = newer;
	slot->older = newer ? newer->older : clock->newest;
	*(slot->older ? &slot->older->newer : &clock->oldest) = slot;
	*(newer ? &newer->older : &clock->newest) = slot;
}

void fetch_clock_add(struct fetch_clock *clock, struct fetch_slot *slot)
{
	insert(clock, slot, NULL);
	if (!clock->no_deadline)
		clock->no_deadline = slot;
}

void fetch_clock_add_started(struct fetch_clock *clock, struct fetch_slot *slot)
{
	slot->deadline_ns = clock->waited_ns + clock->timeout_ns;
	insert(clock, slot, clock->no_deadline);
}

void fetch_clock_remove(struct fetch_clock *clock, struct fetch_slot *slot)
{
	*(slot->older ? &slot->older->newer : &clock->oldest) = slot->newer;
	*(slot->newer ? &slot->newer->older : &clock->newest) = slot->older;
	if (clock->no_deadline == slot)
		clock->no_deadline = slot->newer;
}

uint64_t fetch_clock_look(struct fetch_clock *clock, uint64_t slice_ns)
{
	uint64_t now_ns = clock_now_ns();

	if (clock->looked_at_ns != 0)
		clock->waited_ns += now_ns - clock->looked_at_ns < slice_ns ? now_ns - clock->looked_at_ns : slice_ns;
	clock->looked_at_ns = now_ns;
	for (; clock->no_deadline && fetch_slot_is_started(clock->no_deadline); clock->no_deadline = clock->no_deadline->newer)
		clock->no_deadline->deadline_ns = clock->waited_ns + clock->timeout_ns;
	return now_ns;
}

void fetch_clock_pause(struct fetch_clock *clock)
{
	clock->looked_at_ns = 0;
}

struct fetch_slot *fetch_clock_next(const struct fetch_clock *clock, uint64_t *left_ns)
{
	struct fetch_slot *slot = clock->oldest != clock->no_deadline ? clock->oldest : NULL;

	*left_ns = slot && slot->deadline_ns > clock->waited_ns ? slot->deadline_ns - clock->waited_ns : 0;
	return slot;
}
