/* crew.h - several threads that do the same until there is no more of it. */
#ifndef CROPRING_CREW_H
#define CROPRING_CREW_H

#include <stdint.h>

/* `wanted` threads, 0: one for each CPU, up to 8; never more than there are `pieces` of work, and at least 1. */
uint32_t crew_size(uint32_t wanted, uint64_t pieces);

/*
 * Calls work(context, number) for each number below `size` at once, 0 in this thread, and returns when all have returned.  A thread that
 * cannot be started is done without: each is to take its next piece from what is left.  -ENOMEM: nothing was done.
 */
int crew_run(uint32_t size, void (*work)(void *context, uint32_t number), void *context);

#endif
