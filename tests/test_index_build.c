/* test_index_build.c - what is added comes out as it was, shared paths once, in memory that nobody can change. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "tests/index_bytes.h"

static const char *string_at(const struct index_view *view, enum index_column column, uint64_t sample)
{
	return view->text + ((const uint64_t *)view->column[column])[sample];
}

static void all_columns_come_out_as_they_were_added(void **state)
{
	struct index_bytes index = index_bytes_make(INDEX_BOX);
	const uint64_t *offsets, *lengths, *target_offsets;
	const int32_t(*boxes)[4];
	const int64_t *labels;
	const double *weights;
	struct index_view view;

	(void)state;
	assert_int_equal(index_view_open(&view, index.bytes, index.byte_count, "index", NULL), 0);
	assert_int_equal(view.header->sample_count, 3);
	assert_string_equal(view.text + view.class_offsets[1], "dog");
	assert_string_equal(string_at(&view, INDEX_PATH, 0), "a/1.jpg");
	assert_string_equal(string_at(&view, INDEX_PATH, 2), "x.tar");
	assert_string_equal(string_at(&view, INDEX_TARGET, 0), "m/1.png");
	assert_string_equal(view.text + view.header->root_at, "root");
	labels = view.column[INDEX_LABEL];
	offsets = view.column[INDEX_OFFSET];
	lengths = view.column[INDEX_LENGTH];
	target_offsets = view.column[INDEX_TARGET_OFFSET];
	boxes = view.column[INDEX_BOX];
	weights = view.column[INDEX_WEIGHT];
	assert_int_equal(labels[2], -1);
	assert_int_equal(offsets[1], 512);
	assert_int_equal(lengths[2], 30);
	assert_int_equal(target_offsets[2], 99);
	assert_int_equal(boxes[0][3], 4);
	assert_true(weights[2] == 4);
	assert_null(view.column[INDEX_WINDOW]);
	free(index.bytes);
}

static void windows_stand_where_boxes_would(void **state)
{
	struct index_bytes index = index_bytes_make(INDEX_WINDOW);
	const float(*windows)[3];
	struct index_view view;

	(void)state;
	assert_int_equal(index_view_open(&view, index.bytes, index.byte_count, "index", NULL), 0);
	windows = view.column[INDEX_WINDOW];
	assert_true(windows[2][0] == 0.25f && windows[2][2] == 0.75f);
	assert_null(view.column[INDEX_BOX]);
	free(index.bytes);
}

static void a_path_that_is_said_again_costs_no_text(void **state)
{
	struct index_bytes index = index_bytes_make(INDEX_BOX);
	struct index_view view;

	(void)state;
	assert_int_equal(index_view_open(&view, index.bytes, index.byte_count, "index", NULL), 0);
	assert_ptr_equal(string_at(&view, INDEX_PATH, 1), string_at(&view, INDEX_PATH, 2));
	assert_ptr_equal(string_at(&view, INDEX_TARGET, 1), string_at(&view, INDEX_TARGET, 2));
	free(index.bytes);
}

/* Many at once give what one after the other gives, byte for byte. */
static void whole_folders_are_added_at_once(void **state)
{
	struct index_build *one = index_build_open(0), *many = index_build_open(0);
	struct bytes paths = {0};
	struct index_bytes left, right;
	char path[32];
	int fd;

	(void)state;
	for (int64_t class = 0; class < 3; class ++) {
		for (int i = 0; i < 2000; i++) {
			snprintf(path, sizeof path, "%d/%d.jpg", (int)class, i);
			assert_int_equal(index_build_add(one, &(struct index_row){.path = path, .label = class}), 0);
			assert_int_equal(bytes_append(&paths, path, strlen(path) + 1), 0);
		}
		assert_int_equal(index_build_add_paths(many, &paths, class), 0);
		paths.used_bytes = 0;
	}
	assert_int_equal(index_build_add_paths(many, &paths, 9), 0); /* none */
	assert_int_equal(index_build_sample_count(many), 6000);
	fd = index_build_finish(one, "root");
	left = index_bytes_of(fd);
	close(fd);
	fd = index_build_finish(many, "root");
	right = index_bytes_of(fd);
	close(fd);
	assert_int_equal(left.byte_count, right.byte_count);
	assert_memory_equal(left.bytes, right.bytes, left.byte_count);
	free(left.bytes);
	free(right.bytes);
	bytes_free(&paths);
	index_build_close(one);
	index_build_close(many);
}

static void labels_can_be_set_afterwards(void **state)
{
	struct index_build *build = index_bytes_build(INDEX_BOX);
	struct index_bytes index;
	struct index_view view;
	int fd;

	(void)state;
	index_build_labels(build)[2] = 1;
	fd = index_build_finish(build, "root");
	index = index_bytes_of(fd);
	close(fd);
	index_build_close(build);
	assert_int_equal(index_view_open(&view, index.bytes, index.byte_count, "index", NULL), 0);
	assert_int_equal(((const int64_t *)view.column[INDEX_LABEL])[2], 1);
	free(index.bytes);
}

static void the_fingerprint_is_of_the_samples_and_not_of_their_root(void **state)
{
	struct index_build *build = index_bytes_build(INDEX_BOX);
	struct index_bytes index = index_bytes_make(INDEX_BOX), moved, other = index_bytes_make(INDEX_WINDOW);
	int fd = index_build_finish(build, "somewhere/else");

	(void)state;
	moved = index_bytes_of(fd);
	assert_memory_equal(index.header->fingerprint, moved.header->fingerprint, 16);
	assert_memory_not_equal(index.header->fingerprint, other.header->fingerprint, 16);
	close(fd);
	index_build_close(build);
	free(index.bytes);
	free(moved.bytes);
	free(other.bytes);
}

static void nobody_can_change_what_is_finished(void **state)
{
	struct index_build *build = index_bytes_build(INDEX_BOX);
	int fd = index_build_finish(build, "root");

	(void)state;
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	close(fd);
	index_build_close(build);
	index_build_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_columns_come_out_as_they_were_added),
		cmocka_unit_test(windows_stand_where_boxes_would),
		cmocka_unit_test(a_path_that_is_said_again_costs_no_text),
		cmocka_unit_test(whole_folders_are_added_at_once),
		cmocka_unit_test(labels_can_be_set_afterwards),
		cmocka_unit_test(the_fingerprint_is_of_the_samples_and_not_of_their_root),
		cmocka_unit_test(nobody_can_change_what_is_finished),
	};

	return cmocka_run_group_tests_name("index_build", tests, NULL, NULL);
}
