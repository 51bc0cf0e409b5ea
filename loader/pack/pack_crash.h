/*
 * pack_crash.h - part of `cropring pack`: when a codec crashes on a file, the last words of the process say on which.
 *
 * Without them nobody would know what to take away before going on with --resume.
 */
#ifndef CROPRING_PACK_CRASH_H
#define CROPRING_PACK_CRASH_H

/*
 * From now on SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE and SIGABRT name the file that the thread works on, then end the process as they always
 * do.  Under a sanitizer, which has a report of its own to give, nothing changes.
 */
void pack_crash_catch_signals(void);

/* The calling thread works on this file now, whose name stays until the next call; NULL: on none. */
void pack_crash_note(const char *name);

#endif
