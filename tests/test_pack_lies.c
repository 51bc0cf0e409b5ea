/* test_pack_lies.c - a pack whose numbers cannot be is refused in the words of its fault, or the image that they are about has no segments. */
#include "tests/small_pack.h"

static void any_other_byte_of_the_header_is_noticed(void **state)
{
	(void)state;
	for (size_t at = 0; at < sizeof(struct pack_header); at++) {
		struct pack_recipe recipe = small_pack(0);

		recipe.head.data[at] ^= 0x40;
		assert_recipe_refused(&recipe, at < 7    ? "does not begin like one"
		                               : at == 7 ? "another version of the format than 1; update cropring"
		                                         : "its header is damaged");
	}
}

static void a_header_whose_numbers_cannot_be_is_refused(void **state)
{
	static const struct {
		size_t at, byte_count;
		uint64_t value;
		const char *words;
	} lies[] = {
		{offsetof(struct pack_header, file_bytes), 8, 4097, "it is longer than it was"},
		{offsetof(struct pack_header, file_bytes), 8, UINT64_MAX, "it is shorter than it was"},
		{offsetof(struct pack_header, shard_count), 4, UINT32_MAX, "its shards are more than any pack has"},
		{offsetof(struct pack_header, shard_number), 4, 0, "its shards are more than any pack has"},
		{offsetof(struct pack_header, index_at), 8, 0, "its index is not at its end"},
		{offsetof(struct pack_header, index_at), 8, 4095, "its index is not at its end"},
		{offsetof(struct pack_header, index_at), 8, UINT64_MAX, "its index is not at its end"},
		{offsetof(struct pack_header, index_bytes), 8, 0, "its index is not at its end"},
		{offsetof(struct pack_header, index_bytes), 8, UINT64_MAX, "its index is not at its end"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		struct pack_recipe recipe = small_pack(0);

		memcpy(recipe.head.data + lies[i].at, &lies[i].value, lies[i].byte_count);
		pack_recipe_mend(&recipe.head);
		assert_recipe_refused(&recipe, lies[i].words);
	}
}

/* An index that is elsewhere is not an index there. */
static void an_index_is_looked_for_where_the_header_says(void **state)
{
	struct pack_recipe recipe = small_pack(0);
	struct pack_header *header = (void *)recipe.head.data;

	(void)state;
	header->index_at -= 8;
	header->index_bytes += 8;
	pack_recipe_mend(&recipe.head);
	assert_recipe_refused(&recipe, "it does not begin like one");
	recipe = small_pack(0);
	header = (void *)recipe.head.data;
	header->index_at = 8;
	header->index_bytes = header->file_bytes - 8;
	pack_recipe_mend(&recipe.head);
	assert_recipe_refused(&recipe, "its index is not at its end");
	recipe = small_pack(0);
	header = (void *)recipe.head.data;
	header->index_at = header->file_bytes;
	header->index_bytes = 0;
	pack_recipe_mend(&recipe.head);
	assert_recipe_refused(&recipe, "it is too short");
}

static void a_pack_that_was_cut_off_is_refused_wherever(void **state)
{
	struct pack_recipe recipe = small_pack(0);

	(void)state;
	for (size_t byte_count = 0; byte_count < recipe.head.used_bytes; byte_count += byte_count < 4000 ? 997 : 1) {
		const struct bytes cut = {.data = recipe.head.data, .used_bytes = byte_count};

		pack_recipe_write_file("tree/cut.pack", &cut);
		assert_refused("tree/cut.pack", -EINVAL,
		               byte_count < PACK_HEADER_BYTES ? "it is too short" : "shorter than it was");
	}
	pack_recipe_free(&recipe);
}

static void any_other_byte_of_the_index_is_noticed_or_means_nothing(void **state)
{
	struct pack_recipe recipe = small_pack(0);
	struct index_view before;

	(void)state;
	assert_int_equal(
		index_view_open(&before, pack_recipe_index(&recipe), recipe.head.used_bytes - recipe.index_at, "index", NULL), 0);
	for (size_t at = recipe.index_at; at < recipe.head.used_bytes; at++) {
		struct dataset *dataset;
		struct err err = {"no sentence"};

		recipe.head.data[at] ^= 1;
		pack_recipe_write(&recipe, "tree/small.pack");
		recipe.head.data[at] ^= 1;
		if (dataset_open(&dataset, &(struct dataset_spec){.source = "tree/small.pack", .threads = 1}, &err) != 0)
			continue;
		/* What is not said of samples: reserved bytes, and the root folder's name, which is that of the pack. */
		assert_memory_equal(dataset_index(dataset)->header->fingerprint, before.header->fingerprint, 16);
		assert_string_equal(dataset_path(dataset, 2), "dog/3.jpg");
		assert_string_equal(dataset_root(dataset), "tree/small.pack");
		dataset_close(dataset);
	}
	pack_recipe_free(&recipe);
}

static void shards_of_another_pack_are_refused(void **state)
{
	struct pack_recipe recipe = small_pack(2);
	struct pack_header *header = (void *)recipe.shards[1].data;

	(void)state;
	header->id[3] ^= 1;
	pack_recipe_mend(&recipe.shards[1]);
	assert_recipe_refused(&recipe, "tree/small-00001.shard: not shard 1 of tree/small.pack, but of another pack");
	recipe = small_pack(2);
	((struct pack_header *)(void *)recipe.shards[1].data)->shard_number = 0;
	pack_recipe_mend(&recipe.shards[1]);
	assert_recipe_refused(&recipe, "tree/small-00001.shard: not shard 1 of tree/small.pack, but another one of it");
	recipe = small_pack(2);
	((struct pack_header *)(void *)recipe.shards[0].data)->shard_count = 3;
	pack_recipe_mend(&recipe.shards[0]);
	assert_recipe_refused(&recipe, "tree/small-00000.shard: not shard 0 of tree/small.pack");
	recipe = small_pack(2);
	bytes_free(&recipe.shards[1]);
	pack_recipe_append(&recipe.shards[1], recipe.shards[0].data, 4095);
	assert_recipe_refused(&recipe, "tree/small-00001.shard: not a pack that can be used: it is too short");
	recipe = small_pack(2);
	pack_recipe_write(&recipe, "tree/small.pack");
	pack_recipe_free(&recipe);
	assert_int_equal(unlink("tree/small-00001.shard"), 0);
	assert_refused("tree/small.pack", -ENOENT, "tree/small-00001.shard: this shard of tree/small.pack is missing");
}

static void an_index_of_other_shards_is_refused(void **state)
{
	struct pack_recipe recipe = small_pack(3), other = small_pack(0);
	struct index_view view;

	(void)state;
	assert_int_equal(
		index_view_open(&view, pack_recipe_index(&recipe), recipe.head.used_bytes - recipe.index_at, "index", NULL), 0);
	((uint64_t *)(uintptr_t)view.column[INDEX_SHARD])[1] = 3;
	pack_recipe_mend_index(&recipe);
	assert_recipe_refused(&recipe, "sample 1 is said to be in shard 3, and there are 3");
	recipe = small_pack(2);
	((struct pack_header *)(void *)other.head.data)->shard_count = 2;
	pack_recipe_mend(&other.head);
	bytes_free(&recipe.head);
	recipe.head = other.head;
	assert_recipe_refused(&recipe, "its index has no shards, its header has");
	recipe = small_pack(1);
	((struct pack_header *)(void *)recipe.head.data)->shard_count = 0;
	pack_recipe_mend(&recipe.head);
	assert_recipe_refused(&recipe, "its index has shards, its header none");
}

static void an_index_that_does_not_tell_of_images_is_refused(void **state)
{
	struct pack_recipe recipe = pack_recipe_begin(0, 0);

	(void)state;
	index_build_close(recipe.build);
	recipe.build = index_build_open(0);
	assert_int_equal(index_build_add(recipe.build, &(struct index_row){.path = "1.jpg"}), 0);
	pack_recipe_finish(&recipe);
	assert_recipe_refused(&recipe, "its index does not tell of images");
}

/* Changes numbers of sample 1, whose table was good. */
static void assert_has_no_segments(void (*lie)(struct index_image *image, uint64_t *offset, uint64_t *length))
{
	struct pack_recipe recipe = small_pack(0);
	struct index_view view;
	struct dataset *dataset;

	assert_int_equal(
		index_view_open(&view, pack_recipe_index(&recipe), recipe.head.used_bytes - recipe.index_at, "index", NULL), 0);
	lie((struct index_image *)(uintptr_t)view.column[INDEX_IMAGE] + 1, (uint64_t *)(uintptr_t)view.column[INDEX_OFFSET] + 1,
	    (uint64_t *)(uintptr_t)view.column[INDEX_LENGTH] + 1);
	pack_recipe_mend_index(&recipe);
	dataset = open_recipe(&recipe);
	dataset_announce(dataset, 1);
	assert_int_equal(kind_of(dataset, 1), SEGMENT_NONE);
	assert_int_equal(kind_of(dataset, 2), SEGMENT_JPEG);
	dataset_close(dataset);
}

#define LIE(name, statement)                                                                                                       \
	static void name(struct index_image *image, uint64_t *offset, uint64_t *length)                                            \
	{                                                                                                                          \
		(void)image;                                                                                                       \
		(void)offset;                                                                                                      \
		(void)length;                                                                                                      \
		statement;                                                                                                         \
	}
LIE(no_width, image->width_px = 0)
LIE(no_height, image->height_px = 0)
LIE(too_wide, image->width_px = UINT32_C(1) << 31)
LIE(too_high, image->height_px = UINT32_MAX)
LIE(another_format, image->format = 2)
LIE(no_format, image->format = 0)
LIE(orientation_0, image->orientation = 0)
LIE(orientation_9, image->orientation = 9)
LIE(no_channels, image->channels = 0)
LIE(five_channels, image->channels = 5)
LIE(twelve_bits, image->sample_bits = 12)
LIE(no_table, image->segments_bytes = 0)
LIE(a_short_table, image->segments_bytes--)
LIE(a_long_table, image->segments_bytes = UINT32_MAX)
LIE(far_away, *offset = INT64_MAX / 2)
LIE(at_the_end, *offset = UINT64_C(1) << 20)
LIE(endless, *length = INT64_MAX - 100000)
LIE(elsewhere, *offset += 64)

static void numbers_that_cannot_be_leave_an_image_without_segments(void **state)
{
	(void)state;
	assert_has_no_segments(no_width);
	assert_has_no_segments(no_height);
	assert_has_no_segments(too_wide);
	assert_has_no_segments(too_high);
	assert_has_no_segments(another_format);
	assert_has_no_segments(no_format);
	assert_has_no_segments(orientation_0);
	assert_has_no_segments(orientation_9);
	assert_has_no_segments(no_channels);
	assert_has_no_segments(five_channels);
	assert_has_no_segments(twelve_bits);
	assert_has_no_segments(no_table);
	assert_has_no_segments(a_short_table);
	assert_has_no_segments(a_long_table);
	assert_has_no_segments(far_away);
	assert_has_no_segments(at_the_end);
	assert_has_no_segments(endless);
	assert_has_no_segments(elsewhere);
}

/* A shard of whole pages, behind which nothing is mapped, and a table that would begin in it and end behind. */
static void a_table_that_reaches_beyond_its_shard_is_not_looked_at(void **state)
{
	static const char page[4096];
	struct pack_recipe recipe = pack_recipe_begin(1, 0);
	struct index_row row = row_of("1.jpg", -1, 0);
	struct dataset *dataset;

	(void)state;
	pack_recipe_append(&recipe.shards[0], page, sizeof page);
	row.offset = recipe.shards[0].used_bytes - 72;
	row.length = 64;
	row.image.segments_bytes = 1000;
	pack_recipe_add(&recipe, &row, NULL, NULL);
	row.offset = INT64_MAX - 64;
	pack_recipe_add(&recipe, &row, NULL, NULL);
	pack_recipe_finish(&recipe);
	dataset = open_recipe(&recipe);
	assert_int_equal(kind_of(dataset, 0), SEGMENT_NONE);
	assert_int_equal(kind_of(dataset, 1), SEGMENT_NONE);
	dataset_announce(dataset, 1);
	dataset_close(dataset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(any_other_byte_of_the_header_is_noticed, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_header_whose_numbers_cannot_be_is_refused, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(an_index_is_looked_for_where_the_header_says, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_pack_that_was_cut_off_is_refused_wherever, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(any_other_byte_of_the_index_is_noticed_or_means_nothing, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(shards_of_another_pack_are_refused, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(an_index_of_other_shards_is_refused, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(an_index_that_does_not_tell_of_images_is_refused, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(numbers_that_cannot_be_leave_an_image_without_segments, make_tree, remove_tree),
		cmocka_unit_test_setup_teardown(a_table_that_reaches_beyond_its_shard_is_not_looked_at, make_tree, remove_tree),
	};

	return cmocka_run_group_tests(tests, make_workplace, remove_workplace);
}
