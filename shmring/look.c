/*
 * look.c - slot words and readers' places in, what they mean for people out.
 *
 * Everybody else goes on meanwhile: a slot is seen as it was at one moment, and the next slot at a later one.
 */
#include "shmring/look.h"

#include "shmring/producer.h"
#include "shmring/slot.h"
#include "shmring/times.h"

static enum shmring_slot_state state_of(uint64_t word)
{
	switch (slot_state(word)) {
	case LAYOUT_FILLING:
		return SHMRING_SLOT_FILLING;
	case LAYOUT_READY:
		return SHMRING_SLOT_READY;
	case LAYOUT_HELD:
		return SHMRING_SLOT_HELD;
	case LAYOUT_FREE:
	case LAYOUT_POISON:
		break;
	}
	return SHMRING_SLOT_FREE;
}

/* Broadcast: in the words, whoever has a batch looks like those for whom it is ready; what they hold they say in their places. */
static uint32_t find_holders(const struct layout_map *map, uint32_t index, uint32_t mask)
{
	uint32_t holders = 0;

	for (uint32_t number = 0; number < LAYOUT_MAX_READERS; number++)
		holders |= (uint32_t)(times_get(&map->bells->reader[number].held_slots) >> index & 1) << number;
	return holders & mask;
}

static void count_for_readers(struct shmring_snapshot *snapshot, enum shmring_slot_state state, uint32_t mask)
{
	bool for_anyone = state == SHMRING_SLOT_READY && snapshot->share == SHMRING_SPLIT;

	for (uint32_t number = 0; number < snapshot->reader_limit; number++) {
		if (!for_anyone && (mask >> number & 1) == 0)
			continue;
		if (state == SHMRING_SLOT_HELD)
			snapshot->reader[number].held++;
		else if (state == SHMRING_SLOT_READY)
			snapshot->reader[number].ready++;
	}
}

static void look_at_slot(const struct layout_map *map, uint32_t index, struct shmring_snapshot *snapshot)
{
	struct layout_slot *slot = &map->slot[index];
	/* relaxed: for people; at worst the epoch is that of the batch before, at the moment when one epoch follows another */
	uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
	enum shmring_slot_state state = state_of(word);
	uint32_t mask = slot_mask(word), holders = 0;

	if (snapshot->share == SHMRING_BROADCAST && state == SHMRING_SLOT_READY)
		holders = find_holders(map, index, mask);
	count_for_readers(snapshot, state, mask & ~holders);
	if (holders != 0) {
		count_for_readers(snapshot, SHMRING_SLOT_HELD, holders);
		state = SHMRING_SLOT_HELD;
		mask = holders;
	}
	snapshot->slot[index] = (struct shmring_slot_look){.state = state, .sequence = slot_sequence(word), .reader_mask = mask};
	if (state == SHMRING_SLOT_READY || state == SHMRING_SLOT_HELD)
		/* relaxed: for people */
		snapshot->slot[index].epoch = atomic_load_explicit(&slot->epoch, memory_order_relaxed);
}

static void look_at_reader(const struct layout_map *map, uint32_t number, struct shmring_reader_look *look)
{
	struct layout_reader *reader = &map->bells->reader[number];

	look->is_there = times_get(&reader->joined_ns) != 0;
	look->taken = times_get(&reader->taken);
	look->times = times_of_reader(reader);
	/* relaxed: for people */
	look->waiting = look->is_there && atomic_load_explicit(&reader->waiting, memory_order_relaxed) != 0;
	if (look->is_there || look->held > 0)
		look->pid = atomic_load_explicit(&reader->pid, memory_order_relaxed); /* relaxed: for people */
}

void look(const struct layout_map *map, const struct layout_header *header, struct shmring_snapshot *snapshot)
{
	*snapshot = (struct shmring_snapshot){.time_ns = clock_now_ns(),
	                                      .slot_count = header->slot_count,
	                                      .reader_limit = header->reader_limit,
	                                      .share = (enum shmring_share)header->share};
	/* relaxed: for people, who read no text on the strength of it */
	snapshot->ended = atomic_load_explicit(&map->bells->end, memory_order_relaxed) != SHMRING_RUNNING;
	for (uint32_t i = 0; i < snapshot->slot_count; i++)
		look_at_slot(map, i, snapshot);
	for (uint32_t number = 0; number < snapshot->reader_limit; number++)
		look_at_reader(map, number, &snapshot->reader[number]);
	for (uint32_t i = 0; i < header->counter_count; i++)
		snapshot->counter[i] = times_get(&map->counters->value[i]);
}

void shmring_look_at_own(const struct shmring_producer *producer, struct shmring_snapshot *snapshot)
{
	/* What it needs of the header cannot be taken from shared memory, which readers can write. */
	const struct layout_header own = {.slot_count = producer->slot_count,
	                                  .reader_limit = producer->reader_limit,
	                                  .share = producer->share,
	                                  .counter_count = producer->counter_count};

	look(&producer->map, &own, snapshot);
}
