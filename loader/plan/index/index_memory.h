/* index_memory.h - part of stage 1 of 5: the memory of an index, which nobody can change once it is sealed.  One thread. */
#ifndef CROPRING_INDEX_MEMORY_H
#define CROPRING_INDEX_MEMORY_H

#include <stddef.h>

/* Zeroed memory, mapped for writing; *fd is its memfd.  Reserved at once: short memory is an error here and not a SIGBUS later. */
int index_memory_open(size_t byte_count, int *fd, void **memory);

/* Empty memory that is written to and never mapped for it: the descriptor, or a negative errno. */
int index_memory_create(void);

/* Takes the mapping away, if there is one (else NULL), and seals the memfd against every change.  After an error it is closed and *fd is -1. */
int index_memory_seal(size_t byte_count, int *fd, void *memory);

/* Takes both away, the mapping if there is one. */
void index_memory_drop(size_t byte_count, int *fd, void *memory);

#endif
