/* slot.c - looking for the next batch among the slot words. */
#include "shmring/slot.h"

uint32_t slot_find_lowest(const struct layout_slot *slots, uint32_t slot_count, const struct slot_filter *filter, uint64_t *word)
{
	uint32_t candidate = SLOT_NONE;
	uint64_t candidate_word = 0;
	bool changed;

	do {
		changed = false;
		for (uint32_t i = 0; i < slot_count; i++) {
			/* [COMMIT] acquire: whoever goes on to claim this slot sees the pixels behind the word, and a later
			 * word of this pass is at least as new.  Pairs with the release store in publish(). */
			uint64_t seen = atomic_load_explicit(&slots[i].word, memory_order_acquire);

			if (!slot_is_for(filter, i, seen))
				continue;
			if (candidate == SLOT_NONE || slot_sequence_before(slot_sequence(seen), slot_sequence(candidate_word))) {
				candidate = i;
				candidate_word = seen;
				changed = true;
			}
		}
	} while (changed);
	*word = candidate_word;
	return candidate;
}

uint32_t slot_count_state(const struct layout_slot *slots, uint32_t slot_count, enum layout_state state)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < slot_count; i++) {
		/* relaxed: a number for people, nothing is read on the strength of it */
		if (slot_state(atomic_load_explicit(&slots[i].word, memory_order_relaxed)) == state)
			count++;
	}
	return count;
}
