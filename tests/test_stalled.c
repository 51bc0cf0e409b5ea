/* test_stalled.c - readers that hold up the others are found, and nobody else is blamed. */
#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/audience_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stalled_broadcast_reader_is_named_and_can_be_expelled),
		cmocka_unit_test(a_newcomer_is_not_blamed_for_the_time_before_it_came),
		cmocka_unit_test(a_lane_that_nobody_reads_stalls_the_others),
		cmocka_unit_test(a_reader_that_keeps_what_it_may_keep_is_not_blamed),
	};

	return cmocka_run_group_tests_name("stalled", tests, NULL, NULL);
}
