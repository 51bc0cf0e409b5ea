/*
 * schedule.c - part of stage 1 of 5: (epoch, batch, row) in, the position of the epoch out.  Pure functions, any thread; a cursor
 * belongs to one thread.
 */
#include "loader/plan/schedule.h"

#include <assert.h>

/* The position at which the epoch begins. */
static uint64_t epoch_start(const struct schedule *schedule, uint32_t epoch)
{
	uint64_t start = epoch == schedule->first_epoch ? schedule->start_sample : 0;

	assert(start <= schedule->sample_count);
	return start;
}

/* What all ranks together take in one step; below 2^64 because both factors are below 2^32. */
static uint64_t step_samples(const struct schedule *schedule)
{
	assert(schedule->batch_size >= 1 && schedule->rank < schedule->world_size);
	return (uint64_t)schedule->batch_size * schedule->world_size;
}

/* The position of row 0 of rank 0.  No overflow: a batch that exists begins before the epoch ends. */
static uint64_t step_start(const struct schedule *schedule, uint32_t epoch, uint64_t batch)
{
	assert(batch < schedule_batches(schedule, epoch));
	return epoch_start(schedule, epoch) + batch * step_samples(schedule);
}

uint64_t schedule_batches(const struct schedule *schedule, uint32_t epoch)
{
	uint64_t left = schedule->sample_count - epoch_start(schedule, epoch);
	uint64_t step = step_samples(schedule);
	bool short_step = left % step != 0 && schedule->tail != TAIL_DROP;

	return left / step + short_step;
}

uint32_t schedule_rows(const struct schedule *schedule, uint32_t epoch, uint64_t batch)
{
	uint64_t left = schedule->sample_count - step_start(schedule, epoch, batch);

	if (schedule->tail != TAIL_PARTIAL || left >= step_samples(schedule))
		return schedule->batch_size;
	if (left <= schedule->rank)
		return 0;
	return (uint32_t)((left - schedule->rank - 1) / schedule->world_size + 1);
}

uint64_t schedule_position(const struct schedule *schedule, uint32_t epoch, uint64_t batch, uint32_t row, bool *padding)
{
	uint64_t start = step_start(schedule, epoch, batch);
	uint64_t left = schedule->sample_count - start;
	uint64_t offset = (uint64_t)row * schedule->world_size + schedule->rank;

	assert(row < schedule->batch_size);
	*padding = offset >= left;
	/* A data set smaller than one step is gone through several times. */
	return *padding ? (offset - left) % schedule->sample_count : start + offset;
}

void schedule_begin(const struct schedule *schedule, struct schedule_cursor *cursor)
{
	*cursor = (struct schedule_cursor){.epoch = schedule->first_epoch, .batch = 0};
}

bool schedule_next(const struct schedule *schedule, struct schedule_cursor *cursor, struct schedule_cursor *now)
{
	/* Only the first epoch can differ from the others. */
	bool all_epochs_empty = schedule_batches(schedule, schedule->first_epoch) == 0 &&
	                        schedule_batches(schedule, schedule->first_epoch + 1) == 0;

	if (all_epochs_empty)
		return false;

	/* By difference, because the last epoch may be numbered beyond 2^32. */
	while (schedule->epochs == 0 || cursor->epoch - schedule->first_epoch < schedule->epochs) {
		if (cursor->batch < schedule_batches(schedule, cursor->epoch)) {
			*now = *cursor;
			cursor->batch++;
			return true;
		}
		cursor->epoch++;
		cursor->batch = 0;
	}
	return false;
}
