/* test_index_cache.c - a kept index gives what reading gives, and a change is noticed. */
#include "loader/plan/index/index_stamp.h"
#include "tests/kept_index.h"

static void the_second_start_takes_all_from_the_file(void **state)
{
	struct dataset *plain = open_source("tree0", NULL, NULL, "", false), *first = open_kept("tree0", "4 samples, written"),
		       *second = open_kept("tree0", "index kept.cropidx: 4 samples, used as it is");

	(void)state;
	assert_int_equal(dataset_stray_count(plain), 1);
	assert_int_equal(dataset_link_targets(plain)->count, 1);
	assert_false(dataset_link_targets(plain)->stay_beneath);
	assert_same(plain, first);
	assert_same(plain, second);
	dataset_close(plain);
	dataset_close(first);
	dataset_close(second);
}

static void other_words_for_the_same_folder_do_as_well(void **state)
{
	char absolute[64];
	struct dataset *dataset;

	(void)state;
	keep("tree0");
	snprintf(absolute, sizeof absolute, "%s/tree0/", workplace);
	dataset = open_kept(absolute, "used as it is");
	assert_string_equal(dataset_root(dataset), absolute);
	dataset_close(dataset);
	dataset_close(open_kept("tree1/../tree0", "used as it is"));
}

static void a_file_that_comes_is_noticed(void **state)
{
	struct dataset *dataset;

	(void)state;
	keep("tree1");
	put_file("tree1/cat/deep/new.jpg", "");
	dataset = open_kept("tree1", "5 samples, made anew: tree1/cat/deep changed");
	assert_string_equal(dataset_path(dataset, 2), "cat/deep/new.jpg");
	dataset_close(dataset);
}

static void a_file_that_goes_is_noticed(void **state)
{
	(void)state;
	keep("tree2");
	assert_int_equal(unlink("tree2/dog/3.png"), 0);
	dataset_close(open_kept("tree2", "3 samples, made anew: tree2/dog changed"));
}

static void a_folder_of_another_name_is_noticed(void **state)
{
	(void)state;
	keep("tree3");
	assert_int_equal(rename("tree3/dog", "tree3/wolf"), 0);
	dataset_close(open_kept("tree3", "4 samples, made anew: tree3 changed"));
}

/* Its parent looks as before. */
static void a_folder_behind_a_link_is_looked_at_where_it_is_now(void **state)
{
	(void)state;
	assert_int_equal(symlink("tree4", "current"), 0);
	keep("current");
	assert_int_equal(unlink("current"), 0);
	assert_int_equal(symlink("tree0", "current"), 0);
	dataset_close(open_kept("current", "made anew: it was of another source"));
	assert_int_equal(unlink("current"), 0);
}

/* As in a cache of Hugging Face's, where the lists of two revisions are links to one file. */
static void paths_begin_where_the_list_is_said_to_lie(void **state)
{
	struct dataset *dataset;

	(void)state;
	keep("old/list.csv");
	dataset_close(open_kept("old/../old/list.csv", "used as it is"));
	dataset = open_kept("new/list.csv", "made anew: it was of another source");
	assert_string_equal(dataset_root(dataset), "new");
	dataset_close(dataset);
	dataset = open_source("new/list.csv", "old", "kept.cropidx", "made anew: it was of another source", false);
	assert_string_equal(dataset_root(dataset), "old");
	dataset_close(dataset);
}

static void a_list_is_the_file_that_its_name_leads_to_now(void **state)
{
	struct dataset *dataset;

	(void)state;
	assert_int_equal(symlink("elsewhere/list.csv", "current.csv"), 0);
	keep("current.csv");
	assert_int_equal(unlink("current.csv"), 0);
	assert_int_equal(symlink("elsewhere/next.csv", "current.csv"), 0);
	dataset = open_kept("current.csv", "made anew: it was of another source");
	assert_string_equal(dataset_path(dataset, 0), "5.jpg");
	dataset_close(dataset);
	assert_int_equal(unlink("current.csv"), 0);
}

/* As many bytes as before, and the time of modification put back. */
static void a_list_that_was_edited_in_secret_is_noticed(void **state)
{
	const char *list = "elsewhere/next.csv";
	int fd;
	struct timespec times[2];
	struct dataset *dataset;
	struct stat before;

	(void)state;
	keep(list);
	assert_int_equal(stat(list, &before), 0);
	times[0] = before.st_atim;
	times[1] = before.st_mtim;
	fd = open(list, O_WRONLY);
	assert_int_equal(pwrite(fd, "6", 1, strlen("path\n")), 1);
	close(fd);
	assert_int_equal(utimensat(AT_FDCWD, list, times, 0), 0);
	dataset = open_kept(list, "next.csv changed");
	assert_string_equal(dataset_path(dataset, 0), "6.jpg");
	dataset_close(dataset);
	dataset_close(open_kept(list, "next.csv had changed within 2 s before it was read"));
}

static void a_pattern_through_a_link_means_what_the_link_leads_to_now(void **state)
{
	struct dataset *dataset;

	(void)state;
	assert_int_equal(symlink("old", "current"), 0);
	keep("current/{0..0}.tar");
	dataset_close(open_kept("./current/{0..0}.tar", "used as it is"));
	assert_int_equal(unlink("current"), 0);
	assert_int_equal(symlink("new", "current"), 0);
	dataset = open_kept("current/{0..0}.tar", "made anew: it was of another source");
	assert_int_equal(faccessat(dataset_root_fd(dataset), "0.tar", R_OK, 0), 0);
	dataset_close(dataset);
	assert_int_equal(unlink("current"), 0);
}

/* Writes kept.cropidx anew, with the same index and other stamps. */
static void rewrite_stamps(const struct dataset *dataset, const struct index_stamps *records, const struct link_targets *links)
{
	struct index_stamps_view view;
	struct index_file file;
	struct bytes bytes = {0};

	assert_int_equal(index_file_open(&file, "kept.cropidx", NULL), 0);
	assert_null(index_stamps_open(&view, index_file_stamps(&file), file.header.stamp_bytes));
	assert_int_equal(index_stamps_write(records, &view.origin, links, &bytes), 0);
	assert_int_equal(index_file_write(dataset_index(dataset), file.tail, &bytes, AT_FDCWD, "kept.cropidx"), 0);
	bytes_free(&bytes);
	index_file_close(&file);
}

static void a_file_that_tells_of_no_folder_is_not_believed(void **state)
{
	const struct index_stamps none = {.began_ns = 0};
	const struct link_targets no_links = {.stay_beneath = true},
				  odd_links = {.stay_beneath = true, .folder = {(char[]){"elsewhere"}}, .count = 1};
	struct dataset *dataset = open_kept("tree0", "written");

	(void)state;
	rewrite_stamps(dataset, &none, &no_links);
	dataset_close(open_kept("tree0", "made anew: it does not say what its source looked like"));
	rewrite_stamps(dataset, &none, &odd_links);
	dataset_close(open_source("tree0", NULL, "kept.cropidx", "a folder that its links led to has no name", true));
	dataset_close(dataset);
}

/* Whoever could write the file could else have any folder read. */
static void a_file_cannot_say_where_paths_begin(void **state)
{
	struct dataset *dataset = open_kept("tree0", "written");
	struct index_file file;
	struct bytes stamps = {0};

	(void)state;
	assert_int_equal(index_file_open(&file, "kept.cropidx", NULL), 0);
	assert_int_equal(bytes_append(&stamps, index_file_stamps(&file), file.header.stamp_bytes), 0);
	index_file_close(&file);
	assert_int_equal(index_file_write(dataset_index(dataset), "/", &stamps, AT_FDCWD, "kept.cropidx"), 0);
	bytes_free(&stamps);
	dataset_close(dataset);
	dataset = open_kept("tree0", "made anew: its paths begin elsewhere");
	assert_string_equal(dataset_root(dataset), "tree0");
	assert_int_equal(faccessat(dataset_root_fd(dataset), dataset_path(dataset, 0), R_OK, 0), 0);
	dataset_close(dataset);
}

static void what_was_young_is_read_again(void **state)
{
	(void)state;
	put_tree("young");
	keep("young");
	dataset_close(open_kept("young", "made anew: young had changed within 2 s before it was read"));
}

static void another_source_takes_the_file_over(void **state)
{
	(void)state;
	keep("tree0");
	dataset_close(open_kept("tree4", "made anew: it was of another source, of other flags, or of another version"));
	dataset_close(open_kept("tree4", "used as it is"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kept_test(the_second_start_takes_all_from_the_file),
		kept_test(other_words_for_the_same_folder_do_as_well),
		kept_test(a_file_that_comes_is_noticed),
		kept_test(a_file_that_goes_is_noticed),
		kept_test(a_folder_of_another_name_is_noticed),
		kept_test(a_folder_behind_a_link_is_looked_at_where_it_is_now),
		kept_test(paths_begin_where_the_list_is_said_to_lie),
		kept_test(a_list_is_the_file_that_its_name_leads_to_now),
		kept_test(a_list_that_was_edited_in_secret_is_noticed),
		kept_test(a_pattern_through_a_link_means_what_the_link_leads_to_now),
		kept_test(a_file_that_tells_of_no_folder_is_not_believed),
		kept_test(a_file_cannot_say_where_paths_begin),
		kept_test(what_was_young_is_read_again),
		kept_test(another_source_takes_the_file_over),
	};

	return cmocka_run_group_tests_name("index_cache", tests, make_trees, remove_workplace);
}
