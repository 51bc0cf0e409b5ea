/*
 * audit.c - a slot word that no reader can have written ends the ring for everybody, before it makes somebody wait for ever.
 *
 * Under the producer's lock.
 */
#include "shmring/audit.h"

#include <errno.h>
#include <string.h>

#include "shmring/slot.h"

/* Could the readers that we let in have written this word?  FILLING slots are ours, readers never touch them. */
static bool word_is_possible(const struct shmring_producer *producer, const struct producer_shadow *shadow, uint64_t word)
{
	bool broadcast = producer->share == SHMRING_BROADCAST;
	uint32_t mask = slot_mask(word);

	if (slot_sequence(word) != shadow->sequence || (slot_seen(word) && !broadcast))
		return false;
	if (shadow->filling)
		return word == slot_word(shadow->sequence, 0, LAYOUT_FILLING);
	if (shadow->offered_ns == 0)
		return word == slot_word(shadow->sequence, 0, LAYOUT_FREE); /* nothing was ever in it */
	switch (slot_state(word)) {
	case LAYOUT_FREE:
		return mask == 0 && !slot_seen(word);
	case LAYOUT_READY:
		return slot_seen(word) ? mask != 0 && (mask & ~shadow->offered_mask) == 0 : mask == shadow->offered_mask;
	case LAYOUT_HELD:
		if (broadcast || (mask & producer->known_mask) != mask || __builtin_popcount(mask) != 1)
			return false;
		return producer->share != SHMRING_LANES || mask == shadow->offered_mask;
	case LAYOUT_FILLING:
	case LAYOUT_POISON:
		break;
	}
	return false;
}

/* Readers see the end at their next look; whatever they would do to a word fails. */
static void poison(struct shmring_producer *producer)
{
	struct layout_bells *bells = producer->map.bells;

	if (producer->poisoned)
		return;
	producer->poisoned = true;
	strncpy(bells->end_text, "the ring's slot words were overwritten by another process", sizeof bells->end_text - 1);
	/* [END] release: the text is in memory before a reader sees the end.  Pairs with the acquire loads in reader.c and
	 * reader_info.c. */
	atomic_store_explicit(&bells->end, SHMRING_CORRUPTED, memory_order_release);
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		/* relaxed: nothing is read on the strength of this word */
		atomic_store_explicit(&producer->map.slot[i].word, slot_word(0, 0, LAYOUT_POISON), memory_order_relaxed);
	}
	producer_ring_readers(producer, UINT32_MAX);
}

int audit_words(struct shmring_producer *producer, uint32_t *free_index)
{
	*free_index = SLOT_NONE;
	for (uint32_t i = 0; i < producer->slot_count; i++) {
		/* [RELEASE] acquire: the readers' last loads from this slot happen before we overwrite it.
		 * Pairs with the release CAS in shmring_release(). */
		uint64_t word = atomic_load_explicit(&producer->map.slot[i].word, memory_order_acquire);

		if (producer->poisoned || !word_is_possible(producer, &producer->shadow[i], word)) {
			poison(producer);
			return -EPROTO;
		}
		if (slot_state(word) == LAYOUT_FREE && *free_index == SLOT_NONE)
			*free_index = i;
	}
	return 0;
}

int shmring_audit(struct shmring_producer *producer)
{
	uint32_t free_index;
	int rc;

	pthread_mutex_lock(&producer->publish_lock);
	rc = audit_words(producer, &free_index);
	pthread_mutex_unlock(&producer->publish_lock);
	return rc;
}
