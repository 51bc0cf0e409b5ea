/*
 * test_index_cache.c - a kept index gives what reading gives, a change is noticed, and whatever is wrong with the file is made good.
 *
 * Folders must have rested for two seconds to be trusted: all trees are made at first, and then once waited for.
 */
#include <dirent.h>
#include <time.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index_file.h"
#include "tests/tar_recipe.h"
#include "tests/tree_fixture.h"

enum { TREES = 8 };

/* Two classes, a folder below one of them, a link out of the tree and a stray. */
static void put_tree(const char *tree)
{
	put_folder(tree);
	assert_int_equal(chdir(tree), 0);
	put_folder("cat");
	put_folder("cat/deep");
	put_folder("dog");
	put_file("stray.jpg", "");
	put_file("cat/1.jpg", "");
	put_file("cat/deep/2.jpg", "");
	put_file("dog/3.png", "");
	assert_int_equal(symlink("../../elsewhere/4.jpg", "dog/4.jpg"), 0);
	assert_int_equal(chdir(".."), 0);
}

/* A folder with a list, which is one file for all such folders, the image that it names, and a shard. */
static void make_snapshot(const char *folder, const char *member)
{
	static struct tar_recipe recipe;
	int fd;

	put_folder(folder);
	assert_int_equal(chdir(folder), 0);
	put_file("4.jpg", "");
	assert_int_equal(symlink("../elsewhere/list.csv", "list.csv"), 0);
	tar_put(&recipe, member, "image");
	tar_put_end(&recipe);
	fd = open("0.tar", O_WRONLY | O_CREAT | O_EXCL, 0644);
	assert_int_equal(write(fd, recipe.bytes, recipe.byte_count), recipe.byte_count);
	close(fd);
	recipe.byte_count = 0;
	assert_int_equal(chdir(".."), 0);
}

static int make_trees(void **state)
{
	const struct timespec rest = {.tv_sec = 2, .tv_nsec = 100000000};
	char tree[16];

	if (make_workplace(state) != 0)
		return -1;
	put_folder("elsewhere");
	put_file("elsewhere/4.jpg", "");
	put_file("elsewhere/list.csv", "path\n4.jpg\n");
	make_snapshot("old", "a.jpg");
	make_snapshot("new", "longer/b.jpg");
	for (int i = 0; i < TREES; i++) {
		snprintf(tree, sizeof tree, "tree%d", i);
		put_tree(tree);
	}
	return nanosleep(&rest, NULL);
}

static int remove_index(void **state)
{
	(void)state;
	(void)unlink("kept.cropidx");
	return 0;
}

/* The report has these words, and is a warning or not. */
static struct dataset *open_source(const char *source, const char *root, const char *index_path, const char *words, bool is_warning)
{
	const struct dataset_spec spec = {.source = source, .root = root, .index_path = index_path, .threads = 2};
	struct dataset *dataset;
	struct err err = {"no sentence"};
	const char *report;
	bool warns;

	if (dataset_open(&dataset, &spec, &err) != 0)
		fail_msg("%s", err.text);
	report = dataset_cache_report(dataset, &warns);
	if (!strstr(report, words) || warns != is_warning)
		fail_msg("%s \"%s\", expected \"%s\"", warns ? "warning" : "news", report, words);
	return dataset;
}

static struct dataset *open_kept(const char *source, const char *words)
{
	return open_source(source, NULL, "kept.cropidx", words, false);
}

static void assert_refused(const char *source, const char *root, const char *index_path, int code, const char *words)
{
	const struct dataset_spec spec = {.source = source, .root = root, .index_path = index_path, .threads = 1};
	struct dataset *dataset;
	struct err err = {"no sentence"};

	assert_int_equal(dataset_open(&dataset, &spec, &err), code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void assert_same(const struct dataset *left, const struct dataset *right)
{
	const struct link_targets *ours = dataset_link_targets(left), *theirs = dataset_link_targets(right);
	const struct index_header *header = dataset_index(left)->header;

	assert_int_equal(index_view_bytes(header), index_view_bytes(dataset_index(right)->header));
	assert_memory_equal(header, dataset_index(right)->header, index_view_bytes(header));
	assert_string_equal(dataset_root(left), dataset_root(right));
	assert_int_equal(dataset_stray_count(left), dataset_stray_count(right));
	assert_int_equal(ours->count, theirs->count);
	assert_int_equal(ours->stay_beneath, theirs->stay_beneath);
	for (uint32_t i = 0; i < ours->count; i++)
		assert_string_equal(ours->folder[i], theirs->folder[i]);
}

static void keep(const char *tree)
{
	dataset_close(open_kept(tree, "written"));
}

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

static void a_place_that_cannot_be_written_is_a_warning(void **state)
{
	(void)state;
	dataset_close(open_source("tree0", NULL, "/proc/self/kept.cropidx", "cannot be written: ", true));
}

static void a_place_that_is_not_there_is_an_error(void **state)
{
	(void)state;
	assert_refused("tree0", NULL, "missing/kept.cropidx", -ENOENT,
	               "--index missing/kept.cropidx: its folder missing cannot be opened");
	assert_refused("tree0", NULL, "tree0/stray.jpg/kept.cropidx", -ENOTDIR, "tree0/stray.jpg cannot be opened");
	assert_refused("tree0", NULL, "tree0/", -EINVAL, "the name of a file is expected");
	assert_refused("tree0", NULL, "tree0/cat/deep/kept.cropidx", -EINVAL, "would lie in a folder of tree0");
	assert_int_equal(access("tree0/cat/deep/kept.cropidx", F_OK), -1);
}

static void nothing_but_an_index_is_written_over(void **state)
{
	int fd = open("diary", O_RDWR | O_CREAT, 0644);
	char text[8] = "";

	(void)state;
	assert_int_equal(write(fd, "dear", 4), 4);
	assert_refused("tree0", NULL, "diary", -EINVAL, "--index diary: is there already and is no index");
	assert_refused("tree0", NULL, "elsewhere", -EINVAL, "is no index");
	assert_int_equal(mkfifo("fifo", 0644), 0);
	assert_refused("tree0", NULL, "fifo", -EINVAL, "is no index");
	assert_int_equal(symlink("fifo", "link"), 0);
	assert_refused("tree0", NULL, "link", -EINVAL, "is no index");
	assert_int_equal(symlink("nowhere", "lost"), 0);
	assert_refused("tree0", NULL, "lost", -EINVAL, "is no index");
	assert_int_equal(pread(fd, text, sizeof text, 0), 4);
	assert_string_equal(text, "dear");
	assert_int_equal(ftruncate(fd, 0), 0);
	close(fd);
	dataset_close(
		open_source("tree0", NULL, "diary", "made anew: diary: not an index that can be used: it is too short", true));
	dataset_close(open_source("tree0", NULL, "diary", "used as it is", false));
}

/* What came while the source was read. */
static void what_came_meanwhile_is_not_written_over(void **state)
{
	struct dataset *dataset = open_source("tree0", NULL, NULL, "", false);
	struct bytes no_stamps = {0};
	struct stat status;

	(void)state;
	put_file("notes", "cropped");
	assert_int_equal(index_file_write(dataset_index(dataset), "root", &no_stamps, AT_FDCWD, "notes"), -EEXIST);
	assert_int_equal(stat("notes", &status), 0);
	assert_int_equal(status.st_size, 7);
	assert_int_equal(mkfifo("pipe", 0644), 0);
	assert_int_equal(index_file_write(dataset_index(dataset), "root", &no_stamps, AT_FDCWD, "pipe"), -EEXIST);
	assert_int_equal(lstat("pipe", &status), 0);
	assert_true(S_ISFIFO(status.st_mode));
	dataset_close(dataset);
}

static void a_link_to_an_index_stays_one(void **state)
{
	struct stat status;

	(void)state;
	assert_int_equal(symlink("elsewhere/far.cropidx", "kept.cropidx"), 0);
	put_file("elsewhere/far.cropidx", "");
	dataset_close(open_source("tree0", NULL, "kept.cropidx", "too short", true));
	dataset_close(open_kept("tree0", "used as it is"));
	assert_int_equal(lstat("kept.cropidx", &status), 0);
	assert_true(S_ISLNK(status.st_mode));
	assert_int_equal(unlink("elsewhere/far.cropidx"), 0);
}

static void nothing_is_left_beside_the_file(void **state)
{
	const struct dirent *entry;
	struct dataset *dataset;
	struct bytes no_stamps = {0};
	DIR *folder;

	(void)state;
	dataset = open_kept("tree0", "written");
	assert_int_equal(index_file_write(dataset_index(dataset), "root", &no_stamps, AT_FDCWD, "elsewhere"), -EEXIST);
	dataset_close(dataset);
	folder = opendir(".");
	while ((entry = readdir(folder)))
		assert_true(entry->d_name[0] != '.' || strspn(entry->d_name, ".") == strlen(entry->d_name));
	closedir(folder);
}

/* Each part of the file in turn: header, columns, text, root, stamps. */
static void a_spoiled_file_is_made_anew_with_a_warning(void **state)
{
	struct dataset *good = open_source("tree0", NULL, NULL, "", false), *dataset;
	struct index_file file;
	struct stat status;
	off_t root_begin, root_end;

	(void)state;
	keep("tree0");
	assert_int_equal(stat("kept.cropidx", &status), 0);
	assert_int_equal(index_file_open(&file, "kept.cropidx", NULL), 0);
	root_end = status.st_size - (off_t)file.header.stamp_bytes - 1;
	root_begin = root_end - (off_t)strlen(file.tail);
	index_file_close(&file);
	for (off_t at = 8; at < status.st_size; at += 13) {
		int fd = open("kept.cropidx", O_RDWR);
		char byte;

		if (at >= 72 && at < 128)
			at = 128; /* what nobody reads */
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x20;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		/* A root that is gone is no fault of the file's. */
		dataset = open_source("tree0", NULL, "kept.cropidx", "made anew: ", at < root_begin || at >= root_end);
		assert_same(good, dataset);
		dataset_close(dataset);
		dataset_close(open_kept("tree0", "used as it is"));
	}
	for (off_t byte_count = status.st_size - 1; byte_count > 8; byte_count -= 61) {
		assert_int_equal(truncate("kept.cropidx", byte_count), 0);
		dataset_close(open_source("tree0", NULL, "kept.cropidx", "made anew: ", true));
	}
	dataset_close(good);
}

static void an_index_is_a_source(void **state)
{
	struct dataset *plain = open_source("tree0", NULL, NULL, "", false), *dataset;
	char root[64];

	(void)state;
	keep("tree0");
	dataset = open_source("kept.cropidx", NULL, NULL, "", false);
	snprintf(root, sizeof root, "%s/tree0", workplace);
	assert_string_equal(dataset_root(dataset), root);
	assert_memory_equal(dataset_index(plain)->header->fingerprint, dataset_index(dataset)->header->fingerprint, 16);
	assert_int_equal(faccessat(dataset_root_fd(dataset), dataset_path(dataset, 1), R_OK, 0), 0);
	assert_int_equal(dataset_link_targets(dataset)->count, 1);
	assert_int_equal(dataset_stray_count(dataset), 1);
	dataset_close(dataset);

	dataset = open_source("kept.cropidx", "tree4", NULL, "", false);
	assert_string_equal(dataset_root(dataset), "tree4");
	dataset_close(dataset);
	assert_refused("kept.cropidx", "missing", NULL, -ENOENT, "its paths begin at missing, which cannot be opened");
	assert_refused("kept.cropidx", NULL, "other.cropidx", -EINVAL, "is an index itself");
	assert_refused("missing.cropidx", NULL, NULL, -ENOENT, "missing.cropidx: cannot open this index");
	dataset_close(plain);
}

/* Its folders are not looked at: that is what it is for. */
static void an_index_as_a_source_is_used_whatever_has_changed(void **state)
{
	struct dataset *dataset;

	(void)state;
	keep("tree5");
	assert_int_equal(unlink("tree5/cat/1.jpg"), 0);
	dataset = open_source("kept.cropidx", NULL, NULL, "", false);
	assert_int_equal(dataset_sample_count(dataset), 4);
	dataset_close(dataset);
}

/* As a builder of another program may write it: no stamps, and a root that is told relative to the file. */
static void an_index_may_lie_beside_its_folder(void **state)
{
	struct dataset *plain = open_source("tree0", NULL, NULL, "", false), *dataset;
	struct bytes no_stamps = {0};
	int fd = open("elsewhere", O_PATH | O_DIRECTORY);

	(void)state;
	assert_int_equal(index_file_write(dataset_index(plain), "../tree0", &no_stamps, fd, "other.cropidx"), 0);
	close(fd);
	dataset = open_source("elsewhere/other.cropidx", NULL, NULL, "", false);
	assert_string_equal(dataset_root(dataset), "elsewhere/../tree0");
	assert_int_equal(dataset_link_targets(dataset)->count, 0);
	assert_true(dataset_link_targets(dataset)->stay_beneath);
	dataset_close(dataset);
	assert_int_equal(unlink("elsewhere/other.cropidx"), 0);
	dataset_close(plain);
}

static void what_is_no_file_or_of_no_sensible_length_is_no_index(void **state)
{
	(void)state;
	keep("tree0");
	assert_int_equal(truncate("kept.cropidx", INT64_C(1) << 43), 0); /* sparse */
	assert_refused("kept.cropidx", NULL, NULL, -EINVAL, "longer than half of this machine's memory");
	assert_int_equal(truncate("kept.cropidx", 100), 0);
	assert_refused("kept.cropidx", NULL, NULL, -EINVAL, "too short");
	assert_int_equal(mkfifo("fifo.cropidx", 0644), 0);
	assert_refused("fifo.cropidx", NULL, NULL, -EINVAL, "it is no file");
}

#define cache_test(name) cmocka_unit_test_teardown(name, remove_index)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cache_test(the_second_start_takes_all_from_the_file),
		cache_test(other_words_for_the_same_folder_do_as_well),
		cache_test(a_file_that_comes_is_noticed),
		cache_test(a_file_that_goes_is_noticed),
		cache_test(a_folder_of_another_name_is_noticed),
		cache_test(a_folder_behind_a_link_is_looked_at_where_it_is_now),
		cache_test(paths_begin_where_the_list_is_said_to_lie),
		cache_test(a_pattern_through_a_link_means_what_the_link_leads_to_now),
		cache_test(a_file_cannot_say_where_paths_begin),
		cache_test(what_was_young_is_read_again),
		cache_test(another_source_takes_the_file_over),
		cache_test(a_place_that_cannot_be_written_is_a_warning),
		cache_test(a_place_that_is_not_there_is_an_error),
		cache_test(nothing_but_an_index_is_written_over),
		cache_test(what_came_meanwhile_is_not_written_over),
		cache_test(a_link_to_an_index_stays_one),
		cache_test(nothing_is_left_beside_the_file),
		cache_test(a_spoiled_file_is_made_anew_with_a_warning),
		cache_test(an_index_is_a_source),
		cache_test(an_index_as_a_source_is_used_whatever_has_changed),
		cache_test(an_index_may_lie_beside_its_folder),
		cache_test(what_is_no_file_or_of_no_sensible_length_is_no_index),
	};

	return cmocka_run_group_tests_name("index_cache", tests, make_trees, remove_workplace);
}
