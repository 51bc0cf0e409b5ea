/* test_audience.c - several readers: who gets which batch, who gets in, and how much each may hold. */
#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/audience_fixture.h"

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
		cmocka_unit_test(a_reader_that_keeps_more_than_it_said_gets_an_answer_at_once),
		cmocka_unit_test(joining_is_refused_when_the_slots_the_number_or_the_places_do_not_suffice),
		cmocka_unit_test(twenty_four_readers_join_and_the_next_is_refused),
		cmocka_unit_test(a_reader_that_cannot_use_the_ring_after_all_says_goodbye),
		cmocka_unit_test(notes_reach_the_reader),
	};

	return cmocka_run_group_tests_name("audience", tests, NULL, NULL);
}
