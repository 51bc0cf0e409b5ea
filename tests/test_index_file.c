/* test_index_file.c - where an index is kept, that nothing else is written over, damage, and an index as a source. */
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/kept_index.h"

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

static void what_cannot_be_written_whole_leaves_the_old_file(void **state)
{
	struct dataset *dataset = open_source("tree4", NULL, NULL, "", false);
	const struct bytes no_stamps = {0};
	struct rlimit before, little;

	(void)state;
	keep("tree0");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = (struct rlimit){.rlim_cur = 200, .rlim_max = before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(index_file_write(dataset_index(dataset), "root", &no_stamps, AT_FDCWD, "kept.cropidx"), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	dataset_close(dataset);
	dataset_close(open_kept("tree0", "used as it is"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		kept_test(a_place_that_cannot_be_written_is_a_warning),
		kept_test(a_place_that_is_not_there_is_an_error),
		kept_test(nothing_but_an_index_is_written_over),
		kept_test(what_came_meanwhile_is_not_written_over),
		kept_test(what_cannot_be_written_whole_leaves_the_old_file),
		kept_test(a_link_to_an_index_stays_one),
		kept_test(nothing_is_left_beside_the_file),
		kept_test(a_spoiled_file_is_made_anew_with_a_warning),
		kept_test(an_index_is_a_source),
		kept_test(an_index_as_a_source_is_used_whatever_has_changed),
		kept_test(an_index_may_lie_beside_its_folder),
		kept_test(what_is_no_file_or_of_no_sensible_length_is_no_index),
	};

	return cmocka_run_group_tests_name("index_file", tests, make_trees, remove_workplace);
}
