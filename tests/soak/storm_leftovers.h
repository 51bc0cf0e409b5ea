/* storm_leftovers.h - what a ring might leave behind in the machine. */
#ifndef STORM_LEFTOVERS_H
#define STORM_LEFTOVERS_H

#include <stdint.h>

/* Gives this process and its children a /dev/shm of their own, if that is allowed: nobody else's entries are counted then. */
void leftovers_isolate(void);

/* Entries that cropring makes in /dev/shm. */
uint32_t leftovers_shm_entries(void);

/* Sockets in the abstract namespace that belong to ring `name`. */
uint32_t leftovers_sockets(const char *name);

/* Shmem of /proc/meminfo. */
uint64_t leftovers_shmem_kb(void);

#endif
