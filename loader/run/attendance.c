/* attendance.c - what the worker does about its readers, and what it says about them. */
#include "loader/run/attendance.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "loader/run/stats.h"

static void greet(struct attendance *attendance, const struct shmring_visitor *visitor)
{
	log_write(LOG_DEBUG, "reader %u joined: process %d, %u of %u", visitor->reader, visitor->pid,
	          shmring_reader_count(attendance->producer), attendance->options->readers);
	attendance->alone_since_ns = 0;
	attendance->warned_mask &= ~(1u << visitor->reader);
}

static void say_goodbye(struct attendance *attendance, enum shmring_event event, const struct shmring_visitor *visitor)
{
	shmring_counter_add(attendance->producer, STATS_REDELIVERED, visitor->batch_count);
	if (event == SHMRING_LEFT)
		log_write(LOG_DEBUG, "reader %u (process %d) left", visitor->reader, visitor->pid);
	else if (visitor->batch_count > 0)
		log_write(LOG_WARNING, "reader %u (process %d) died: %u batch%s it had not given back %s offered again",
		          visitor->reader, visitor->pid, visitor->batch_count, visitor->batch_count == 1 ? "" : "es",
		          visitor->batch_count == 1 ? "is" : "are");
	else
		log_write(LOG_INFO, "reader %u (process %d) died", visitor->reader, visitor->pid);
}

enum attendance_change attendance_step(struct attendance *attendance, struct shmring_visitor *visitor)
{
	enum shmring_event event = shmring_door_step(attendance->producer, visitor);
	bool first = !attendance->anyone_came;

	if (event == SHMRING_NOTHING || (event == SHMRING_DIED && visitor->had_left))
		return ATTENDANCE_SAME;
	if (event == SHMRING_REQUESTED)
		return ATTENDANCE_REQUESTED;
	shmring_counter_set(attendance->producer, STATS_READERS, shmring_reader_count(attendance->producer));
	if (event == SHMRING_JOINED) {
		greet(attendance, visitor);
		attendance->anyone_came = true;
		return first ? ATTENDANCE_FIRST_CAME : ATTENDANCE_SAME;
	}
	attendance->last_event = event;
	attendance->last_visitor = *visitor;
	if (visitor->is_owner)
		return ATTENDANCE_OVER;
	if (shmring_reader_count(attendance->producer) == 0 && attendance->options->linger_ms == 0) {
		shmring_counter_add(attendance->producer, STATS_REDELIVERED, visitor->batch_count);
		return ATTENDANCE_OVER;
	}
	say_goodbye(attendance, event, visitor);
	if (shmring_reader_count(attendance->producer) == 0)
		attendance->alone_since_ns = clock_now_ns();
	return ATTENDANCE_SAME;
}

static void deal_with_stalled(struct attendance *attendance, const struct shmring_visitor *visitor)
{
	double seconds = attendance->options->stalled_after_ms / 1e3;
	int rc;

	if (visitor->is_absent) {
		log_write(LOG_WARNING,
		          "no reader has number %u: for over %.1f s its batches have filled the ring, and the others wait",
		          visitor->reader, seconds);
		return;
	}
	if (attendance->options->stalled_reader == STALLED_WAIT) {
		log_write(LOG_WARNING, "reader %u (process %d) has not read on for over %.1f s, and the others wait for it%s",
		          visitor->reader, visitor->pid, seconds,
		          attendance->options->share == SHMRING_BROADCAST ? " (--stalled-reader expel ends such a process)" : "");
		return;
	}
	rc = shmring_expel(attendance->producer, visitor->reader);
	if (rc == 0)
		log_write(LOG_WARNING,
		          "reader %u (process %d) did not read on for over %.1f s: it is killed, as --stalled-reader expel asks",
		          visitor->reader, visitor->pid, seconds);
	else
		log_write(LOG_WARNING, "reader %u (process %d) has not read on for over %.1f s, but cannot be expelled: %s",
		          visitor->reader, visitor->pid, seconds, rc == -EPERM ? "it started this worker" : strerror(-rc));
}

bool attendance_tick(struct attendance *attendance)
{
	struct shmring_visitor visitor;
	uint32_t stalled_mask = 0, reader = 0;

	while (shmring_stalled(attendance->producer, attendance->options->stalled_after_ms, &reader, &visitor)) {
		stalled_mask |= 1u << visitor.reader;
		if ((attendance->warned_mask >> visitor.reader & 1) == 0)
			deal_with_stalled(attendance, &visitor);
	}
	attendance->warned_mask = stalled_mask; /* whoever moved on may be named again */
	return attendance->alone_since_ns > 0 &&
	       clock_now_ns() - attendance->alone_since_ns >= (uint64_t)attendance->options->linger_ms * 1000000u;
}
