/*
 * Tests of loader/plan/link_targets: where symbolic links lead, in few folders.  The scratch folder holds `source`, which is scanned,
 * and what its links lead to.
 */
#include "tests/fetch_rig.h"

#include <limits.h>
#include <sys/stat.h>

#include "loader/plan/dataset.h"
#include "loader/plan/link_targets.h"
#include "tests/kernel_has.h"

static void make_folder(const char *name)
{
	assert_int_equal(mkdirat(rig_folder_fd, name, 0700), 0);
}

/* Scans the source; the folders must be these, in any order. */
static void assert_targets(const char *const *folders, uint32_t count)
{
	const struct link_targets *targets;
	struct dataset *dataset;
	struct err err;

	if (dataset_open(&dataset, &(struct dataset_spec){.source = rig_path("source"), .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	targets = dataset_link_targets(dataset);
	assert_int_equal(targets->count, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t k = 0;

		while (k < count && strcmp(targets->folder[k], folders[i]) != 0)
			k++;
		if (k == count)
			fail_msg("%s is not among them, but %s", folders[i], targets->folder[0]);
	}
	dataset_close(dataset);
}

static bool paths_stay_beneath(void)
{
	struct dataset *dataset;
	struct err err;
	bool stay;

	if (dataset_open(&dataset, &(struct dataset_spec){.source = rig_path("source"), .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	stay = dataset_link_targets(dataset)->stay_beneath;
	dataset_close(dataset);
	return stay;
}

static int set_up(void **state)
{
	if (rig_set_up(state) != 0 || mkdirat(rig_folder_fd, "source", 0700) != 0)
		return -1;
	rig_write("source/plain.jpg", 1, 10);
	return 0;
}

static void a_source_without_links_has_none(void **state)
{
	(void)state;
	assert_targets(NULL, 0);
}

static void links_inside_of_the_source_count_for_nothing(void **state)
{
	(void)state;
	rig_link("plain.jpg", "source/again.jpg");
	rig_link(rig_path("source/plain.jpg"), "source/absolute.jpg");
	rig_link("nowhere.jpg", "source/dangling.jpg");
	rig_link("/proc/self/maps", "source/not-a-picture.txt");
	assert_targets(NULL, 0);
}

static void links_that_need_not_leave_the_source_do_not_keep_others_from_it(void **state)
{
	(void)state;
	kernel_has_openat2_or_skip();
	assert_true(paths_stay_beneath());
	make_folder("source/class");
	make_folder("source/class/below");
	rig_write("source/class/1.jpg", 1, 10);
	rig_link("1.jpg", "source/class/again.jpg");
	rig_link("../../../source-to-be/nowhere.jpg", "source/class/dangling.jpg");
	rig_link("../../plain.jpg", "source/class/below/plain.jpg");
	rig_link("../plain.jpg", "source/class/above.jpg");
	rig_link("class", "source/other");
	assert_true(paths_stay_beneath());
	assert_int_equal(unlinkat(rig_folder_fd, "source/other", 0), 0);
	rig_link("class/below", "source/other");
	assert_true(paths_stay_beneath());
}

static void one_link_that_leaves_the_source_or_is_absolute_does(void **state)
{
	const char *const targets[] = {rig_path("source/plain.jpg"), "../../source/plain.jpg", "../../outside.jpg"};

	(void)state;
	make_folder("source/class");
	rig_write("outside.jpg", 1, 10);
	rig_write("source/class/1.jpg", 1, 10);
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		rig_link(targets[i], "source/class/link.jpg");
		assert_false(paths_stay_beneath());
		rig_link("link.jpg", "source/class/a-link-to-it.jpg");
		assert_false(paths_stay_beneath());
		assert_int_equal(unlinkat(rig_folder_fd, "source/class/link.jpg", 0), 0);
		assert_int_equal(unlinkat(rig_folder_fd, "source/class/a-link-to-it.jpg", 0), 0);
		assert_true(paths_stay_beneath());
	}
}

static void a_link_to_a_file_counts_for_its_folder(void **state)
{
	const char *folder = rig_path("elsewhere");

	(void)state;
	make_folder("elsewhere");
	rig_write("elsewhere/1.jpg", 1, 10);
	rig_write("elsewhere/2.jpg", 1, 10);
	rig_link("../elsewhere/1.jpg", "source/1.jpg");
	rig_link(rig_path("elsewhere/2.jpg"), "source/2.jpg");
	assert_targets(&folder, 1);
}

static void a_link_to_a_link_counts_for_where_it_ends(void **state)
{
	const char *folder = rig_path("end");

	(void)state;
	make_folder("middle");
	make_folder("end");
	rig_write("end/1.jpg", 1, 10);
	rig_link("../end/1.jpg", "middle/1.jpg");
	rig_link("../middle/1.jpg", "source/1.jpg");
	assert_targets(&folder, 1);
}

static void a_link_to_a_folder_counts_for_it_and_for_links_beneath(void **state)
{
	const char *folders[2];

	(void)state;
	make_folder("class");
	make_folder("class/sub");
	make_folder("store");
	rig_write("class/sub/1.jpg", 1, 10);
	rig_write("store/2.jpg", 1, 10);
	rig_link("../store/2.jpg", "class/2.jpg");
	rig_link("../class", "source/class");
	folders[0] = rig_path("class");
	folders[1] = rig_path("store");
	assert_targets(folders, 2);
}

static void a_source_that_is_a_link_itself_is_not_outside(void **state)
{
	(void)state;
	assert_int_equal(renameat(rig_folder_fd, "source", rig_folder_fd, "real"), 0);
	rig_link("plain.jpg", "real/again.jpg");
	rig_link("real", "source");
	assert_targets(NULL, 0);
}

static void of_nested_folders_the_outer_one_counts_whichever_comes_first(void **state)
{
	const char *folders[2];

	(void)state;
	make_folder("a");
	make_folder("a/b");
	make_folder("c");
	make_folder("c/d");
	rig_write("a/1.jpg", 1, 10);
	rig_write("a/b/2.jpg", 1, 10);
	rig_write("c/3.jpg", 1, 10);
	rig_write("c/d/4.jpg", 1, 10);
	make_folder("source/first"); /* classes are read in the order of their names */
	make_folder("source/second");
	rig_link("../../a/1.jpg", "source/first/1.jpg");
	rig_link("../../a/b/2.jpg", "source/second/2.jpg");
	rig_link("../../c/d/4.jpg", "source/first/4.jpg");
	rig_link("../../c/3.jpg", "source/second/3.jpg");
	folders[0] = rig_path("a");
	folders[1] = rig_path("c");
	assert_targets(folders, 2);
}

static void names_that_only_begin_alike_are_different_folders(void **state)
{
	const char *folders[2];

	(void)state;
	make_folder("source-2");
	make_folder("source-22");
	rig_write("source-2/1.jpg", 1, 10);
	rig_write("source-22/1.jpg", 1, 10);
	rig_link("../source-2/1.jpg", "source/1.jpg");
	rig_link("../source-22/1.jpg", "source/2.jpg");
	folders[0] = rig_path("source-2");
	folders[1] = rig_path("source-22");
	assert_targets(folders, 2);
}

/* A class of links to files in this many folders below `store`. */
static void link_to_folders(const char *class_folder, const char *store, uint32_t count)
{
	char name[64], link[64], target[80];

	make_folder(store);
	(void)mkdirat(rig_folder_fd, class_folder, 0700); /* it may be there */
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof name, "%s/%u", store, i);
		make_folder(name);
		snprintf(name, sizeof name, "%s/%u/1.jpg", store, i);
		rig_write(name, 1, 10);
		snprintf(link, sizeof link, "%s/%s-%u.jpg", class_folder, store, i);
		snprintf(target, sizeof target, "../../%s", name);
		rig_link(target, link);
	}
}

static void too_many_folders_become_the_parent_that_most_share(void **state)
{
	const char *folders[3];

	(void)state;
	link_to_folders("source/first", "store", LINK_TARGETS_MAX - 1);
	link_to_folders("source/second", "last", 1);
	link_to_folders("source/third", "too-many", 1);
	folders[0] = rig_path("store");
	folders[1] = rig_path("last/0");
	folders[2] = rig_path("too-many/0");
	assert_targets(folders, 3);
}

static void as_many_folders_as_there_is_room_for_stay_apart(void **state)
{
	char paths[LINK_TARGETS_MAX][96];
	const char *folders[LINK_TARGETS_MAX];

	(void)state;
	link_to_folders("source/first", "store", LINK_TARGETS_MAX);
	for (uint32_t i = 0; i < LINK_TARGETS_MAX; i++) {
		snprintf(paths[i], sizeof paths[i], "%s/store/%u", rig_folder, i);
		folders[i] = paths[i];
	}
	assert_targets(folders, LINK_TARGETS_MAX);
}

static void of_parents_that_hold_as_many_the_longer_one_takes_their_place(void **state)
{
	enum { HALF = LINK_TARGETS_MAX / 2 };
	char paths[HALF][96];
	const char *folders[HALF + 2];

	(void)state;
	link_to_folders("source/first", "short", HALF);
	link_to_folders("source/first", "longer", HALF);
	link_to_folders("source/second", "other", 1);
	for (uint32_t i = 0; i < HALF; i++) {
		snprintf(paths[i], sizeof paths[i], "%s/short/%u", rig_folder, i);
		folders[i] = paths[i];
	}
	folders[HALF] = rig_path("longer");
	folders[HALF + 1] = rig_path("other/0");
	assert_targets(folders, HALF + 2);
}

static void folders_with_a_parent_each_become_their_grandparent(void **state)
{
	const char *folder = rig_path("store");
	char name[64], target[80];

	(void)state;
	make_folder("store");
	for (uint32_t i = 0; i < LINK_TARGETS_MAX + 10; i++) {
		snprintf(name, sizeof name, "store/%u", i);
		make_folder(name);
		snprintf(name, sizeof name, "store/%u/x", i);
		make_folder(name);
		snprintf(name, sizeof name, "store/%u/x/1.jpg", i);
		rig_write(name, 1, 10);
		snprintf(target, sizeof target, "../%s", name);
		snprintf(name, sizeof name, "source/%u.jpg", i);
		rig_link(target, name);
	}
	assert_targets(&folder, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, rig_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_source_without_links_has_none),
		TEST(links_inside_of_the_source_count_for_nothing),
		TEST(links_that_need_not_leave_the_source_do_not_keep_others_from_it),
		TEST(one_link_that_leaves_the_source_or_is_absolute_does),
		TEST(a_link_to_a_file_counts_for_its_folder),
		TEST(a_link_to_a_link_counts_for_where_it_ends),
		TEST(a_link_to_a_folder_counts_for_it_and_for_links_beneath),
		TEST(a_source_that_is_a_link_itself_is_not_outside),
		TEST(of_nested_folders_the_outer_one_counts_whichever_comes_first),
		TEST(names_that_only_begin_alike_are_different_folders),
		TEST(as_many_folders_as_there_is_room_for_stay_apart),
		TEST(too_many_folders_become_the_parent_that_most_share),
		TEST(of_parents_that_hold_as_many_the_longer_one_takes_their_place),
		TEST(folders_with_a_parent_each_become_their_grandparent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
