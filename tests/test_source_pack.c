/* test_source_pack.c - a pack is opened with its shards; its images, their tables and their targets are where it says. */
#include <sys/resource.h>

#include "tests/small_pack.h"

#include "tests/kernel_has.h"

/* ------------------------------------------------------------------ what a pack gives */

static void assert_holds_the_samples(uint32_t shard_count)
{
	struct pack_recipe recipe = small_pack(shard_count);
	struct dataset *dataset = open_recipe(&recipe);
	static const char *const paths[] = {"cat/1.jpg", "dog/2.jpg", "dog/3.jpg"};
	struct dataset_file files[3];

	assert_int_equal(dataset_sample_count(dataset), 3);
	assert_int_equal(dataset_class_count(dataset), 2);
	assert_string_equal(dataset_root(dataset), "tree/small.pack");
	assert_int_equal(dataset_root_fd(dataset), -1);
	assert_true(dataset_stays_beneath(dataset));
	for (uint64_t i = 0; i < 3; i++) {
		char bytes[sizeof image_text] = "";

		dataset_image(dataset, i, &files[i]);
		assert_string_equal(files[i].path, paths[i]);
		assert_int_equal(dataset_label(dataset, i), i > 0);
		assert_int_equal(pread(files[i].fd, bytes, files[i].length, (off_t)files[i].offset), sizeof image_text - 1);
		assert_string_equal(bytes, image_text);
		for (uint64_t other = 0; other < i; other++)
			assert_true(files[i].id != files[other].id);
	}
	assert_true((files[0].fd == files[2].fd) == (shard_count < 2));
	dataset_announce(dataset, 0);
	dataset_announce(dataset, 2);
	dataset_close(dataset);
}

static void a_pack_has_the_samples_of_its_index(void **state)
{
	(void)state;
	assert_holds_the_samples(0);
}

static void images_lie_in_shards_that_stay_open(void **state)
{
	(void)state;
	assert_holds_the_samples(1);
	assert_holds_the_samples(3);
}

/* Files, and places in memory, that the process has of tree/small*. */
static int held_count(void)
{
	static const char count[] = "(readlink /proc/$PPID/fd/*; cat /proc/$PPID/maps) | grep -c tree/small";
	FILE *output = popen(count, "re");
	int held = -1;

	assert_non_null(output);
	assert_int_equal(fscanf(output, "%d", &held), 1);
	(void)pclose(output); /* grep's status */
	return held;
}

static void nothing_of_a_closed_pack_is_held(void **state)
{
	struct pack_recipe recipe = small_pack(2);
	struct dataset *dataset = open_recipe(&recipe);

	(void)state;
	assert_int_equal(held_count(), 3 + 2); /* the shards are mapped */
	dataset_close(dataset);
	assert_int_equal(held_count(), 0);
	assert_int_equal(truncate("tree/small-00001.shard", 4097), 0);
	assert_refused("tree/small.pack", -EINVAL, "it is shorter than it was");
	assert_int_equal(held_count(), 0);
}

static void a_table_tells_where_segments_are(void **state)
{
	struct pack_recipe recipe = small_pack(2);
	struct dataset *dataset = open_recipe(&recipe);
	struct dataset_file file;
	struct segments segments;
	struct file_run run;

	(void)state;
	assert_int_equal(kind_of(dataset, 0), SEGMENT_NONE);
	dataset_image(dataset, 2, &file);
	assert_true(dataset_segments(dataset, &file, &segments));
	assert_int_equal(segments.kind, SEGMENT_JPEG);
	assert_int_equal(segments.width_px, 48);
	assert_int_equal(segments.height_px, 8);
	assert_int_equal(segments.channels, 3);
	assert_int_equal(segments.file_bytes, sizeof image_text - 1);
	assert_true(segment_table_run(&segments, 1, 3, &run));
	assert_int_equal(run.offset, 15);
	assert_int_equal(run.byte_count, 13);
	dataset_close(dataset);
}

static void a_pack_is_known_by_its_name_or_by_its_first_bytes(void **state)
{
	struct pack_recipe recipe = small_pack(0);

	(void)state;
	pack_recipe_write(&recipe, "tree/photographs");
	pack_recipe_free(&recipe);
	dataset_close(open_pack("tree/photographs"));
	assert_refused("tree/missing.pack", -ENOENT, "tree/missing.pack: cannot open this file of a pack: No such file");
	put_file("tree/text.pack", "text");
	assert_refused("tree/text.pack", -EINVAL, "it is too short");
	assert_int_equal(mkfifo("tree/fifo.pack", 0600), 0);
	assert_refused("tree/fifo.pack", -EINVAL, "it is no file");
}

static void a_link_to_a_pack_finds_the_shards_beside_itself(void **state)
{
	struct pack_recipe recipe = small_pack(1);

	(void)state;
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	assert_int_equal(symlink("small.pack", "tree/other.pack"), 0);
	assert_refused("tree/other.pack", -ENOENT, "tree/other-00000.shard");
	assert_int_equal(symlink("small-00000.shard", "tree/other-00000.shard"), 0);
	dataset_close(open_pack("tree/other.pack"));
}

/* ------------------------------------------------------------------ flags */

static void a_shard_is_not_a_source(void **state)
{
	struct pack_recipe recipe = small_pack(2);

	(void)state;
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	assert_refused("tree/small-00001.shard", -EINVAL, "name the pack itself, tree/small.pack");
	assert_int_equal(rename("tree/small-00001.shard", "tree/lone"), 0);
	assert_refused("tree/lone", -EINVAL, "name the pack itself");
}

static void an_index_file_and_a_root_are_not_for_packs(void **state)
{
	struct pack_recipe recipe = small_pack(0);
	struct dataset_spec spec = {.source = "tree/small.pack", .threads = 1, .index_path = "tree/kept.cropidx"};

	(void)state;
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	assert_spec_refused(&spec, -EINVAL, "--index: tree/small.pack has its index in itself; leave the flag out");
	spec = (struct dataset_spec){.source = "tree/small.pack", .threads = 1, .root = "tree"};
	assert_spec_refused(&spec, -EINVAL, "--root tree: that is where the paths of a manifest begin");
}

/* Its images are not where it lies. */
static void the_index_of_a_pack_is_no_index_file(void **state)
{
	struct pack_recipe recipe = small_pack(0);
	const struct bytes index = {.data = recipe.head.data + recipe.index_at,
	                            .used_bytes = recipe.head.used_bytes - recipe.index_at};

	(void)state;
	pack_recipe_write_file("tree/kept.cropidx", &index);
	pack_recipe_free(&recipe);
	assert_refused("tree/kept.cropidx", -EINVAL, "it is that of a pack");
}

/* ------------------------------------------------------------------ targets */

static void targets_lie_in_the_pack_as_images_do(void **state)
{
	struct pack_recipe recipe = pack_recipe_begin(2, INDEX_HAS(INDEX_TARGET) | INDEX_HAS(INDEX_TARGET_OFFSET) |
	                                                         INDEX_HAS(INDEX_TARGET_LENGTH) | INDEX_HAS(INDEX_TARGET_IMAGE));
	struct bytes image = bytes_of(image_text), mask = bytes_of("mask"), table = small_table();
	struct index_row row = row_of("1.jpg", -1, 1);
	struct dataset_file file;
	struct dataset *dataset;
	struct segments segments;
	char bytes[8] = "";

	(void)state;
	row.target = "../1.png"; /* a mere name */
	pack_recipe_put(&recipe, 1, &mask, NULL, &row.target_offset, &row.target_length, &row.target_image);
	pack_recipe_add(&recipe, &row, &image, &table);
	pack_recipe_finish(&recipe);
	dataset = open_recipe(&recipe);
	dataset_target(dataset, 0, &file);
	assert_string_equal(file.path, "../1.png");
	assert_int_equal(pread(file.fd, bytes, file.length, (off_t)file.offset), 4);
	assert_string_equal(bytes, "mask");
	assert_true(dataset_segments(dataset, &file, &segments));
	assert_int_equal(segments.kind, SEGMENT_NONE);
	assert_int_equal(kind_of(dataset, 0), SEGMENT_JPEG);
	dataset_close(dataset);
	bytes_free(&image);
	bytes_free(&mask);
	bytes_free(&table);
}

static void a_folder_of_targets_is_looked_into_by_the_names_in_the_pack(void **state)
{
	struct pack_recipe recipe = small_pack(2);
	struct dataset_spec spec = {.source = "tree/small.pack", .threads = 1, .targets = "tree/masks"};
	struct dataset_file file;
	struct segments segments;
	struct dataset *dataset;
	struct err err = {"no sentence"};

	(void)state;
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	put_folder("tree/masks");
	put_folder("tree/masks/cat");
	put_folder("tree/masks/dog");
	put_file("tree/masks/cat/1.png", "");
	put_file("tree/masks/dog/2.png", "");
	assert_spec_refused(&spec, -ENOENT, "1 of 3 images have no target there; the first is dog/3.jpg");
	put_file("tree/masks/dog/3.bmp", "");
	if (dataset_open(&dataset, &spec, &err) != 0)
		fail_msg("%s", err.text);
	dataset_target(dataset, 2, &file);
	assert_string_equal(file.path, "dog/3.bmp");
	assert_int_equal(file.fd, -1);
	assert_false(dataset_segments(dataset, &file, &segments));
	assert_true(dataset_target_root_fd(dataset) >= 0);
	assert_non_null(dataset_target_links(dataset));
	dataset_image(dataset, 2, &file); /* as it was */
	assert_int_equal(file.shard, 1);
	assert_int_equal(file.length, sizeof image_text - 1);
	assert_int_equal(kind_of(dataset, 2), SEGMENT_JPEG);
	dataset_close(dataset);
}

static void names_that_lead_out_find_no_targets(void **state)
{
	struct pack_recipe recipe = pack_recipe_begin(0, 0);
	struct bytes image = bytes_of(image_text);
	struct index_row row = row_of("../secret.jpg", -1, 0);

	(void)state;
	pack_recipe_add(&recipe, &row, &image, NULL);
	pack_recipe_finish(&recipe);
	put_folder("tree/masks");
	put_file("tree/secret.png", "");
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	bytes_free(&image);
	dataset_close(open_pack("tree/small.pack"));
	assert_spec_refused(&(struct dataset_spec){.source = "tree/small.pack", .threads = 1, .targets = "tree/masks"}, -EINVAL,
	                    "a path leads out of its root folder");
}

/* ------------------------------------------------------------------ little room */

/* A pack whose index lies behind a hole; the images are beyond the bytes that were written. */
static void write_with_hole(struct pack_recipe *recipe, uint64_t hole_bytes)
{
	struct pack_header *header = (void *)recipe->head.data;
	uint64_t index_bytes = header->index_bytes;
	int fd = open("tree/small.pack", O_WRONLY | O_CREAT, 0644);

	header->index_at = hole_bytes;
	header->file_bytes = hole_bytes + index_bytes;
	pack_recipe_mend(&recipe->head);
	assert_int_equal(pwrite(fd, recipe->head.data, recipe->index_at, 0), recipe->index_at);
	assert_int_equal(pwrite(fd, recipe->head.data + recipe->index_at, index_bytes, (off_t)hole_bytes), index_bytes);
	close(fd);
	pack_recipe_free(recipe);
}

static void with_few_addresses_there_are_no_segments_and_a_warning(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)state; /* they take all addresses there are */
#else
	const uint64_t hole_bytes = UINT64_C(1) << 38;
	struct pack_recipe recipe = small_pack(0);
	struct rlimit before, few;
	struct dataset *dataset;

	(void)state;
	kernel_has_address_limits_or_skip();
	write_with_hole(&recipe, hole_bytes);
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	dataset = open_pack("tree/small.pack");
	assert_int_equal(kind_of(dataset, 1), SEGMENT_JPEG);
	assert_null(dataset_warning(dataset));
	dataset_close(dataset);
	few = (struct rlimit){.rlim_cur = hole_bytes * 3 / 2, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &few), 0);
	dataset = open_pack("tree/small.pack");
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_int_equal(kind_of(dataset, 1), SEGMENT_NONE);
	dataset_announce(dataset, 1);
	assert_non_null(strstr(dataset_warning(dataset), "tree/small.pack: its 274.9 GB cannot be mapped"));
	assert_non_null(strstr(dataset_warning(dataset), "ulimit -v"));
	dataset_close(dataset);
#endif
}

static uint64_t page_table_kib(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long long kib = 0;
	char line[256];

	while (fgets(line, sizeof line, status))
		if (sscanf(line, "VmPTE: %llu", &kib) == 1)
			break;
	fclose(status);
	return kib;
}

/* One look in each 2 MB, of which there are more than a mapping is kept for: its page tables alone would be 160 MB. */
static void page_tables_of_a_large_pack_do_not_grow_without_end(void **state)
{
	const uint64_t region_bytes = UINT64_C(2) << 20, region_count = 40000;
	struct pack_recipe recipe = pack_recipe_begin(0, 0);
	uint64_t before_kib, most_kib = 0;
	struct bytes image = bytes_of(image_text), table = small_table();
	struct index_row row = row_of("1.jpg", -1, 0);
	struct dataset *dataset;

	(void)state;
	kernel_has_address_limits_or_skip();
	pack_recipe_add(&recipe, &row, &image, &table);
	for (uint64_t i = 1; i < region_count; i++) {
		row.offset = i * region_bytes;
		pack_recipe_add(&recipe, &row, NULL, NULL);
	}
	pack_recipe_finish(&recipe);
	write_with_hole(&recipe, region_count * region_bytes);
	dataset = open_pack("tree/small.pack");
	before_kib = page_table_kib();
	for (uint64_t i = 1; i < region_count; i++) {
		assert_int_equal(kind_of(dataset, i), SEGMENT_NONE); /* zeros are no table */
		if (i % 1000 == 0 && page_table_kib() > most_kib)
			most_kib = page_table_kib();
	}
	assert_int_equal(kind_of(dataset, 0), SEGMENT_JPEG);
	assert_in_range(most_kib - before_kib, 16 << 10, 80 << 10);
	dataset_close(dataset);
	bytes_free(&image);
	bytes_free(&table);
}

static void with_few_descriptors_the_sentence_names_the_limit(void **state)
{
	struct rlimit before, few;
	struct pack_recipe recipe = small_pack(4);
	int next = dup(0);

	(void)state;
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)next + 2, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_refused("tree/small.pack", -EMFILE, "tree/small-00001.shard");
	assert_refused("tree/small.pack", -EMFILE, "ulimit -n");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pack_has_the_samples_of_its_index, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(images_lie_in_shards_that_stay_open, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(nothing_of_a_closed_pack_is_held, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_table_tells_where_segments_are, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_pack_is_known_by_its_name_or_by_its_first_bytes, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_link_to_a_pack_finds_the_shards_beside_itself, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_shard_is_not_a_source, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(an_index_file_and_a_root_are_not_for_packs, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(the_index_of_a_pack_is_no_index_file, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(targets_lie_in_the_pack_as_images_do, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_folder_of_targets_is_looked_into_by_the_names_in_the_pack, make_tree,
	                                        remove_tree),
		cmocka_unit_test_setup_teardown(names_that_lead_out_find_no_targets, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(with_few_addresses_there_are_no_segments_and_a_warning, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(page_tables_of_a_large_pack_do_not_grow_without_end, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(with_few_descriptors_the_sentence_names_the_limit, make_tree, remove_tree),
	};

	return cmocka_run_group_tests(tests, make_workplace, remove_workplace);
}
