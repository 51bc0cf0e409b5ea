/* test_index_view.c - a hostile index is refused in the words of its fault, and whatever is taken can be read. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/index_bytes.h"
#include "tests/seed.h"

/* Where the parts of index_bytes_make() lie. */
enum { SAMPLES = 3 };

static char *column_of(struct index_bytes *index, enum index_column column)
{
	struct index_view view;

	assert_int_equal(index_view_open(&view, index->bytes, index->byte_count, "index", NULL), 0);
	return (char *)index->bytes + ((const char *)view.column[column] - index->bytes);
}

static char *text_of(struct index_bytes *index)
{
	return index->bytes + index->byte_count - index->header->text_bytes - index->header->stamp_bytes;
}

static void assert_refused(struct index_bytes *index, const char *words)
{
	struct index_view view;
	struct err err = {"no sentence"};

	assert_int_equal(index_view_open(&view, index->bytes, index->byte_count, "list", &err), -EINVAL);
	if (!strstr(err.text, words) || strncmp(err.text, "list: not an index", 18) != 0)
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
	free(index->bytes);
}

/* With a fingerprint that fits, so that only what is meant is wrong. */
static void assert_fault(struct index_bytes *index, const char *words)
{
	index_view_fingerprint(index->bytes, index->header->fingerprint);
	assert_refused(index, words);
}

static void the_header_is_looked_at_first(void **state)
{
	static const uint32_t impossible[] = {0,
	                                      INDEX_HAS(INDEX_PATH),
	                                      INDEX_HAS(INDEX_LABEL),
	                                      3 | INDEX_HAS(INDEX_OFFSET),
	                                      3 | INDEX_HAS(INDEX_LENGTH),
	                                      3 | INDEX_HAS(INDEX_BOX) | INDEX_HAS(INDEX_WINDOW),
	                                      3 | INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_TARGET_OFFSET),
	                                      3 | INDEX_HAS(INDEX_TARGET_OFFSET) | INDEX_HAS(INDEX_TARGET_LENGTH),
	                                      3 | INDEX_HAS(INDEX_COLUMN_COUNT),
	                                      UINT32_MAX};
	struct index_bytes index = index_bytes_make(INDEX_BOX);

	(void)state;
	index.bytes[7] = '2';
	assert_refused(&index, "does not begin like one");
	for (size_t i = 0; i < sizeof impossible / sizeof *impossible; i++) {
		index = index_bytes_make(INDEX_BOX);
		index.header->columns = impossible[i];
		assert_refused(&index, "its columns are not such as belong together");
	}
}

static void counts_that_do_not_fit_or_overflow_are_refused(void **state)
{
	static const size_t fields[] = {offsetof(struct index_header, sample_count), offsetof(struct index_header, class_count),
	                                offsetof(struct index_header, text_bytes), offsetof(struct index_header, stamp_bytes)};
	static const uint64_t values[] = {0,
	                                  1,
	                                  2,
	                                  4,
	                                  UINT64_C(1) << 32,
	                                  UINT64_C(1) << 60,
	                                  UINT64_C(1) << 61,
	                                  UINT64_MAX,
	                                  INT64_MAX,
	                                  UINT64_MAX / 8,
	                                  UINT64_MAX - 7,
	                                  UINT64_MAX / 16 + 1};

	(void)state;
	for (size_t field = 0; field < 4; field++)
		for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
			struct index_bytes index = index_bytes_make(INDEX_BOX);
			uint64_t before;

			memcpy(&before, index.bytes + fields[field], 8);
			memcpy(index.bytes + fields[field], &values[i], 8);
			if (values[i] != before)
				assert_refused(&index, "its length is not what its counts need");
			else
				free(index.bytes);
		}
}

/* By whole turns of 64 bits: the sum is right. */
static void counts_whose_bytes_come_round_again_are_refused(void **state)
{
	struct index_build *build = index_build_open(0);
	struct index_bytes index;
	int fd;

	(void)state;
	assert_int_equal(index_build_add(build, &(struct index_row){.path = "1.jpg", .label = -1}), 0);
	fd = index_build_finish(build, "root");
	index = index_bytes_of(fd);
	index.header->sample_count += UINT64_C(1) << 60;
	assert_refused(&index, "its length is not what its counts need");
	index = index_bytes_of(fd);
	index.header->class_count += UINT64_C(1) << 61;
	assert_refused(&index, "its length is not what its counts need");
	close(fd);
	index_build_close(build);
}

/* Two counts that are wrong by as much as each other's bytes: the whole has the right length, what it holds is nonsense. */
static void counts_that_make_up_for_each_other_are_found_out(void **state)
{
	struct index_bytes index = index_bytes_make(INDEX_BOX);

	(void)state;
	index.header->class_count -= 1;
	index.header->text_bytes += 8;
	index.header->root_at += 8;
	assert_fault(&index, ""); /* what is text then begins with numbers */
	index = index_bytes_make(INDEX_BOX);
	index.header->class_count += 2;
	index.header->text_bytes -= 16;
	index.header->root_at -= 16;
	assert_fault(&index, "a class name is not where it should be");
}

static void an_index_that_was_cut_off_is_refused_wherever(void **state)
{
	struct index_bytes whole = index_bytes_make(INDEX_WINDOW);

	(void)state;
	for (size_t byte_count = 0; byte_count < whole.byte_count; byte_count++) {
		struct index_bytes index = {.bytes = malloc(byte_count + 1), .byte_count = byte_count};

		memcpy(index.bytes, whole.bytes, byte_count);
		assert_refused(&index, byte_count < 128 ? "does not begin" : "its length");
	}
	free(whole.bytes);
}

static void text_without_end_is_refused(void **state)
{
	struct index_bytes index = index_bytes_make(INDEX_BOX);

	(void)state;
	index.bytes[index.byte_count - 1] = 'x';
	assert_fault(&index, "its strings have no end");
	index = index_bytes_make(INDEX_BOX);
	text_of(&index)[index.header->root_at - 1] = 'x'; /* the last path runs into the root */
	assert_fault(&index, "its strings have no end");
	index = index_bytes_make(INDEX_BOX);
	text_of(&index)[index.header->root_at + 1] = '\0'; /* two names for the root */
	assert_fault(&index, "its strings have no end");
	index = index_bytes_make(INDEX_BOX);
	index.header->root_at = index.header->text_bytes;
	assert_refused(&index, "its root folder is not in its text");
	index = index_bytes_make(INDEX_BOX);
	index.header->root_at = UINT64_MAX;
	assert_refused(&index, "its root folder is not in its text");
}

static void strings_begin_where_others_end(void **state)
{
	static const struct {
		enum index_column column;
		uint64_t offset;
	} faults[] = {{INDEX_PATH, 1},  {INDEX_PATH, 3},   {INDEX_PATH, UINT64_MAX},
	              {INDEX_PATH, 38}, {INDEX_TARGET, 1}, {INDEX_TARGET, 1u << 20}};
	struct index_bytes index = index_bytes_make(INDEX_BOX);
	uint64_t far = 1u << 30;

	(void)state;
	assert_int_equal(index.header->root_at, 38); /* cat dog a/1.jpg m/1.png x.tar m/2.png */
	free(index.bytes);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		index = index_bytes_make(INDEX_BOX);
		memcpy(column_of(&index, faults[i].column) + 8, &faults[i].offset, 8);
		assert_fault(&index, "a path is not where it should be");
	}
	index = index_bytes_make(INDEX_BOX);
	memcpy(text_of(&index) - 16, &far, 8);
	assert_fault(&index, "a class name is not where it should be");
}

/* Seven letters, as the path that they take the place of. */
static void paths_that_lead_out_of_the_root_are_refused(void **state)
{
	static const char *const paths[] = {"/1.jpgs", "../../a", "a/../..", "a/../bc", "../abcd", "abcd/.."};
	static const char *const good[] = {"..a/b..", "...../a", "a/..b/c", "a/b...."};
	struct index_bytes index;
	struct index_view view;

	(void)state;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		index = index_bytes_make(INDEX_BOX);
		memcpy(text_of(&index) + 8, paths[i], 7);
		assert_fault(&index, "a path leads out of its root folder");
		index = index_bytes_make(INDEX_BOX);
		memcpy(text_of(&index) + 16, paths[i], 7); /* a target */
		assert_fault(&index, "a path leads out of its root folder");
	}
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		index = index_bytes_make(INDEX_BOX);
		memcpy(text_of(&index) + 8, good[i], 7);
		index_view_fingerprint(index.bytes, index.header->fingerprint);
		assert_int_equal(index_view_open(&view, index.bytes, index.byte_count, "index", NULL), 0);
		free(index.bytes);
	}
}

static void labels_are_classes_or_none(void **state)
{
	static const int64_t labels[] = {-2, 2, INT64_MIN, INT64_MAX};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct index_bytes index = index_bytes_make(INDEX_BOX);

		memcpy(column_of(&index, INDEX_LABEL) + 8, &labels[i], 8);
		assert_fault(&index, "a label is beyond its classes");
	}
}

static void places_in_files_do_not_overflow(void **state)
{
	static const struct {
		enum index_column column;
		uint64_t value;
	} faults[] = {{INDEX_OFFSET, UINT64_MAX},       {INDEX_OFFSET, UINT64_C(1) << 63}, {INDEX_OFFSET, INT64_MAX},
	              {INDEX_LENGTH, INT64_MAX},        {INDEX_LENGTH, UINT64_MAX - 511},  {INDEX_TARGET_OFFSET, UINT64_MAX},
	              {INDEX_TARGET_LENGTH, UINT64_MAX}};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		struct index_bytes index = index_bytes_make(INDEX_BOX);

		memcpy(column_of(&index, faults[i].column) + 8, &faults[i].value, 8);
		assert_fault(&index, "an offset is beyond any file");
	}
}

static void boxes_and_windows_are_possible(void **state)
{
	static const int32_t bad_places[] = {-1, INT32_MIN}, bad_sizes[] = {0, -1, INT32_MIN};
	static const float bad_shares[] = {-0.001f, 1.001f, NAN, INFINITY, -INFINITY};

	(void)state;
	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < 2; i++) {
			struct index_bytes index = index_bytes_make(INDEX_BOX);

			memcpy(column_of(&index, INDEX_BOX) + 16 + 4 * side, &bad_places[i], 4);
			assert_fault(&index, "a box is impossible");
		}
		for (size_t i = 0; i < 3; i++) {
			struct index_bytes index = index_bytes_make(INDEX_BOX);

			memcpy(column_of(&index, INDEX_BOX) + 24 + 4 * side, &bad_sizes[i], 4);
			assert_fault(&index, "a box is impossible");
		}
	}
	for (size_t i = 0; i < 3 * 5; i++) {
		struct index_bytes index = index_bytes_make(INDEX_WINDOW);

		memcpy(column_of(&index, INDEX_WINDOW) + 12 * (SAMPLES - 1) + 4 * (i % 3), &bad_shares[i / 3], 4);
		assert_fault(&index, "a box is impossible");
	}
}

static void weights_are_finite_and_not_all_zero(void **state)
{
	static const double bad[] = {-1, NAN, INFINITY, 1.1e300}, zeros[SAMPLES] = {0};
	struct index_bytes index;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		index = index_bytes_make(INDEX_BOX);
		memcpy(column_of(&index, INDEX_WEIGHT) + 16, &bad[i], 8);
		assert_fault(&index, "a weight is impossible");
	}
	index = index_bytes_make(INDEX_BOX);
	memcpy(column_of(&index, INDEX_WEIGHT), zeros, sizeof zeros);
	assert_fault(&index, "a weight is impossible");
}

/* Each byte of the samples in turn; those of the root and the unused ones of the header do not count. */
static void any_changed_byte_is_noticed(void **state)
{
	struct index_bytes whole = index_bytes_make(INDEX_WINDOW);
	size_t end = whole.byte_count - 5;
	uint64_t seed = seed_of_test("any_changed_byte_is_noticed");

	(void)state;
	for (size_t at = 128; at < end; at++) {
		struct index_bytes index = {.bytes = malloc(whole.byte_count), .byte_count = whole.byte_count};

		memcpy(index.bytes, whole.bytes, whole.byte_count);
		index.bytes[at] = (char)(index.bytes[at] ^ (char)(1 << seed_next(&seed) % 8));
		assert_refused(&index, "");
	}
	whole.header->fingerprint[15] ^= 1;
	assert_refused(&whole, "its bytes are not those that were written");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_header_is_looked_at_first),
		cmocka_unit_test(counts_that_do_not_fit_or_overflow_are_refused),
		cmocka_unit_test(counts_whose_bytes_come_round_again_are_refused),
		cmocka_unit_test(counts_that_make_up_for_each_other_are_found_out),
		cmocka_unit_test(an_index_that_was_cut_off_is_refused_wherever),
		cmocka_unit_test(text_without_end_is_refused),
		cmocka_unit_test(strings_begin_where_others_end),
		cmocka_unit_test(paths_that_lead_out_of_the_root_are_refused),
		cmocka_unit_test(labels_are_classes_or_none),
		cmocka_unit_test(places_in_files_do_not_overflow),
		cmocka_unit_test(boxes_and_windows_are_possible),
		cmocka_unit_test(weights_are_finite_and_not_all_zero),
		cmocka_unit_test(any_changed_byte_is_noticed),
	};

	return cmocka_run_group_tests_name("index_view", tests, NULL, NULL);
}
