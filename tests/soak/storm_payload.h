/* storm_payload.h - bytes of which each word says what batch it belongs to and where in it. */
#ifndef STORM_PAYLOAD_H
#define STORM_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

/* The first words name the batch: its number in the ring and in the ledger. */
enum { PAYLOAD_RING, PAYLOAD_BATCH, PAYLOAD_BODY };

static inline uint64_t payload_word(uint64_t ring, uint64_t batch, uint64_t position)
{
	return ring * 0x9e3779b97f4a7c15u + batch * 0xbf58476d1ce4e5b9u + position * 0x94d049bb133111ebu;
}

static inline void payload_fill(uint64_t *words, uint64_t word_count, uint64_t ring, uint64_t batch)
{
	words[PAYLOAD_RING] = ring;
	words[PAYLOAD_BATCH] = batch;
	for (uint64_t i = PAYLOAD_BODY; i < word_count; i++)
		words[i] = payload_word(ring, batch, i);
}

/* Whole, and the batch that its first words say. */
static inline bool payload_is_whole(const uint64_t *words, uint64_t word_count)
{
	uint64_t ring = words[PAYLOAD_RING], batch = words[PAYLOAD_BATCH], difference = 0;

	for (uint64_t i = PAYLOAD_BODY; i < word_count; i++)
		difference |= words[i] ^ payload_word(ring, batch, i);
	return difference == 0;
}

#endif
