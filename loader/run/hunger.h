/*
 * hunger.h - what decode threads that have no row wait for: bytes that are on their way, or anything to do at all.
 *
 * Both as integrals over time, summed over the threads, exact at any moment: whoever asks need not wait for a thread to wake up.
 * Any thread.
 */
#ifndef CROPRING_HUNGER_H
#define CROPRING_HUNGER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct hunger {
	pthread_mutex_t lock;
	uint32_t hungry;   /* threads that have no row */
	uint64_t coming;   /* rows whose bytes are on their way */
	bool has_reader;   /* before the first one comes nobody needs to do anything */
	uint64_t until_ns; /* up to here it is counted below, while anyone is hungry */
	uint64_t wait_ns;  /* hungry while rows were coming */
	uint64_t idle_ns;  /* hungry while none was: every slot is full, or nobody asks for more */
};

void hunger_open(struct hunger *hunger);
void hunger_close(struct hunger *hunger);

void hunger_reader_came(struct hunger *hunger);

/* A row goes to fetch; its bytes come back, or the reason why not. */
void hunger_row_goes(struct hunger *hunger);
void hunger_row_comes(struct hunger *hunger);

/* A decode thread looks for a row; has found one. */
void hunger_begins(struct hunger *hunger);
void hunger_ends(struct hunger *hunger);

/* Up to now. */
void hunger_read(struct hunger *hunger, uint64_t *wait_ns, uint64_t *idle_ns);

#endif
