/* test_audience.c - several readers: who gets which batch, and what becomes of it when they leave, die or hold on. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/ring_fixture.h"

static void publish(struct shmring_producer *producer, int64_t stamp)
{
	struct shmring_slot slot;

	assert_int_equal(shmring_claim(producer, 1000, &slot), 0);
	ring_fill(&slot, stamp);
	shmring_commit(producer, &slot, 0, RING_ROWS);
}

static void publish_range(struct shmring_producer *producer, int64_t first, int64_t last)
{
	for (int64_t stamp = first; stamp <= last; stamp++)
		publish(producer, stamp);
}

static struct shmring_reader *join(struct shmring_producer *producer, uint32_t hold, int32_t number)
{
	struct err err;
	struct shmring_reader *reader = ring_try_adopt(producer, &(struct shmring_wish){.hold = hold, .number = number}, &err);

	if (!reader)
		fail_msg("%s", err.text);
	return reader;
}

static void expect(struct shmring_reader *reader, struct shmring_lease *lease, int64_t stamp, bool redelivered)
{
	int rc = shmring_acquire(reader, 0, lease);

	if (rc < 0)
		fail_msg("batch %lld: acquire says %d", (long long)stamp, rc);
	assert_int_equal(lease->sequence, (uint32_t)stamp);
	assert_int_equal(lease->redelivered, redelivered);
	assert_true(ring_is_filled_with(reader, lease, stamp));
}

static void take(struct shmring_reader *reader, int64_t stamp)
{
	struct shmring_lease lease;

	expect(reader, &lease, stamp, false);
	assert_int_equal(shmring_release(reader, &lease), 0);
}

static void expect_nothing(struct shmring_reader *reader)
{
	struct shmring_lease lease;

	assert_int_equal(shmring_acquire(reader, 0, &lease), -ETIMEDOUT);
}

/* What happens at the door next. */
static enum shmring_event await_event(struct shmring_producer *producer, struct shmring_visitor *visitor)
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

static struct victim start_victim(const char *name, int batch_count, bool release)
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

static void await_victim(struct victim *victim)
{
	char verdict = '?';

	assert_int_equal(read(victim->told_fd, &verdict, 1), 1);
	assert_int_equal(verdict, 'y');
	close(victim->told_fd);
}

static void kill_victim(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	assert_int_equal(waitpid(victim->pid, NULL, 0), victim->pid);
}

static void split_gives_each_batch_to_one_reader(void **state)
{
	struct shmring_producer *producer = ring_create_as("split", &(struct ring_plan){.slots = 5, .readers = 2});
	struct shmring_reader *a = join(producer, 0, SHMRING_ANY_NUMBER), *b = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_lease first, second;

	(void)state;
	assert_int_equal(shmring_number(a), 0);
	assert_int_equal(shmring_number(b), 1);
	publish_range(producer, 0, 3);
	expect(a, &first, 0, false);
	expect(b, &second, 1, false);
	take(a, 2);
	take(b, 3);
	expect_nothing(a);
	assert_int_equal(shmring_held(producer), 2);
	assert_int_equal(shmring_release(b, &first), -ESTALE); /* it is a's */
	assert_int_equal(shmring_release(a, &first), 0);
	assert_int_equal(shmring_release(b, &second), 0);
	assert_int_equal(shmring_audit(producer), 0);
	shmring_detach(a);
	shmring_detach(b);
	shmring_destroy(producer);
}

static void lanes_give_batch_k_to_reader_k_mod_n(void **state)
{
	const uint64_t first = (UINT64_C(1) << 32) - 4; /* 3 does not divide 2^32: the lanes must not notice the wrap */
	struct shmring_producer *producer = ring_create_as(
		"lanes", &(struct ring_plan){.share = SHMRING_LANES, .slots = 10, .readers = 3, .first_batch = first});
	struct shmring_reader *lane[3];

	(void)state;
	for (int i = 2; i >= 0; i--)
		lane[i] = join(producer, 0, i);
	publish_range(producer, (int64_t)first, (int64_t)first + 8);
	for (int i = 0; i < 3; i++) {
		for (uint64_t batch = first; batch < first + 9; batch++) {
			if (batch % 3 == (uint64_t)i)
				take(lane[i], (int64_t)batch);
		}
		expect_nothing(lane[i]);
	}
	assert_int_equal(shmring_published(producer), 9);
	for (int i = 0; i < 3; i++)
		shmring_detach(lane[i]);
	shmring_destroy(producer);
}

static void broadcast_gives_every_batch_to_every_reader_and_frees_it_after_the_last(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("broadcast", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 3, .readers = 2});
	struct shmring_reader *a = join(producer, 0, SHMRING_ANY_NUMBER), *b;
	struct shmring_slot slot;
	struct shmring_lease lease;

	(void)state;
	publish(producer, 0);
	expect_nothing(a); /* until the second of two announced readers is there */
	b = join(producer, 0, SHMRING_ANY_NUMBER);
	publish_range(producer, 1, 2);
	for (int64_t stamp = 0; stamp < 3; stamp++)
		take(a, stamp);
	expect_nothing(a);
	assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT); /* b has seen none */
	expect(b, &lease, 0, false);
	assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT); /* b still looks at it */
	assert_int_equal(shmring_release(b, &lease), 0);
	assert_int_equal(shmring_release(b, &lease), -ESTALE);
	publish(producer, 3);
	assert_int_equal(shmring_untaken(producer, NULL), 3);
	take(a, 3);
	assert_int_equal(shmring_audit(producer), 0);
	shmring_detach(b);
	shmring_detach(a);
	shmring_destroy(producer);
}

static void a_broadcast_without_audience_is_kept_for_the_next_reader(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("orphans", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 1});
	struct shmring_reader *reader = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_visitor visitor;
	uint32_t sequences[SHMRING_MAX_SLOTS];

	(void)state;
	publish(producer, 0);
	shmring_detach(reader);
	assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
	publish_range(producer, 1, 2);
	assert_int_equal(shmring_untaken(producer, sequences), 3);
	assert_int_equal(sequences[0], 0);
	assert_int_equal(sequences[2], 2);
	reader = join(producer, 0, SHMRING_ANY_NUMBER);
	for (int64_t stamp = 0; stamp < 3; stamp++)
		take(reader, stamp);
	expect_nothing(reader);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void what_a_dead_reader_held_is_offered_again_and_flagged(void **state)
{
	const char *name = ring_name("death");
	static const enum shmring_share shares[] = {SHMRING_SPLIT, SHMRING_LANES, SHMRING_BROADCAST};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct shmring_producer *producer =
			ring_create_as(name, &(struct ring_plan){.share = shares[i], .slots = 4, .readers = 1});
		struct shmring_visitor visitor;
		struct shmring_reader *heir;
		struct shmring_lease lease;
		struct victim victim;

		assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
		publish_range(producer, 0, 1);
		victim = start_victim(name, 2, false);
		assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
		if (shares[i] == SHMRING_BROADCAST) /* what comes before the announced reader waits for it */
			assert_int_equal(shmring_published(producer), 2);
		await_victim(&victim);
		publish(producer, 2);
		kill_victim(&victim);
		assert_int_equal(await_event(producer, &visitor), SHMRING_DIED);
		assert_int_equal(visitor.pid, victim.pid);
		assert_int_equal(visitor.batch_count, shares[i] == SHMRING_BROADCAST ? 3 : 2);
		assert_int_equal(shmring_untaken(producer, NULL), 3);
		heir = join(producer, 0, SHMRING_ANY_NUMBER);
		for (int64_t stamp = 0; stamp < 3; stamp++) {
			/* broadcast words do not tell which batches the dead one had begun: all that it was offered are flagged */
			expect(heir, &lease, stamp, stamp < 2 || shares[i] == SHMRING_BROADCAST);
			assert_int_equal(shmring_release(heir, &lease), 0);
		}
		publish(producer, 3);
		take(heir, 3); /* the flag does not stick to the slot */
		assert_int_equal(shmring_audit(producer), 0);
		shmring_detach(heir);
		shmring_destroy(producer);
	}
}

static void a_dead_broadcast_reader_holds_up_nobody_and_repeats_nothing_for_the_others(void **state)
{
	const char *name = ring_name("bereft");
	struct shmring_producer *producer =
		ring_create_as(name, &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 5, .readers = 2});
	struct shmring_reader *survivor = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_visitor visitor;
	struct shmring_slot slot;
	struct victim victim;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	victim = start_victim(name, 0, false);
	assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
	await_victim(&victim);
	publish_range(producer, 0, 4);
	for (int64_t stamp = 0; stamp < 5; stamp++)
		take(survivor, stamp);
	assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT);
	kill_victim(&victim);
	assert_int_equal(await_event(producer, &visitor), SHMRING_DIED);
	assert_int_equal(visitor.batch_count, 0);
	publish_range(producer, 5, 6);
	take(survivor, 5);
	take(survivor, 6);
	assert_int_equal(shmring_untaken(producer, NULL), 0);
	assert_int_equal(shmring_audit(producer), 0);
	shmring_detach(survivor);
	shmring_destroy(producer);
}

/* Found by model checking: such a batch waited for a third reader to join, and kept its slot for ever if none did. */
static void a_broadcast_that_lost_its_audience_goes_to_those_who_are_there(void **state)
{
	(void)state;
	for (int dies = 0; dies <= 1; dies++) {
		const char *name = ring_name("lost-audience");
		struct shmring_producer *producer =
			ring_create_as(name, &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 2});
		struct shmring_reader *first = join(producer, 1, 0), *leaver = dies ? NULL : join(producer, 1, 1), *late;
		struct shmring_visitor visitor;
		struct shmring_lease lease, other;
		struct victim victim = {.pid = 0};

		assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
		if (dies) {
			victim = start_victim(name, 0, false);
			assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
			await_victim(&victim);
		}
		shmring_detach(first);
		assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
		publish_range(producer, 0, 1); /* for the second reader alone */
		late = join(producer, 1, 0);
		publish(producer, 2);
		take(late, 2);
		expect_nothing(late);
		if (dies)
			kill_victim(&victim);
		else
			shmring_detach(leaver);
		assert_int_equal(await_event(producer, &visitor), dies ? SHMRING_DIED : SHMRING_LEFT);
		expect(late, &lease, 0, true);
		expect(late, &other, 1, true);
		assert_int_equal(shmring_release(late, &lease), 0);
		expect_nothing(late); /* what it still has is not offered to it a second time */
		assert_int_equal(shmring_release(late, &other), 0);
		publish_range(producer, 3, 4);
		take(late, 3);
		take(late, 4);
		assert_int_equal(shmring_audit(producer), 0);
		shmring_detach(late);
		shmring_destroy(producer);
	}
}

static void what_a_leaver_still_holds_stays_its_own(void **state)
{
	static const enum shmring_share shares[] = {SHMRING_SPLIT, SHMRING_BROADCAST};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct shmring_producer *producer =
			ring_create_as("leaver", &(struct ring_plan){.share = shares[i], .slots = 4, .readers = 1});
		struct shmring_reader *leaver = join(producer, 0, SHMRING_ANY_NUMBER), *next;
		struct shmring_visitor visitor;
		struct shmring_lease lease;
		struct shmring_slot slot;
		struct err err;

		publish_range(producer, 0, 1);
		expect(leaver, &lease, 0, false);
		shmring_detach(leaver);
		assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
		assert_int_equal(shmring_reader_count(producer), 0);
		assert_null(ring_try_adopt(producer, &(struct shmring_wish){.number = SHMRING_ANY_NUMBER},
		                           &err)); /* its number is not free */
		publish_range(producer, 2, 3);
		assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT);
		assert_true(ring_is_filled_with(leaver, &lease, 0));
		assert_int_equal(shmring_audit(producer), 0);
		assert_int_equal(shmring_release(leaver, &lease), 0);
		next = join(producer, 0, SHMRING_ANY_NUMBER);
		for (int64_t stamp = 1; stamp < 4; stamp++)
			take(next, stamp);
		assert_int_equal(shmring_audit(producer), 0);
		shmring_detach(next);
		shmring_destroy(producer);
	}
}

static void what_a_leaver_held_counts_as_read_when_it_dies(void **state)
{
	const char *name = ring_name("gone");
	struct shmring_producer *producer = ring_create_as(name, &(struct ring_plan){.slots = 4, .readers = 2});
	struct shmring_visitor visitor;
	pid_t child;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	publish_range(producer, 0, 1);
	child = fork();
	if (child == 0) {
		struct shmring_reader *reader;
		struct shmring_lease lease;

		if (shmring_attach(&reader, name, NULL, NULL) == 0 && shmring_acquire(reader, 10000, &lease) == 0)
			shmring_detach(reader);
		_exit(0);
	}
	assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
	assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
	assert_int_equal(waitpid(child, NULL, 0), child);
	for (int i = 0; i < 3; i++)
		(void)shmring_door_step(producer, &visitor); /* its death, unless that was heard with the goodbye */
	assert_int_equal(shmring_untaken(producer, NULL), 1);
	publish_range(producer, 2, 4); /* its slot is free again */
	shmring_destroy(producer);
}

static void a_reader_that_keeps_more_than_it_said_gets_an_answer_at_once(void **state)
{
	struct shmring_producer *producer = ring_create_as("greedy", &(struct ring_plan){.slots = 5, .readers = 2});
	struct shmring_reader *greedy = join(producer, 1, SHMRING_ANY_NUMBER), *other = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_lease lease[3];
	char holders[200], expected[64];

	(void)state;
	assert_int_equal(shmring_hold(greedy), 1);
	assert_int_equal(shmring_hold(other), 2);
	publish_range(producer, 0, 3);
	expect(greedy, &lease[0], 0, false);
	expect(greedy, &lease[1], 1, false);
	assert_int_equal(shmring_acquire(greedy, -1, &lease[2]), -EDEADLK);
	shmring_holders(other, holders, sizeof holders);
	snprintf(expected, sizeof expected, "reader 0 (process %d): seq 0, 1", getpid());
	assert_string_equal(holders, expected);
	take(other, 2);
	assert_int_equal(shmring_release(greedy, &lease[0]), 0);
	take(greedy, 3);
	shmring_finish(producer, SHMRING_COMPLETE, NULL);
	assert_int_equal(shmring_acquire(greedy, -1, &lease[2]), -ENODATA);
	assert_int_equal(shmring_release(greedy, &lease[1]), 0);
	shmring_detach(greedy);
	shmring_detach(other);
	shmring_destroy(producer);
}

static void joining_is_refused_when_the_slots_the_number_or_the_places_do_not_suffice(void **state)
{
	struct shmring_producer *producer = ring_create_as("full", &(struct ring_plan){.slots = 5, .readers = 3});
	struct shmring_reader *a = join(producer, 3, 1), *b;
	struct err err;

	(void)state;
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.hold = 2, .number = SHMRING_ANY_NUMBER}, &err));
	assert_non_null(strstr(err.text, "5 slots"));
	assert_non_null(strstr(err.text, "--slots"));
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.hold = 1, .number = 1}, &err));
	assert_non_null(strstr(err.text, "reader 1"));
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.hold = 1, .number = 3}, &err));
	assert_non_null(strstr(err.text, "readers 0 to 2"));
	b = join(producer, 1, SHMRING_ANY_NUMBER);
	assert_int_equal(shmring_number(b), 0);
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.number = SHMRING_ANY_NUMBER},
	                           &err)); /* 3 + 1 + 1 + the one being filled */
	assert_int_equal(shmring_reader_count(producer), 2);
	shmring_detach(a);
	shmring_detach(b);
	shmring_destroy(producer);
}

static void twenty_four_readers_join_and_the_next_is_refused(void **state)
{
	struct shmring_producer *producer = ring_create_as(
		"crowd", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 64, .readers = SHMRING_MAX_READERS});
	struct shmring_reader *reader[SHMRING_MAX_READERS];
	struct err err;

	(void)state;
	for (int i = 0; i < SHMRING_MAX_READERS; i++)
		reader[i] = join(producer, 0, SHMRING_ANY_NUMBER);
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.number = SHMRING_ANY_NUMBER}, &err));
	assert_non_null(strstr(err.text, "all its readers, 24"));
	publish_range(producer, 0, 9);
	for (int i = 0; i < SHMRING_MAX_READERS; i++) {
		for (int64_t stamp = 0; stamp < 10; stamp++)
			take(reader[i], stamp);
	}
	assert_int_equal(shmring_untaken(producer, NULL), 0);
	assert_int_equal(shmring_audit(producer), 0);
	for (int i = 0; i < SHMRING_MAX_READERS; i++)
		shmring_detach(reader[i]);
	shmring_destroy(producer);
}

static void a_stalled_broadcast_reader_is_named_and_can_be_expelled(void **state)
{
	const char *name = ring_name("stall");
	struct shmring_producer *producer =
		ring_create_as(name, &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 3, .readers = 2});
	struct shmring_reader *swift = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_visitor visitor;
	struct shmring_slot slot;
	struct victim victim;
	uint32_t number = 0;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	victim = start_victim(name, 0, false);
	assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
	await_victim(&victim);
	kill(victim.pid, SIGSTOP);
	publish_range(producer, 0, 2);
	for (int64_t stamp = 0; stamp < 3; stamp++)
		take(swift, stamp);
	assert_false(shmring_stalled(producer, 10, &number, &visitor)); /* nobody has asked for a slot yet */
	assert_int_equal(shmring_claim(producer, 50, &slot), -ETIMEDOUT);
	number = 0;
	assert_false(shmring_stalled(producer, 600000, &number, &visitor));
	number = 0;
	assert_true(shmring_stalled(producer, 10, &number, &visitor));
	assert_int_equal(visitor.reader, 1);
	assert_int_equal(visitor.pid, victim.pid);
	assert_false(shmring_stalled(producer, 10, &number, &visitor));
	assert_int_equal(shmring_expel(producer, 0), -EPERM); /* it started the producer */
	assert_int_equal(shmring_expel(producer, 1), 0);
	assert_int_equal(await_event(producer, &visitor), SHMRING_DIED);
	assert_int_equal(waitpid(victim.pid, NULL, 0), victim.pid);
	publish(producer, 3);
	take(swift, 3);
	number = 0;
	assert_false(shmring_stalled(producer, 10, &number, &visitor));
	shmring_detach(swift);
	shmring_destroy(producer);
}

/* As if nothing had come back for as long as the machine runs. */
static void starve_from_the_beginning(struct shmring_producer *producer)
{
	struct shmring_slot slot;

	assert_int_equal(shmring_claim(producer, 0, &slot), -ETIMEDOUT);
	producer->starved_since_ns = 1;
	for (uint32_t i = 0; i < producer->slot_count; i++)
		producer->shadow[i].offered_ns = 1;
}

static void a_newcomer_is_not_blamed_for_the_time_before_it_came(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("newcomer", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 3, .readers = 2});
	struct shmring_reader *reader = join(producer, 0, SHMRING_ANY_NUMBER), *other = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_visitor visitor;
	uint32_t number = 0;

	(void)state;
	shmring_detach(reader);
	shmring_detach(other);
	assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
	assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
	publish_range(producer, 0, 2);
	starve_from_the_beginning(producer);
	reader = join(producer, 0, SHMRING_ANY_NUMBER); /* it gets the batches that nobody saw, */
	other = join(producer, 0, SHMRING_ANY_NUMBER);  /* and this one waits for the next */
	assert_false(shmring_stalled(producer, 20000, &number, &visitor));
	starve_from_the_beginning(producer);
	number = 0;
	assert_true(shmring_stalled(producer, 1000, &number, &visitor));
	assert_int_equal(visitor.reader, 0);
	shmring_detach(reader);
	shmring_detach(other);
	shmring_destroy(producer);
}

static void a_lane_that_nobody_reads_stalls_the_others(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("lane", &(struct ring_plan){.share = SHMRING_LANES, .slots = 4, .readers = 2});
	struct shmring_reader *reader = join(producer, 1, 1);
	struct shmring_visitor visitor;
	uint32_t number = 0;

	(void)state;
	publish_range(producer, 0, 3);
	starve_from_the_beginning(producer);
	assert_false(shmring_stalled(producer, 1000, &number, &visitor)); /* reader 1 has work to do */
	take(reader, 1);
	take(reader, 3);
	publish_range(producer, 4, 5);
	take(reader, 5);
	publish(producer, 6);
	starve_from_the_beginning(producer);
	number = 0;
	assert_true(shmring_stalled(producer, 1000, &number, &visitor));
	assert_int_equal(visitor.reader, 0);
	assert_true(visitor.is_absent);
	assert_false(shmring_stalled(producer, 1000, &number, &visitor));
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_reader_that_keeps_what_it_may_keep_is_not_blamed(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("keeper", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 3, .readers = 2});
	struct shmring_reader *keeper = join(producer, 1, 0), *idler = join(producer, 1, 1);
	struct shmring_visitor visitor;
	struct shmring_lease kept;
	uint32_t number = 0;

	(void)state;
	publish_range(producer, 0, 2);
	expect(keeper, &kept, 0, false);
	take(keeper, 1);
	take(keeper, 2);
	take(idler, 0);
	starve_from_the_beginning(producer);
	assert_true(shmring_stalled(producer, 1000, &number, &visitor));
	assert_int_equal(visitor.reader, 1);
	assert_false(shmring_stalled(producer, 1000, &number, &visitor));
	assert_int_equal(shmring_release(keeper, &kept), 0);
	shmring_detach(keeper);
	shmring_detach(idler);
	shmring_destroy(producer);
}

static void a_dead_readers_batch_stays_flagged_when_the_others_leave_it_too(void **state)
{
	const char *name = ring_name("twice-left");
	struct shmring_producer *producer =
		ring_create_as(name, &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 2});
	struct shmring_reader *leaver = join(producer, 0, SHMRING_ANY_NUMBER), *heir;
	struct shmring_visitor visitor;
	struct shmring_lease lease;
	struct victim victim;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	publish(producer, 0);
	victim = start_victim(name, 1, false);
	assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
	await_victim(&victim);
	kill_victim(&victim);
	assert_int_equal(await_event(producer, &visitor), SHMRING_DIED);
	publish(producer, 1);
	shmring_detach(leaver);
	assert_int_equal(await_event(producer, &visitor), SHMRING_LEFT);
	heir = join(producer, 0, SHMRING_ANY_NUMBER);
	expect(heir, &lease, 0, true);
	assert_int_equal(shmring_release(heir, &lease), 0);
	take(heir, 1);
	shmring_detach(heir);
	shmring_destroy(producer);
}

static void a_reader_that_cannot_use_the_ring_after_all_says_goodbye(void **state)
{
	struct shmring_producer *producer = ring_create_as("misfit", &(struct ring_plan){.slots = 4, .readers = 1});
	struct shmring_visitor visitor;
	struct shmring_reader *reader;
	struct err err;

	(void)state;
	producer->map.header->magic[0] ^= 1;
	assert_null(ring_try_adopt(producer, &(struct shmring_wish){.number = SHMRING_ANY_NUMBER}, &err));
	assert_non_null(strstr(err.text, "no ring"));
	for (int attempts = 0; shmring_reader_count(producer) > 0; attempts++) {
		(void)shmring_door_step(producer, &visitor);
		assert_true(attempts < 20000);
		usleep(1000);
	}
	producer->map.header->magic[0] ^= 1;
	reader = join(producer, 0, SHMRING_ANY_NUMBER);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_forked_child_can_neither_take_nor_give_back(void **state)
{
	struct shmring_producer *producer = ring_create_as("fork", &(struct ring_plan){.slots = 4, .readers = 1});
	struct shmring_reader *reader = join(producer, 0, SHMRING_ANY_NUMBER);
	struct shmring_lease lease, more;
	int status;
	pid_t child;

	(void)state;
	publish_range(producer, 0, 1);
	expect(reader, &lease, 0, false);
	child = fork();
	if (child == 0) {
		bool refused = shmring_acquire(reader, 0, &more) == -ECHILD && shmring_release(reader, &lease) == -ECHILD;

		shmring_detach(reader);
		_exit(refused ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(shmring_reader_count(producer), 1);
	assert_int_equal(shmring_release(reader, &lease), 0);
	take(reader, 1);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void notes_reach_the_reader(void **state)
{
	struct shmring_producer *producer = ring_create("notes", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = ring_adopt_reader(producer);

	(void)state;
	shmring_note(producer, 0, 7);
	shmring_note(producer, SHMRING_MAX_NOTES - 1, UINT64_MAX);
	shmring_destroy(producer);
	assert_int_equal(shmring_note_of(reader, 0), 7);
	assert_int_equal(shmring_note_of(reader, 1), 0);
	assert_true(shmring_note_of(reader, SHMRING_MAX_NOTES - 1) == UINT64_MAX);
	assert_int_equal(shmring_note_of(reader, SHMRING_MAX_NOTES), 0);
	shmring_detach(reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_gives_each_batch_to_one_reader),
		cmocka_unit_test(lanes_give_batch_k_to_reader_k_mod_n),
		cmocka_unit_test(broadcast_gives_every_batch_to_every_reader_and_frees_it_after_the_last),
		cmocka_unit_test(a_broadcast_without_audience_is_kept_for_the_next_reader),
		cmocka_unit_test(what_a_dead_reader_held_is_offered_again_and_flagged),
		cmocka_unit_test(a_dead_broadcast_reader_holds_up_nobody_and_repeats_nothing_for_the_others),
		cmocka_unit_test(a_broadcast_that_lost_its_audience_goes_to_those_who_are_there),
		cmocka_unit_test(what_a_leaver_still_holds_stays_its_own),
		cmocka_unit_test(what_a_leaver_held_counts_as_read_when_it_dies),
		cmocka_unit_test(a_reader_that_keeps_more_than_it_said_gets_an_answer_at_once),
		cmocka_unit_test(joining_is_refused_when_the_slots_the_number_or_the_places_do_not_suffice),
		cmocka_unit_test(twenty_four_readers_join_and_the_next_is_refused),
		cmocka_unit_test(a_stalled_broadcast_reader_is_named_and_can_be_expelled),
		cmocka_unit_test(a_newcomer_is_not_blamed_for_the_time_before_it_came),
		cmocka_unit_test(a_lane_that_nobody_reads_stalls_the_others),
		cmocka_unit_test(a_reader_that_keeps_what_it_may_keep_is_not_blamed),
		cmocka_unit_test(a_dead_readers_batch_stays_flagged_when_the_others_leave_it_too),
		cmocka_unit_test(a_reader_that_cannot_use_the_ring_after_all_says_goodbye),
		cmocka_unit_test(a_forked_child_can_neither_take_nor_give_back),
		cmocka_unit_test(notes_reach_the_reader),
	};

	return cmocka_run_group_tests_name("audience", tests, NULL, NULL);
}
