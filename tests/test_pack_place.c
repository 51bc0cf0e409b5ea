/* test_pack_place.c - names and folders of a packing: nothing is replaced, and what was interrupted between two names goes on. */
#include "loader/pack/pack_part.h"
#include "loader/pack/pack_place.h"
#include "loader/plan/pack/pack_layout.h"
#include "tests/fsync_watch.h"
#include "tests/tree_fixture.h"

enum { SHARDS = 3 };

static const uint8_t id[16] = "fifteen letters";

static int enter_tree(void **state)
{
	return make_tree(state) == 0 ? chdir("tree") : -1;
}

static int leave_tree(void **state)
{
	return chdir("..") == 0 ? remove_tree(state) : -1;
}

static struct pack_place opened(const char *out, bool resume)
{
	struct pack_place place;
	struct err err;

	if (pack_place_open(&place, out, resume, &err) != 0)
		fail_msg("%s", err.text);
	return place;
}

static void assert_refused(const char *out, bool resume, int rc, const char *words)
{
	struct pack_place place;
	struct err err;

	assert_int_equal(pack_place_open(&place, out, resume, &err), rc);
	pack_place_close(&place);
	if (!strstr(err.text, words))
		fail_msg("'%s' does not say '%s'", err.text, words);
}

static void put_part(const struct pack_place *place, const char *name, const uint8_t *part_id)
{
	int fd = openat(place->partial_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct pack_header header = {.shard_count = SHARDS};

	memcpy(header.magic, PACK_MAGIC, sizeof header.magic);
	memcpy(header.id, part_id, sizeof header.id);
	assert_int_equal(write(fd, &header, sizeof header), sizeof header);
	close(fd);
}

/* All parts of a packing, and its journal. */
static struct pack_place filled(const char *out)
{
	struct pack_place place = opened(out, false);

	put_part(&place, PACK_PART_NAME, id);
	put_part(&place, "00000.shard", id);
	put_part(&place, "00001.shard", id);
	put_part(&place, "00002.shard", id);
	put_part(&place, "journal", id);
	return place;
}

static bool is_there(const char *name)
{
	return access(name, F_OK) == 0;
}

static void assert_published(void)
{
	assert_true(is_there("a.pack") && is_there("a-00000.shard") && is_there("a-00001.shard") && is_there("a-00002.shard"));
	assert_false(is_there("a.pack.partial"));
}

static void files_get_their_names_and_the_folder_goes(void **state)
{
	struct pack_place place = filled("a.pack");
	struct err err;

	(void)state;
	assert_false(is_there("a.pack"));
	assert_int_equal(pack_place_publish(&place, SHARDS, id, &err), 0);
	pack_place_close(&place);
	assert_published();
}

static void an_end_between_two_names_is_gone_on_from(void **state)
{
	static const char *const names[][2] = {{"00000.shard", "a-00000.shard"},
	                                       {"00001.shard", "a-00001.shard"},
	                                       {"00002.shard", "a-00002.shard"},
	                                       {PACK_PART_NAME, "a.pack"}};
	struct err err;

	(void)state;
	for (int done = 0; done <= 4; done++) {
		struct pack_place place = filled("a.pack");

		for (int i = 0; i < done; i++)
			assert_int_equal(renameat(place.partial_fd, names[i][0], AT_FDCWD, names[i][1]), 0);
		pack_place_close(&place);
		assert_true(is_there("a.pack.partial/journal"));
		place = opened("a.pack", true);
		if (pack_place_publish(&place, SHARDS, id, &err) != 0)
			fail_msg("%s", err.text);
		pack_place_close(&place);
		assert_published();
		for (int i = 0; i < 4; i++)
			assert_int_equal(unlink(names[i][1]), 0);
	}
}

static void a_file_that_came_meanwhile_is_not_replaced(void **state)
{
	static const char *const names[] = {"a-00001.shard", "a.pack"};
	struct err err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pack_place place = filled("a.pack");
		struct stat status;

		put_file(names[i], "diary");
		assert_int_equal(pack_place_publish(&place, SHARDS, id, &err), -EEXIST);
		assert_non_null(strstr(err.text, names[i]));
		assert_non_null(strstr(err.text, "is there already; remove it, and end with --resume"));
		assert_int_equal(stat(names[i], &status), 0);
		assert_int_equal(status.st_size, 5);
		assert_int_equal(unlink(names[i]), 0);
		assert_int_equal(pack_place_publish(&place, SHARDS, id, &err), 0);
		pack_place_close(&place);
		assert_published();
		assert_int_equal(chdir(".."), 0);
		assert_int_equal(remove_tree(NULL), 0);
		assert_int_equal(enter_tree(NULL), 0);
	}
}

/* A file of that name, and nothing in the folder: it must be ours to count. */
static void only_files_of_this_pack_count_as_named_before(void **state)
{
	static const uint8_t other[16] = "another letters";
	struct pack_place place = filled("a.pack");
	struct err err;

	(void)state;
	assert_int_equal(unlinkat(place.partial_fd, "00000.shard", 0), 0);
	put_part(&place, "other", other);
	assert_int_equal(renameat(place.partial_fd, "other", AT_FDCWD, "a-00000.shard"), 0);
	assert_int_equal(pack_place_publish(&place, SHARDS, id, &err), -ENOENT);
	assert_non_null(strstr(err.text, "a-00000.shard cannot be given its name"));
	assert_false(is_there("a.pack"));
	pack_place_close(&place);
}

static void names_that_will_not_do_are_refused_and_nothing_is_made(void **state)
{
	char name[300];

	(void)state;
	assert_refused("a", false, -EINVAL, "'a' is not the name of a pack; one that ends in .pack is expected");
	assert_refused(".pack", false, -EINVAL, "'.pack' is not the name of a pack");
	assert_refused("", false, -EINVAL, "is not the name of a pack");
	assert_refused("folder/", false, -EINVAL, "is not the name of a pack");
	assert_refused("nowhere/a.pack", false, -ENOENT, "nowhere/a.pack: its folder cannot be opened");
	memset(name, 'x', sizeof name);
	strcpy(name + 240, ".pack");
	assert_refused(name, false, -EINVAL, "this name is too long");
	put_file("b.pack", "");
	assert_refused("b.pack", false, -EEXIST, "b.pack is there already; remove it, or choose another name");
	assert_refused("b.pack", true, -EEXIST, "b.pack is there already");
	put_file("c-00000.shard", "");
	assert_refused("c.pack", false, -EEXIST, "c-00000.shard is there already, a shard of an earlier pack");
	assert_int_equal(symlink("nowhere", "d.pack"), 0);
	assert_refused("d.pack", false, -EEXIST, "d.pack is there already");
	assert_false(is_there("a.partial") || is_there("b.pack.partial") || is_there("c.pack.partial") ||
	             is_there("d.pack.partial"));
}

static void a_folder_of_other_things_is_left_alone(void **state)
{
	(void)state;
	put_folder("a.pack.partial");
	put_file("a.pack.partial/diary", "dear");
	assert_refused("a.pack", false, -EEXIST, "a.pack was interrupted: go on with --resume, or remove a.pack.partial");
	assert_refused("a.pack", true, -EEXIST, "a.pack.partial is not the folder of an interrupted packing");
	assert_true(is_there("a.pack.partial/diary"));
	put_file("b.pack.partial", "");
	assert_refused("b.pack", true, -ENOTDIR, "b.pack.partial cannot be opened");
	assert_int_equal(symlink("a.pack.partial", "c.pack.partial"), 0);
	assert_refused("c.pack", true, -ENOTDIR, "c.pack.partial cannot be opened");
}

static void without_anything_begun_no_folder_stays(void **state)
{
	struct pack_place place = opened("a.pack", false);

	(void)state;
	assert_true(is_there("a.pack.partial"));
	pack_place_close(&place);
	assert_false(is_there("a.pack.partial"));
}

/* A folder whose name a loss of power takes away takes all that was synced in it along. */
static void names_are_on_the_disk(void **state)
{
	struct pack_place place;
	struct err err;

	(void)state;
	fsync_watch.count = 0;
	place = filled("a.pack");
	assert_true(fsync_watch_saw("."));
	fsync_watch.count = 0;
	assert_int_equal(pack_place_publish(&place, SHARDS, id, &err), 0);
	assert_true(fsync_watch_saw("."));
	assert_int_equal(fsync_watch.count, 2); /* the shards' names before the pack's */
	pack_place_close(&place);
}

static void a_file_system_that_syncs_no_folders_will_do(void **state)
{
	struct pack_place place;
	struct err err;

	(void)state;
	fsync_watch.refuses_folders = true;
	place = filled("a.pack");
	if (pack_place_publish(&place, SHARDS, id, &err) != 0)
		fail_msg("%s", err.text);
	pack_place_close(&place);
	fsync_watch.refuses_folders = false;
	assert_published();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(files_get_their_names_and_the_folder_goes, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(an_end_between_two_names_is_gone_on_from, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(a_file_that_came_meanwhile_is_not_replaced, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(only_files_of_this_pack_count_as_named_before, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(names_that_will_not_do_are_refused_and_nothing_is_made, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(a_folder_of_other_things_is_left_alone, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(without_anything_begun_no_folder_stays, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(names_are_on_the_disk, enter_tree, leave_tree),
		cmocka_unit_test_setup_teardown(a_file_system_that_syncs_no_folders_will_do, enter_tree, leave_tree),
	};

	return cmocka_run_group_tests(tests, make_workplace, remove_workplace);
}
