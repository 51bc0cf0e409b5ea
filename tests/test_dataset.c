/*
 * test_dataset.c - folders are read as ImageFolder reads them, what cannot be read is explained, and the index cannot be changed.
 *
 * Each test builds its tree below a fresh temporary folder.  Over 500 lines, as the trees are written out.
 */
#include <dirent.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loader/plan/dataset.h"
#include "loader/plan/index/index_layout.h"
#include "tests/tree_fixture.h"

/* Makes the folders on the way to `path` in the tree, and gives the whole path; valid until the next call. */
static const char *path_in_tree(const char *path)
{
	static char whole[8192];

	snprintf(whole, sizeof whole, "tree/%s", path);
	for (char *slash = strchr(whole + strlen("tree/"), '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		assert_true(mkdir(whole, 0755) == 0 || errno == EEXIST);
		*slash = '/';
	}
	return whole;
}

static void make_file(const char *path)
{
	put_file(path_in_tree(path), "");
}

static void make_files(const char *const *paths, size_t count)
{
	for (size_t i = 0; i < count; i++)
		make_file(paths[i]);
}

static void make_folder(const char *path)
{
	put_folder(path_in_tree(path));
}

static void make_link(const char *target, const char *path)
{
	assert_int_equal(symlink(target, path_in_tree(path)), 0);
}

static struct dataset *open_tree(void)
{
	struct dataset *dataset;
	struct err err = {"no sentence"};

	if (dataset_open(&dataset, &(struct dataset_spec){.source = "tree", .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	return dataset;
}

static const char *class_name(const struct dataset *dataset, uint32_t i)
{
	const struct index_view *index = dataset_index(dataset);

	return index->text + index->class_offsets[i];
}

struct expected_sample {
	const char *path;
	int32_t label;
};

/* Opens the tree, compares and closes it; returns the number of strays. */
static uint64_t assert_tree_has(const struct expected_sample *samples, size_t sample_count, const char *const *classes,
                                uint32_t class_count)
{
	struct dataset *dataset = open_tree();
	uint64_t stray_count = dataset_stray_count(dataset);

	assert_int_equal(dataset_class_count(dataset), class_count);
	for (uint32_t i = 0; i < class_count; i++)
		assert_string_equal(class_name(dataset, i), classes[i]);
	for (uint64_t i = 0; i < sample_count && i < dataset_sample_count(dataset); i++) {
		assert_string_equal(dataset_path(dataset, i), samples[i].path);
		assert_int_equal(dataset_label(dataset, i), samples[i].label);
	}
	assert_int_equal(dataset_sample_count(dataset), sample_count);
	dataset_close(dataset);
	return stray_count;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Opening fails with this code, and the sentence holds these words. */
static void assert_refused(const char *folder, int code, const char *word, const char *other_word)
{
	struct dataset *dataset = (struct dataset *)1;
	struct err err = {"no sentence"};

	assert_int_equal(dataset_open(&dataset, &(struct dataset_spec){.source = folder, .threads = 1}, &err), code);
	assert_null(dataset);
	if (!strstr(err.text, word) || !strstr(err.text, other_word))
		fail_msg("'%s' lacks '%s' or '%s'", err.text, word, other_word);
	assert_int_equal(dataset_open(&dataset, &(struct dataset_spec){.source = folder, .threads = 1}, NULL), code);
}

static void classes_are_the_sub_folders_in_bytewise_order(void **state)
{
	static const char *const files[] = {"b/1.jpg",       "a/2.jpg",  "B/3.jpg", "a-b/4.jpg",     "a b/5.jpg",
	                                    ".hidden/6.jpg", "10/7.jpg", "9/8.jpg", "\xc3\xa4/9.jpg"};
	static const char *const classes[] = {".hidden", "10", "9", "B", "a", "a b", "a-b", "b", "\xc3\xa4"};
	static const struct expected_sample samples[] = {{".hidden/6.jpg", 0}, {"10/7.jpg", 1}, {"9/8.jpg", 2},
	                                                 {"B/3.jpg", 3},       {"a/2.jpg", 4},  {"a b/5.jpg", 5},
	                                                 {"a-b/4.jpg", 6},     {"b/1.jpg", 7},  {"\xc3\xa4/9.jpg", 8}};

	(void)state;
	make_files(files, COUNT(files));
	assert_int_equal(assert_tree_has(samples, COUNT(samples), classes, COUNT(classes)), 0);
}

/* The order in which sorted(os.walk()) meets them, taken from Python: not that of the whole paths. */
static void samples_are_sorted_by_directory_and_then_by_name(void **state)
{
	static const char *const files[] = {"c/x/a.jpg",    "c/x0.jpg",     "c/x-1.jpg",  "c/x-1/b.jpg", "c/x/y/a.jpg",
	                                    "c/x/y-/a.jpg", "c/x/y0/a.jpg", "c/z.jpg",    "c/x/z.jpg",   "c/x.jpg",
	                                    "c/X.jpg",      "c/x /a.jpg",   "c/x!/a.jpg", "c/x.d/a.jpg", "c/x0/a.jpg"};
	static const char *const classes[] = {"c"};
	static const struct expected_sample samples[] = {
		{"c/X.jpg", 0},     {"c/x-1.jpg", 0},   {"c/x.jpg", 0},      {"c/x0.jpg", 0},     {"c/z.jpg", 0},
		{"c/x/a.jpg", 0},   {"c/x/z.jpg", 0},   {"c/x /a.jpg", 0},   {"c/x!/a.jpg", 0},   {"c/x-1/b.jpg", 0},
		{"c/x.d/a.jpg", 0}, {"c/x/y/a.jpg", 0}, {"c/x/y-/a.jpg", 0}, {"c/x/y0/a.jpg", 0}, {"c/x0/a.jpg", 0}};

	(void)state;
	make_files(files, COUNT(files));
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
}

static void images_are_known_by_their_extension_in_any_case(void **state)
{
	static const char *const files[] = {"c/a.jpg", "c/b.JPEG",    "c/c.Png",    "c/d.ppm",  "c/e.bMp",     "c/f.pgm",
	                                    "c/g.TIF", "c/h.tiff",    "c/i.webp",   "c/.jpg",   "c/j.jpg.",    "c/k.jpg.txt",
	                                    "c/l.gif", "c/m.jpe",     "c/njpg",     "c/o.jpg ", "c/p.jp\x67~", "c/jpg",
	                                    "c/.j",    "c/q.tar.jpg", "c/r.\xcapg", "c/s.jpg2", "c/README",    "c/t.ji\xcc\x87pg"};
	static const char *const classes[] = {"c"};
	static const struct expected_sample samples[] = {{"c/.jpg", 0},   {"c/a.jpg", 0},  {"c/b.JPEG", 0},   {"c/c.Png", 0},
	                                                 {"c/d.ppm", 0},  {"c/e.bMp", 0},  {"c/f.pgm", 0},    {"c/g.TIF", 0},
	                                                 {"c/h.tiff", 0}, {"c/i.webp", 0}, {"c/q.tar.jpg", 0}};

	(void)state;
	make_files(files, COUNT(files));
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
}

static void a_folder_without_sub_folders_is_flat(void **state)
{
	static const char *const files[] = {"b.jpg", "a.png", "B.jpg", "notes.txt", "10.jpg", "9.jpg"};
	static const struct expected_sample samples[] = {
		{"10.jpg", -1}, {"9.jpg", -1}, {"B.jpg", -1}, {"a.png", -1}, {"b.jpg", -1}};

	(void)state;
	make_files(files, COUNT(files));
	assert_int_equal(assert_tree_has(samples, COUNT(samples), NULL, 0), 0);
}

static void images_beside_class_folders_are_strays(void **state)
{
	static const char *const files[] = {"c/a.jpg", "stray.jpg", "other.png", "notes.txt"};
	static const char *const classes[] = {"c"};
	static const struct expected_sample samples[] = {{"c/a.jpg", 0}};

	(void)state;
	make_files(files, COUNT(files));
	assert_int_equal(assert_tree_has(samples, COUNT(samples), classes, COUNT(classes)), 2);
}

static void names_are_bytes(void **state)
{
	static const char *const files[] = {"c\n/\xff\xfe.jpg", "c\n/ .jpg", "c\n/%s%n.jpg", "c\n/\t\\.jpg",
	                                    "c\n/\xf0\x9f\x90\x88.jpg"};
	static const char *const classes[] = {"c\n"};
	static const struct expected_sample samples[] = {{"c\n/\t\\.jpg", 0},
	                                                 {"c\n/ .jpg", 0},
	                                                 {"c\n/%s%n.jpg", 0},
	                                                 {"c\n/\xf0\x9f\x90\x88.jpg", 0},
	                                                 {"c\n/\xff\xfe.jpg", 0}};

	(void)state;
	make_files(files, COUNT(files));
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
}

static void links_are_followed_and_dangling_ones_keep_their_number(void **state)
{
	static const char *const classes[] = {"c", "d"};
	static const struct expected_sample samples[] = {{"c/dangling.jpg", 0}, {"c/itself.jpg", 0}, {"c/link.jpg", 0},
	                                                 {"c/real.jpg", 0},     {"c/sub/x.jpg", 0},  {"d/x.jpg", 1}};

	(void)state;
	make_file("c/real.jpg");
	make_link("real.jpg", "c/link.jpg");
	make_link("nowhere", "c/dangling.jpg");
	make_link("nowhere", "c/dangling.txt");
	make_link("itself.jpg", "c/itself.jpg");
	assert_int_equal(mkdir("elsewhere", 0755), 0);
	assert_int_equal(close(open("elsewhere/x.jpg", O_WRONLY | O_CREAT, 0644)), 0);
	make_link("../../elsewhere", "c/sub");
	make_link("../elsewhere", "d");
	make_link("nowhere", "not_a_class");
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
	unlink("elsewhere/x.jpg");
	rmdir("elsewhere");
}

static void two_links_to_one_folder_are_no_loop(void **state)
{
	static const char *const classes[] = {"a", "b", "c"};
	static const struct expected_sample samples[] = {{"a/1.jpg", 0}, {"b/1.jpg", 1}, {"c/again/1.jpg", 2}};

	(void)state;
	make_file("a/1.jpg");
	make_link("a", "b");
	make_folder("c");
	make_link("../a", "c/again");
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
}

static void fifos_sockets_and_devices_are_left_out(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "tree/c/socket.jpg"};
	int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char *const classes[] = {"c"};
	static const struct expected_sample samples[] = {{"c/a.jpg", 0}};

	(void)state;
	make_file("c/a.jpg");
	assert_int_equal(mkfifo(path_in_tree("c/fifo.jpg"), 0644), 0);
	assert_int_equal(bind(socket_fd, (struct sockaddr *)&address, sizeof address), 0);
	make_link("fifo.jpg", "c/link_to_fifo.jpg");
	make_link("/dev/zero", "c/link_to_device.jpg");
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
	close(socket_fd);
}

static void a_folder_named_like_an_image_is_a_folder(void **state)
{
	static const char *const classes[] = {"c.jpg"};
	static const struct expected_sample samples[] = {{"c.jpg/d.png/a.jpg", 0}};

	(void)state;
	make_file("c.jpg/d.png/a.jpg");
	assert_tree_has(samples, COUNT(samples), classes, COUNT(classes));
}

static void deep_and_wide_trees_are_read_whole(void **state)
{
	char path[1024] = "c";
	struct dataset *dataset;

	(void)state;
	for (int depth = 0; depth < 200; depth++) {
		char *end = path + strlen(path);

		strcpy(end, "/1.jpg");
		make_file(path);
		strcpy(end, "/d");
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(path, sizeof path, "w/%d/%d.jpg", i * 7919 % 3000, i);
		make_file(path);
	}
	dataset = open_tree();
	assert_int_equal(dataset_sample_count(dataset), 200 + 3000);
	for (uint64_t i = 0; i < 3199; i++)
		assert_true(i == 199 || strncmp(dataset_path(dataset, i), dataset_path(dataset, i + 1), 1) == 0);
	for (uint64_t i = 200; i < 3199; i++)
		assert_true(strcmp(dataset_path(dataset, i), dataset_path(dataset, i + 1)) < 0 ||
		            strchr(dataset_path(dataset, i) + 2, '/') != strrchr(dataset_path(dataset, i), '/'));
	dataset_close(dataset);
}

/* Over 256 KiB of paths: they continue from one block of the scan's memory to the next. */
static void long_names_are_kept_whole(void **state)
{
	char path[512];
	struct dataset *dataset;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(path, sizeof path, "c/%04d%0*d.jpg", i, 100 + i % 100, 0);
		make_file(path);
	}
	dataset = open_tree();
	assert_int_equal(dataset_sample_count(dataset), 3000);
	for (int i = 0; i < 3000; i++) {
		snprintf(path, sizeof path, "c/%04d%0*d.jpg", i, 100 + i % 100, 0);
		assert_string_equal(dataset_path(dataset, (uint64_t)i), path);
	}
	dataset_close(dataset);
}

static void what_is_no_folder_is_refused(void **state)
{
	(void)state;
	make_file("file");
	assert_refused("tree/missing", -ENOENT, "tree/missing", "No such file");
	assert_refused("tree/file", -ENOTDIR, "tree/file: a folder is expected, or a file that ends in .csv", "(a manifest)");
	assert_refused("", -ENOENT, "cannot open", "No such file");
}

static void a_folder_without_images_is_refused(void **state)
{
	(void)state;
	assert_refused("tree", -ENODATA, "tree", ".jpg .jpeg .png .ppm .bmp .pgm .tif .tiff .webp");
	make_file("notes.txt");
	assert_refused("tree", -ENODATA, "tree", ".webp");
}

static void a_class_without_images_is_refused_by_name(void **state)
{
	(void)state;
	make_file("a/1.jpg");
	make_file("b/deep/notes.txt");
	make_file("c/1.jpg");
	assert_refused("tree", -ENODATA, "tree/b:", ".jpg .jpeg .png");
}

static void loops_of_links_are_refused_by_name(void **state)
{
	(void)state;
	make_file("a/1.jpg");
	make_file("a/deep/er/1.jpg");
	make_link("../../deep", "a/deep/er/again");
	assert_refused("tree", -ELOOP, "tree/a/deep/er/again:", "tree/a/deep;");
	assert_int_equal(unlink("tree/a/deep/er/again"), 0);

	make_link("..", "a/up");
	assert_refused("tree", -ELOOP, "tree/a/up:", " tree;");
	assert_int_equal(unlink("tree/a/up"), 0);

	make_link("../..", "a/far_up");
	assert_refused("tree", -ELOOP, "tree/a/far_up:", " tree;");
	assert_int_equal(unlink("tree/a/far_up"), 0);

	make_link(".", "class");
	assert_refused("tree", -ELOOP, "tree/class:", " tree;");
	assert_int_equal(unlink("tree/class"), 0);

	make_file("b/1.jpg");
	make_link("../b", "a/to_b");
	make_link("../a", "b/to_a");
	assert_refused("tree", -ELOOP, "tree/a/to_b/to_a:", "tree/a;");
}

/* As a user who is not allowed to: root may read everything. */
static void a_folder_that_may_not_be_read_is_named(void **state)
{
	bool root = geteuid() == 0;

	(void)state;
	make_file("a/1.jpg");
	make_file("a/secret/1.jpg");
	assert_int_equal(chmod("tree/a/secret", 0), 0);
	if (root) {
		assert_int_equal(chmod(workplace, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_refused("tree", -EACCES, "tree/a/secret", "Permission denied");
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod("tree/a/secret", 0755), 0);
}

static void a_path_too_long_to_open_is_refused(void **state)
{
	char name[201];
	int fd = open("tree", O_PATH | O_DIRECTORY);

	(void)state;
	memset(name, 'n', 200);
	name[200] = 0;
	for (int depth = 0; depth < 25; depth++) {
		assert_int_equal(mkdirat(fd, name, 0755), 0);

		int inner = openat(fd, name, O_PATH | O_DIRECTORY);

		close(fd);
		fd = inner;
	}
	close(fd);
	assert_refused("tree", -ENAMETOOLONG, "File name too long", "tree/nnn");

	/* nftw() cannot remove it either: shorten it by moving its middle up. */
	char middle[20 * 201 + 8] = "tree";

	for (int depth = 0; depth < 18; depth++)
		strcat(strcat(middle, "/"), name);
	assert_int_equal(rename(middle, "tree/middle"), 0);
}

static size_t count_descriptors(void)
{
	DIR *descriptors = opendir("/proc/self/fd");
	size_t count = 0;

	assert_non_null(descriptors);
	while (readdir(descriptors))
		count++;
	closedir(descriptors);
	return count;
}

static void no_descriptor_is_left_open(void **state)
{
	size_t before = count_descriptors();
	struct dataset *dataset;

	(void)state;
	assert_refused("tree", -ENODATA, "", "");
	assert_refused("tree/missing", -ENOENT, "", "");
	make_file("a/b/1.jpg");
	dataset = open_tree();
	assert_int_equal(count_descriptors(), before + 2);
	dataset_close(dataset);
	make_link("..", "a/b/up");
	assert_refused("tree", -ELOOP, "", "");
	assert_int_equal(count_descriptors(), before);
	dataset_close(NULL);
}

static void samples_open_relative_to_the_root(void **state)
{
	struct dataset *dataset;
	int fd;

	(void)state;
	make_file("c/d/1.jpg");
	dataset = open_tree();
	assert_string_equal(dataset_root(dataset), "tree");
	assert_int_equal(chdir("/"), 0);
	fd = openat(dataset_root_fd(dataset), dataset_path(dataset, 0), O_RDONLY);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chdir(workplace), 0);
	assert_true(fcntl(dataset_root_fd(dataset), F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(dataset_index_fd(dataset), F_GETFD) & FD_CLOEXEC);
	dataset_close(dataset);
}

static void the_index_is_laid_out_as_documented(void **state)
{
	static const char *const files[] = {"b/1.jpg", "b/2.jpg", "a/3.jpg"};
	static const char text[] = "a\0b\0a/3.jpg\0b/1.jpg\0b/2.jpg\0tree";
	static const uint64_t paths[] = {4, 12, 20}, class_offsets[] = {0, 2};
	static const int64_t labels[] = {0, 1, 1};
	size_t byte_count = 128 + sizeof paths + sizeof labels + sizeof class_offsets + sizeof text;
	struct index_header header;
	struct dataset *dataset;
	struct stat status;

	(void)state;
	make_files(files, COUNT(files));
	dataset = open_tree();
	assert_int_equal(fstat(dataset_index_fd(dataset), &status), 0);
	assert_int_equal(status.st_size, byte_count);

	char *bytes = mmap(NULL, byte_count, PROT_READ, MAP_PRIVATE, dataset_index_fd(dataset), 0), *at = bytes + 128;

	assert_true(bytes != MAP_FAILED);
	memcpy(&header, bytes, sizeof header);
	assert_memory_equal(header.magic, "cropidx1", 8);
	assert_int_equal(header.columns, INDEX_HAS(INDEX_PATH) | INDEX_HAS(INDEX_LABEL));
	assert_int_equal(header.sample_count, 3);
	assert_int_equal(header.class_count, 2);
	assert_int_equal(header.text_bytes, sizeof text);
	assert_int_equal(header.root_at, 28);
	assert_memory_equal(at, paths, sizeof paths);
	assert_memory_equal(at + 24, labels, sizeof labels);
	assert_memory_equal(at + 48, class_offsets, sizeof class_offsets);
	assert_memory_equal(at + 64, text, sizeof text);
	munmap(bytes, byte_count);
	dataset_close(dataset);
}

static void nobody_can_change_the_index(void **state)
{
	struct dataset *dataset;
	int fd;

	(void)state;
	make_file("1.jpg");
	dataset = open_tree();
	fd = dataset_index_fd(dataset);
	assert_int_equal(fcntl(fd, F_GET_SEALS), F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 1 << 20), -1);
	assert_true(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
	assert_string_equal(dataset_path(dataset, 0), "1.jpg");
	dataset_close(dataset);
}

#define tree_test(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)

/* Readers will name its files; the folder need not have an image. */
static void a_folder_that_is_not_scanned_has_no_samples(void **state)
{
	static const struct {
		const char *path;
		bool is_everything;
	} folders[] = {{"tree", false}, {"/", true}, {"/.", true}, {"//", true}, {"/usr/..", true}, {"/usr", false}};
	struct dataset *dataset;

	(void)state;
	make_file("note.txt");
	for (size_t i = 0; i < COUNT(folders); i++) {
		const struct dataset_spec spec = {.source = folders[i].path, .threads = 1, .unscanned = true};

		assert_int_equal(dataset_open(&dataset, &spec, NULL), 0);
		assert_int_equal(dataset_sample_count(dataset), 0);
		assert_int_equal(dataset_is_everything(dataset), folders[i].is_everything);
		assert_int_equal(dataset_link_targets(dataset)->stay_beneath, !folders[i].is_everything);
		assert_string_equal(dataset_root(dataset), folders[i].path);
		dataset_close(dataset);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(classes_are_the_sub_folders_in_bytewise_order),
		tree_test(samples_are_sorted_by_directory_and_then_by_name),
		tree_test(images_are_known_by_their_extension_in_any_case),
		tree_test(a_folder_without_sub_folders_is_flat),
		tree_test(images_beside_class_folders_are_strays),
		tree_test(names_are_bytes),
		tree_test(links_are_followed_and_dangling_ones_keep_their_number),
		tree_test(two_links_to_one_folder_are_no_loop),
		tree_test(fifos_sockets_and_devices_are_left_out),
		tree_test(a_folder_named_like_an_image_is_a_folder),
		tree_test(deep_and_wide_trees_are_read_whole),
		tree_test(long_names_are_kept_whole),
		tree_test(what_is_no_folder_is_refused),
		tree_test(a_folder_without_images_is_refused),
		tree_test(a_class_without_images_is_refused_by_name),
		tree_test(loops_of_links_are_refused_by_name),
		tree_test(a_folder_that_may_not_be_read_is_named),
		tree_test(a_path_too_long_to_open_is_refused),
		tree_test(no_descriptor_is_left_open),
		tree_test(samples_open_relative_to_the_root),
		tree_test(the_index_is_laid_out_as_documented),
		tree_test(nobody_can_change_the_index),
		tree_test(a_folder_that_is_not_scanned_has_no_samples),
	};

	return cmocka_run_group_tests_name("dataset", tests, make_workplace, remove_workplace);
}
