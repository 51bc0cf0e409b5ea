/* Tests of loader/plan/source_tar.c through dataset_open(): shards, patterns and folders of them, and what the index then holds. */
#include <stdbool.h>
#include <time.h>

#include "loader/plan/dataset.h"
#include "tests/tar_recipe.h"
#include "tests/tree_fixture.h"

#include "tests/kernel_has.h"

static struct tar_recipe recipe;

static int make_places(void **state)
{
	alarm(60);
	return make_workplace(state);
}

/* The archive in `recipe` as this file. */
static void write_shard(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	tar_put_end(&recipe);
	assert_int_equal(write(fd, recipe.bytes, recipe.byte_count), recipe.byte_count);
	close(fd);
	memset(recipe.bytes, 0, recipe.byte_count);
	recipe.byte_count = 0;
}

/* A shard of two samples: both images of `length` bytes, with these labels; NULL: none. */
static void write_pair(const char *path, size_t length, const char *first, const char *second)
{
	char image[100] = "";

	memset(image, 'x', length);
	tar_put(&recipe, "1.jpg", image);
	if (first)
		tar_put(&recipe, "1.cls", first);
	tar_put(&recipe, "2.jpg", image);
	if (second)
		tar_put(&recipe, "2.cls", second);
	write_shard(path);
}

static struct dataset *open_with(struct dataset_spec spec)
{
	struct dataset *dataset;
	struct err err = {""};

	if (dataset_open(&dataset, &spec, &err) != 0)
		fail_msg("%s", err.text);
	return dataset;
}

static struct dataset *open_source(const char *source)
{
	return open_with((struct dataset_spec){.source = source, .threads = 3});
}

static void expect_refusal_with(struct dataset_spec spec, int error, const char *words)
{
	struct dataset *dataset;
	struct err err = {""};

	assert_int_equal(dataset_open(&dataset, &spec, &err), error);
	assert_null(dataset);
	if (!strstr(err.text, words))
		fail_msg("\"%s\", expected \"%s\"", err.text, words);
}

static void expect_refusal(const char *source, int error, const char *words)
{
	expect_refusal_with((struct dataset_spec){.source = source, .threads = 3}, error, words);
}

static void expect_sample(const struct dataset *dataset, uint64_t sample, const char *path, uint64_t offset, uint64_t length,
                          int64_t label)
{
	struct dataset_file file;

	dataset_image(dataset, sample, &file);
	assert_string_equal(file.path, path);
	assert_int_equal(file.offset, offset);
	assert_int_equal(file.length, length);
	assert_int_equal(dataset_label(dataset, sample), label);
}

static void one_shard_is_a_source(void **state)
{
	struct dataset_file file;
	struct dataset *dataset;
	char text[64];

	(void)state;
	write_pair("one.tar", 5, "3", NULL);
	dataset = open_source("one.tar");
	assert_int_equal(dataset_sample_count(dataset), 2);
	assert_int_equal(dataset_class_count(dataset), 0);
	expect_sample(dataset, 0, "one.tar", 512, 5, 3);
	expect_sample(dataset, 1, "one.tar", 2560, 5, -1);
	assert_string_equal(dataset_root(dataset), ".");
	dataset_image(dataset, 1, &file);
	assert_string_equal(dataset_file_name(&file, text, sizeof text), "one.tar at byte 2560");
	dataset_close(dataset);
}

static void a_pattern_names_shards_in_its_own_order(void **state)
{
	struct dataset *dataset;

	(void)state;
	assert_int_equal(mkdir("set", 0755), 0);
	assert_int_equal(mkdir("set/a", 0755), 0);
	assert_int_equal(mkdir("set/b", 0755), 0);
	write_pair("set/a/x-08.tar", 1, "0", "1");
	write_pair("set/a/x-09.tar", 2, "2", "3");
	write_pair("set/b/x-08.tar", 3, "4", "5");
	write_pair("set/b/x-09.tar", 4, "6", "7");
	dataset = open_source("set/{b,a}/x-{08..09}.tar");
	assert_int_equal(dataset_sample_count(dataset), 8);
	assert_string_equal(dataset_root(dataset), "set");
	expect_sample(dataset, 0, "b/x-08.tar", 512, 3, 4);
	expect_sample(dataset, 3, "b/x-09.tar", 2560, 4, 7);
	expect_sample(dataset, 6, "a/x-09.tar", 512, 2, 2);
	dataset_close(dataset);
	expect_refusal("set/{b,a}/x-{08..10}.tar", -ENOENT, "set/b/x-10.tar: cannot open");
	expect_refusal("set/x-{08..10.tar", -EINVAL, "set/x-{08..10.tar: a brace without its other half");
	expect_refusal("nowhere/x-{08..10}.tar", -ENOENT, "nowhere: cannot open");
	write_pair("set/y-{1,2}.tar", 1, NULL, NULL); /* a file of that very name is that file */
	dataset = open_source("set/y-{1,2}.tar");
	expect_sample(dataset, 0, "y-{1,2}.tar", 512, 1, -1);
	dataset_close(dataset);
}

static void a_folder_of_shards_is_sorted_bytewise(void **state)
{
	struct dataset *dataset;

	(void)state;
	assert_int_equal(mkdir("shards", 0755), 0);
	write_pair("shards/b.tar", 1, NULL, NULL);
	write_pair("shards/a-1.TAR", 2, NULL, NULL);
	write_pair("shards/B.tar", 3, NULL, NULL);
	write_pair("shards/notes.txt", 4, NULL, NULL);
	dataset = open_source("shards/");
	assert_int_equal(dataset_sample_count(dataset), 6);
	expect_sample(dataset, 0, "B.tar", 512, 3, -1);
	expect_sample(dataset, 2, "a-1.TAR", 512, 2, -1);
	expect_sample(dataset, 4, "b.tar", 512, 1, -1);
	dataset_close(dataset);
}

static void labels_are_names_when_one_of_all_shards_is_none_of_a_number(void **state)
{
	struct dataset *dataset;

	(void)state;
	write_pair("n-0.tar", 1, "12", "-3");
	write_pair("n-1.tar", 1, "dog", "cat");
	write_pair("n-2.tar", 1, NULL, "dog");
	dataset = open_source("n-{0..0}.tar");
	assert_int_equal(dataset_class_count(dataset), 0);
	expect_sample(dataset, 0, "n-0.tar", 512, 1, 12);
	expect_sample(dataset, 1, "n-0.tar", 2560, 1, -3);
	dataset_close(dataset);
	dataset = open_source("n-{1..2}.tar");
	assert_int_equal(dataset_class_count(dataset), 2);
	assert_int_equal(dataset_label(dataset, 0), 1);
	assert_int_equal(dataset_label(dataset, 1), 0);
	assert_int_equal(dataset_label(dataset, 2), -1);
	assert_int_equal(dataset_label(dataset, 3), 1);
	dataset_close(dataset);
	dataset = open_source("n-{0..2}.tar");
	assert_int_equal(dataset_class_count(dataset), 4); /* -3, 12, cat, dog */
	assert_int_equal(dataset_label(dataset, 0), 1);
	assert_int_equal(dataset_label(dataset, 1), 0);
	assert_int_equal(dataset_label(dataset, 2), 3);
	assert_int_equal(dataset_label(dataset, 3), 2);
	assert_int_equal(dataset_label(dataset, 4), -1);
	dataset_close(dataset);
}

static void targets_lie_beside_images_in_the_same_shard(void **state)
{
	struct dataset *dataset;
	struct dataset_file file;

	(void)state;
	tar_put(&recipe, "1.jpg", "image");
	tar_put(&recipe, "1.seg.png", "target!");
	write_shard("pairs.tar");
	for (int dot = 0; dot < 2; dot++) {
		dataset = open_with(
			(struct dataset_spec){.source = "pairs.tar", .targets = dot ? ".seg.png" : "seg.png", .threads = 1});
		expect_sample(dataset, 0, "pairs.tar", 512, 5, -1);
		dataset_target(dataset, 0, &file);
		assert_string_equal(file.path, "pairs.tar");
		assert_int_equal(file.offset, 1536);
		assert_int_equal(file.length, 7);
		dataset_close(dataset);
	}
	dataset = open_source("pairs.tar");
	assert_false(dataset_has(dataset, INDEX_TARGET));
	dataset_close(dataset);
	expect_refusal_with((struct dataset_spec){.source = "pairs.tar", .targets = "mask.png", .threads = 1}, -EINVAL,
	                    "no .mask.png, which --targets names");
}

/* A hundred shards, of which several are wrong; one takes long to be found so. */
static void write_wrong_shards(const char *folder, int slow)
{
	char name[32];

	assert_int_equal(mkdir(folder, 0755), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof name, "%s/%02d.tar", folder, i);
		for (int n = 0; i == slow && n < 900; n++)
			tar_put(&recipe, "0.txt", "");
		if (i == 20 || i == 21 || i > 60)
			tar_put(&recipe, "../x.jpg", "1");
		write_pair(name, 1, NULL, NULL);
	}
}

/* Of several that are wrong the first is told, whichever thread found it, and when. */
static void the_first_shard_that_is_wrong_is_told(void **state)
{
	(void)state;
	write_wrong_shards("first-slow", 20);
	write_wrong_shards("next-slow", 21);
	for (int i = 0; i < 10; i++) {
		for (uint32_t threads = 1; threads < 40; threads += 13) {
			expect_refusal_with((struct dataset_spec){.source = "first-slow", .threads = threads}, -EINVAL,
			                    "first-slow/20.tar at byte 460800: a member whose name leads out");
			expect_refusal_with((struct dataset_spec){.source = "next-slow", .threads = threads}, -EINVAL,
			                    "next-slow/20.tar at byte 0: a member whose name leads out");
		}
	}
}

static void what_is_no_tar_file_is_refused_with_its_name(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(mkdir("odd", 0755), 0);
	assert_int_equal(mkfifo("odd/fifo.tar", 0644), 0);
	assert_int_equal(mkdir("odd/folder.tar", 0755), 0);
	fd = open("odd/empty.tar", O_WRONLY | O_CREAT, 0644);
	close(fd);
	tar_put(&recipe, "1.txt", "words");
	write_shard("odd/text.tar");
	expect_refusal("odd/fifo.tar", -EINVAL, "odd/fifo.tar: not a regular file");
	expect_refusal("odd/{folder,fifo}.tar", -EINVAL, "odd/folder.tar: not a regular file");
	expect_refusal("odd/empty.tar", -EINVAL, "odd/empty.tar: 0 bytes");
	expect_refusal("odd/missing.tar", -ENOENT, "odd/missing.tar: cannot open");
	expect_refusal("odd/text.tar", -ENODATA, "odd/text.tar: no image in 1 tar files");
	fd = open("odd/small.tar.gz", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(write(fd, "\x1f\x8b\x08", 3), 3);
	assert_int_equal(ftruncate(fd, 100), 0);
	close(fd);
	expect_refusal("odd/small.tar.gz", -EINVAL, "odd/small.tar.gz: compressed with gzip");
	expect_refusal("od{d,e}/../x.tar", -EINVAL, "leads out of");
}

static void samples_without_an_image_are_remarked(void **state)
{
	struct dataset *dataset;

	(void)state;
	tar_put(&recipe, "0.txt", "words");
	write_pair("some.tar", 1, NULL, NULL);
	dataset = open_source("some.tar");
	assert_int_equal(dataset_sample_count(dataset), 2);
	assert_non_null(dataset_remark(dataset));
	assert_null(dataset_warning(dataset)); /* it was no label */
	assert_string_equal(dataset_remark(dataset), "some.tar: 1 samples without an image are left out");
	dataset_close(dataset);
}

/* Each of an image and its label alone is well; both at once, in one shard or in two, is a warning. */
static void labels_that_stand_apart_from_their_images_are_a_warning(void **state)
{
	struct dataset *dataset;

	(void)state;
	write_pair("apart-0.tar", 1, NULL, "dog");
	tar_put(&recipe, "1.cls", "cat");
	tar_put(&recipe, "3.jpg", "image");
	tar_put(&recipe, "3.cls", "cat");
	write_shard("apart-1.tar");
	dataset = open_source("apart-0.tar");
	assert_null(dataset_warning(dataset));
	dataset_close(dataset);
	dataset = open_source("apart-1.tar");
	assert_null(dataset_warning(dataset));
	dataset_close(dataset);
	dataset = open_source("apart-{0..1}.tar");
	assert_non_null(dataset_warning(dataset));
	assert_string_equal(dataset_warning(dataset),
	                    "apart-{0..1}.tar: 1 samples are without a label, and 1 labels without an image: members of one key "
	                    "have to follow one another; make the shards with tar --sort=name");
	dataset_close(dataset);
}

static void links_to_shards_are_told_to_the_sandbox(void **state)
{
	struct dataset *dataset;
	char target[128];

	(void)state;
	kernel_has_openat2_or_skip();
	assert_int_equal(mkdir("here", 0755), 0);
	assert_int_equal(mkdir("there", 0755), 0);
	write_pair("there/1.tar", 1, NULL, NULL);
	write_pair("here/0.tar", 1, NULL, NULL);
	dataset = open_source("here/{0..0}.tar");
	assert_int_equal(dataset_link_targets(dataset)->count, 0);
	assert_true(dataset_link_targets(dataset)->stay_beneath);
	dataset_close(dataset);
	assert_int_equal(symlink("../there/1.tar", "here/1.tar"), 0);
	dataset = open_source("here/{0..1}.tar");
	snprintf(target, sizeof target, "%s/there", workplace);
	assert_int_equal(dataset_link_targets(dataset)->count, 1);
	assert_string_equal(dataset_link_targets(dataset)->folder[0], target);
	assert_false(dataset_link_targets(dataset)->stay_beneath);
	expect_sample(dataset, 2, "1.tar", 512, 1, -1);
	dataset_close(dataset);
	assert_int_equal(symlink("../there", "here/sub"), 0); /* a folder on the way counts as well */
	dataset = open_source("here/{sub,sub}/1.tar");
	assert_int_equal(dataset_link_targets(dataset)->count, 1);
	assert_false(dataset_link_targets(dataset)->stay_beneath);
	dataset_close(dataset);
}

/* Opens kept/SHARDS with --index; what became of the file. */
static void expect_report(const char *source, const char *targets, uint64_t sample_count, const char *words)
{
	const struct dataset_spec spec = {.source = source, .targets = targets, .index_path = "kept.cropidx", .threads = 2};
	struct dataset *dataset = open_with(spec);
	bool is_warning;
	const char *report = dataset_cache_report(dataset, &is_warning);

	if (is_warning || !strstr(report, words))
		fail_msg("\"%s\", expected \"%s\"", report, words);
	assert_int_equal(dataset_sample_count(dataset), sample_count);
	assert_int_equal(dataset_has(dataset, INDEX_TARGET), targets != NULL);
	dataset_close(dataset);
}

static void write_image_and_target(const char *path, const char *image)
{
	tar_put(&recipe, "1.jpg", image);
	tar_put(&recipe, "1.png", "target");
	write_shard(path);
}

static void a_kept_index_is_used_until_a_shard_changes(void **state)
{
	const struct timespec rest = {.tv_sec = 2, .tv_nsec = 100000000}; /* what changed just now is not trusted */

	(void)state;
	assert_int_equal(mkdir("kept", 0755), 0);
	write_image_and_target("kept/a.tar", "image");
	write_image_and_target("kept/b.tar", "image");
	nanosleep(&rest, NULL);
	expect_report("kept/{a,b}.tar", "png", 2, "2 samples, written");
	expect_report("kept/{a,b}.tar", "png", 2, "used as it is");
	expect_report("kept/{a,b}.tar", "PNG", 2, "made anew: it was of another source, of other flags");
	expect_report("kept/{b,a}.tar", "PNG", 2, "made anew: it was of another source, of other flags, or of another version");
	expect_report("kept", "png", 2, "made anew: it was of another source, of other flags, or of another version");
	expect_report("kept", "png", 2, "used as it is");
	write_image_and_target("kept/b.tar", "other");
	expect_report("kept", "png", 2, "made anew: kept/b.tar changed");
	nanosleep(&rest, NULL);
	expect_report("kept", "png", 2, "made anew: kept/b.tar had changed within 2 s");
	expect_report("kept", "png", 2, "used as it is");
	write_image_and_target("kept/c.tar", "image");
	expect_report("kept", "png", 3, "made anew: kept changed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_shard_is_a_source),
		cmocka_unit_test(a_pattern_names_shards_in_its_own_order),
		cmocka_unit_test(a_folder_of_shards_is_sorted_bytewise),
		cmocka_unit_test(labels_are_names_when_one_of_all_shards_is_none_of_a_number),
		cmocka_unit_test(targets_lie_beside_images_in_the_same_shard),
		cmocka_unit_test(the_first_shard_that_is_wrong_is_told),
		cmocka_unit_test(what_is_no_tar_file_is_refused_with_its_name),
		cmocka_unit_test(samples_without_an_image_are_remarked),
		cmocka_unit_test(a_kept_index_is_used_until_a_shard_changes),
		cmocka_unit_test(labels_that_stand_apart_from_their_images_are_a_warning),
		cmocka_unit_test(links_to_shards_are_told_to_the_sandbox),
	};

	return cmocka_run_group_tests(tests, make_places, remove_workplace);
}
