/* producer.h - the producer's private state, shared by producer.c (slots) and door.c (readers). */
#ifndef SHMRING_PRODUCER_H
#define SHMRING_PRODUCER_H

#include <pthread.h>

#include "shmring/layout.h"

struct door;

/* What the producer knows of a slot; the word in shared memory is checked against it. */
struct producer_shadow {
	uint32_t sequence;
	bool filling, done;
	uint32_t epoch, row_count; /* of a finished batch that waits for its turn */
};

struct shmring_producer {
	struct layout_map map;
	uint64_t segment_bytes, slot_stride_bytes;
	int segment_fd, pidfd, catalog_fd;
	enum shmring_segment segment;
	uint32_t slot_count, field_count;
	uint64_t field_offset_bytes[SHMRING_MAX_FIELDS];
	char name[SHMRING_NAME_BYTES], subject[256];

	uint32_t next_claim; /* the claiming thread's */
	_Atomic bool claims_cancelled;
	_Atomic uint32_t admitted_mask; /* bits of the readers that were ever let in; the door's */

	pthread_mutex_t publish_lock; /* guards shadow, next_publish, the end and the log */
	uint32_t next_publish;
	struct producer_shadow shadow[SHMRING_MAX_SLOTS];

	struct door *door; /* NULL until it is opened */
};

void door_close(struct door *door);

#endif
