/* test_philox.c - the generator against its published known answers, and what a draw depends on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/philox.h"

static void assert_same_words(struct philox_words got, struct philox_words expected)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(got.word[i], expected.word[i]);
}

/* Source: Random123, tests/kat_vectors, philox4x32 10. */
static void philox_gives_the_known_answers(void **state)
{
	static const struct {
		uint32_t counter[4], key[2];
		struct philox_words answer;
	} known[] = {
		{{0, 0, 0, 0}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
		{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
	         {0xffffffff, 0xffffffff},
	         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
		{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
	         {0xa4093822, 0x299f31d0},
	         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		assert_same_words(philox(known[i].counter, known[i].key), known[i].answer);
}

static void draw_lays_out_its_counter_as_documented(void **state)
{
	const uint32_t counter[4] = {0x55667788, 0x11223344, 0x99aabbcc, PHILOX_FLIP << 24 | 0x0eeff0};
	const uint32_t key[2] = {0x89abcdef, 0x01234567};

	(void)state;
	assert_same_words(philox_draw(0x0123456789abcdef, 0x99aabbcc, 0x1122334455667788, PHILOX_FLIP, 0x0eeff0),
	                  philox(counter, key));
}

static void every_argument_of_a_draw_matters(void **state)
{
	struct philox_words draws[] = {
		philox_draw(1, 1, 1, PHILOX_CROP, 1),
		philox_draw(2, 1, 1, PHILOX_CROP, 1),
		philox_draw(1 | UINT64_C(1) << 32, 1, 1, PHILOX_CROP, 1),
		philox_draw(1, 2, 1, PHILOX_CROP, 1),
		philox_draw(1, 1, 2, PHILOX_CROP, 1),
		philox_draw(1, 1, 1 | UINT64_C(1) << 32, PHILOX_CROP, 1),
		philox_draw(1, 1, 1, PHILOX_FLIP, 1),
		philox_draw(1, 1, 1, PHILOX_CROP, 2),
	};

	(void)state;
	for (size_t i = 0; i < sizeof draws / sizeof *draws; i++)
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(&draws[i], &draws[j], sizeof *draws);
}

static void unit_begins_at_0_and_ends_before_1(void **state)
{
	(void)state;
	assert_true(philox_unit(0) == 0);
	assert_true(philox_unit(1) == 0x1p-32);
	assert_true(philox_unit(0x80000000) == 0.5);
	assert_true(philox_unit(0xffffffff) == 1 - 0x1p-32);
}

static void below_reaches_every_value_and_never_its_bound(void **state)
{
	(void)state;
	assert_int_equal(philox_below(0, 1), 0);
	assert_int_equal(philox_below(0xffffffff, 1), 0);
	for (uint32_t bound = 2; bound < 2000; bound++) {
		assert_int_equal(philox_below(0, bound), 0);
		assert_int_equal(philox_below(0xffffffff, bound), bound - 1);
		for (uint32_t value = 0; value < bound; value += 97) {
			uint32_t first_word = (uint32_t)((((uint64_t)value << 32) + bound - 1) / bound);

			assert_int_equal(philox_below(first_word, bound), value);
		}
	}
	assert_int_equal(philox_below(0xffffffff, 0xffffffff), 0xfffffffe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(philox_gives_the_known_answers),
		cmocka_unit_test(draw_lays_out_its_counter_as_documented),
		cmocka_unit_test(every_argument_of_a_draw_matters),
		cmocka_unit_test(unit_begins_at_0_and_ends_before_1),
		cmocka_unit_test(below_reaches_every_value_and_never_its_bound),
	};

	return cmocka_run_group_tests_name("philox", tests, NULL, NULL);
}
