/*
 * audience.c - readers come, go and die; here their bits in the slot words follow.
 *
 * A dead reader's bit is cleared, or its HELD word taken back, by compare-and-swap: however often that is done, it is done once.  That
 * is why the words have masks and no counts.  The other writers of a word meanwhile are living readers that claim it or give it back.
 */
#include "shmring/audience.h"

#include "base/clock.h"
#include "shmring/bell.h"
#include "shmring/slot.h"
#include "shmring/times.h"

static pthread_mutex_t *lock_of(const struct shmring_producer *producer)
{
	return (pthread_mutex_t *)&producer->publish_lock; /* const speaks of the ring, not of its lock */
}

static uint64_t look(const struct shmring_producer *producer, uint32_t index)
{
	/* relaxed: a CAS follows, or only a number is wanted */
	return atomic_load_explicit(&producer->map.slot[index].word, memory_order_relaxed);
}

/* [OFFER] release: what `redelivered` says is in memory before a reader claims the batch again; acquire: the readers' last loads
 * from it happen before it is overwritten.  Pairs with the acquire load in slot_find_lowest() and the release CAS in
 * shmring_release(). */
static bool change(struct shmring_producer *producer, uint32_t index, uint64_t *from, uint64_t to)
{
	return atomic_compare_exchange_strong_explicit(&producer->map.slot[index].word, from, to, memory_order_acq_rel,
	                                               memory_order_relaxed);
}

/* Broadcast: a batch that nobody was there to see, or whose readers all died before the end of it. */
static bool is_orphan(uint64_t word)
{
	return slot_state(word) == LAYOUT_READY && slot_mask(word) == 0;
}

/* Broadcast: orphans are for these readers from now on.  `late`: for them they come after their successors, and are flagged. */
static void offer_orphans(struct shmring_producer *producer, uint32_t mask, bool late)
{
	for (uint32_t i = 0; i < producer->slot_count && mask != 0; i++) {
		uint64_t word = look(producer, i);

		if (is_orphan(word) && !producer->shadow[i].filling) {
			producer->shadow[i].offered_mask = mask;
			producer->shadow[i].offered_ns = clock_now_ns();
			/* nobody looks: the mask is empty */
			producer->map.slot[i].redelivered = late || producer->shadow[i].bereaved;
			(void)change(producer, i, &word,
			             slot_word(slot_sequence(word), mask, LAYOUT_READY)); /* else: the audit's business */
		}
	}
}

void audience_join(struct shmring_producer *producer, uint32_t number, int32_t pid, uint32_t hold)
{
	uint32_t bit = 1u << number, woken_mask = 0;

	pthread_mutex_lock(&producer->publish_lock);
	/* relaxed: for messages */
	atomic_store_explicit(&producer->map.bells->reader[number].pid, pid, memory_order_relaxed);
	times_reader_came(&producer->map.bells->reader[number]);
	producer->present_mask |= bit;
	producer->known_mask |= bit;
	producer->hold[number] = hold;
	if (producer->share == SHMRING_BROADCAST) {
		offer_orphans(producer, bit, false);
		if ((uint32_t)__builtin_popcount(producer->present_mask) >= producer->reader_limit) {
			producer->audience_met = true;
			woken_mask = producer_publish_due(producer);
		}
	}
	pthread_mutex_unlock(&producer->publish_lock);
	producer_ring_readers(producer, woken_mask);
}

/* Broadcast: the reader will not read this batch any more.  True when that leaves it to be offered again. */
static bool clear_bit(struct shmring_producer *producer, uint32_t index, uint32_t bit, bool has_read)
{
	uint64_t word = look(producer, index), changed;
	bool orphaned = false;

	do {
		uint64_t seen = has_read ? SLOT_SEEN : word & SLOT_SEEN;

		if (slot_state(word) != LAYOUT_READY || (slot_mask(word) & bit) == 0)
			return false;
		orphaned = slot_mask(word) == bit && seen == 0;
		if (slot_mask(word) == bit && seen != 0) {
			changed = slot_word(slot_sequence(word), 0, LAYOUT_FREE);
			times_set(&producer->map.slot[index].released_ns, clock_now_ns());
		} else {
			changed = slot_word(slot_sequence(word), slot_mask(word) & ~bit, LAYOUT_READY) | seen;
		}
	} while (!change(producer, index, &word, changed));
	producer->shadow[index].offered_mask &= ~bit; /* as long as nobody has read it, the audit expects exactly these */
	return orphaned;
}

void audience_leave(struct shmring_producer *producer, uint32_t number, const struct wire_hello *goodbye)
{
	uint32_t bit = 1u << number;

	pthread_mutex_lock(&producer->publish_lock);
	producer->present_mask &= ~bit;
	times_reader_went(&producer->map.bells->reader[number]);
	for (uint32_t i = 0; i < producer->slot_count && producer->share == SHMRING_BROADCAST; i++) {
		bool held = (goodbye->held_slots >> i & 1) != 0 && goodbye->held_sequence[i] == producer->shadow[i].sequence;

		if (!held)
			(void)clear_bit(producer, i, bit, false);
	}
	/* Else an orphan would wait for somebody to join, and hold its slot all the while (found by model checking). */
	if (producer->share == SHMRING_BROADCAST)
		offer_orphans(producer, producer->present_mask, true);
	pthread_mutex_unlock(&producer->publish_lock);
	bell_ring(&producer->map.bells->producer_bell);
	producer_ring_readers(producer, UINT32_MAX);
}

bool audience_holds(struct shmring_producer *producer, uint32_t number)
{
	bool holds = false;

	pthread_mutex_lock(&producer->publish_lock);
	for (uint32_t i = 0; i < producer->slot_count && !holds; i++) {
		uint64_t word = look(producer, i);
		bool has_holders = slot_state(word) == LAYOUT_HELD ||
		                   (slot_state(word) == LAYOUT_READY && producer->share == SHMRING_BROADCAST);

		holds = has_holders && (slot_mask(word) >> number & 1) != 0;
	}
	pthread_mutex_unlock(&producer->publish_lock);
	return holds;
}

/* Split and lanes: true when the batch is offered again. */
static bool take_back(struct shmring_producer *producer, uint32_t index, uint32_t bit, bool has_read)
{
	uint64_t word = look(producer, index), changed;

	if (slot_state(word) != LAYOUT_HELD || slot_mask(word) != bit)
		return false;
	if (has_read) {
		changed = slot_word(slot_sequence(word), 0, LAYOUT_FREE);
		times_set(&producer->map.slot[index].released_ns, clock_now_ns());
	} else {
		changed = slot_word(slot_sequence(word), producer->shadow[index].offered_mask, LAYOUT_READY);
		producer->map.slot[index].redelivered = 1;
	}
	return change(producer, index, &word, changed) && !has_read;
}

/* Broadcast.  `redelivered` waits in the shadow until the last reader's bit is gone: others may be looking at it. */
static bool bereave(struct shmring_producer *producer, uint32_t index, uint32_t bit, bool has_read)
{
	uint64_t word = look(producer, index);

	if (slot_state(word) == LAYOUT_READY && (slot_mask(word) & bit) != 0)
		producer->shadow[index].bereaved = true;
	return clear_bit(producer, index, bit, has_read);
}

uint32_t audience_forget(struct shmring_producer *producer, uint32_t number, bool had_left)
{
	uint32_t bit = 1u << number, offered_again = 0;

	pthread_mutex_lock(&producer->publish_lock);
	producer->present_mask &= ~bit;
	times_reader_went(&producer->map.bells->reader[number]);
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		if (producer->share == SHMRING_BROADCAST)
			offered_again += bereave(producer, i, bit, had_left);
		else
			offered_again += take_back(producer, i, bit, had_left);
	}
	if (producer->share == SHMRING_BROADCAST)
		offer_orphans(producer, producer->present_mask, true);
	producer->known_mask &= ~bit;
	pthread_mutex_unlock(&producer->publish_lock);
	bell_ring(&producer->map.bells->producer_bell);
	producer_ring_readers(producer, UINT32_MAX);
	return offered_again;
}

/* ------------------------------------------------------------------ looking */

/* Whether a present reader, or one that is still to come, is owed the batch. */
static bool is_untaken(const struct shmring_producer *producer, uint64_t word)
{
	if (slot_state(word) != LAYOUT_READY)
		return false;
	return producer->share != SHMRING_BROADCAST || slot_mask(word) == 0 || (slot_mask(word) & producer->present_mask) != 0;
}

uint32_t shmring_untaken(const struct shmring_producer *producer, uint32_t sequences[SHMRING_MAX_SLOTS])
{
	uint32_t count = 0;

	pthread_mutex_lock(lock_of(producer));
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		uint64_t word = look(producer, i);
		uint32_t place = count;

		if (!is_untaken(producer, word))
			continue;
		for (; sequences && place > 0 && slot_sequence_before(slot_sequence(word), sequences[place - 1]); place--)
			sequences[place] = sequences[place - 1];
		if (sequences)
			sequences[place] = slot_sequence(word);
		count++;
	}
	pthread_mutex_unlock(lock_of(producer));
	return count;
}

uint32_t shmring_held(const struct shmring_producer *producer)
{
	uint32_t count = 0;

	pthread_mutex_lock(lock_of(producer));
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		uint64_t word = look(producer, i);

		count += slot_state(word) == LAYOUT_HELD && (slot_mask(word) & producer->present_mask) != 0;
	}
	pthread_mutex_unlock(lock_of(producer));
	return count;
}

/*
 * Broadcast and lanes: readers, or lanes without one, for whom more batches lie in the ring than they may keep while they ask for
 * another.  When no slot is free, there are such.
 */
static uint32_t find_laggards(const struct shmring_producer *producer)
{
	uint32_t count[LAYOUT_MAX_READERS] = {0}, laggards = 0;

	for (uint32_t i = 0; i < producer->slot_count; i++) {
		uint64_t word = look(producer, i);
		bool counts = slot_state(word) == LAYOUT_READY || slot_state(word) == LAYOUT_HELD;

		for (uint32_t number = 0; number < producer->reader_limit && counts; number++)
			count[number] += slot_mask(word) >> number & 1;
	}
	for (uint32_t number = 0; number < producer->reader_limit; number++) {
		bool is_known = (producer->known_mask >> number & 1) != 0;

		laggards |= (uint32_t)(count[number] > (is_known ? producer->hold[number] : 0)) << number;
	}
	return laggards;
}

/* The one that has waited longest for them, or SLOT_NONE. */
static uint32_t find_lowest_for(const struct shmring_producer *producer, uint32_t mask, uint64_t *lowest_word)
{
	uint32_t lowest = SLOT_NONE;

	for (uint32_t i = 0; i < producer->slot_count; i++) {
		uint64_t word = look(producer, i);

		if (slot_state(word) == LAYOUT_READY && (slot_mask(word) & mask) != 0 &&
		    (lowest == SLOT_NONE || slot_sequence_before(slot_sequence(word), slot_sequence(*lowest_word)))) {
			lowest = i;
			*lowest_word = word;
		}
	}
	return lowest;
}

/*
 * A laggard that reads on, however slowly, takes or gives back its lowest batch first; so those for whom the lowest of all laggards'
 * has waited so long are the ones who stand still.  When nobody else is there, nobody is held up.
 */
uint32_t audience_stalled(const struct shmring_producer *producer, uint32_t limit_ms)
{
	/* relaxed: a time for a decision that is looked at again and again */
	uint64_t since_ns = atomic_load_explicit(&producer->starved_since_ns, memory_order_relaxed);
	uint64_t now_ns = clock_now_ns(), word = 0;
	uint32_t laggards, lowest, mask = 0;

	if (producer->share == SHMRING_SPLIT || since_ns == 0)
		return 0;
	pthread_mutex_lock(lock_of(producer));
	laggards = find_laggards(producer);
	lowest = find_lowest_for(producer, laggards, &word);
	if (lowest != SLOT_NONE && (producer->present_mask & ~laggards) != 0) {
		if (producer->shadow[lowest].offered_ns > since_ns)
			since_ns = producer->shadow[lowest].offered_ns;
		if (now_ns > since_ns && now_ns - since_ns >= (uint64_t)limit_ms * 1000000u)
			mask = slot_mask(word) & laggards;
	}
	pthread_mutex_unlock(lock_of(producer));
	return mask;
}
