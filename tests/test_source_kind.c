/* test_source_kind.c - folders, manifests, tar files and indexes are told apart by their names and by what stands in a folder. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/plan/source_kind.h"

static char workplace[] = "/tmp/cropring-kind-XXXXXX";

static int make_workplace(void **state)
{
	(void)state;
	strcpy(workplace + sizeof workplace - 7, "XXXXXX");
	return mkdtemp(workplace) && chdir(workplace) == 0 ? mkdir("tree", 0755) : -1;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	(void)place;
	return remove(path);
}

static int remove_workplace(void **state)
{
	(void)state;
	return chdir("/") == 0 ? nftw(workplace, remove_entry, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

static void make_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
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
	make_file("a.csv", "");
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
	make_file("list", "cropidx1 and more");
	make_file("short", "cropidx");
	assert_kind("list", SOURCE_INDEX, "list");
	assert_kind("short", SOURCE_FOLDER, "short");
	assert_int_equal(mkfifo("fifo", 0644), 0); /* which nobody writes into */
	assert_kind("fifo", SOURCE_FOLDER, "fifo");
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
	make_file("tree/1.jpg", "");
	make_file("tree/metadata.jsonl", "");
	assert_kind("tree", SOURCE_MANIFEST, "tree/metadata.jsonl");
	make_file("tree/metadata.csv", "");
	assert_kind("tree", SOURCE_MANIFEST, "tree/metadata.csv");
	assert_int_equal(unlink("tree/metadata.csv"), 0);
	assert_int_equal(unlink("tree/metadata.jsonl"), 0);
	assert_int_equal(mkdir("tree/metadata.csv", 0755), 0);
	assert_kind("tree", SOURCE_FOLDER, "tree");
}

static void a_folder_of_tar_files_holds_no_image_and_no_folder(void **state)
{
	(void)state;
	make_file("tree/notes.txt", "");
	assert_kind("tree", SOURCE_FOLDER, "tree");
	make_file("tree/1.tar", "");
	make_file("tree/2.TAR", "");
	assert_kind("tree", SOURCE_TAR, "tree");
	make_file("tree/1.jpg", "");
	assert_kind("tree", SOURCE_FOLDER, "tree");
	assert_int_equal(unlink("tree/1.jpg"), 0);
	assert_int_equal(mkdir("elsewhere", 0755), 0);
	assert_int_equal(symlink("../elsewhere", "tree/class"), 0);
	assert_kind("tree", SOURCE_FOLDER, "tree");
	assert_int_equal(unlink("tree/class"), 0);
	assert_int_equal(symlink("nowhere", "tree/3.tar"), 0);
	assert_kind("tree", SOURCE_TAR, "tree");
}

#define kind_test(name) cmocka_unit_test_setup_teardown(name, make_workplace, remove_workplace)

int main(void)
{
	const struct CMUnitTest tests[] = {
		kind_test(files_are_known_by_their_ending_in_any_case),
		kind_test(an_index_of_another_name_is_known_by_its_first_bytes),
		kind_test(a_folder_is_a_folder_whatever_its_name),
		kind_test(a_folder_with_metadata_is_read_by_it),
		kind_test(a_folder_of_tar_files_holds_no_image_and_no_folder),
	};

	return cmocka_run_group_tests_name("source_kind", tests, NULL, NULL);
}
