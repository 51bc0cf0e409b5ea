/*
 * producer.h - the producer's private state, shared by producer.c (slots), audience.c (who gets what), audit.c, and the door
 * (door.c, registry.c).
 *
 * Nothing in here is read back from shared memory: what readers write there is a request, checked against this.
 */
#ifndef SHMRING_PRODUCER_H
#define SHMRING_PRODUCER_H

#include <pthread.h>

#include "shmring/layout.h"

struct door;

/* What the producer knows of a slot; the word in shared memory is checked against it. */
struct producer_shadow {
	uint32_t sequence;
	bool filling, done;
	uint32_t offered_mask;     /* of the READY word: its lane, or the readers that it was offered to and that have not gone */
	bool bereaved;             /* broadcast: a reader died that was to read it, and may have */
	uint64_t offered_ns;       /* when it was published, or given to a newcomer */
	uint64_t batch;            /* its number, of which the sequence is the low half */
	uint32_t epoch, row_count; /* of a finished batch that waits for its turn */
};

struct shmring_producer {
	struct layout_map map;
	uint64_t segment_bytes, slot_stride_bytes;
	int segment_fd, view_fd, pidfd, catalog_fd; /* view_fd: the segment for reading only */
	enum shmring_segment segment;
	enum shmring_share share;
	bool takes_requests;
	uint32_t slot_count, field_count, counter_count, reader_limit;
	uint64_t field_offset_bytes[SHMRING_MAX_FIELDS];
	uint64_t first_batch;
	char name[SHMRING_NAME_BYTES], subject[256];

	uint64_t next_claim; /* a batch number; the claiming thread's */
	_Atomic bool claims_cancelled;
	_Atomic uint64_t starved_since_ns; /* since when the claiming thread has found no free slot; 0: it found one */

	pthread_mutex_t publish_lock; /* guards what follows, the end and the log */
	uint64_t next_publish;
	struct producer_shadow shadow[SHMRING_MAX_SLOTS];
	uint32_t present_mask; /* readers that are there */
	uint32_t known_mask;   /* those, and readers that left and have not given everything back */
	bool audience_met;     /* broadcast: as many readers as were announced have been there at once */
	bool poisoned;
	uint32_t hold[LAYOUT_MAX_READERS]; /* batches that a known reader may keep while it asks for another */

	struct door *door; /* NULL until it is opened */
};

void door_close(struct door *door);

/* Publishes what is due.  Under the lock; returns the readers to ring, without it: those whom the batches are for. */
uint32_t producer_publish_due(struct shmring_producer *producer);

void producer_ring_readers(struct shmring_producer *producer, uint32_t mask);

#endif
