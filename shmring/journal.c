/*
 * journal.c - what a producer leaves for people to read, also after its death: counters, notes, its last lines.
 *
 * Nothing here decides anything.  Any thread.
 */
#include <string.h>

#include "shmring/producer.h"
#include "shmring/times.h"

void shmring_counter_add(struct shmring_producer *producer, uint32_t counter, uint64_t amount)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: counters are for people; no memory hangs on them */
	atomic_fetch_add_explicit(&producer->map.counters->value[counter], amount, memory_order_relaxed);
}

void shmring_counter_set(struct shmring_producer *producer, uint32_t counter, uint64_t value)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: as above */
	atomic_store_explicit(&producer->map.counters->value[counter], value, memory_order_relaxed);
}

uint64_t shmring_counter_value(const struct shmring_producer *producer, uint32_t counter)
{
	assert(counter < SHMRING_MAX_COUNTERS);
	/* relaxed: as above */
	return atomic_load_explicit(&producer->map.counters->value[counter], memory_order_relaxed);
}

struct shmring_times shmring_slot_times(const struct shmring_producer *producer, uint32_t index)
{
	return times_of_slot(&producer->map.slot[index]);
}

struct shmring_reader_times shmring_reader_times(const struct shmring_producer *producer)
{
	struct shmring_reader_times sum = {0};

	for (uint32_t i = 0; i < LAYOUT_MAX_READERS; i++) {
		struct shmring_reader_times times = times_of_reader(&producer->map.bells->reader[i]);

		sum.present_ns += times.present_ns;
		sum.wait_ns += times.wait_ns;
		sum.start_wait_ns += times.start_wait_ns;
	}
	return sum;
}

void shmring_log(struct shmring_producer *producer, const char *line)
{
	struct layout_log *log = producer->map.log;
	size_t line_bytes = strlen(line);
	uint64_t written;

	pthread_mutex_lock(&producer->publish_lock);
	/* relaxed: only this process writes it, under this lock */
	written = atomic_load_explicit(&log->written_bytes, memory_order_relaxed);
	for (size_t i = 0; i <= line_bytes; i++)
		log->text[(written + i) % LAYOUT_LOG_TEXT_BYTES] = i < line_bytes ? line[i] : '\n';
	/* [LOG] release: the line is in memory before its length.  Pairs with the acquire load in shmring_last_lines(). */
	atomic_store_explicit(&log->written_bytes, written + line_bytes + 1, memory_order_release);
	pthread_mutex_unlock(&producer->publish_lock);
}

void shmring_note(struct shmring_producer *producer, uint32_t index, uint64_t value)
{
	assert(index < SHMRING_MAX_NOTES);
	/* relaxed: as above.  A note outlives us because the segment does, not because of its order */
	atomic_store_explicit(&producer->map.notes->value[index], value, memory_order_relaxed);
}

uint64_t shmring_noted(const struct shmring_producer *producer, uint32_t index)
{
	assert(index < SHMRING_MAX_NOTES);
	/* relaxed: as above */
	return atomic_load_explicit(&producer->map.notes->value[index], memory_order_relaxed);
}
