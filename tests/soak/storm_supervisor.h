/* storm_supervisor.h - starts the processes of a storm, kills and replaces them, and notices those that hang or end by themselves. */
#ifndef STORM_SUPERVISOR_H
#define STORM_SUPERVISOR_H

#include <sys/types.h>

#include "tests/soak/storm_ledger.h"

struct supervisor {
	struct storm_ledger *ledger;
	uint64_t random, hang_limit_ns;
	pid_t producer, reader[SHMRING_MAX_READERS]; /* 0: none */
	pid_t observer, stopped_observer;            /* one that looks; one that looked when it was stopped */
	uint32_t youngest;                           /* the place whose process was started last */
	uint32_t lives, kills, kills_of_observers;   /* of observers: or stopped */
	uint64_t held_by_killed; /* batches that killed readers had: as many may come twice */
	uint64_t gone_ns;        /* when there was a producer last */
	uint64_t taken_below;    /* every batch below was taken */
};

void supervisor_start(struct supervisor *supervisor);

/* Kills the reader of that place and starts another there. */
void supervisor_replace_reader(struct supervisor *supervisor, uint32_t place);

/*
 * Kills the producer, waits until all readers have drained its ring and learnt of its death, and starts the next one with what was
 * not delivered.  kill_readers: some of them die meanwhile.
 */
void supervisor_replace_producer(struct supervisor *supervisor, bool kill_readers);

/* Kills the observer, or stops it for as long as the next ones live, and starts another.  None of the others may notice. */
void supervisor_replace_observer(struct supervisor *supervisor);

/* Looks after all processes.  False when something is wrong: the storm is over. */
bool supervisor_watch(struct supervisor *supervisor);

/* Watches for so long. */
bool supervisor_watch_us(struct supervisor *supervisor, uint64_t time_us);

/* No more kills: lets the stream end and every process with it. */
void supervisor_finish(struct supervisor *supervisor);

/* Ends whatever is still there. */
void supervisor_clear(struct supervisor *supervisor);

#endif
