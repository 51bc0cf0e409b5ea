/* test_times.c - a slot remembers when its batch was claimed, published, taken and given back; a place, how long its readers waited. */
#include "base/clock.h"
#include "shmring/producer.h"
#include "tests/audience_fixture.h"

/* a <= b <= c <= d, and none of them is 0. */
static void assert_in_order(uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	assert_true(a > 0 && a <= b && b <= c && c <= d);
}

static void assert_same(const struct shmring_times *a, const struct shmring_times *b)
{
	assert_int_equal(a->sequence, b->sequence);
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->reader, b->reader);
	assert_int_equal(a->claimed_ns, b->claimed_ns);
	assert_int_equal(a->ready_ns, b->ready_ns);
	assert_int_equal(a->acquired_ns, b->acquired_ns);
	assert_int_equal(a->waited_ns, b->waited_ns);
	assert_int_equal(a->released_ns, b->released_ns);
}

static void a_batch_remembers_its_way_until_the_slot_is_claimed_again(void **state)
{
	uint64_t begin_ns = clock_now_ns();
	struct shmring_producer *producer = ring_create("times", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = join(producer, 1, SHMRING_ANY_NUMBER);
	struct shmring_times times;
	struct shmring_slot slot;
	struct shmring_lease lease;

	(void)state;
	assert_int_equal(shmring_slot_times(producer, 0).claimed_ns, 0);
	assert_int_equal(shmring_claim(producer, 0, &slot), 0);
	assert_int_equal(slot.before.claimed_ns, 0);
	assert_int_equal(shmring_slot_times(producer, slot.index).ready_ns, 0);
	shmring_commit(producer, &slot, 7, RING_ROWS);
	assert_int_equal(shmring_acquire(reader, 0, &lease), 0);
	assert_int_equal(shmring_slot_times(producer, slot.index).released_ns, 0);
	assert_int_equal(shmring_release(reader, &lease), 0);
	times = shmring_slot_times(producer, slot.index);
	assert_in_order(begin_ns, times.claimed_ns, times.ready_ns, times.acquired_ns);
	assert_in_order(times.acquired_ns, times.released_ns, clock_now_ns(), UINT64_MAX);
	assert_int_equal(times.epoch, 7);
	assert_int_equal(times.reader, 0);
	assert_int_equal(times.waited_ns, 0); /* it was there already */

	assert_int_equal(shmring_claim(producer, 0, &slot), 0);
	assert_int_equal(slot.index, lease.slot);
	assert_same(&slot.before, &times);
	times = shmring_slot_times(producer, slot.index);
	assert_true(times.claimed_ns >= slot.before.released_ns);
	assert_int_equal(times.ready_ns + times.acquired_ns + times.waited_ns + times.released_ns, 0);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void a_wait_counts_for_the_batch_that_ends_it_and_at_first_as_start(void **state)
{
	struct shmring_producer *producer = ring_create("wait", SHMRING_SEGMENT_AUTO, SHMRING_SPLIT);
	struct shmring_reader *reader = join(producer, 1, SHMRING_ANY_NUMBER);
	struct shmring_reader_times first, second;
	struct shmring_lease lease;

	(void)state;
	assert_int_equal(shmring_acquire(reader, 20, &lease), -ETIMEDOUT);
	assert_int_equal(shmring_acquire(reader, 20, &lease), -ETIMEDOUT);
	publish(producer, 0);
	take(reader, 0);
	first = shmring_reader_times(producer);
	assert_true(first.wait_ns >= 40000000);
	assert_int_equal(first.start_wait_ns, first.wait_ns);
	assert_int_equal(shmring_slot_times(producer, 0).waited_ns, first.wait_ns);

	assert_int_equal(shmring_acquire(reader, 20, &lease), -ETIMEDOUT);
	publish(producer, 1);
	take(reader, 1);
	second = shmring_reader_times(producer);
	assert_int_equal(second.start_wait_ns, first.start_wait_ns);
	assert_int_equal(shmring_slot_times(producer, 0).waited_ns, second.wait_ns - first.wait_ns);
	assert_true(second.present_ns >= second.wait_ns);
	shmring_detach(reader);
	shmring_destroy(producer);
}

static void in_broadcast_the_first_acquire_and_the_last_release_count(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("both", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 2});
	struct shmring_reader *reader[2] = {join(producer, 1, 0), join(producer, 1, 1)};
	struct shmring_lease lease[2];
	struct shmring_times times, first;

	(void)state;
	publish(producer, 0);
	expect(reader[1], &lease[1], 0, false);
	first = shmring_slot_times(producer, 0);
	assert_int_equal(first.reader, 1);
	usleep(2000);
	expect(reader[0], &lease[0], 0, false);
	assert_int_equal(shmring_release(reader[1], &lease[1]), 0);
	times = shmring_slot_times(producer, 0);
	assert_same(&times, &first); /* neither the second acquire nor the first release left a trace */
	usleep(2000);
	assert_int_equal(shmring_release(reader[0], &lease[0]), 0);
	times = shmring_slot_times(producer, 0);
	assert_int_equal(times.acquired_ns, first.acquired_ns);
	assert_true(times.released_ns >= first.acquired_ns + 4000000);
	shmring_detach(reader[0]);
	shmring_detach(reader[1]);
	shmring_destroy(producer);
}

/* The batch of a reader that died is another's, with that one's times; the dead one's presence stays counted, and ends. */
static void a_dead_readers_time_ends_and_its_successors_begins(void **state)
{
	const char *name = ring_name("dead");
	struct shmring_producer *producer = ring_create_as(name, &(struct ring_plan){.readers = 1});
	struct shmring_visitor visitor;
	struct shmring_reader_times dead;
	struct shmring_reader *reader;
	struct shmring_times times;
	struct shmring_lease lease;
	struct victim victim;

	(void)state;
	assert_int_equal(shmring_door_open(producer, NULL, NULL), 0);
	publish(producer, 0);
	victim = start_victim(name, 1, false);
	assert_int_equal(await_event(producer, &visitor), SHMRING_JOINED);
	await_victim(&victim);
	times = shmring_slot_times(producer, 0);
	assert_true(times.acquired_ns > 0);
	kill_victim(&victim);
	assert_int_equal(await_event(producer, &visitor), SHMRING_DIED);
	dead = shmring_reader_times(producer);
	assert_true(dead.present_ns > 0);
	usleep(2000);
	assert_int_equal(shmring_reader_times(producer).present_ns, dead.present_ns);

	reader = join(producer, 1, SHMRING_ANY_NUMBER);
	expect(reader, &lease, 0, true);
	assert_true(shmring_slot_times(producer, 0).acquired_ns > times.acquired_ns);
	assert_int_equal(shmring_release(reader, &lease), 0);
	assert_true(shmring_slot_times(producer, 0).released_ns >= shmring_slot_times(producer, 0).acquired_ns);
	assert_true(shmring_reader_times(producer).present_ns > dead.present_ns);
	shmring_detach(reader);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_remembers_its_way_until_the_slot_is_claimed_again),
		cmocka_unit_test(a_wait_counts_for_the_batch_that_ends_it_and_at_first_as_start),
		cmocka_unit_test(in_broadcast_the_first_acquire_and_the_last_release_count),
		cmocka_unit_test(a_dead_readers_time_ends_and_its_successors_begins),
	};

	return cmocka_run_group_tests_name("times", tests, NULL, NULL);
}
