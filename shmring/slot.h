/* slot.h - the slot word: taking it apart, putting it together, comparing sequences that wrap. */
#ifndef SHMRING_SLOT_H
#define SHMRING_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "shmring/layout.h"

/* No slot has this index. */
#define SLOT_NONE UINT32_MAX

static inline uint64_t slot_word(uint32_t sequence, uint32_t reader_mask, enum layout_state state)
{
	return (uint64_t)sequence << 32 | (uint64_t)(reader_mask & 0xffffffu) << 8 | (uint64_t)state;
}

static inline uint32_t slot_sequence(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static inline uint32_t slot_mask(uint64_t word)
{
	return (uint32_t)(word >> 8) & 0xffffffu;
}

/* Broadcast: at least one reader has read the batch and given it back. */
#define SLOT_SEEN UINT64_C(0x80)

static inline bool slot_seen(uint64_t word)
{
	return (word & SLOT_SEEN) != 0;
}

static inline enum layout_state slot_state(uint64_t word)
{
	return (enum layout_state)(word & 0x7f);
}

/* Sequences run free and wrap at 2^32; they are compared by signed difference. */
static inline bool slot_sequence_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* Which READY batches are for a reader. */
struct slot_filter {
	uint32_t bit; /* its own in the masks */
	enum shmring_share share;
	/* Broadcast: its bit stays in a word until it gives the batch back, so it notes what it has taken: which slots ever, */
	uint64_t taken_slots;
	uint32_t taken_sequence[SHMRING_MAX_SLOTS]; /* and the last batch from each */
};

static inline void slot_note_taken(struct slot_filter *filter, uint32_t index, uint32_t sequence)
{
	filter->taken_slots |= UINT64_C(1) << index;
	filter->taken_sequence[index] = sequence;
}

static inline bool slot_was_taken(const struct slot_filter *filter, uint32_t index, uint32_t sequence)
{
	return (filter->taken_slots >> index & 1) != 0 && filter->taken_sequence[index] == sequence;
}

/* A mask or a bit that does not belong there is left alone: claiming the batch would hide it from the audit. */
static inline bool slot_is_for(const struct slot_filter *filter, uint32_t index, uint64_t word)
{
	if (slot_state(word) != LAYOUT_READY)
		return false;
	switch (filter->share) {
	case SHMRING_SPLIT:
		return slot_mask(word) == 0 && !slot_seen(word);
	case SHMRING_LANES:
		return slot_mask(word) == filter->bit && !slot_seen(word);
	case SHMRING_BROADCAST:
		return (slot_mask(word) & filter->bit) != 0 && !slot_was_taken(filter, index, slot_sequence(word));
	}
	return false;
}

/*
 * The slot with the lowest sequence that is for this reader, its word in *word, or SLOT_NONE.  Passes over all words are repeated
 * until one that began with the candidate leaves it unchanged: a single pass, or a fixed number of them, can miss a lower batch that
 * was published behind its back (found by model checking).
 */
uint32_t slot_find_lowest(const struct layout_slot *slots, uint32_t slot_count, const struct slot_filter *filter, uint64_t *word);

/* How many slots are in `state`: a snapshot for statistics. */
uint32_t slot_count_state(const struct layout_slot *slots, uint32_t slot_count, enum layout_state state);

#endif
