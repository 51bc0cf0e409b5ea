/* test_audience_words.c - what joining, leaving and dying do to the slot words: one call at a time, without processes. */
#include <pthread.h>

#include "base/clock.h"
#include "shmring/audience.h"
#include "shmring/slot.h"
#include "tests/ring_fixture.h"

enum { BIT_0 = 1, BIT_1 = 2, BIT_2 = 4 };

static struct shmring_producer *create(enum shmring_share share, uint32_t present_count)
{
	struct shmring_producer *producer = ring_create_as("words", &(struct ring_plan){.share = share, .slots = 4, .readers = 3});

	producer->audience_met = true;
	for (uint32_t number = 0; number < present_count; number++)
		audience_join(producer, number, 100, 1);
	return producer;
}

static void publish(struct shmring_producer *producer, uint32_t count)
{
	struct shmring_slot slot;

	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(shmring_claim(producer, 0, &slot), 0);
		shmring_commit(producer, &slot, 0, RING_ROWS);
	}
}

/* The word of the slot that the batch is in, as its first batches are published: in order. */
static void expect_word(const struct shmring_producer *producer, uint32_t index, uint32_t mask, enum layout_state state, bool seen)
{
	uint64_t word = producer->map.slot[index].word;

	assert_int_equal(slot_state(word), state);
	assert_int_equal(slot_mask(word), mask);
	assert_int_equal(slot_seen(word), seen);
}

/* What a reader does. */
static void hold(struct shmring_producer *producer, uint32_t index, uint32_t bit)
{
	producer->map.slot[index].word = slot_word(slot_sequence(producer->map.slot[index].word), bit, LAYOUT_HELD);
}

static void give_back(struct shmring_producer *producer, uint32_t index, uint32_t bit)
{
	uint64_t word = producer->map.slot[index].word;

	producer->map.slot[index].word = slot_word(slot_sequence(word), slot_mask(word) & ~bit, LAYOUT_READY) | SLOT_SEEN;
}

static const struct wire_hello empty_handed;

static void a_newcomer_gets_nothing_that_others_have_yet_to_read(void **state)
{
	struct shmring_producer *producer = create(SHMRING_BROADCAST, 1);

	(void)state;
	publish(producer, 1);
	audience_join(producer, 1, 100, 1);
	expect_word(producer, 0, BIT_0, LAYOUT_READY, false);
	publish(producer, 1);
	expect_word(producer, 1, BIT_0 | BIT_1, LAYOUT_READY, false);
	shmring_destroy(producer);
}

static void the_dead_lose_their_bits_and_nobody_else_does(void **state)
{
	struct shmring_producer *producer = create(SHMRING_BROADCAST, 3);

	(void)state;
	publish(producer, 1);
	give_back(producer, 0, BIT_0);
	assert_int_equal(audience_forget(producer, 1, false), 0);
	expect_word(producer, 0, BIT_2, LAYOUT_READY, true);
	assert_int_equal(audience_forget(producer, 2, false), 0); /* reader 0 has read it: it is not for anyone else */
	expect_word(producer, 0, 0, LAYOUT_FREE, false);
	assert_int_equal(shmring_audit(producer), 0);
	shmring_destroy(producer);
}

static void what_a_leaver_had_in_a_broadcast_counts_as_read(void **state)
{
	struct wire_hello goodbye = {.held_slots = 1};

	(void)state;
	for (int leaver_first = 0; leaver_first <= 1; leaver_first++) {
		struct shmring_producer *producer = create(SHMRING_BROADCAST, 2);

		publish(producer, 1);
		audience_leave(producer, 0, &goodbye);
		expect_word(producer, 0, BIT_0 | BIT_1, LAYOUT_READY, false);
		assert_true(audience_holds(producer, 0));
		assert_int_equal(shmring_untaken(producer, NULL), 1); /* reader 1 is owed it */
		if (leaver_first) {
			assert_int_equal(audience_forget(producer, 0, true), 0);
			expect_word(producer, 0, BIT_1, LAYOUT_READY, true);
			assert_int_equal(audience_forget(producer, 1, false), 0);
		} else {
			audience_leave(producer, 1, &empty_handed);
			assert_int_equal(shmring_untaken(producer, NULL), 0);
			assert_int_equal(audience_forget(producer, 0, true), 0);
		}
		expect_word(producer, 0, 0, LAYOUT_FREE, false);
		assert_int_equal(shmring_audit(producer), 0);
		shmring_destroy(producer);
	}
}

static void a_goodbye_that_names_an_older_batch_keeps_nothing(void **state)
{
	struct shmring_producer *producer = create(SHMRING_BROADCAST, 1);
	struct wire_hello goodbye = {.held_slots = UINT64_MAX, .held_sequence = {9}};

	(void)state;
	publish(producer, 1);
	audience_leave(producer, 0, &goodbye);
	expect_word(producer, 0, 0, LAYOUT_READY, false);
	assert_false(audience_holds(producer, 0));
	shmring_destroy(producer);
}

static void only_a_batch_that_the_dead_one_was_to_read_is_flagged(void **state)
{
	struct shmring_producer *producer = create(SHMRING_BROADCAST, 1);

	(void)state;
	publish(producer, 1);
	audience_join(producer, 1, 100, 1);
	publish(producer, 1);
	assert_int_equal(audience_forget(producer, 1, false), 0);
	audience_leave(producer, 0, &empty_handed);
	audience_join(producer, 2, 100, 1);
	expect_word(producer, 0, BIT_2, LAYOUT_READY, false);
	expect_word(producer, 1, BIT_2, LAYOUT_READY, false);
	assert_int_equal(producer->map.slot[0].redelivered, 0);
	assert_int_equal(producer->map.slot[1].redelivered, 1);
	shmring_destroy(producer);
}

static void the_living_keep_what_they_hold(void **state)
{
	struct shmring_producer *producer = create(SHMRING_SPLIT, 2);

	(void)state;
	publish(producer, 2);
	hold(producer, 0, BIT_0);
	hold(producer, 1, BIT_1);
	assert_int_equal(audience_forget(producer, 0, false), 1);
	expect_word(producer, 0, 0, LAYOUT_READY, false);
	expect_word(producer, 1, BIT_1, LAYOUT_HELD, false);
	assert_int_equal(producer->map.slot[0].redelivered, 1);
	assert_int_equal(producer->map.slot[1].redelivered, 0);
	assert_int_equal(shmring_held(producer), 1);
	audience_leave(producer, 1, &empty_handed);
	assert_int_equal(shmring_held(producer), 0);
	assert_true(audience_holds(producer, 1));
	assert_int_equal(audience_forget(producer, 1, true), 0);
	expect_word(producer, 1, 0, LAYOUT_FREE, false);
	assert_int_equal(shmring_audit(producer), 0);
	hold(producer, 0, BIT_1); /* which nobody can have written any more */
	assert_int_equal(shmring_audit(producer), -EPROTO);
	shmring_destroy(producer);
}

static void batches_that_wait_in_a_lane_are_not_held_by_its_reader(void **state)
{
	struct shmring_producer *producer = create(SHMRING_LANES, 1);

	(void)state;
	publish(producer, 1);
	assert_false(audience_holds(producer, 0));
	hold(producer, 0, BIT_0);
	assert_true(audience_holds(producer, 0));
	assert_int_equal(audience_forget(producer, 0, false), 1);
	expect_word(producer, 0, BIT_0, LAYOUT_READY, false);
	shmring_destroy(producer);
}

static void the_untaken_are_listed_in_order(void **state)
{
	struct shmring_producer *producer = create(SHMRING_SPLIT, 1);
	uint32_t sequences[SHMRING_MAX_SLOTS];

	(void)state;
	publish(producer, 3);
	producer->map.slot[0].word = slot_word(0, 0, LAYOUT_FREE);
	publish(producer, 1); /* batch 3 in slot 0 */
	assert_int_equal(shmring_untaken(producer, sequences), 3);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(sequences[i], i + 1);
	shmring_destroy(producer);
}

static void those_who_stand_still_stall(void **state)
{
	struct shmring_producer *producer = create(SHMRING_BROADCAST, 2);

	(void)state;
	publish(producer, 4);
	for (uint32_t i = 0; i < 4; i++)
		producer->shadow[i].offered_ns = 1;
	assert_int_equal(audience_stalled(producer, 1000), 0); /* nobody has asked for a slot */
	producer->starved_since_ns = clock_now_ns();
	assert_int_equal(audience_stalled(producer, 600000), 0);
	producer->starved_since_ns = 1;
	assert_int_equal(audience_stalled(producer, 1000), 0); /* both do, so that they hold up nobody */
	for (uint32_t i = 0; i < 3; i++)
		give_back(producer, i, BIT_0);
	assert_int_equal(audience_stalled(producer, 1000), BIT_1);
	shmring_destroy(producer);
}

static void empty(sem_t *bell)
{
	while (sem_trywait(bell) == 0)
		;
}

static void whoever_may_wait_for_a_change_is_woken(void **state)
{
	struct shmring_producer *producer =
		ring_create_as("bells", &(struct ring_plan){.share = SHMRING_BROADCAST, .slots = 4, .readers = 2});
	sem_t *reader_bell = &producer->map.bells->reader[0].bell, *producer_bell = &producer->map.bells->producer_bell;

	(void)state;
	audience_join(producer, 0, 100, 1);
	publish(producer, 1);
	empty(reader_bell);
	audience_join(producer, 1, 100, 1); /* the audience is complete */
	assert_int_equal(sem_trywait(reader_bell), 0);

	empty(producer_bell);
	audience_leave(producer, 1, &empty_handed);
	assert_int_equal(sem_trywait(producer_bell), 0);

	empty(producer_bell);
	empty(reader_bell);
	(void)audience_forget(producer, 1, true);
	assert_int_equal(sem_trywait(producer_bell), 0);
	assert_int_equal(sem_trywait(reader_bell), 0);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_newcomer_gets_nothing_that_others_have_yet_to_read),
		cmocka_unit_test(the_dead_lose_their_bits_and_nobody_else_does),
		cmocka_unit_test(what_a_leaver_had_in_a_broadcast_counts_as_read),
		cmocka_unit_test(a_goodbye_that_names_an_older_batch_keeps_nothing),
		cmocka_unit_test(only_a_batch_that_the_dead_one_was_to_read_is_flagged),
		cmocka_unit_test(the_living_keep_what_they_hold),
		cmocka_unit_test(batches_that_wait_in_a_lane_are_not_held_by_its_reader),
		cmocka_unit_test(the_untaken_are_listed_in_order),
		cmocka_unit_test(those_who_stand_still_stall),
		cmocka_unit_test(whoever_may_wait_for_a_change_is_woken),
	};

	return cmocka_run_group_tests_name("audience_words", tests, NULL, NULL);
}
