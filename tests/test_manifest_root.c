/* test_manifest_root.c - paths below the root become relative to it, others are refused; no file is looked for. */
#include <limits.h>
#include <stdbool.h>

#include "loader/plan/manifest/manifest_root.h"
#include "tests/manifest_fixture.h"
#include "tests/tree_fixture.h"

/* With a folder "data", and a link "link" to it; the process stands in it. */
static int make_places(void **state)
{
	return make_workplace(state) == 0 && mkdir("data", 0755) == 0 ? symlink("data", "link") : -1;
}

static char reply[600];

/* What becomes of the path: the relative one, or "refused: " and why. */
static const char *resolve(const char *folder, const char *path)
{
	struct manifest_root root;
	struct err err = {"no sentence"};
	const char *relative = NULL, *words;

	if (manifest_root_open(&root, folder, &err) != 0)
		fail_msg("%s", err.text);
	words = manifest_root_path(&root, path, &relative, &err);
	snprintf(reply, sizeof reply, "%s%s", words ? "refused: " : "", words ? words : relative);
	manifest_root_close(&root);
	return reply;
}

/* Valid until the next but one. */
static const char *in_workplace(const char *path)
{
	static char whole[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(whole[turn], sizeof whole[turn], "%s/%s", workplace, path);
	return whole[turn];
}

static void relative_paths_stay_as_they_are(void **state)
{
	(void)state;
	assert_string_equal(resolve("data", "a.jpg"), "a.jpg");
	assert_string_equal(resolve("data", "a/b c/..d/e..jpg"), "a/b c/..d/e..jpg");
	assert_string_equal(resolve("data", "./a.jpg"), "a.jpg");
	assert_string_equal(resolve("data", "././/a.jpg"), "a.jpg");
	assert_string_equal(resolve("data", ".a.jpg"), ".a.jpg");
}

static void absolute_paths_below_the_root_lose_it(void **state)
{
	(void)state;
	assert_string_equal(resolve("data", in_workplace("data/a/b.jpg")), "a/b.jpg");
	assert_string_equal(resolve("./data/", in_workplace("data//b.jpg")), "b.jpg");
	assert_string_equal(resolve(".", in_workplace("data/b.jpg")), "data/b.jpg");
	assert_string_equal(resolve(in_workplace("data"), in_workplace("data/b.jpg")), "b.jpg");
	assert_string_equal(resolve("/", "/b.jpg"), "b.jpg");
}

static void a_root_that_is_a_link_has_two_names(void **state)
{
	(void)state;
	assert_string_equal(resolve("link", in_workplace("link/b.jpg")), "b.jpg");
	assert_string_equal(resolve("link", in_workplace("data/b.jpg")), "b.jpg");
	assert_string_equal(resolve("link/../data", in_workplace("data/b.jpg")), "b.jpg");
}

static void other_absolute_paths_are_refused(void **state)
{
	static const char words[] = "refused: does not lie in data, where paths begin; name a folder above it with --root";

	(void)state;
	assert_string_equal(resolve("data", "/etc/passwd"), words);
	assert_string_equal(resolve("data", in_workplace("data2/b.jpg")), words);
	assert_string_equal(resolve("data", in_workplace("datab.jpg")), words);
}

static void steps_up_are_refused_wherever_they_stand(void **state)
{
	static const char *const paths[] = {"../a.jpg", "a/../b.jpg", "a/..", "..", ".//../a.jpg"};
	static const char words[] =
		"refused: has a step up (\"..\"); paths begin at data, or at the folder that --root names, and stay in it";

	(void)state;
	for (size_t i = 0; i < COUNT(paths); i++)
		assert_string_equal(resolve("data", paths[i]), words);
	assert_string_equal(resolve("data", in_workplace("data/../b.jpg")), words);
}

static void paths_that_are_none_are_refused(void **state)
{
	char *long_path = malloc(PATH_MAX + 1);

	(void)state;
	assert_string_equal(resolve("data", ""), "refused: names no file");
	assert_string_equal(resolve("data", "./"), "refused: names no file");
	assert_string_equal(resolve("data", in_workplace("data/")), "refused: names no file");
	memset(long_path, 'x', PATH_MAX);
	long_path[PATH_MAX] = '\0';
	assert_string_equal(resolve("data", long_path), "refused: is longer than any path may be");
	free(long_path);
}

static void a_root_that_is_no_folder_is_named(void **state)
{
	struct manifest_root root;
	struct err err;

	(void)state;
	assert_int_equal(manifest_root_open(&root, "missing", &err), -ENOENT);
	assert_non_null(strstr(err.text, "missing: cannot open this folder, at which the manifest's paths begin"));
	manifest_root_close(&root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(relative_paths_stay_as_they_are),          cmocka_unit_test(absolute_paths_below_the_root_lose_it),
		cmocka_unit_test(a_root_that_is_a_link_has_two_names),      cmocka_unit_test(other_absolute_paths_are_refused),
		cmocka_unit_test(steps_up_are_refused_wherever_they_stand), cmocka_unit_test(paths_that_are_none_are_refused),
		cmocka_unit_test(a_root_that_is_no_folder_is_named),
	};

	return cmocka_run_group_tests(tests, make_places, remove_workplace);
}
