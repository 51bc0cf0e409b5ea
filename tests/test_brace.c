/* Tests of loader/plan/tar/brace.c: patterns and the names that they stand for. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/tar/brace.h"

static char joined[4096];
static uint32_t name_count;

static int join(void *context, const char *name)
{
	(void)context;
	name_count++;
	if (strlen(joined) + strlen(name) + 2 < sizeof joined)
		strcat(strcat(joined, name), " ");
	return 0;
}

static void expect_names(const char *pattern, const char *names)
{
	struct err err = {""};

	joined[0] = '\0';
	if (brace_expand(pattern, join, NULL, &err) != 0)
		fail_msg("%s: %s", pattern, err.text);
	assert_string_equal(joined, names);
}

static void expect_refusal(const char *pattern, const char *words)
{
	struct err err = {""};

	assert_int_equal(brace_expand(pattern, join, NULL, &err), -EINVAL);
	if (!strstr(err.text, words))
		fail_msg("%s: \"%s\", expected \"%s\"", pattern, err.text, words);
}

static void a_name_without_braces_stands_for_itself(void **state)
{
	(void)state;
	expect_names("data.tar", "data.tar ");
	expect_names("", " ");
}

static void ranges_count_with_as_many_digits_as_they_are_written_with(void **state)
{
	(void)state;
	expect_names("x-{0..3}.tar", "x-0.tar x-1.tar x-2.tar x-3.tar ");
	expect_names("x-{008..011}", "x-008 x-009 x-010 x-011 ");
	expect_names("{8..11}", "8 9 10 11 ");
	expect_names("{08..11}", "08 09 10 11 ");
	expect_names("{8..0011}", "0008 0009 0010 0011 ");
	expect_names("{3..1}", "3 2 1 ");
	expect_names("{0..0}", "0 ");
	expect_names("{000..000}", "000 ");
	expect_names("{999999999999999998..999999999999999999}", "999999999999999998 999999999999999999 ");
}

static void lists_and_several_braces_change_the_first_slowest(void **state)
{
	(void)state;
	expect_names("{train,val}.tar", "train.tar val.tar ");
	expect_names("{a,,b}", "a  b ");
	expect_names("{a,b}{0..1}", "a0 a1 b0 b1 ");
	expect_names("{x-{0..2},y}.tar", "x-0.tar x-1.tar x-2.tar y.tar ");
	expect_names("{a,b{c,d}}", "a bc bd ");
}

static void what_is_no_pattern_is_refused_with_a_reason(void **state)
{
	(void)state;
	expect_refusal("x-{0..3.tar", "without its other half");
	expect_refusal("x-0..3}.tar", "without its other half");
	expect_refusal("}{", "without its other half");
	expect_refusal("{}", "expected numbers");
	expect_refusal("{a}", "expected numbers");
	expect_refusal("{a..e}", "expected numbers");
	expect_refusal("{0..9..2}", "expected numbers");
	expect_refusal("{-1..3}", "expected numbers");
	expect_refusal("{..}", "expected numbers");
	expect_refusal("{0..9999999999999999999}", "expected numbers");
}

static void no_pattern_takes_more_time_or_memory_than_a_million_names(void **state)
{
	char deep[200] = "", *at = deep, wide[5000];

	(void)state;
	name_count = 0;
	expect_refusal("{1..1000001}", "1000001 names");
	expect_refusal("{0..999999999999999999}", "1000000000000000000 names");
	assert_int_equal(name_count, 0);
	expect_refusal("{0..99}{0..99}{0..99}{0..99}", "more than 1000000");
	assert_int_equal(name_count, 1000000);
	for (int i = 0; i < 30; i++)
		at = stpcpy(at, "{a,b}");
	expect_refusal(deep, "more than 16 pairs");
	memset(wide, 'x', sizeof wide);
	strcpy(wide + sizeof wide - 6, "{0,1}");
	expect_refusal(wide, "characters");
}

static int stop(void *context, const char *name)
{
	(void)name;
	return ++*(int *)context == 3 ? -ENOMEM : 0;
}

static void whoever_takes_them_can_say_stop(void **state)
{
	int count = 0;

	(void)state;
	assert_int_equal(brace_expand("{0..9}", stop, &count, NULL), -ENOMEM);
	assert_int_equal(count, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_without_braces_stands_for_itself),
		cmocka_unit_test(ranges_count_with_as_many_digits_as_they_are_written_with),
		cmocka_unit_test(lists_and_several_braces_change_the_first_slowest),
		cmocka_unit_test(what_is_no_pattern_is_refused_with_a_reason),
		cmocka_unit_test(no_pattern_takes_more_time_or_memory_than_a_million_names),
		cmocka_unit_test(whoever_takes_them_can_say_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
