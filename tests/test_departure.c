/* test_departure.c - readers that leave or die: what they had is offered again, or counts as read, and nobody waits for them. */
#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/audience_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_dead_reader_held_is_offered_again_and_flagged),
		cmocka_unit_test(a_dead_broadcast_reader_holds_up_nobody_and_repeats_nothing_for_the_others),
		cmocka_unit_test(a_broadcast_that_lost_its_audience_goes_to_those_who_are_there),
		cmocka_unit_test(what_a_leaver_still_holds_stays_its_own),
		cmocka_unit_test(what_a_leaver_held_counts_as_read_when_it_dies),
		cmocka_unit_test(a_dead_readers_batch_stays_flagged_when_the_others_leave_it_too),
		cmocka_unit_test(a_forked_child_can_neither_take_nor_give_back),
	};

	return cmocka_run_group_tests_name("departure", tests, NULL, NULL);
}
