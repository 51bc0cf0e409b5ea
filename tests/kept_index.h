/*
 * kept_index.h - for tests of --index: folders, lists and shards that have rested, and data sets that are opened with an index beside.
 *
 * Folders must have rested for two seconds to be trusted: all trees are made at first, and then once waited for.
 */
#ifndef CROPRING_TESTS_KEPT_INDEX_H
#define CROPRING_TESTS_KEPT_INDEX_H

#include <time.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index/index_file.h"
#include "tests/tar_recipe.h"
#include "tests/tree_fixture.h"

enum { TREES = 8 };

/* Two classes, a folder below one of them, a link out of the tree and a stray. */
static inline void put_tree(const char *tree)
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
static inline void make_snapshot(const char *folder, const char *member)
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

static inline int make_trees(void **state)
{
	const struct timespec rest = {.tv_sec = 2, .tv_nsec = 100000000};
	char tree[16];

	if (make_workplace(state) != 0)
		return -1;
	put_folder("elsewhere");
	put_file("elsewhere/4.jpg", "");
	put_file("elsewhere/list.csv", "path\n4.jpg\n");
	put_file("elsewhere/next.csv", "path\n5.jpg\n");
	make_snapshot("old", "a.jpg");
	make_snapshot("new", "longer/b.jpg");
	for (int i = 0; i < TREES; i++) {
		snprintf(tree, sizeof tree, "tree%d", i);
		put_tree(tree);
	}
	return nanosleep(&rest, NULL);
}

static inline int remove_index(void **state)
{
	(void)state;
	(void)unlink("kept.cropidx");
	return 0;
}

/* The report has these words, and is a warning or not. */
static inline struct dataset *open_source(const char *source, const char *root, const char *index_path, const char *words,
                                          bool is_warning)
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

static inline struct dataset *open_kept(const char *source, const char *words)
{
	return open_source(source, NULL, "kept.cropidx", words, false);
}

static inline void assert_refused(const char *source, const char *root, const char *index_path, int code, const char *words)
{
	const struct dataset_spec spec = {.source = source, .root = root, .index_path = index_path, .threads = 1};
	struct dataset *dataset;
	struct err err = {"no sentence"};

	assert_int_equal(dataset_open(&dataset, &spec, &err), code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static inline void assert_same(const struct dataset *left, const struct dataset *right)
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

static inline void keep(const char *tree)
{
	dataset_close(open_kept(tree, "written"));
}

#define kept_test(name) cmocka_unit_test_teardown(name, remove_index)

#endif
