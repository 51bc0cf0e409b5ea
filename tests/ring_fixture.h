/* ring_fixture.h - a small ring and readers of it in the same process, for the tests of the ring. */
#ifndef RING_FIXTURE_H
#define RING_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shmring/shmring.h"

enum { RING_ROWS = 64, RING_SLOTS = 3, RING_COUNTERS = 2 };

/* What differs between tests. */
struct ring_plan {
	enum shmring_segment segment;
	enum shmring_share share;
	uint32_t slots, readers; /* 0: RING_SLOTS, 1 */
	uint64_t first_batch;
	bool takes_requests;
};

/* For a ring with a door, so that the same test can run twice on a machine.  Valid until the next call; call it before fork(). */
static inline const char *ring_name(const char *stem)
{
	static char name[SHMRING_NAME_BYTES];

	snprintf(name, sizeof name, "%s-%d", stem, getpid());
	return name;
}

static inline struct shmring_producer *ring_create_as(const char *name, const struct ring_plan *plan)
{
	static const struct shmring_field fields[] = {
		{.name = "payload", .dtype = SHMRING_INT64, .dim_count = 2, .shape = {RING_ROWS, 32}},
		{.name = "tag", .dtype = SHMRING_UINT8, .dim_count = 1, .shape = {RING_ROWS}},
	};
	static const char *const counters[RING_COUNTERS] = {"apples", "pears"};
	const struct shmring_config config = {.name = name,
	                                      .slot_count = plan->slots ? plan->slots : RING_SLOTS,
	                                      .segment = plan->segment,
	                                      .share = plan->share,
	                                      .reader_limit = plan->readers ? plan->readers : 1,
	                                      .first_batch = plan->first_batch,
	                                      .takes_requests = plan->takes_requests,
	                                      .fields = fields,
	                                      .field_count = 2,
	                                      .counter_names = counters,
	                                      .counter_count = RING_COUNTERS,
	                                      .catalog_fd = -1,
	                                      .subject = "a test"};
	struct shmring_producer *producer;
	struct err err = {.text = ""};

	if (shmring_create(&producer, &config, &err) < 0)
		fail_msg("%s", err.text);
	return producer;
}

static inline struct shmring_producer *ring_create(const char *name, enum shmring_segment segment, enum shmring_share share)
{
	return ring_create_as(name, &(struct ring_plan){.segment = segment, .share = share});
}

/* Joins from a thread of its own, since the door must answer meanwhile. */
struct ring_join {
	int socket_fd, rc;
	struct shmring_wish wish;
	struct shmring_reader *reader;
	struct err err;
};

static inline void *ring_join_thread(void *argument)
{
	struct ring_join *join = argument;

	join->rc = shmring_attach_fd(&join->reader, join->socket_fd, &join->wish, &join->err);
	return NULL;
}

/* A reader over a socket pair, as a worker that Python started gets its first one; NULL, with the reason in *err, when refused. */
static inline struct shmring_reader *ring_try_adopt(struct shmring_producer *producer, const struct shmring_wish *wish,
                                                    struct err *err)
{
	struct ring_join join = {.rc = -1, .wish = *wish};
	struct shmring_visitor visitor;
	pthread_t thread;
	int sockets[2];
	int attempts = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(shmring_door_adopt(producer, sockets[0], NULL), 0);
	join.socket_fd = sockets[1];
	assert_int_equal(pthread_create(&thread, NULL, ring_join_thread, &join), 0);
	while (pthread_tryjoin_np(thread, NULL) != 0) {
		(void)shmring_door_step(producer, &visitor);
		usleep(100);
		assert_true(++attempts < 200000);
	}
	*err = join.err;
	return join.rc < 0 ? NULL : join.reader;
}

static inline struct shmring_reader *ring_adopt_reader(struct shmring_producer *producer)
{
	struct err err;
	struct shmring_reader *reader = ring_try_adopt(producer, &(struct shmring_wish){.number = SHMRING_ANY_NUMBER}, &err);

	if (!reader)
		fail_msg("%s", err.text);
	return reader;
}

/* Every word of a batch says which batch it is, so that a torn or overwritten one shows. */
static inline void ring_fill(const struct shmring_slot *slot, int64_t stamp)
{
	int64_t *payload = slot->field[0];

	for (int i = 0; i < RING_ROWS * 32; i++)
		payload[i] = stamp;
	memset(slot->field[1], (int)(stamp & 0xff), RING_ROWS);
}

static inline bool ring_is_filled_with(const struct shmring_reader *reader, const struct shmring_lease *lease, int64_t stamp)
{
	const int64_t *payload = shmring_lease_data(reader, lease, 0);
	const uint8_t *tag = shmring_lease_data(reader, lease, 1);

	for (int i = 0; i < RING_ROWS * 32; i++) {
		if (payload[i] != stamp)
			return false;
	}
	return tag[0] == (uint8_t)stamp && tag[RING_ROWS - 1] == (uint8_t)stamp;
}

static inline int open_fd_count(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

#endif
