/* reading.c - the ring's counters and readers in, what a verdict needs of them out. */
#include "loader/run/reading.h"

#include "loader/run/stats.h"

_Static_assert((int)VERDICT_MAX_READERS >= (int)SHMRING_MAX_READERS, "every reader has a place");

/* Those who ever were there; in lanes also the numbers that nobody has, for which batches are made all the same. */
static bool belongs(const struct shmring_snapshot *snapshot, const struct shmring_reader_look *reader)
{
	return reader->times.present_ns > 0 || snapshot->share == SHMRING_LANES;
}

void reading_take(const struct shmring_producer *producer, struct verdict_reading *reading)
{
	struct shmring_snapshot snapshot;

	shmring_look_at_own(producer, &snapshot);
	*reading = (struct verdict_reading){.is_shared = snapshot.share != SHMRING_SPLIT,
	                                    .has_lanes = snapshot.share == SHMRING_LANES,
	                                    .slot_count = snapshot.slot_count};
	for (uint32_t i = 0; i < STATS_COUNTER_COUNT; i++)
		verdict_set_counter(reading, stats_counter_names()[i], snapshot.counter[i]);
	for (uint32_t number = 0; number < snapshot.reader_limit; number++) {
		const struct shmring_reader_look *reader = &snapshot.reader[number];

		if (belongs(&snapshot, reader))
			reading->reader[reading->reader_count++] =
				(struct verdict_reader){.number = number,
			                                .pid = reader->pid,
			                                .present_ns = reader->times.present_ns,
			                                .wait_ns = reader->times.wait_ns,
			                                .start_wait_ns = reader->times.start_wait_ns};
	}
}
