/* test_manifest_columns.c - names mean columns, columns that belong together are there together, and others are passed over. */
#include <stdbool.h>
#include <stdio.h>

#include "loader/plan/index/index_layout.h"
#include "loader/plan/manifest/manifest_columns.h"
#include "tests/manifest_fixture.h"

/* The header of these names, with spaces between them; '~' stands for a space within a name. */
static int read_header(struct manifest_header *header, const char *names)
{
	*header = (struct manifest_header){0};
	while (*names) {
		size_t length = strcspn(names, " ");
		char name[300];

		memcpy(name, names, length);
		for (size_t i = 0; i < length; i++)
			name[i] = (char)(name[i] == '~' ? ' ' : name[i]);
		if (manifest_header_add(header, name, length) < 0)
			return -1;
		names += length + (names[length] == ' ');
	}
	return manifest_header_finish(header);
}

static void assert_index(const char *names, uint32_t columns, const char *others)
{
	struct manifest_header header;

	if (read_header(&header, names) < 0)
		fail_msg("%s: %s", names, header.reason);
	assert_int_equal(manifest_columns_of_index(header.columns), columns | INDEX_HAS(INDEX_PATH) | INDEX_HAS(INDEX_LABEL));
	assert_string_equal(header.others.text, others);
}

static void assert_refused(const char *names, const char *reason)
{
	struct manifest_header header;

	assert_int_equal(read_header(&header, names), -1);
	assert_string_equal(header.reason, reason);
}

static void columns_may_come_in_any_order(void **state)
{
	const uint32_t box = INDEX_HAS(INDEX_BOX), window = INDEX_HAS(INDEX_WINDOW),
		       range = INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH);

	(void)state;
	assert_index("path", 0, "");
	assert_index("label file_name", 0, "");
	assert_index("x y width height path", box, "");
	assert_index("height path y x width", box, "");
	assert_index("scale y x path", window, "");
	assert_index("length offset path", range, "");
	assert_index("path target weight", INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_WEIGHT), "");
	assert_index("weight target length offset height width y x label path",
	             INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_WEIGHT) | range | box, "");
}

static void other_names_are_passed_over_and_remembered(void **state)
{
	(void)state;
	assert_index("path text Label", 0, "\"text\", \"Label\"");
	assert_index("path width height", 0, "\"width\", \"height\""); /* of the whole image */
	assert_index("path scale length", 0, "\"scale\", \"length\"");
	assert_index("path x y width scale", INDEX_HAS(INDEX_WINDOW), "\"width\"");
	assert_index("path note note", 0, "\"note\", \"note\"");
	assert_index("path aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
	             "cccccccccccccccccccccccccccccccccccccccccccccccccc dddddddddddddddddddddddddddddddddddddddddddddddddd e",
	             0,
	             "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\", "
	             "\"cccccccccccccccccccccccccccccccccccccccccccccccccc\", ...");
}

static void what_belongs_together_is_asked_for(void **state)
{
	(void)state;
	assert_refused("image label",
	               "no column \"path\" or \"file_name\", but \"image\", \"label\"; the header names the columns");
	assert_refused("", "no column \"path\" or \"file_name\", but nothing; the header names the columns");
	assert_refused(
		"path x y",
		"a box needs the columns x, y, width and height, a window x, y and scale, but there are \"path\", \"x\", \"y\"");
	assert_refused("path x scale", "a box needs the columns x, y, width and height, a window x, y and scale, but there are "
	                               "\"path\", \"x\", \"scale\"");
	assert_refused("path x y width height scale",
	               "both a box (x, y, width, height) and a window (x, y, scale); give one of them");
	assert_refused("path offset",
	               "a place within a file needs the columns offset and length, but there are \"path\", \"offset\"");
}

static void names_that_come_twice_are_refused(void **state)
{
	(void)state;
	assert_refused("path label label", "the column \"label\" is there twice");
	assert_refused("path label path",
	               "the paths are named twice, \"path\", \"label\", \"path\"; give one of \"path\" and \"file_name\", once");
	assert_refused("path file_name",
	               "the paths are named twice, \"path\", \"file_name\"; give one of \"path\" and \"file_name\", once");
}

static void a_known_name_with_spaces_around_it_is_refused(void **state)
{
	(void)state;
	assert_refused("path ~label", "the column name \" label\" has spaces around it; write it without them");
	assert_refused("path~", "the column name \"path \" has spaces around it; write it without them");
	assert_index("path ~note", 0, "\" note\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_may_come_in_any_order),
		cmocka_unit_test(other_names_are_passed_over_and_remembered),
		cmocka_unit_test(what_belongs_together_is_asked_for),
		cmocka_unit_test(names_that_come_twice_are_refused),
		cmocka_unit_test(a_known_name_with_spaces_around_it_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
