/* reader.h - a reader's private state, shared by reader.c (batches) and reader_info.c (what there is to know). */
#ifndef SHMRING_READER_H
#define SHMRING_READER_H

#include <sys/types.h>
#include <unistd.h>

#include "shmring/layout.h"
#include "shmring/slot.h"

struct shmring_reader {
	struct layout_map map;
	struct layout_header header; /* private copy, checked once: sizes are never read from shared memory again */
	int socket_fd, pidfd, catalog_fd;
	pid_t owner_pid; /* a fork of that process has the memory, but not the right to use it */
	uint32_t number, hold;
	struct slot_filter filter;   /* the acquiring thread's; others look at the sequence of a lease that they have */
	_Atomic uint64_t held_slots; /* a bit for each lease that is out */
	_Atomic uint32_t references; /* 1 while attached, and 1 per lease */
	uint64_t waited_ns;          /* for the batch that comes next; the acquiring thread's, as the next */
	bool has_taken;              /* a batch, ever */
};

static inline bool reader_is_forked(const struct shmring_reader *reader)
{
	return reader->owner_pid != getpid();
}

bool reader_sees_producer_dead(const struct shmring_reader *reader);

#endif
