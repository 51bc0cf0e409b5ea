/* test_manifest_labels.c - whole numbers stay as they are; as soon as one label is none, all are names, sorted and numbered. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/plan/index/index_view.h"
#include "loader/plan/manifest/manifest_labels.h"
#include "tests/manifest_fixture.h"
#include "tests/seed.h"

/* The labels of rows with these texts (NULL: none) as "2 0 -1", then the classes: "2 0 -1 (a b c)". */
static const char *number(const char *const *texts, size_t count)
{
	static char shown[1000];
	struct manifest_labels *labels = manifest_labels_open();
	struct index_build *build = index_build_open(0);
	struct index_view view;
	struct err err;
	size_t used = 0;
	int fd;
	off_t byte_count;
	void *memory;

	for (size_t i = 0; i < count; i++) {
		struct index_row row = {.path = "a", .label = -1};

		if (texts[i])
			row.label = manifest_labels_add(labels, texts[i], strlen(texts[i]));
		assert_int_equal(index_build_add(build, &row), 0);
	}
	assert_int_equal(manifest_labels_finish(labels, build), 0);
	fd = index_build_finish(build, ".");
	byte_count = lseek(fd, 0, SEEK_END);
	memory = mmap(NULL, (size_t)byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
	if (index_view_open(&view, memory, (size_t)byte_count, "index", &err) != 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(shown + used, sizeof shown - used, "%s%lld", i > 0 ? " " : "",
		                         (long long)((const int64_t *)view.column[INDEX_LABEL])[i]);
	for (uint64_t i = 0; i < view.header->class_count; i++)
		used += (size_t)snprintf(shown + used, sizeof shown - used, "%s%s", i > 0 ? " " : " (",
		                         view.text + view.class_offsets[i]);
	if (view.header->class_count > 0)
		snprintf(shown + used, sizeof shown - used, ")");
	munmap(memory, (size_t)byte_count);
	close(fd);
	index_build_close(build);
	manifest_labels_close(labels);
	return shown;
}

#define assert_numbers(expected, ...)                                                                                              \
	do {                                                                                                                       \
		static const char *const texts_[] = {__VA_ARGS__};                                                                 \
		assert_string_equal(number(texts_, COUNT(texts_)), expected);                                                      \
	} while (0)

static void whole_numbers_are_taken_as_they_are(void **state)
{
	(void)state;
	assert_numbers("7 0 7 -5 1000000", "7", "0", "7", "-5", "1000000");
	assert_numbers("7 7 -1", "007", "7", NULL);
}

static void names_are_sorted_bytewise_and_numbered(void **state)
{
	(void)state;
	assert_numbers("2 1 0 2 (Cat ant dog)", "dog", "ant", "Cat", "dog");
	assert_numbers("0 1 (a \u00e4)", "a", "\u00e4");
}

static void one_name_makes_all_of_them_names(void **state)
{
	(void)state;
	assert_numbers("1 0 2 3 1 (10 7 7.5 cat)", "7", "10", "7.5", "cat", "7");
	assert_numbers("0 1 2 (007 7 x)", "007", "7", "x"); /* two spellings of a number are two names */
}

/* The table of texts grows several times. */
static void many_labels_are_all_told_apart(void **state)
{
	enum { LABELS = 5000, ROWS = 20000 };
	uint64_t seed = seed_of_test(__func__);
	struct manifest_labels *labels = manifest_labels_open();
	int64_t first[LABELS];
	char text[32];

	(void)state;
	memset(first, -1, sizeof first);
	for (int i = 0; i < ROWS; i++) {
		size_t which = seed_between(&seed, 0, LABELS - 1);
		int64_t label = manifest_labels_add(labels, text, (size_t)sprintf(text, "name %zu", which));

		assert_true(label >= 0 && label < LABELS);
		if (first[which] < 0)
			first[which] = label;
		assert_int_equal(label, first[which]);
	}
	for (int i = 1; i < LABELS; i++)
		assert_true(first[i] < 0 || first[i] != first[0]);
	manifest_labels_close(labels);
}

static void a_row_without_a_label_has_minus_one(void **state)
{
	(void)state;
	assert_numbers("-1 0 -1 (a)", NULL, "a", NULL);
	assert_numbers("-1 -1", NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers_are_taken_as_they_are), cmocka_unit_test(names_are_sorted_bytewise_and_numbered),
		cmocka_unit_test(one_name_makes_all_of_them_names),    cmocka_unit_test(many_labels_are_all_told_apart),
		cmocka_unit_test(a_row_without_a_label_has_minus_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
