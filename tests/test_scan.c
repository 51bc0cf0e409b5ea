/* test_scan.c - however many threads walk through a folder, they find the same, also what is wrong with it. */
#include "loader/plan/folder/scan.h"
#include "tests/seed.h"
#include "tests/tree_fixture.h"

enum { THREADS = 7 };

/* Outside of the tree; a folder, a file, nothing. */
static char elsewhere[3][64];

static int make_elsewhere(void)
{
	for (int i = 0; i < 3; i++)
		snprintf(elsewhere[i], sizeof elsewhere[i], "%s/else%d/%d.jpg", workplace, i, i);
	return mkdir("else0", 0755) | mkdir("else1", 0755) | mkdir("else0/0.jpg", 0755) |
	       close(open("else0/0.jpg/inside.jpg", O_WRONLY | O_CREAT, 0644)) |
	       close(open("else1/1.jpg", O_WRONLY | O_CREAT, 0644));
}

static int make_places(void **state)
{
	return make_workplace(state) == 0 ? make_elsewhere() : -1;
}

/* One to four letters that sort in different ways next to '/' and '.'. */
static void random_name(char *name, uint64_t *seed)
{
	static const char letters[] = "ab-.0~\xc3Z ";
	uint64_t count = seed_between(seed, 1, 4);

	for (uint64_t i = 0; i < count; i++)
		name[i] = letters[seed_between(seed, 0, sizeof letters - 2)];
	strcpy(name + count, "x");
}

/* Folders, images, other files and links in the tree; a name that is there already is passed over. */
static void make_random_tree(const char *folder, int depth, uint64_t *seed)
{
	char name[16], path[512];

	for (uint64_t i = seed_between(seed, 0, 12); i > 0; i--) {
		random_name(name, seed);
		snprintf(path, sizeof path, "%s/%s%s", folder, name, seed_between(seed, 0, 5) ? ".jpg" : ".txt");
		if (seed_between(seed, 0, 9) == 0)
			(void)!symlink(elsewhere[seed_between(seed, 0, 2)], path);
		else
			close(open(path, O_WRONLY | O_CREAT, 0644));
	}
	for (uint64_t i = seed_between(seed, 0, 3); depth > 0 && i > 0; i--) {
		random_name(name, seed);
		snprintf(path, sizeof path, "%s/%s", folder, name);
		if (mkdir(path, 0755) == 0)
			make_random_tree(path, depth - 1, seed);
	}
}

struct outcome {
	int result;
	struct err err;
	struct scan scan;
	struct index_stamps stamps;
};

static struct outcome look(uint32_t threads)
{
	struct outcome outcome = {.err.text = "", .stamps.began_ns = index_stamps_now()};
	int root_fd = open("tree", O_PATH | O_DIRECTORY | O_CLOEXEC);

	outcome.stamps.began_ns = INT64_MAX / 2; /* nothing is too young, so that stamps are the same */
	outcome.result = scan_open(&outcome.scan, root_fd, "tree", threads, &outcome.stamps, &outcome.err);
	close(root_fd);
	return outcome;
}

static void forget(struct outcome *outcome)
{
	scan_close(&outcome->scan);
	index_stamps_close(&outcome->stamps);
}

static void assert_same_bytes(const struct bytes *left, const struct bytes *right)
{
	assert_int_equal(left->used_bytes, right->used_bytes);
	if (left->used_bytes > 0)
		assert_memory_equal(left->data, right->data, left->used_bytes);
}

/* What one thread finds is what many find; gives the result. */
static int assert_threads_agree(void)
{
	struct outcome one = look(1), many = look(THREADS);
	int result = one.result;

	assert_int_equal(many.result, one.result);
	assert_string_equal(many.err.text, one.err.text);
	if (one.result == 0) {
		assert_int_equal(many.scan.class_count, one.scan.class_count);
		assert_int_equal(many.scan.sample_count, one.scan.sample_count);
		assert_int_equal(many.scan.stray_count, one.scan.stray_count);
		assert_same_bytes(&many.scan.top.paths, &one.scan.top.paths);
		assert_same_bytes(&many.stamps.records, &one.stamps.records);
		for (uint32_t i = 0; i < one.scan.class_count; i++) {
			assert_string_equal(many.scan.classes[i].name, one.scan.classes[i].name);
			assert_same_bytes(&many.scan.classes[i].paths, &one.scan.classes[i].paths);
		}
		assert_int_equal(many.scan.link_targets.stay_beneath, one.scan.link_targets.stay_beneath);
		assert_int_equal(many.scan.link_targets.count, one.scan.link_targets.count);
		for (uint32_t i = 0; i < one.scan.link_targets.count; i++)
			assert_string_equal(many.scan.link_targets.folder[i], one.scan.link_targets.folder[i]);
	}
	forget(&one);
	forget(&many);
	return result;
}

static void threads_find_what_one_finds(void **state)
{
	uint64_t seed = seed_of_test("threads_find_what_one_finds");

	(void)state;
	for (int round = 0; round < 8; round++) {
		int empty = round % 2 ? (int)seed_between(&seed, 0, 9) : -1; /* a class without images */
		char path[64];

		assert_int_equal(mkdir("tree", 0755), 0);
		for (int class = 0; class < 10; class ++) {
			snprintf(path, sizeof path, "tree/%d", class);
			assert_int_equal(mkdir(path, 0755), 0);
			if (class == empty)
				continue;
			make_random_tree(path, 2, &seed);
			snprintf(path, sizeof path, "tree/%d/at-least.jpg", class);
			close(open(path, O_WRONLY | O_CREAT, 0644));
		}
		assert_int_equal(assert_threads_agree(), empty < 0 ? 0 : -ENODATA);
		remove_tree(NULL);
	}
}

static void of_several_faults_the_first_in_order_is_told(void **state)
{
	char path[64];

	(void)state;
	for (int class = 10; class < 90; class ++) {
		snprintf(path, sizeof path, "tree/%d", class);
		assert_int_equal(mkdir(path, 0755), 0);
		snprintf(path, sizeof path, "tree/%d/1.jpg", class);
		if (class != 50 && class != 55 && class != 89)
			close(open(path, O_WRONLY | O_CREAT, 0644));
	}
	/* A later one takes its time, so that its fault comes after that of the first. */
	assert_int_equal(unlink("tree/46/1.jpg"), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(path, sizeof path, "tree/46/%02d", i);
		assert_int_equal(mkdir(path, 0755), 0);
	}
	assert_int_equal(symlink("../45", "tree/45/loop"), 0);
	for (int round = 0; round < 50; round++) {
		struct outcome outcome = look(THREADS);

		assert_int_equal(outcome.result, -ELOOP);
		assert_non_null(strstr(outcome.err.text, "tree/45/loop: "));
		forget(&outcome);
	}
	assert_int_equal(unlink("tree/45/loop"), 0);
	for (int round = 0; round < 50; round++) {
		struct outcome outcome = look(THREADS);

		assert_int_equal(outcome.result, -ENODATA);
		assert_non_null(strstr(outcome.err.text, "tree/46: "));
		forget(&outcome);
	}
}

/* Enough names that differ early, late, by length only, and by bytes above 127, for keys that are equal and keys that are not. */
static void names_are_in_the_order_of_their_bytes(void **state)
{
	uint64_t seed = seed_of_test("names_are_in_the_order_of_their_bytes");
	char path[128], before[128] = "";
	struct outcome outcome;
	uint64_t count = 0;

	(void)state;
	for (int i = 0; i < 1500; i++) {
		int length = snprintf(path, sizeof path, "tree/prefix");

		for (uint64_t more = seed_between(&seed, 0, 20); more > 0; more--)
			path[length++] = "a\x01\xff"[seed_between(&seed, 0, 2)];
		strcpy(path + length, ".jpg");
		close(open(path, O_WRONLY | O_CREAT, 0644));
	}
	outcome = look(1);
	assert_int_equal(outcome.result, 0);
	for (const char *at = outcome.scan.top.paths.data; at < outcome.scan.top.paths.data + outcome.scan.top.paths.used_bytes;
	     at += strlen(at) + 1, count++) {
		assert_true(strcmp(before, at) < 0);
		strcpy(before, at);
	}
	assert_int_equal(outcome.scan.sample_count, count);
	assert_true(count > 1000);
	forget(&outcome);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_find_what_one_finds),
		cmocka_unit_test_setup_teardown(of_several_faults_the_first_in_order_is_told, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(names_are_in_the_order_of_their_bytes, make_tree, remove_tree),
	};

	return cmocka_run_group_tests_name("scan", tests, make_places, remove_workplace);
}
