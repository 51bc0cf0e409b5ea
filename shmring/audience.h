/*
 * audience.h - which batches are whose: what joining, leaving and dying readers mean for the slot words.
 *
 * A reader is its number in the ring, 0 to 23.  Called by the door; each call takes the producer's lock.
 */
#ifndef SHMRING_AUDIENCE_H
#define SHMRING_AUDIENCE_H

#include "shmring/producer.h"
#include "shmring/wire.h"

/*
 * Reader `number` is there from now on, and may keep `hold` batches while it asks for another.  Broadcast: it gets the batches that nobody
 * has seen, and all that are published from here.
 */
void audience_join(struct shmring_producer *producer, uint32_t number, int32_t pid, uint32_t hold);

/* It wants no more.  What `goodbye` says it still holds stays its own until it gives it back or audience_forget(). */
void audience_leave(struct shmring_producer *producer, uint32_t number, const struct wire_hello *goodbye);

/* Whether it still has a slot. */
bool audience_holds(struct shmring_producer *producer, uint32_t number);

/*
 * Only once its process has ended, or it holds nothing.  A batch that it held is offered again, or, when it had left before, counts as
 * read.  Its number may be given to another after this.  Returns how many batches are offered again.
 */
uint32_t audience_forget(struct shmring_producer *producer, uint32_t number, bool had_left);

/*
 * Broadcast and lanes: readers, and lanes that nobody reads, for whom the lowest batch has waited since limit_ms while no slot was free
 * and others had nothing left; a mask.
 */
uint32_t audience_stalled(const struct shmring_producer *producer, uint32_t limit_ms);

#endif
