/* test_source_kind.c - folders, manifests, tar files and indexes are told apart by their names and by what stands in a folder. */

#include "loader/plan/source_kind.h"
#include "tests/tree_fixture.h"

static int make_places(void **state)
{
	return make_workplace(state) == 0 ? make_tree(state) : -1;
}

static void assert_kind(const char *source, enum source_kind expected, const char *expected_path)
{
	enum source_kind kind;
	struct err err;
	char *path;

	assert_int_equal(source_kind_find(source, &kind, &path, &err), 0);
	if (kind != expected)
		fail_msg("%s: kind %d, expected %d", source, kind, expected);
	assert_string_equal(path, expected_path);
	free(path);
}

static void files_are_known_by_their_ending_in_any_case(void **state)
{
	(void)state;
	put_file("a.csv", "");
	assert_kind("a.csv", SOURCE_MANIFEST, "a.csv");
	assert_kind("missing.TSV", SOURCE_MANIFEST, "missing.TSV");
	assert_kind("missing.jsonl", SOURCE_MANIFEST, "missing.jsonl");
	assert_kind("missing.tar", SOURCE_TAR, "missing.tar");
	assert_kind("x-{0000..0099}.tar", SOURCE_TAR, "x-{0000..0099}.tar");
	assert_kind("missing.cropidx", SOURCE_INDEX, "missing.cropidx");
	assert_kind("missing", SOURCE_FOLDER, "missing");
	assert_kind("missing.tar.gz", SOURCE_TAR, "missing.tar.gz"); /* which is told why it cannot be read */
	assert_kind("", SOURCE_FOLDER, "");
}

static void an_index_of_another_name_is_known_by_its_first_bytes(void **state)
{
	(void)state;
	put_file("list", "cropidx1 and more");
	put_file("short", "cropidx");
	assert_kind("list", SOURCE_INDEX, "list");
	assert_kind("short", SOURCE_FOLDER, "short");
	assert_int_equal(mkfifo("fifo", 0644), 0); /* which nobody writes into */
	assert_kind("fifo", SOURCE_FOLDER, "fifo");
}

static void addresses_are_refused_with_what_to_do(void **state)
{
	static const char *const addresses[] = {"s3://bucket/train", "https://host/a.tar", "gs://bucket/{00..99}.tar"};
	enum source_kind kind;
	struct err err;
	char *path;

	(void)state;
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		assert_int_equal(source_kind_find(addresses[i], &kind, &path, &err), -ENOENT);
		assert_null(path);
		assert_non_null(strstr(err.text, addresses[i]));
		assert_non_null(strstr(err.text, "mount"));
	}
}

static void a_folder_is_a_folder_whatever_its_name(void **state)
{
	(void)state;
	assert_kind("tree", SOURCE_FOLDER, "tree");
	assert_int_equal(mkdir("a.csv", 0755), 0);
	assert_kind("a.csv", SOURCE_FOLDER, "a.csv");
	assert_int_equal(mkdir("a.tar", 0755), 0);
	assert_kind("a.tar/", SOURCE_FOLDER, "a.tar/");
}

static void a_folder_with_metadata_is_read_by_it(void **state)
{
	(void)state;
	put_file("tree/1.jpg", "");
	put_file("tree/metadata.jsonl", "");
	assert_kind("tree", SOURCE_MANIFEST, "tree/metadata.jsonl");
	put_file("tree/metadata.csv", "");
	assert_kind("tree", SOURCE_MANIFEST, "tree/metadata.csv");
	assert_int_equal(unlink("tree/metadata.csv"), 0);
	assert_int_equal(unlink("tree/metadata.jsonl"), 0);
	assert_int_equal(mkdir("tree/metadata.csv", 0755), 0);
	assert_kind("tree", SOURCE_FOLDER, "tree");
}

static void a_folder_of_tar_files_holds_no_image_and_no_folder(void **state)
{
	(void)state;
	put_file("tree/notes.txt", "");
	assert_kind("tree", SOURCE_FOLDER, "tree");
	put_file("tree/1.tar", "");
	put_file("tree/2.TAR", "");
	assert_kind("tree", SOURCE_TAR, "tree");
	put_file("tree/1.jpg", "");
	assert_kind("tree", SOURCE_FOLDER, "tree");
	assert_int_equal(unlink("tree/1.jpg"), 0);
	assert_int_equal(mkdir("elsewhere", 0755), 0);
	assert_int_equal(symlink("../elsewhere", "tree/class"), 0);
	assert_kind("tree", SOURCE_FOLDER, "tree");
	assert_int_equal(unlink("tree/class"), 0);
	assert_int_equal(symlink("nowhere", "tree/3.tar"), 0);
	assert_kind("tree", SOURCE_TAR, "tree");
}

static void assert_folder(const char *path, const char *expected, const char *expected_name)
{
	const char *name;
	char *folder = source_kind_folder(path, &name);

	assert_string_equal(folder, expected);
	assert_string_equal(name, expected_name);
	free(folder);
}

static void paths_begin_at_the_folder_or_where_the_file_lies(void **state)
{
	(void)state;
	assert_folder("tree", "tree", "");
	assert_folder("tree/", "tree/", "");
	assert_folder("/", "/", "");
	assert_folder("a.csv", ".", "a.csv");
	assert_folder("/a.csv", "/", "a.csv");
	assert_folder("tree/a.csv", "tree", "a.csv");
	assert_folder("tree//a.csv", "tree/", "a.csv");
	assert_folder("a/b{1/2,3}/{4..5}.tar", "a", "b{1/2,3}/{4..5}.tar");
	assert_folder("/{a,b}.tar", "/", "{a,b}.tar");
	assert_int_equal(mkdir("tree/{1,2}", 0755), 0);
	assert_folder("tree/{1,2}", "tree/{1,2}", "");
	put_file("tree/{1,2}/a.csv", "");
	assert_folder("tree/{1,2}/a.csv", "tree/{1,2}", "a.csv");
}

#define kind_test(name) cmocka_unit_test_setup_teardown(name, make_places, remove_workplace)

int main(void)
{
	const struct CMUnitTest tests[] = {
		kind_test(files_are_known_by_their_ending_in_any_case),
		kind_test(an_index_of_another_name_is_known_by_its_first_bytes),
		kind_test(addresses_are_refused_with_what_to_do),
		kind_test(a_folder_is_a_folder_whatever_its_name),
		kind_test(a_folder_with_metadata_is_read_by_it),
		kind_test(a_folder_of_tar_files_holds_no_image_and_no_folder),
		kind_test(paths_begin_at_the_folder_or_where_the_file_lies),
	};

	return cmocka_run_group_tests_name("source_kind", tests, NULL, NULL);
}
