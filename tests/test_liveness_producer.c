/*
 * test_liveness_producer.c - whether the producer lives, as its readers see it, in the situations that fool other probes: judged right
 * twenty times of twenty.
 */
#include <stdlib.h>

#include "tests/liveness_rig.h"

/* Publishes one batch for one reader, and goes on minding the door. */
static void live_as_producer(int control_fd)
{
	struct shmring_producer *producer = create();
	struct shmring_visitor visitor;

	publish(producer);
	answer(control_fd, 0, getpid());
	for (;;) {
		(void)shmring_door_step(producer, &visitor);
		usleep(200);
	}
}

/* The one batch, then nothing for as long as the producer lives. */
static struct shmring_reader *read_its_batch(const struct child *producer)
{
	struct shmring_reader *reader;
	struct shmring_lease lease;

	assert_int_equal(hear(producer).rc, 0);
	assert_int_equal(attach(&reader), 0);
	assert_int_equal(shmring_acquire(reader, LIMIT_MS, &lease), 0);
	assert_int_equal(shmring_release(reader, &lease), 0);
	assert_int_equal(shmring_acquire(reader, QUIET_MS, &lease), -ETIMEDOUT);
	return reader;
}

static void expect_the_producer_is_dead(struct shmring_reader *reader)
{
	struct shmring_lease lease;

	assert_int_equal(shmring_acquire(reader, LIMIT_MS, &lease), -EPIPE);
	shmring_detach(reader);
}

static void a_producer_whose_pid_was_reused_is_dead(void **state)
{
	bool permitted = true;

	(void)state;
	for (int i = 0; i < TIMES && permitted; i++) {
		struct shmring_reader *reader;
		struct child producer, impostor;

		assert_true(start(&producer, live_as_producer, 0));
		reader = read_its_batch(&producer);
		kill_and_reap(&producer);
		permitted = start_impostor(&impostor, producer.pid);
		expect_the_producer_is_dead(reader);
		dismiss(&impostor);
	}
	if (!permitted)
		skip();
}

static void a_zombie_producer_is_dead(void **state)
{
	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct shmring_reader *reader;
		struct child producer;

		assert_true(start(&producer, live_as_producer, 0));
		reader = read_its_batch(&producer);
		kill_only(&producer);
		expect_the_producer_is_dead(reader);
		reap(&producer);
	}
}

static void a_producer_in_another_pid_namespace_is_told_alive_from_dead(void **state)
{
	(void)state;
	for (int i = 0; i < TIMES; i++) {
		struct shmring_reader *reader;
		struct child producer;

		if (!start(&producer, live_as_producer, CLONE_NEWPID))
			skip();
		reader = read_its_batch(&producer);
		kill_and_reap(&producer);
		expect_the_producer_is_dead(reader);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_producer_whose_pid_was_reused_is_dead),
		cmocka_unit_test(a_zombie_producer_is_dead),
		cmocka_unit_test(a_producer_in_another_pid_namespace_is_told_alive_from_dead),
	};

	name_the_ring();
	return cmocka_run_group_tests_name("liveness_producer", tests, NULL, NULL);
}
