/* test_pack_pictures.c - which samples share a picture, and in what order pictures are stored. */
#include "loader/pack/pack_pictures.h"
#include "tests/tree_fixture.h"

enum { ROWS = 5000, PAIRS = 600 };

static struct dataset *opened(const char *manifest)
{
	struct dataset *dataset;
	struct err err;

	if (dataset_open(&dataset, &(struct dataset_spec){.source = manifest, .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	return dataset;
}

/* Rows of places in one file, many of which fall together in any table. */
static void places_in_one_file_are_pictures_of_their_own(void **state)
{
	struct pack_pictures pictures;
	struct dataset *dataset;
	FILE *rows = fopen("rows.csv", "w");

	(void)state;
	fputs("path,offset,length\n", rows);
	for (int i = 0; i < ROWS; i++)
		fprintf(rows, "blob,%d,%d\n", i / 2 % 1000 * 10, i % 2 + 1);
	fclose(rows);
	dataset = opened("rows.csv");
	assert_int_equal(pack_pictures_open(&pictures, dataset, false, NULL), 0);
	assert_int_equal(pictures.count, 2000);
	for (uint64_t i = 0; i < ROWS; i++) {
		struct dataset_file file;

		assert_int_equal(pictures.image_of[i], i % 2000);
		pack_picture_file(&pictures, pictures.image_of[i], &file);
		assert_int_equal(file.offset, i / 2 % 1000 * 10);
		assert_int_equal(file.length, i % 2 + 1);
	}
	assert_null(pictures.target_of);
	pack_pictures_close(&pictures);
	dataset_close(dataset);
}

static const char pairs[] = "path,target\n"
			    "a.jpg,1.png\n"
			    "a.jpg,2.png\n"
			    "b.jpg,1.png\n"
			    "a.jpg,1.png\n"
			    "1.png,a.jpg\n";

static void assert_pictures(bool are_pairs, uint64_t count, const uint64_t *origin, const uint64_t *image_of,
                            const uint64_t *target_of)
{
	struct dataset *dataset = opened("pairs.csv");
	struct pack_pictures pictures;

	assert_int_equal(pack_pictures_open(&pictures, dataset, are_pairs, NULL), 0);
	assert_int_equal(pictures.count, count);
	assert_memory_equal(pictures.origin, origin, count * sizeof *origin);
	assert_memory_equal(pictures.image_of, image_of, 5 * sizeof *image_of);
	assert_memory_equal(pictures.target_of, target_of, 5 * sizeof *target_of);
	pack_pictures_close(&pictures);
	dataset_close(dataset);
}

/* An image is no target of the same name: their folders may differ. */
static void images_and_targets_are_shared_each_for_itself(void **state)
{
	static const uint64_t origin[] = {0, 1, 3, 4, 8, 9}, image_of[] = {0, 0, 3, 0, 4}, target_of[] = {1, 2, 1, 1, 5};

	(void)state;
	assert_pictures(false, 6, origin, image_of, target_of);
}

static void assert_kinds(int round)
{
	struct pack_pictures pictures;
	struct dataset *dataset;
	FILE *rows = fopen("many.csv", "w");

	fputs("path,target\n", rows);
	for (int i = 0; i < PAIRS; i++)
		fprintf(rows, "%d/%d.jpg,%d/%d.png\n", round, i / 3, round, i / 2);
	fclose(rows);
	dataset = opened("many.csv");
	assert_int_equal(pack_pictures_open(&pictures, dataset, false, NULL), 0);
	assert_int_equal(pictures.count, PAIRS / 3 + PAIRS / 2);
	for (uint64_t i = 0; i < PAIRS; i++) {
		assert_false(pack_picture_is_target(&pictures, pictures.image_of[i]));
		assert_true(pack_picture_is_target(&pictures, pictures.target_of[i]));
		assert_int_equal(pack_picture_sample(&pictures, pictures.image_of[i]), i / 3 * 3);
		assert_int_equal(pack_picture_sample(&pictures, pictures.target_of[i]), i / 2 * 2);
	}
	pack_pictures_close(&pictures);
	dataset_close(dataset);
}

/* Often enough for images and targets of one sample to meet in the table. */
static void no_image_is_taken_for_a_target(void **state)
{
	(void)state;
	for (int round = 0; round < 100; round++)
		assert_kinds(round);
}

static void pairs_are_shared_as_a_whole(void **state)
{
	static const uint64_t origin[] = {0, 1, 2, 3, 4, 5, 8, 9}, image_of[] = {0, 2, 4, 0, 6}, target_of[] = {1, 3, 5, 1, 7};

	(void)state;
	assert_pictures(true, 8, origin, image_of, target_of);
}

static int make_files(void **state)
{
	if (make_workplace(state) != 0)
		return -1;
	put_file("blob", "bytes");
	put_file("a.jpg", "");
	put_file("b.jpg", "");
	put_file("1.png", "");
	put_file("2.png", "");
	put_file("pairs.csv", pairs);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_in_one_file_are_pictures_of_their_own),
		cmocka_unit_test(images_and_targets_are_shared_each_for_itself),
		cmocka_unit_test(no_image_is_taken_for_a_target),
		cmocka_unit_test(pairs_are_shared_as_a_whole),
	};

	return cmocka_run_group_tests(tests, make_files, remove_workplace);
}
