/*
 * seats.h - a ring's 24 numbers and who has them; what a newcomer can get.
 *
 * Numbers only: nothing here touches a descriptor or the shared words.
 */
#ifndef SHMRING_SEATS_H
#define SHMRING_SEATS_H

#include "shmring/producer.h"

/* A number in the ring: nobody's, of a reader that is there, or of one that left and may still hold batches. */
struct seat {
	int socket_fd; /* -1 also when it was closed without a goodbye: the pidfd will tell what that means */
	int pidfd;     /* -1: nobody */
	int32_t pid;
	uint32_t hold; /* batches that it may keep while it asks for another */
	bool has_left;
	bool is_owner; /* the process that started the producer, and may send requests */
};

/* What a reader to be is told instead of a welcome. */
struct refusal {
	int code; /* 0: none */
	char text[384];
};

static inline bool seat_is_present(const struct seat *seat)
{
	return seat->pidfd >= 0 && !seat->has_left;
}

/* The number that a newcomer gets, or a refusal. */
uint32_t seats_choose_number(const struct seat seats[LAYOUT_MAX_READERS], const struct shmring_producer *producer, int32_t wanted,
                             struct refusal *refusal);

/* How many batches it may keep while it asks for another, or a refusal: there must always be a slot left to fill. */
uint32_t seats_choose_hold(const struct seat seats[LAYOUT_MAX_READERS], const struct shmring_producer *producer, uint32_t wanted,
                           struct refusal *refusal);

#endif
