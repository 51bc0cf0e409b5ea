/*
 * schedule.h - how an epoch's positions are cut into batches, and which of them belong to this rank.
 *
 * Step s of W ranks with batch size B covers the global positions start + [s*W*B, (s+1)*W*B); row i of rank r is position
 * start + s*W*B + i*W + r.  So ranks are disjoint, the global order does not depend on W, and every rank has the same number
 * of batches.  `start` is --start-sample in the first epoch and 0 afterwards; a run that is resumed at an epoch's very end starts with
 * an epoch of no batches.
 */
#ifndef CROPRING_SCHEDULE_H
#define CROPRING_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* In the order of --tail: leave out the incomplete last step; fill it from the epoch's start; hand it out short. */
enum schedule_tail { TAIL_DROP, TAIL_PAD, TAIL_PARTIAL };

struct schedule {
	uint64_t sample_count; /* positions of an epoch, at least 1 */
	uint32_t batch_size, rank, world_size;
	enum schedule_tail tail;
	uint32_t first_epoch;
	uint32_t epochs;       /* 0: without end */
	uint64_t start_sample; /* samples of first_epoch that were consumed before, by all ranks together; at most sample_count */
};

/* Batches of `epoch` for each rank; may be 0. */
uint64_t schedule_batches(const struct schedule *schedule, uint32_t epoch);

/* Rows of this rank in batch `batch` of `epoch`: batch_size, or less (even 0) in the last batch under TAIL_PARTIAL. */
uint32_t schedule_rows(const struct schedule *schedule, uint32_t epoch, uint64_t batch);

/* The epoch's position at `row`; *padding tells that it wrapped around (TAIL_PAD). */
uint64_t schedule_position(const struct schedule *schedule, uint32_t epoch, uint64_t batch, uint32_t row, bool *padding);

/* Walks the batches of all epochs in the order in which they are handed out. */
struct schedule_cursor {
	uint32_t epoch;
	uint64_t batch; /* within the epoch */
};

void schedule_begin(const struct schedule *schedule, struct schedule_cursor *cursor);

/*
 * True and the next batch in *now, or false at the end.  Epochs without a batch are skipped; when no epoch has one, even an endless
 * schedule is at its end.
 */
bool schedule_next(const struct schedule *schedule, struct schedule_cursor *cursor, struct schedule_cursor *now);

#endif
