/*
 * attendance.h - the readers of a running worker: who comes, who goes, who holds up the others, and when nobody is left to work for.
 *
 * The main thread's.
 */
#ifndef CROPRING_ATTENDANCE_H
#define CROPRING_ATTENDANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/options.h"
#include "loader/run/log.h"

struct attendance {
	struct shmring_producer *producer;
	const struct options *options;
	bool anyone_came;
	uint64_t alone_since_ns;       /* when the last reader went; 0: somebody is there, or nobody came yet */
	uint32_t warned_mask;          /* stalled readers that were named already */
	enum shmring_event last_event; /* LEFT or DIED */
	struct shmring_visitor last_visitor;
};

/* What happened at the door. */
enum attendance_change { ATTENDANCE_SAME, ATTENDANCE_FIRST_CAME, ATTENDANCE_REQUESTED, ATTENDANCE_OVER };

/*
 * Handles one event at the door.  OVER: the process that started the worker has gone, or the last reader has and --linger-ms is 0;
 * last_event and last_visitor tell how.  REQUESTED: *visitor has the request, which is the caller's.
 */
enum attendance_change attendance_step(struct attendance *attendance, struct shmring_visitor *visitor);

/* Now and then: looks after stalled readers.  True when nobody has come back within --linger-ms. */
bool attendance_tick(struct attendance *attendance);

#endif
