/* planner.h - what both planners do: planner.c for the batches of a schedule, planner_requests.c for those that a reader asks for. */
#ifndef CROPRING_PLANNER_H
#define CROPRING_PLANNER_H

#include "loader/run/pipeline_internal.h"

/* Waits for a free slot.  False: there will be none. */
bool planner_claim(struct pipeline *pipeline, struct shmring_slot *slot);

/* What the slot holds from now on; NULL: no rows, and so it is committed already. */
struct batch *planner_begin(struct pipeline *pipeline, const struct shmring_slot *slot, uint32_t epoch, uint32_t row_count);

/* The row is planned: to be fetched, or, when it is known already why it fails, past that.  Whoever has sent all wakes the fetcher. */
void planner_send(struct pipeline *pipeline, struct item *item);

/* The batch in the slot is planned, which began then. */
void planner_trace(struct pipeline *pipeline, const struct shmring_slot *slot, uint32_t epoch, uint64_t begin_ns);

/* Brings the counter of the calling thread's CPU time up to date. */
void planner_count_cpu(struct pipeline *pipeline);

#endif
