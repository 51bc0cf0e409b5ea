/*
 * crash.h - which sample each thread works on, for whoever asks after the worker's death.
 *
 * Each decode thread keeps one note in the ring (shmring_note(), its number as index): the sample + 1, 0 for none.  Behind theirs is
 * that of the fetch thread, which looks at what is mapped of a pack.  When a thread dies of a signal of its own making, it marks its
 * note before the process goes, so that one sample is to blame and not all that were in work.  Read by bindings/cropring/supervisor.py.
 */
#ifndef CROPRING_CRASH_H
#define CROPRING_CRASH_H

#include <stdint.h>

#include "shmring/shmring.h"

#define CRASH_CULPRIT (UINT64_C(1) << 63) /* this thread's fault it was */

/*
 * From now on SIGSEGV, SIGBUS, SIGILL, SIGTRAP (a compiler's trap on arm64), SIGFPE, SIGABRT and SIGSYS mark the note of the thread
 * that caused them, then end the process as they always do.  Under a sanitizer, which has a report of its own to give, nothing changes.
 */
void crash_catch_signals(void);

/*
 * The calling thread keeps note `index` from now on, if there are so many, and has a stack for its last moments.  `producer` outlives
 * crash_leave().
 */
void crash_enter(struct shmring_producer *producer, uint32_t index);
void crash_leave(void);

/* The calling thread, which has entered, works on `sample` now, or on none. */
void crash_note_sample(uint64_t sample);
void crash_note_none(void);

#endif
