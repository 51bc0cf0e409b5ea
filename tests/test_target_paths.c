/*
 * Tests of loader/plan/target_paths: a folder of targets beside a source, matched by name; what is missing is counted and named.  The
 * scratch folder holds `source` and `masks`.
 */
#include "tests/fetch_rig.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index/index_build.h"
#include "loader/plan/target_paths.h"
#include "tests/kernel_has.h"

static int set_up(void **state)
{
	static const char *const folders[] = {"source",  "source/a", "source/b",     "source/b/deep", "masks",
	                                      "masks/a", "masks/b",  "masks/b/deep", "elsewhere"};

	if (rig_set_up(state) != 0)
		return -1;
	for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
		if (mkdirat(rig_folder_fd, folders[i], 0700) != 0)
			return -1;
	}
	rig_write("source/a/1.jpg", 1, 10);
	rig_write("source/b/2.x.png", 1, 10);
	rig_write("source/b/deep/3.BMP", 1, 10);
	return 0;
}

static int open_pairs(struct dataset **dataset, struct err *err)
{
	struct dataset_spec spec = {.source = rig_path("source"), .targets = rig_path("masks"), .threads = 1};

	return dataset_open(dataset, &spec, err);
}

static struct dataset *open_good_pairs(void)
{
	struct dataset *dataset;
	struct err err;

	if (open_pairs(&dataset, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(dataset_has(dataset, INDEX_TARGET));
	return dataset;
}

static void assert_target(const struct dataset *dataset, uint64_t sample, const char *expected)
{
	struct dataset_file file;

	dataset_target(dataset, sample, &file);
	assert_string_equal(file.path, expected);
	assert_int_equal(file.offset, 0);
	assert_int_equal(file.length, 0);
}

static void endings_may_be_in_capitals(void **state)
{
	struct dataset *dataset;

	(void)state;
	rig_write("masks/a/1.PNG", 1, 10);
	rig_write("masks/a/1.bmp", 1, 10);
	rig_write("masks/b/2.x.BMP", 1, 10);
	rig_write("masks/b/2.x.png", 1, 10);
	rig_write("masks/b/deep/3.BMP", 1, 10);
	rig_write("masks/b/deep/3.PNG", 1, 10);
	dataset = open_good_pairs();
	assert_target(dataset, 0, "a/1.PNG");
	assert_target(dataset, 1, "b/2.x.png");
	assert_target(dataset, 2, "b/deep/3.PNG");
	dataset_close(dataset);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/2.x.png", 0), 0);
	dataset = open_good_pairs();
	assert_target(dataset, 1, "b/2.x.BMP");
	dataset_close(dataset);
}

static void png_goes_before_bmp_and_that_before_the_own_ending(void **state)
{
	struct dataset *dataset;

	(void)state;
	rig_write("masks/a/1.jpg", 1, 10);
	rig_write("masks/b/2.x.png", 1, 10);
	rig_write("masks/b/deep/3.BMP", 1, 10);
	dataset = open_good_pairs();
	assert_target(dataset, 0, "a/1.jpg");
	assert_target(dataset, 1, "b/2.x.png");
	assert_target(dataset, 2, "b/deep/3.BMP");
	assert_string_equal(dataset_path(dataset, 2), "b/deep/3.BMP");
	assert_int_equal(dataset_label(dataset, 2), 1);
	assert_int_equal(dataset_class_count(dataset), 2);
	assert_string_equal(dataset_root(dataset), rig_path("source"));
	assert_string_equal(dataset_target_root(dataset), rig_path("masks"));
	dataset_close(dataset);

	rig_write("masks/a/1.bmp", 1, 10);
	rig_write("masks/b/deep/3.bmp", 1, 10);
	dataset = open_good_pairs();
	assert_target(dataset, 0, "a/1.bmp");
	assert_target(dataset, 2, "b/deep/3.bmp");
	dataset_close(dataset);

	rig_write("masks/a/1.png", 1, 10);
	rig_write("masks/b/2.png", 1, 10); /* of another name */
	dataset = open_good_pairs();
	assert_target(dataset, 0, "a/1.png");
	assert_target(dataset, 1, "b/2.x.png");
	dataset_close(dataset);
}

static void what_is_missing_is_counted_and_the_first_is_named(void **state)
{
	struct dataset *dataset;
	struct err err;

	(void)state;
	rig_write("masks/a/1.png", 1, 10);
	assert_int_equal(mkdirat(rig_folder_fd, "masks/b/2.x.png", 0700), 0); /* a folder is no target, */
	rig_link("nowhere.png", "masks/b/deep/3.png");                        /* and neither is a link that leads nowhere */
	assert_int_equal(open_pairs(&dataset, &err), -ENOENT);
	assert_non_null(strstr(err.text, "masks: 2 of 3 images have no target there; the first is b/2.x.png, for which"));
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/2.x.png", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/deep/3.png", 0), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/deep", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b", AT_REMOVEDIR), 0);
	assert_int_equal(open_pairs(&dataset, &err), -ENOENT);
	assert_non_null(strstr(err.text, "2 of 3"));
	assert_int_equal(unlinkat(rig_folder_fd, "masks/a/1.png", 0), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/a", AT_REMOVEDIR), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks", AT_REMOVEDIR), 0);
	assert_int_equal(open_pairs(&dataset, &err), -ENOENT);
	assert_non_null(strstr(err.text, "cannot open this folder"));
}

static void links_of_the_targets_are_told(void **state)
{
	const struct link_targets *links;
	struct dataset *dataset;

	(void)state;
	kernel_has_openat2_or_skip();
	rig_write("masks/a/1.png", 1, 10);
	rig_write("masks/b/2.x.png", 1, 10);
	rig_link("../../a/1.png", "masks/b/deep/3.png");
	dataset = open_good_pairs();
	assert_int_equal(dataset_target_links(dataset)->count, 0);
	assert_true(dataset_stays_beneath(dataset));
	dataset_close(dataset);

	rig_write("elsewhere/3.png", 1, 10);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/deep/3.png", 0), 0);
	assert_int_equal(unlinkat(rig_folder_fd, "masks/b/deep", AT_REMOVEDIR), 0);
	rig_link("../../elsewhere", "masks/b/deep");
	dataset = open_good_pairs();
	assert_target(dataset, 2, "b/deep/3.png");
	links = dataset_target_links(dataset);
	assert_int_equal(links->count, 1);
	assert_string_equal(links->folder[0], rig_path("elsewhere"));
	assert_int_equal(dataset_link_targets(dataset)->count, 0);
	assert_true(dataset_link_targets(dataset)->stay_beneath);
	assert_false(dataset_stays_beneath(dataset));
	dataset_close(dataset);
}

static void a_source_without_targets_has_its_own_root(void **state)
{
	struct dataset *dataset;
	struct err err;

	(void)state;
	if (dataset_open(&dataset, &(struct dataset_spec){.source = rig_path("source"), .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	assert_false(dataset_has(dataset, INDEX_TARGET));
	assert_null(dataset_target_links(dataset));
	assert_int_equal(dataset_target_root_fd(dataset), dataset_root_fd(dataset));
	assert_string_equal(dataset_target_root(dataset), dataset_root(dataset));
	dataset_close(dataset);
}

/* An index of two boxes in one image, with `columns`; returns the outcome, and the index with targets in *with. */
static int add_targets_to(uint32_t columns, struct index_view *with, struct err *err)
{
	struct index_build *build = index_build_open(columns);
	struct index_row row = {.path = "a/1.jpg",
	                        .label = 7,
	                        .box = {1, 2, 3, 4},
	                        .window = {0.25f, 0.5f, 0.75f},
	                        .target = "t.png",
	                        .weight = 0.5};
	struct link_targets links;
	struct index_view view;
	int fd, masks_fd = openat(rig_folder_fd, "masks", O_PATH | O_CLOEXEC);
	const void *memory;
	off_t byte_count;

	assert_int_equal(index_build_add(build, &row), 0);
	row.box.x = 9;
	row.weight = 2;
	assert_int_equal(index_build_add(build, &row), 0);
	fd = index_build_finish(build, "root");
	index_build_close(build);
	byte_count = lseek(fd, 0, SEEK_END);
	memory = mmap(NULL, (size_t)byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_int_equal(index_view_open(&view, memory, (size_t)byte_count, "test", NULL), 0);
	link_targets_open(&links, masks_fd);
	close(fd);
	fd = target_paths_check(&view, "masks", err);
	if (fd == 0)
		fd = target_paths_find(&view, masks_fd, "masks", &links, err);
	link_targets_close(&links);
	close(masks_fd);
	if (fd < 0)
		return fd;
	byte_count = lseek(fd, 0, SEEK_END);
	memory = mmap(NULL, (size_t)byte_count, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_int_equal(index_view_open(with, memory, (size_t)byte_count, "test", NULL), 0);
	close(fd);
	return 0;
}

static void all_else_that_is_known_of_a_sample_stays(void **state)
{
	struct index_view view;
	struct err err;

	(void)state;
	rig_write("masks/a/1.png", 1, 10);
	assert_int_equal(add_targets_to(INDEX_HAS(INDEX_BOX) | INDEX_HAS(INDEX_WEIGHT), &view, &err), 0);
	assert_int_equal(view.header->sample_count, 2);
	assert_int_equal(((const int64_t *)view.column[INDEX_LABEL])[1], 7);
	assert_memory_equal(view.column[INDEX_BOX], ((int32_t[]){1, 2, 3, 4, 9, 2, 3, 4}), 32);
	assert_true(((const double *)view.column[INDEX_WEIGHT])[0] == 0.5 && ((const double *)view.column[INDEX_WEIGHT])[1] == 2);
	assert_string_equal(view.text + ((const uint64_t *)view.column[INDEX_TARGET])[1], "a/1.png");
	assert_string_equal(view.text + view.header->root_at, "root");
	assert_int_equal(add_targets_to(INDEX_HAS(INDEX_WINDOW), &view, &err), 0);
	assert_memory_equal(view.column[INDEX_WINDOW], ((float[]){0.25f, 0.5f, 0.75f, 0.25f, 0.5f, 0.75f}), 24);
}

static void sources_with_targets_and_files_of_many_images_are_refused(void **state)
{
	struct index_view view;
	struct err err;

	(void)state;
	rig_write("masks/a/1.png", 1, 10);
	assert_int_equal(add_targets_to(INDEX_HAS(INDEX_TARGET), &view, &err), -EINVAL);
	assert_non_null(strstr(err.text, "leave --targets out"));
	assert_int_equal(add_targets_to(INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH), &view, &err), -EINVAL);
	assert_non_null(strstr(err.text, "within larger files"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(endings_may_be_in_capitals),
		TEST(png_goes_before_bmp_and_that_before_the_own_ending),
		TEST(what_is_missing_is_counted_and_the_first_is_named),
		TEST(links_of_the_targets_are_told),
		TEST(a_source_without_targets_has_its_own_root),
		TEST(all_else_that_is_known_of_a_sample_stays),
		TEST(sources_with_targets_and_files_of_many_images_are_refused),
	};

	return cmocka_run_group_tests_name("target_paths", tests, NULL, NULL);
}
