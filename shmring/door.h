/* door.h - what door.c (sockets), registry.c (readers) and requests.c share. */
#ifndef SHMRING_DOOR_H
#define SHMRING_DOOR_H

#include "shmring/listener.h"
#include "shmring/requests.h"
#include "shmring/seats.h"
#include "shmring/wire.h"

enum { DOOR_PENDING_LIMIT = 32 };

enum door_source { SOURCE_LISTEN, SOURCE_PENDING, SOURCE_READER, SOURCE_PIDFD };

enum { LISTENER_NAME, LISTENER_PATH, LISTENER_COUNT };

struct door {
	struct shmring_producer *producer;
	int epoll_fd;
	int spare_fd; /* given up for a moment to turn a caller away when there are no descriptors left */
	struct listener listener[LISTENER_COUNT];
	int pending_fd[DOOR_PENDING_LIMIT];         /* connected, has not said what it wants; -1: free */
	uint64_t pending_since[DOOR_PENDING_LIMIT]; /* the visit_count of its coming */
	uint64_t visit_count;
	int adopted_fd; /* our parent's, while it is pending; else -1 */
	struct seat reader[LAYOUT_MAX_READERS];
	struct requests_inbox inbox;
};

/* 0 or a negative errno; what happens there comes back as `source` and `index`. */
int door_watch(struct door *door, int fd, enum door_source source, uint32_t index);
void door_unwatch_and_close(struct door *door, int *fd);

/* Answers one who only looks. */
void registry_show_card(const struct door *door, int socket_fd);

/* Lets one look on who wants no batches: nothing is kept of it.  Its socket stays the caller's. */
void registry_show_ring(const struct door *door, int socket_fd, const struct wire_hello *hello);

/* Admits a reader or refuses it with a sentence.  Takes over both descriptors. */
enum shmring_event registry_admit(struct door *door, struct seat *newcomer, const struct wire_hello *hello,
                                  struct shmring_visitor *visitor);

/* The parent that started us went away before it was in: as good as a reader that died.  NOTHING for any other. */
enum shmring_event registry_miss_parent(bool is_parent, struct shmring_visitor *visitor);

/* Something came from a reader, or its socket was closed. */
enum shmring_event registry_hear_reader(struct door *door, uint32_t number, struct shmring_visitor *visitor);

/* Its process has ended. */
enum shmring_event registry_bury(struct door *door, uint32_t number, struct shmring_visitor *visitor);

#endif
