/* test_crashed_list.c - the samples of --crashed are found, and no others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/run/crashed_list.h"

static void without_a_list_no_sample_is_on_it(void **state)
{
	struct crashed_list list;

	(void)state;
	assert_int_equal(crashed_list_open(&list, NULL), 0);
	assert_false(crashed_list_has(&list, 0));
	crashed_list_close(&list);
}

static void every_sample_of_the_list_is_found_in_whatever_order_it_stands(void **state)
{
	struct crashed_list list;

	(void)state;
	assert_int_equal(crashed_list_open(&list, "17,0,18446744073709551615,4,4"), 0);
	assert_true(crashed_list_has(&list, 0));
	assert_true(crashed_list_has(&list, 4));
	assert_true(crashed_list_has(&list, 17));
	assert_true(crashed_list_has(&list, UINT64_MAX));
	assert_false(crashed_list_has(&list, 1));
	assert_false(crashed_list_has(&list, 16));
	assert_false(crashed_list_has(&list, 18));
	crashed_list_close(&list);
	assert_false(crashed_list_has(&list, 4));
}

static void a_list_may_be_long(void **state)
{
	enum { COUNT = 10000 };
	struct crashed_list list;
	char *text = malloc(COUNT * sizeof "12345,"), *to = text;

	(void)state;
	assert_non_null(text);
	for (int i = COUNT; i-- > 0;)
		to += sprintf(to, "%d%s", 2 * i, i > 0 ? "," : "");
	assert_int_equal(crashed_list_open(&list, text), 0);
	assert_int_equal(list.count, COUNT);
	for (uint64_t sample = 0; sample < 2 * COUNT + 2; sample++)
		assert_int_equal(crashed_list_has(&list, sample), sample % 2 == 0 && sample < 2 * COUNT);
	crashed_list_close(&list);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_list_no_sample_is_on_it),
		cmocka_unit_test(every_sample_of_the_list_is_found_in_whatever_order_it_stands),
		cmocka_unit_test(a_list_may_be_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
