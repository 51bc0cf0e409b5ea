/* test_slot.c - the slot word keeps its parts apart; the lowest batch is found, also where sequences wrap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "shmring/slot.h"

static void a_word_gives_back_what_was_put_in(void **state)
{
	uint64_t word = slot_word(0xdeadbeef, 0xabcdef, LAYOUT_HELD);

	(void)state;
	assert_int_equal(slot_sequence(word), 0xdeadbeef);
	assert_int_equal(slot_mask(word), 0xabcdef);
	assert_int_equal(slot_state(word), LAYOUT_HELD);
	assert_int_equal(slot_mask(slot_word(0, UINT32_MAX, LAYOUT_FREE)), 0xffffff);
	assert_int_equal(slot_sequence(slot_word(0, UINT32_MAX, LAYOUT_FREE)), 0);
}

static const struct slot_filter anything = {.bit = 1, .share = SHMRING_SPLIT};

static void set_words(struct layout_slot *slots, const uint64_t *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		atomic_store(&slots[i].word, words[i]);
}

static void the_lowest_ready_slot_is_found_wherever_it_lies(void **state)
{
	struct layout_slot slots[4];
	const uint64_t words[] = {slot_word(9, 0, LAYOUT_READY), slot_word(7, 0, LAYOUT_READY), slot_word(1, 0, LAYOUT_FREE),
	                          slot_word(2, 1, LAYOUT_HELD)};
	uint64_t word;

	(void)state;
	set_words(slots, words, 4);
	assert_int_equal(slot_find_lowest(slots, 4, &anything, &word), 1);
	assert_int_equal(word, words[1]);
	assert_int_equal(slot_count_state(slots, 4, LAYOUT_READY), 2);
}

static void nothing_ready_gives_no_slot(void **state)
{
	struct layout_slot slots[3];
	const uint64_t words[] = {slot_word(0, 0, LAYOUT_FREE), slot_word(1, 0, LAYOUT_FILLING), slot_word(2, 1, LAYOUT_HELD)};
	uint64_t word;

	(void)state;
	set_words(slots, words, 3);
	assert_int_equal(slot_find_lowest(slots, 3, &anything, &word), SLOT_NONE);
}

static void sequences_wrap(void **state)
{
	struct layout_slot slots[3];
	const uint64_t words[] = {slot_word(1, 0, LAYOUT_READY), slot_word(UINT32_MAX, 0, LAYOUT_READY),
	                          slot_word(0, 0, LAYOUT_READY)};
	uint64_t word;

	(void)state;
	set_words(slots, words, 3);
	assert_int_equal(slot_find_lowest(slots, 3, &anything, &word), 1);
	assert_true(slot_sequence_before(UINT32_MAX, 0));
	assert_false(slot_sequence_before(0, UINT32_MAX));
	assert_false(slot_sequence_before(5, 5));
}

static void each_reader_finds_what_is_its_own(void **state)
{
	struct layout_slot slots[4];
	const uint64_t words[] = {slot_word(5, 1, LAYOUT_READY), slot_word(6, 2, LAYOUT_READY), slot_word(7, 3, LAYOUT_READY),
	                          slot_word(4, 0, LAYOUT_READY)};
	struct slot_filter filter = {.bit = 2, .share = SHMRING_LANES};
	uint64_t word;

	(void)state;
	set_words(slots, words, 4);
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), 1);
	filter.share = SHMRING_BROADCAST;
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), 1);
	slot_note_taken(&filter, 1, 6); /* its bit stays as long as it has the batch */
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), 2);
	slot_note_taken(&filter, 2, 7);
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), SLOT_NONE);
	filter.bit = 4;
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), SLOT_NONE);
	filter.share = SHMRING_SPLIT;
	assert_int_equal(slot_find_lowest(slots, 4, &filter, &word), 3);
}

/* A reader that claimed such a batch would make a proper word of it, before the producer can see what was wrong. */
static void a_batch_with_marks_that_its_mode_does_not_have_is_for_nobody(void **state)
{
	const uint64_t words[] = {slot_word(1, 2, LAYOUT_READY) | SLOT_SEEN, slot_word(2, 3, LAYOUT_READY),
	                          slot_word(3, 0, LAYOUT_READY) | SLOT_SEEN};
	struct slot_filter filter = {.bit = 2, .share = SHMRING_LANES};
	struct layout_slot slots[3];
	uint64_t word;

	(void)state;
	set_words(slots, words, 3);
	assert_int_equal(slot_find_lowest(slots, 3, &filter, &word), SLOT_NONE);
	filter.share = SHMRING_SPLIT;
	assert_int_equal(slot_find_lowest(slots, 3, &filter, &word), SLOT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_word_gives_back_what_was_put_in),
		cmocka_unit_test(the_lowest_ready_slot_is_found_wherever_it_lies),
		cmocka_unit_test(nothing_ready_gives_no_slot),
		cmocka_unit_test(sequences_wrap),
		cmocka_unit_test(each_reader_finds_what_is_its_own),
		cmocka_unit_test(a_batch_with_marks_that_its_mode_does_not_have_is_for_nobody),
	};

	return cmocka_run_group_tests_name("slot", tests, NULL, NULL);
}
