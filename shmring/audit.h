/* audit.h - does shared memory still say what it can say?  The producer's words against its own memory of them. */
#ifndef SHMRING_AUDIT_H
#define SHMRING_AUDIT_H

#include "shmring/producer.h"

/*
 * Looks at every word; a free slot, if there is one, in *free_index, else SLOT_NONE.  -EPROTO when one is impossible: then the ring is
 * poisoned.  Under the lock.
 */
int audit_words(struct shmring_producer *producer, uint32_t *free_index);

#endif
