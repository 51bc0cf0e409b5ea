/* times.c - a slot's and a reader's place's times: begun, ended, read. */
#include "shmring/times.h"

#include "shmring/slot.h"

struct shmring_times times_of_slot(const struct layout_slot *slot)
{
	/* relaxed: as all in here */
	uint64_t word = atomic_load_explicit(&((struct layout_slot *)slot)->word, memory_order_relaxed);
	uint32_t epoch = atomic_load_explicit(&((struct layout_slot *)slot)->epoch, memory_order_relaxed);
	uint32_t reader = atomic_load_explicit(&((struct layout_slot *)slot)->reader, memory_order_relaxed);

	return (struct shmring_times){.sequence = slot_sequence(word),
	                              .epoch = epoch,
	                              .reader = reader,
	                              .claimed_ns = times_get(&slot->claimed_ns),
	                              .ready_ns = times_get(&slot->ready_ns),
	                              .acquired_ns = times_get(&slot->acquired_ns),
	                              .waited_ns = times_get(&slot->waited_ns),
	                              .released_ns = times_get(&slot->released_ns)};
}

void times_begin_batch(struct layout_slot *slot)
{
	times_set(&slot->claimed_ns, clock_now_ns());
	times_set(&slot->ready_ns, 0);
	times_set(&slot->acquired_ns, 0);
	times_set(&slot->waited_ns, 0);
	times_set(&slot->released_ns, 0);
}

void times_reader_came(struct layout_reader *reader)
{
	times_set(&reader->held_slots, 0);
	/* relaxed: as all in here */
	atomic_store_explicit(&reader->waiting, 0, memory_order_relaxed);
	times_set(&reader->joined_ns, clock_now_ns());
}

void times_reader_went(struct layout_reader *reader)
{
	uint64_t joined_ns = times_get(&reader->joined_ns);

	if (joined_ns > 0)
		times_add(&reader->present_ns, clock_now_ns() - joined_ns);
	times_set(&reader->joined_ns, 0);
	/* relaxed: as all in here */
	atomic_store_explicit(&reader->waiting, 0, memory_order_relaxed);
}

struct shmring_reader_times times_of_reader(const struct layout_reader *reader)
{
	uint64_t joined_ns = times_get(&reader->joined_ns), now_ns = clock_now_ns();
	uint64_t here_ns = joined_ns > 0 && joined_ns < now_ns ? now_ns - joined_ns : 0;

	return (struct shmring_reader_times){.present_ns = times_get(&reader->present_ns) + here_ns,
	                                     .wait_ns = times_get(&reader->wait_ns),
	                                     .start_wait_ns = times_get(&reader->start_wait_ns)};
}
