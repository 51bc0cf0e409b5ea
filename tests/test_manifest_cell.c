/* test_manifest_cell.c - text becomes a number, or it does not; nothing between. */
#include <float.h>
#include <stdbool.h>
#include <stdio.h>

#include "loader/plan/manifest/manifest_cell.h"
#include "tests/manifest_fixture.h"

static struct manifest_cell written(const char *text)
{
	return (struct manifest_cell){.kind = CELL_WRITTEN, .text = text, .text_bytes = strlen(text)};
}

static void whole_numbers_are_digits_within_64_bits(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {{"0", 0},
	            {"-0", 0},
	            {"7", 7},
	            {"007", 7},
	            {"-12", -12},
	            {"9223372036854775807", INT64_MAX},
	            {"-9223372036854775808", INT64_MIN}};
	static const char *const bad[] = {"",
	                                  "-",
	                                  "+1",
	                                  " 1",
	                                  "1 ",
	                                  "12a",
	                                  "1.0",
	                                  "1e3",
	                                  "0x10",
	                                  "9223372036854775808",
	                                  "-9223372036854775809",
	                                  "99999999999999999999999"};
	int64_t value;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct manifest_cell cell = written(good[i].text);

		assert_true(manifest_cell_whole(&cell, &value));
		assert_int_equal(value, good[i].value);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct manifest_cell cell = written(bad[i]);

		if (manifest_cell_whole(&cell, &value))
			fail_msg("\"%s\" was taken for %lld", bad[i], (long long)value);
	}
}

static void real_numbers_are_decimal_and_finite(void **state)
{
	static const struct {
		const char *text;
		double value;
	} good[] = {{"0", 0},      {".5", 0.5},     {"1.", 1},    {"-2.50", -2.5}, {"1e3", 1000},
	            {"1E+2", 100}, {"25e-2", 0.25}, {"0.1", 0.1}, {"1e-400", 0}};
	static const char *const bad[] = {"",     ".",     "-",   "e3", "1e", "1e+", "nan",   "inf",
	                                  "-inf", "0x1p3", "1,5", " 1", "1 ", "1f",  "1e400", "+1"};
	double value;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct manifest_cell cell = written(good[i].text);

		assert_true(manifest_cell_real(&cell, &value));
		assert_true(value == good[i].value);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct manifest_cell cell = written(bad[i]);

		if (manifest_cell_real(&cell, &value))
			fail_msg("\"%s\" was taken for %g", bad[i], value);
	}
}

static void in_json_a_string_is_no_number_and_a_fraction_is_not_whole(void **state)
{
	struct manifest_cell string = {.kind = CELL_STRING, .text = "7", .text_bytes = 1}, whole = {.kind = CELL_WHOLE, .whole = 7},
			     real = {.kind = CELL_REAL, .real = 7.0}, list = {.kind = CELL_OTHER, .text = "a list"}, none = {0};
	int64_t value;
	double share;

	(void)state;
	assert_false(manifest_cell_whole(&string, &value));
	assert_false(manifest_cell_real(&string, &share));
	assert_true(manifest_cell_whole(&whole, &value) && value == 7);
	assert_true(manifest_cell_real(&whole, &share) && share == 7);
	assert_false(manifest_cell_whole(&real, &value));
	assert_true(manifest_cell_real(&real, &share) && share == 7);
	assert_false(manifest_cell_whole(&list, &value) || manifest_cell_real(&list, &share));
	assert_false(manifest_cell_whole(&none, &value) || manifest_cell_real(&none, &share));
}

static void messages_show_what_was_found(void **state)
{
	struct manifest_cell string = {.kind = CELL_STRING, .text = "a\nb\x1b\x7f", .text_bytes = 5},
			     whole = {.kind = CELL_WHOLE, .whole = -3}, real = {.kind = CELL_REAL, .real = 0.5},
			     list = {.kind = CELL_OTHER, .text = "a list"}, none = {0},
			     long_text = written("0123456789012345678901234567890123456789012345678901234567890123\u20ac89");
	char found[MANIFEST_QUOTE_BYTES];

	(void)state;
	assert_string_equal(manifest_cell_found(found, &string), "\"a?b??\"");
	assert_string_equal(manifest_cell_found(found, &whole), "-3");
	assert_string_equal(manifest_cell_found(found, &real), "0.5");
	assert_string_equal(manifest_cell_found(found, &list), "a list");
	assert_string_equal(manifest_cell_found(found, &none), "nothing");
	/* Cut, and not within the euro sign. */
	assert_string_equal(manifest_cell_found(found, &long_text),
	                    "\"0123456789012345678901234567890123456789012345678901234567890123...\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_are_digits_within_64_bits),
		cmocka_unit_test(real_numbers_are_decimal_and_finite),
		cmocka_unit_test(in_json_a_string_is_no_number_and_a_fraction_is_not_whole),
		cmocka_unit_test(messages_show_what_was_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
