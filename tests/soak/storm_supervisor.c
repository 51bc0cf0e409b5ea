/* storm_supervisor.c - the parent of a storm's processes: one thread. */
#include "tests/soak/storm_supervisor.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/seed.h"

enum { WATCH_US = 200, ZOMBIE_US = 1000 };

/* ------------------------------------------------------------------ starting */

/* In a child: nothing that this storm started outlives it. */
static void become_child(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

static void start_reader(struct supervisor *supervisor, uint32_t place_index)
{
	struct storm_place *place = &supervisor->ledger->place[place_index];
	pid_t parent = getpid(), child;

	place->life = ++supervisor->lives;
	atomic_store(&place->state, STORM_IDLE);
	atomic_store(&place->holding, 0);
	atomic_store(&place->progress_ns, clock_now_ns());
	child = fork();
	if (child == 0) {
		become_child(parent);
		exit(storm_read(supervisor->ledger, place_index));
	}
	if (child < 0)
		storm_complain(supervisor->ledger, STORM_ODD, "fork failed");
	supervisor->reader[place_index] = child > 0 ? child : 0;
	supervisor->youngest = place_index;
}

static void start_producer(struct supervisor *supervisor)
{
	struct storm_ledger *ledger = supervisor->ledger;
	pid_t parent = getpid(), child;

	ledger->generation++;
	ledger->generation_ns = clock_now_ns();
	child = fork();
	if (child == 0) {
		become_child(parent);
		exit(storm_produce(ledger));
	}
	if (child < 0)
		storm_complain(ledger, STORM_ODD, "fork failed");
	supervisor->producer = child > 0 ? child : 0;
}

static void start_observer(struct supervisor *supervisor)
{
	uint64_t random = seed_next(&supervisor->random);
	pid_t parent = getpid(), child = fork();

	if (child == 0) {
		become_child(parent);
		exit(storm_observe(supervisor->ledger, random));
	}
	if (child < 0)
		storm_complain(supervisor->ledger, STORM_ODD, "fork failed");
	supervisor->observer = child > 0 ? child : 0;
}

void supervisor_start(struct supervisor *supervisor)
{
	fflush(NULL); /* or the children would print it again */
	start_producer(supervisor);
	for (uint32_t place = 0; place < supervisor->ledger->options.reader_count; place++)
		start_reader(supervisor, place);
	start_observer(supervisor);
}

/* ------------------------------------------------------------------ killing */

static void end_process(pid_t *process)
{
	if (*process != 0) {
		kill(*process, SIGKILL);
		waitpid(*process, NULL, 0);
	}
	*process = 0;
}

void supervisor_replace_reader(struct supervisor *supervisor, uint32_t place)
{
	pid_t victim = supervisor->reader[place];

	if (victim == 0)
		return;
	kill(victim, SIGKILL);
	supervisor->kills++;
	atomic_fetch_add(&supervisor->ledger->kills, 1);
	if (seed_next(&supervisor->random) % 2 == 0)
		usleep((useconds_t)seed_between(&supervisor->random, 0, ZOMBIE_US));
	waitpid(victim, NULL, 0);
	supervisor->held_by_killed += atomic_load(&supervisor->ledger->place[place].holding);
	start_reader(supervisor, place);
}

void supervisor_replace_observer(struct supervisor *supervisor)
{
	if (supervisor->observer == 0)
		return;
	if (seed_next(&supervisor->random) % 2 == 0) {
		end_process(&supervisor->observer);
	} else {
		end_process(&supervisor->stopped_observer);
		kill(supervisor->observer, SIGSTOP);
		supervisor->stopped_observer = supervisor->observer;
	}
	supervisor->kills_of_observers++;
	start_observer(supervisor);
}

/* Every living reader was seen outside of any ring since the producer died: none of them can be in the old one any more. */
static bool wait_until_drained(struct supervisor *supervisor, bool kill_readers)
{
	for (uint32_t place = 0; place < supervisor->ledger->options.reader_count; place++) {
		while (atomic_load(&supervisor->ledger->place[place].state) != STORM_IDLE) {
			if (!supervisor_watch_us(supervisor, WATCH_US))
				return false;
			if (kill_readers && seed_next(&supervisor->random) % 256 == 0)
				supervisor_replace_reader(supervisor, place);
		}
	}
	return true;
}

static void list_pending(struct supervisor *supervisor)
{
	struct storm_ledger *ledger = supervisor->ledger;
	uint64_t end = atomic_load(&ledger->next_batch);

	ledger->pending_count = 0;
	for (uint64_t batch = supervisor->taken_below; batch < end; batch++) {
		if (atomic_load(&ledger->entry[batch].taken) > 0)
			continue;
		if (ledger->pending_count == STORM_MAX_PENDING) {
			storm_complain(ledger, STORM_LOST, "more than %d batches were not delivered, from %" PRIu64 " on",
			               STORM_MAX_PENDING, supervisor->taken_below);
			return;
		}
		ledger->pending[ledger->pending_count++] = batch;
	}
	supervisor->taken_below = ledger->pending_count > 0 ? ledger->pending[0] : end;
}

void supervisor_replace_producer(struct supervisor *supervisor, bool kill_readers)
{
	kill(supervisor->producer, SIGKILL);
	supervisor->kills++;
	atomic_fetch_add(&supervisor->ledger->kills, 1);
	supervisor->gone_ns = clock_now_ns();
	waitpid(supervisor->producer, NULL, 0);
	supervisor->producer = 0;
	if (!wait_until_drained(supervisor, kill_readers))
		return;
	list_pending(supervisor);
	start_producer(supervisor);
}

/* ------------------------------------------------------------------ watching */

static void watch_ends(struct supervisor *supervisor, pid_t *process, const char *what)
{
	int status;

	if (*process == 0 || waitpid(*process, &status, WNOHANG) != *process)
		return;
	*process = 0;
	if (WIFSIGNALED(status))
		storm_complain(supervisor->ledger, STORM_ODD, "a %s was ended by signal %d that nobody sent", what,
		               WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		storm_complain(supervisor->ledger, STORM_ODD, "a %s ended with %d", what, WEXITSTATUS(status));
	else if (!atomic_load(&supervisor->ledger->complete))
		storm_complain(supervisor->ledger, STORM_ODD, "a %s ended, and the stream had not", what);
}

static void watch_progress(struct supervisor *supervisor, uint32_t place_index)
{
	struct storm_ledger *ledger = supervisor->ledger;
	struct storm_place *place = &ledger->place[place_index];
	uint64_t since_ns = atomic_load(&place->progress_ns), now_ns = clock_now_ns();
	uint32_t state = atomic_load(&place->state);

	if (supervisor->reader[place_index] == 0 || (supervisor->producer == 0 && state == STORM_IDLE))
		return; /* it is gone, or waits for the producer that is not there yet */
	if (since_ns < ledger->generation_ns)
		since_ns = ledger->generation_ns;
	if (supervisor->producer == 0 && since_ns < supervisor->gone_ns)
		since_ns = supervisor->gone_ns;
	if (now_ns > since_ns && now_ns - since_ns > supervisor->hang_limit_ns)
		storm_complain(ledger, STORM_HANG, "reader at place %u (%s, %u batches in hand) got nothing for %" PRIu64 " ms, %s",
		               place_index,
		               state == STORM_JOINED    ? "joined"
		               : state == STORM_JOINING ? "joining"
		                                        : "outside",
		               atomic_load(&place->holding), (now_ns - since_ns) / 1000000,
		               supervisor->producer == 0 ? "the producer being dead" : "the producer being alive");
}

bool supervisor_watch(struct supervisor *supervisor)
{
	struct storm_ledger *ledger = supervisor->ledger;

	watch_ends(supervisor, &supervisor->producer, "producer");
	watch_ends(supervisor, &supervisor->observer, "observer");
	for (uint32_t place = 0; place < ledger->options.reader_count; place++) {
		watch_ends(supervisor, &supervisor->reader[place], "reader");
		watch_progress(supervisor, place);
	}
	return storm_fault_count(ledger) == 0;
}

bool supervisor_watch_us(struct supervisor *supervisor, uint64_t time_us)
{
	uint64_t until_ns = clock_now_ns() + time_us * 1000;

	for (;;) {
		uint64_t now_ns = clock_now_ns();

		if (!supervisor_watch(supervisor))
			return false;
		if (now_ns >= until_ns)
			return true;
		usleep((until_ns - now_ns) / 1000 < 1000 ? (useconds_t)((until_ns - now_ns) / 1000) : 1000);
	}
}

/* ------------------------------------------------------------------ ending */

static bool is_anybody_there(const struct supervisor *supervisor)
{
	bool there = supervisor->producer != 0;

	for (uint32_t place = 0; place < supervisor->ledger->options.reader_count; place++)
		there = there || supervisor->reader[place] != 0;
	return there;
}

/*
 * What no reader got, or none could finish although there was somebody to offer it again: the last producer lived to the end.  And
 * what came more often than can be explained.
 */
static void audit(struct supervisor *supervisor)
{
	struct storm_ledger *ledger = supervisor->ledger;
	uint64_t duplicates = atomic_load(&ledger->duplicates);

	for (uint64_t batch = 0; batch < atomic_load(&ledger->next_batch); batch++) {
		struct storm_entry *entry = &ledger->entry[batch];

		if (atomic_load(&entry->taken) == 0)
			storm_complain(ledger, STORM_LOST, "nobody got batch %" PRIu64, batch);
		else if (atomic_load(&entry->finished) == 0 && atomic_load(&entry->taken_generation) == ledger->generation)
			storm_complain(ledger, STORM_LOST, "batch %" PRIu64 " died with life %u", batch,
			               atomic_load(&entry->taker));
	}
	/* In broadcast a batch that lost its audience is for all who are there: it comes to several without any having died with it. */
	if (ledger->options.share != SHMRING_BROADCAST && duplicates > supervisor->held_by_killed)
		storm_complain(ledger, STORM_UNFLAGGED, "%" PRIu64 " duplicates, but killed readers held only %" PRIu64, duplicates,
		               supervisor->held_by_killed);
}

void supervisor_finish(struct supervisor *supervisor)
{
	struct storm_ledger *ledger = supervisor->ledger;
	uint64_t stopped_ns = clock_now_ns();

	atomic_store(&ledger->stop, true);
	while (supervisor_watch_us(supervisor, WATCH_US) && is_anybody_there(supervisor)) {
		if (clock_now_ns() - stopped_ns > 2 * supervisor->hang_limit_ns)
			storm_complain(ledger, STORM_HANG, "the stream does not end");
	}
	if (storm_fault_count(ledger) == 0)
		audit(supervisor);
}

void supervisor_clear(struct supervisor *supervisor)
{
	end_process(&supervisor->producer);
	end_process(&supervisor->observer);
	end_process(&supervisor->stopped_observer);
	for (uint32_t place = 0; place < SHMRING_MAX_READERS; place++)
		end_process(&supervisor->reader[place]);
}
