/* test_audit.c - every word that the readers can have written passes; every other one poisons the ring, for everybody and for good. */
#include <pthread.h>

#include "shmring/producer.h"
#include "shmring/slot.h"
#include "tests/ring_fixture.h"

enum { SEQUENCE = 5, OTHER_SEQUENCE = 6, BIT = 1u << 1, STRANGE_BIT = 1u << 3 };

/* What the producer knows of slot 0: readers 0 and 1 are in. */
enum knowledge { NEVER_USED, FILLED, OFFERED, ORPHANED, KNOWLEDGE_COUNT };

static struct shmring_producer *create_knowing(enum shmring_share share, enum knowledge knowledge)
{
	struct shmring_producer *producer = ring_create_as("audit", &(struct ring_plan){.share = share, .slots = 4, .readers = 3});
	struct producer_shadow *shadow = &producer->shadow[0];

	producer->known_mask = producer->present_mask = 3;
	*shadow =
		(struct producer_shadow){.sequence = SEQUENCE, .filling = knowledge == FILLED, .offered_ns = knowledge >= OFFERED};
	if (knowledge == OFFERED && share != SHMRING_SPLIT)
		shadow->offered_mask = share == SHMRING_LANES ? BIT : 3;
	return producer;
}

static bool passes(enum shmring_share share, enum knowledge knowledge, uint64_t word)
{
	struct shmring_producer *producer = create_knowing(share, knowledge);
	int rc;

	producer->map.slot[0].word = word;
	rc = shmring_audit(producer);
	assert_true(rc == 0 || rc == -EPROTO);
	shmring_destroy(producer);
	return rc == 0;
}

/* Readers may also have left a batch alone.  In broadcast it is unread until one of them has given it back. */
static bool is_legal(enum shmring_share share, enum knowledge knowledge, uint32_t mask, enum layout_state state, bool seen)
{
	if (knowledge == FILLED)
		return state == LAYOUT_FILLING && mask == 0 && !seen;
	if (state == LAYOUT_FREE)
		return mask == 0 && !seen;
	if (knowledge == NEVER_USED)
		return false;
	if (share == SHMRING_SPLIT)
		return !seen && ((state == LAYOUT_READY && mask == 0) || (state == LAYOUT_HELD && (mask == 1 || mask == BIT)));
	if (share == SHMRING_LANES && knowledge == OFFERED)
		return !seen && mask == BIT && (state == LAYOUT_READY || state == LAYOUT_HELD);
	if (share == SHMRING_BROADCAST && knowledge == OFFERED)
		return state == LAYOUT_READY && (seen ? mask >= 1 && mask <= 3 : mask == 3);
	return state == LAYOUT_READY && mask == 0 && !seen; /* offered to nobody */
}

static void a_word_passes_if_and_only_if_readers_can_have_written_it(void **state)
{
	static const uint32_t masks[] = {0, 1, BIT, 1 | BIT, STRANGE_BIT, BIT | STRANGE_BIT};
	int passed = 0, tried = 0;

	(void)state;
	for (int share = SHMRING_SPLIT; share <= SHMRING_BROADCAST; share++) {
		for (int knowledge = NEVER_USED; knowledge < KNOWLEDGE_COUNT; knowledge++) {
			for (size_t mask = 0; mask < sizeof masks / sizeof masks[0]; mask++) {
				for (int word_state = 0; word_state <= LAYOUT_POISON + 1; word_state++) {
					for (int seen = 0; seen <= 1; seen++) {
						uint64_t word = slot_word(SEQUENCE, masks[mask], (enum layout_state)word_state) |
						                (seen ? SLOT_SEEN : 0);
						bool legal = is_legal((enum shmring_share)share, (enum knowledge)knowledge,
						                      masks[mask], (enum layout_state)word_state, seen != 0);

						if (passes((enum shmring_share)share, (enum knowledge)knowledge, word) != legal)
							fail_msg("share %d, knowledge %d: word %#llx is %s", share, knowledge,
							         (unsigned long long)word, legal ? "refused" : "let through");
						tried++;
						passed += legal;
					}
				}
			}
		}
	}
	print_message("%d words, %d of them possible\n", tried, passed);
	assert_false(passes(SHMRING_SPLIT, OFFERED, slot_word(OTHER_SEQUENCE, 0, LAYOUT_READY)));
	assert_false(passes(SHMRING_SPLIT, OFFERED, slot_word(OTHER_SEQUENCE, 0, LAYOUT_FREE)));
}

static void a_reader_that_is_gone_can_have_written_nothing(void **state)
{
	struct shmring_producer *producer = create_knowing(SHMRING_SPLIT, OFFERED);

	(void)state;
	producer->map.slot[0].word = slot_word(SEQUENCE, BIT, LAYOUT_HELD);
	assert_int_equal(shmring_audit(producer), 0);
	producer->known_mask = 1;
	assert_int_equal(shmring_audit(producer), -EPROTO);
	shmring_destroy(producer);
}

static void a_poisoned_ring_stays_so_and_wakes_everybody(void **state)
{
	struct shmring_producer *producer = ring_create_as("poison", &(struct ring_plan){.slots = 4, .readers = 1});
	struct shmring_reader *reader = ring_adopt_reader(producer);
	sem_t *bell = &producer->map.bells->reader[0].bell;
	struct shmring_slot slot;
	struct shmring_lease lease;
	char text[LAYOUT_END_TEXT_BYTES];
	int rung;

	(void)state;
	assert_int_equal(shmring_claim(producer, 0, &slot), 0);
	producer->map.slot[2].word = slot_word(77, 0, LAYOUT_READY);
	while (sem_trywait(bell) == 0)
		;
	assert_int_equal(shmring_audit(producer), -EPROTO);
	assert_int_equal(sem_getvalue(bell, &rung), 0);
	assert_int_equal(rung, 1);
	for (uint32_t i = 0; i < producer->slot_count; i++)
		assert_int_equal(slot_state(producer->map.slot[i].word), LAYOUT_POISON);

	shmring_commit(producer, &slot, 0, RING_ROWS);
	assert_int_equal(shmring_published(producer), 0);
	for (uint32_t i = 0; i < producer->slot_count; i++) /* however good the words may look again */
		producer->map.slot[i].word =
			slot_word(producer->shadow[i].sequence, 0, i == slot.index ? LAYOUT_FILLING : LAYOUT_FREE);
	assert_int_equal(shmring_audit(producer), -EPROTO);
	assert_int_equal(shmring_claim(producer, 0, &slot), -EPROTO);
	shmring_finish(producer, SHMRING_COMPLETE, NULL);
	assert_int_equal(shmring_acquire(reader, 0, &lease), -EPROTO);
	assert_int_equal(shmring_end_text(reader, text, sizeof text), SHMRING_CORRUPTED);
	assert_non_null(strstr(text, "overwritten"));
	shmring_detach(reader);
	shmring_destroy(producer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_passes_if_and_only_if_readers_can_have_written_it),
		cmocka_unit_test(a_reader_that_is_gone_can_have_written_nothing),
		cmocka_unit_test(a_poisoned_ring_stays_so_and_wakes_everybody),
	};

	return cmocka_run_group_tests_name("audit", tests, NULL, NULL);
}
