/* audience_fixture.h - batches published and expected in one line each, and readers in processes of their own that can be killed. */
#ifndef AUDIENCE_FIXTURE_H
#define AUDIENCE_FIXTURE_H

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/ring_fixture.h"

static inline void publish(struct shmring_producer *producer, int64_t stamp)
{
	struct shmring_slot slot;

	assert_int_equal(shmring_claim(producer, 1000, &slot), 0);
	ring_fill(&slot, stamp);
	shmring_commit(producer, &slot, 0, RING_ROWS);
}

static inline void publish_range(struct shmring_producer *producer, int64_t first, int64_t last)
{
	for (int64_t stamp = first; stamp <= last; stamp++)
		publish(producer, stamp);
}

static inline struct shmring_reader *join(struct shmring_producer *producer, uint32_t hold, int32_t number)
{
	struct err err;
	struct shmring_reader *reader = ring_try_adopt(producer, &(struct shmring_wish){.hold = hold, .number = number}, &err);

	if (!reader)
		fail_msg("%s", err.text);
	return reader;
}

static inline void expect(struct shmring_reader *reader, struct shmring_lease *lease, int64_t stamp, bool redelivered)
{
	int rc = shmring_acquire(reader, 0, lease);

	if (rc < 0)
		fail_msg("batch %lld: acquire says %d", (long long)stamp, rc);
	assert_int_equal(lease->sequence, (uint32_t)stamp);
	assert_int_equal(lease->redelivered, redelivered);
	assert_true(ring_is_filled_with(reader, lease, stamp));
}

static inline void take(struct shmring_reader *reader, int64_t stamp)
{
	struct shmring_lease lease;

	expect(reader, &lease, stamp, false);
	assert_int_equal(shmring_release(reader, &lease), 0);
}

static inline void expect_nothing(struct shmring_reader *reader)
{
	struct shmring_lease lease;

	assert_int_equal(shmring_acquire(reader, 0, &lease), -ETIMEDOUT);
}

/* What happens at the door next. */
static inline enum shmring_event await_event(struct shmring_producer *producer, struct shmring_visitor *visitor)
{
	for (int attempts = 0; attempts < 20000; attempts++) {
		enum shmring_event event = shmring_door_step(producer, visitor);

		if (event != SHMRING_NOTHING)
			return event;
		usleep(1000);
	}
	fail_msg("nothing happened");
	return SHMRING_NOTHING;
}

/* A process that joins, takes so many batches, says so on a pipe, and waits to be killed. */
struct victim {
	pid_t pid;
	int told_fd;
};

static inline struct victim start_victim(const char *name, int batch_count, bool release)
{
	struct victim victim;
	int told[2];

	assert_int_equal(pipe(told), 0);
	victim.pid = fork();
	if (victim.pid == 0) {
		struct shmring_reader *reader;
		struct shmring_lease lease;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */

		bool fine = shmring_attach(&reader, name, NULL, NULL) == 0;

		for (int i = 0; i < batch_count && fine; i++) {
			fine = shmring_acquire(reader, 10000, &lease) == 0;
			if (release && fine)
				fine = shmring_release(reader, &lease) == 0;
		}
		if (write(told[1], fine ? "y" : "n", 1) == 1)
			pause();
		_exit(0);
	}
	close(told[1]);
	victim.told_fd = told[0];
	return victim;
}

static inline void await_victim(struct victim *victim)
{
	char verdict = '?';

	assert_int_equal(read(victim->told_fd, &verdict, 1), 1);
	assert_int_equal(verdict, 'y');
	close(victim->told_fd);
}

static inline void kill_victim(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	assert_int_equal(waitpid(victim->pid, NULL, 0), victim->pid);
}

#endif
