/*
 * test_liveness.c - which readers live and which are dead, in the situations that fool other probes: each is judged right twenty times
 * of twenty.
 *
 * A batch in the hands of the process in question tells: it is offered again after a death, and only then.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tests/liveness_rig.h"

/* A producer, and a reader in the same process that sees whether a batch is offered again. */
struct ring {
	struct shmring_producer *producer;
	struct shmring_reader *witness;
	uint32_t published;
};

static void step_until(struct ring *ring, enum shmring_event wanted, struct shmring_visitor *visitor)
{
	uint64_t begin_ns = clock_now_ns();

	while (shmring_door_step(ring->producer, visitor) != wanted) {
		assert_true(clock_now_ns() - begin_ns < LIMIT_MS * UINT64_C(1000000));
		usleep(200);
	}
}

static void *attach_witness(void *argument)
{
	struct ring *ring = argument;
	const struct shmring_wish wish = {.hold = 1, .number = SHMRING_ANY_NUMBER};

	return (void *)(intptr_t)shmring_attach(&ring->witness, ring_name, &wish, NULL);
}

static void open_ring(struct ring *ring)
{
	struct shmring_visitor visitor;
	pthread_t thread;
	void *rc;

	*ring = (struct ring){.producer = create()};
	assert_int_equal(pthread_create(&thread, NULL, attach_witness, ring), 0);
	step_until(ring, SHMRING_JOINED, &visitor);
	pthread_join(thread, &rc);
	assert_int_equal((intptr_t)rc, 0);
}

static void close_ring(struct ring *ring)
{
	shmring_detach(ring->witness);
	shmring_destroy(ring->producer);
}

/* For a while nobody is missed, and the batch is not offered to others. */
static void expect_it_lives(struct ring *ring)
{
	uint64_t begin_ns = clock_now_ns();
	struct shmring_visitor visitor;
	struct shmring_lease lease;

	while (clock_now_ns() - begin_ns < QUIET_MS * UINT64_C(1000000)) {
		enum shmring_event event = shmring_door_step(ring->producer, &visitor);

		assert_true(event == SHMRING_NOTHING || event == SHMRING_LEFT);
		assert_int_equal(shmring_acquire(ring->witness, 1, &lease), -ETIMEDOUT);
	}
}

static void expect_it_is_dead(struct ring *ring)
{
	struct shmring_visitor visitor;
	struct shmring_lease lease;

	step_until(ring, SHMRING_DIED, &visitor);
	assert_int_equal(visitor.batch_count, 1);
	assert_int_equal(shmring_acquire(ring->witness, LIMIT_MS, &lease), 0);
	assert_int_equal(lease.sequence, ring->published - 1);
	assert_true(lease.redelivered);
	assert_int_equal(shmring_release(ring->witness, &lease), 0);
	assert_int_equal(shmring_acquire(ring->witness, 0, &lease), -ETIMEDOUT);
}

/* Lets a child that was started as a reader join; a batch is published, and it takes it. */
static void let_it_take_one(struct ring *ring, const struct child *child)
{
	struct shmring_visitor visitor;

	step_until(ring, SHMRING_JOINED, &visitor);
	publish(ring->producer);
	ring->published++;
	assert_int_equal(hear(child).rc, 0);
}

/* Joins and takes one batch, saying so.  Exits if it cannot. */
static struct shmring_reader *join_and_take(int control_fd, struct shmring_lease *lease)
{
	struct shmring_reader *reader;
	int rc = attach(&reader);

	if (rc == 0)
		rc = shmring_acquire(reader, LIMIT_MS, lease);
	answer(control_fd, rc, getpid());
	if (rc < 0)
		_exit(1);
	return reader;
}

/* Orders: r gives the batch back, d leaves. */
static void obey(int control_fd, struct shmring_reader *reader, const struct shmring_lease *lease)
{
	char order;

	while (read(control_fd, &order, 1) == 1) {
		int rc = 0;

		if (order == 'r')
			rc = shmring_release(reader, lease);
		else
			shmring_detach(reader);
		answer(control_fd, rc, getpid());
	}
}

/* ------------------------------------------------------------------ the traps */

static void live_plainly(int control_fd)
{
	struct shmring_lease lease;
	struct shmring_reader *reader = join_and_take(control_fd, &lease);

	obey(control_fd, reader, &lease);
}

/* Until the test program has gone. */
static void live_idly(int control_fd)
{
	char order;

	while (read(control_fd, &order, 1) == 1)
		;
	_exit(0);
}

static void a_reader_whose_pid_was_reused_is_dead(void **state)
{
	struct child reader, impostor;
	struct ring ring;
	bool permitted = true;

	(void)state;
	open_ring(&ring);
	for (int i = 0; i < TIMES && permitted; i++) {
		assert_true(start(&reader, live_plainly, 0));
		let_it_take_one(&ring, &reader);
		kill_and_reap(&reader);
		permitted = start_impostor(&impostor, reader.pid);
		expect_it_is_dead(&ring);
		dismiss(&impostor);
	}
	close_ring(&ring);
	if (!permitted)
		skip();
}

static void a_zombie_is_dead(void **state)
{
	struct child reader;
	struct ring ring;

	(void)state;
	open_ring(&ring);
	for (int i = 0; i < TIMES; i++) {
		assert_true(start(&reader, live_plainly, 0));
		let_it_take_one(&ring, &reader);
		expect_it_lives(&ring);
		kill_only(&reader);
		expect_it_is_dead(&ring);
		reap(&reader);
	}
	close_ring(&ring);
}

/* Has a child that keeps everything open that a child inherits, and one that has come and gone. */
static void live_with_children(int control_fd)
{
	struct shmring_lease lease;
	struct shmring_reader *reader;
	int rc = attach(&reader);
	pid_t passing, staying;

	if (rc == 0)
		rc = shmring_acquire(reader, LIMIT_MS, &lease);
	passing = fork();
	if (passing == 0) {
		if (shmring_release(reader, &lease) != -ECHILD || shmring_acquire(reader, 0, &lease) != -ECHILD)
			_exit(1);
		shmring_detach(reader);
		_exit(0);
	}
	if (waitpid(passing, &rc, 0) != passing)
		rc = -errno;
	staying = fork();
	if (staying == 0)
		live_idly(control_fd);
	answer(control_fd, rc, staying);
	obey(control_fd, reader, &lease);
}

static void a_reader_is_dead_although_its_child_lives(void **state)
{
	struct shmring_visitor visitor;
	struct child reader;
	struct report report;
	struct ring ring;

	(void)state;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		skip(); /* an emulator */
	open_ring(&ring);
	for (int i = 0; i < TIMES; i++) {
		assert_true(start(&reader, live_with_children, 0));
		step_until(&ring, SHMRING_JOINED, &visitor);
		publish(ring.producer);
		ring.published++;
		report = hear(&reader);
		assert_int_equal(report.rc, 0);
		expect_it_lives(&ring); /* and its child's end has changed nothing */
		kill(reader.pid, SIGKILL);
		assert_int_equal(waitpid(reader.pid, NULL, 0), reader.pid);
		expect_it_is_dead(&ring);
		assert_int_equal(waitpid(report.pid, NULL, WNOHANG), 0); /* all the time its child has lived */
		close(reader.control_fd);
		assert_int_equal(waitpid(report.pid, NULL, 0), report.pid); /* it is ours now */
	}
	close_ring(&ring);
}

struct errand {
	int control_fd;
	struct shmring_reader *reader;
	struct shmring_lease lease;
};

static void *run_errand(void *argument)
{
	struct errand *errand = argument;

	if (attach(&errand->reader) < 0 || shmring_acquire(errand->reader, LIMIT_MS, &errand->lease) < 0)
		_exit(1);
	return NULL;
}

static void live_on_without_the_thread_that_joined(int control_fd)
{
	struct errand errand = {.control_fd = control_fd};
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_errand, &errand) != 0 || pthread_join(thread, NULL) != 0)
		_exit(1);
	answer(control_fd, 0, getpid());
	obey(control_fd, errand.reader, &errand.lease);
}

/* It is judged to live, gives its batch back, and leaves. */
static void expect_a_long_life(struct ring *ring, const struct child *reader)
{
	struct shmring_visitor visitor;

	expect_it_lives(ring);
	assert_int_equal(tell(reader, 'r').rc, 0);
	tell(reader, 'd');
	step_until(ring, SHMRING_LEFT, &visitor);
}

static void a_reader_lives_although_the_thread_that_joined_has_ended(void **state)
{
	struct child reader;
	struct ring ring;

	(void)state;
	open_ring(&ring);
	for (int i = 0; i < TIMES; i++) {
		assert_true(start(&reader, live_on_without_the_thread_that_joined, 0));
		let_it_take_one(&ring, &reader);
		expect_a_long_life(&ring, &reader);
		kill_and_reap(&reader);
	}
	close_ring(&ring);
}

static void a_reader_in_another_pid_namespace_is_told_alive_from_dead(void **state)
{
	bool permitted = true;
	struct child reader;
	struct ring ring;

	(void)state;
	open_ring(&ring);
	for (int i = 0; i < TIMES && permitted; i++) {
		permitted = start(&reader, live_plainly, CLONE_NEWPID);
		if (!permitted)
			break;
		let_it_take_one(&ring, &reader);
		expect_it_lives(&ring);
		kill_and_reap(&reader);
		expect_it_is_dead(&ring);
	}
	close_ring(&ring);
	if (!permitted)
		skip();
}

static bool is_socket(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/* Closes the sockets that it has got by joining, as a daemon does that closes all it does not know. */
static void live_without_the_socket(int control_fd)
{
	enum { LIMIT = 256 };
	struct shmring_reader *reader;
	struct shmring_lease lease;
	bool before[LIMIT];
	int closed = 0;

	for (int fd = 0; fd < LIMIT; fd++)
		before[fd] = is_socket(fd);
	if (attach(&reader) < 0 || shmring_acquire(reader, LIMIT_MS, &lease) < 0)
		_exit(1);
	for (int fd = 0; fd < LIMIT; fd++) {
		if (!before[fd] && is_socket(fd))
			closed += close(fd) == 0;
	}
	answer(control_fd, closed == 1 ? 0 : -1, getpid());
	obey(control_fd, reader, &lease);
}

static void a_reader_that_closed_its_socket_lives_until_it_dies(void **state)
{
	struct child reader;
	struct ring ring;

	(void)state;
	open_ring(&ring);
	for (int i = 0; i < TIMES; i++) {
		assert_true(start(&reader, live_without_the_socket, 0));
		let_it_take_one(&ring, &reader);
		expect_it_lives(&ring);
		if (i % 2 == 0) {
			kill_and_reap(&reader);
			expect_it_is_dead(&ring);
		} else {
			struct shmring_visitor visitor;

			assert_int_equal(tell(&reader, 'r').rc, 0);
			kill_and_reap(&reader);
			step_until(&ring, SHMRING_DIED, &visitor);
			assert_int_equal(visitor.batch_count, 0);
		}
	}
	close_ring(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reader_whose_pid_was_reused_is_dead),
		cmocka_unit_test(a_zombie_is_dead),
		cmocka_unit_test(a_reader_is_dead_although_its_child_lives),
		cmocka_unit_test(a_reader_lives_although_the_thread_that_joined_has_ended),
		cmocka_unit_test(a_reader_in_another_pid_namespace_is_told_alive_from_dead),
		cmocka_unit_test(a_reader_that_closed_its_socket_lives_until_it_dies),
	};

	name_the_ring();
	return cmocka_run_group_tests_name("liveness", tests, NULL, NULL);
}
