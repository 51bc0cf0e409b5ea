/*
 * storm_observer.c - one process of a storm that only looks: it comes, looks for a while, goes and comes again, until it is killed.
 *
 * Nobody waits for it.  What it sees must be possible; that it is there must show nowhere, least of all in the others' promises.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "tests/seed.h"
#include "tests/soak/storm_ledger.h"

enum { LOOKS = 20, PAUSE_US = 300 };

static uint32_t count_state(const struct shmring_snapshot *seen, enum shmring_slot_state state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < seen->slot_count; i++)
		count += seen->slot[i].state == state;
	return count;
}

static void check(struct storm_ledger *ledger, const struct shmring_snapshot *seen)
{
	uint32_t held = 0, in_states = 0;

	for (enum shmring_slot_state state = SHMRING_SLOT_FREE; state <= SHMRING_SLOT_HELD; state++)
		in_states += count_state(seen, state);
	for (uint32_t number = 0; number < seen->reader_limit; number++)
		held += seen->reader[number].held;
	if (seen->slot_count != ledger->options.slot_count || seen->reader_limit != ledger->options.reader_count ||
	    in_states != seen->slot_count)
		storm_complain(ledger, STORM_ODD, "an observer sees %u slots (%u of known states) and %u readers", seen->slot_count, in_states,
		               seen->reader_limit);
	if (seen->share != SHMRING_BROADCAST && held != count_state(seen, SHMRING_SLOT_HELD))
		storm_complain(ledger, STORM_ODD, "an observer sees %u slots held, and %u with readers", count_state(seen, SHMRING_SLOT_HELD),
		               held);
}

/* A ring that is just not there, or whose producer dies while it answers, is no fault. */
static bool is_expected(int rc)
{
	return rc == -ENOENT || rc == -EPIPE || rc == -ECONNRESET || rc == -ECONNREFUSED || rc == -EAGAIN;
}

int storm_observe(struct storm_ledger *ledger, uint64_t random)
{
	for (;;) {
		struct shmring_observer *observer;
		struct shmring_snapshot seen;
		struct err err = {.text = ""};
		int rc = shmring_observe(&observer, ledger->options.ring, &err);

		if (rc < 0 && !is_expected(rc))
			storm_complain(ledger, STORM_ODD, "an observer: %s", err.text);
		for (int i = 0; i < LOOKS && rc == 0; i++) {
			if (shmring_look(observer, &seen) < 0)
				storm_complain(ledger, STORM_ODD, "an observer cannot look");
			check(ledger, &seen);
			usleep((useconds_t)seed_between(&random, 0, PAUSE_US));
		}
		if (rc == 0)
			shmring_unobserve(observer);
		usleep((useconds_t)seed_between(&random, 0, PAUSE_US));
	}
}
