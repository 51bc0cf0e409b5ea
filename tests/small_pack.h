/* small_pack.h - what tests of packs share: one of three samples, written into the tree, and a look at what became of it. */
#ifndef CROPRING_TESTS_SMALL_PACK_H
#define CROPRING_TESTS_SMALL_PACK_H

#include "loader/plan/dataset.h"
#include "tests/pack_recipe.h"
#include "tests/tree_fixture.h"

static const char image_text[] = "an image whose bytes are forty-nine, say, or so";

static inline struct bytes bytes_of(const char *text)
{
	struct bytes bytes = {0};

	assert_int_equal(bytes_append(&bytes, text, strlen(text)), 0);
	return bytes;
}

/* Three segments of a JPEG of 48x8: head of 10 bytes, pieces of 5, 6 and 7. */
static inline struct bytes small_table(void)
{
	static const uint64_t ends[] = {5, 11, 18};
	const struct segment_table_header header = {
		.kind = SEGMENT_JPEG, .head_bytes = 10, .data_at = 10, .unit = 2, .mcu_width_px = 8, .mcu_height_px = 8};
	struct bytes table = {0};

	assert_int_equal(segment_table_write(&header, ends, 3, &table), 0);
	return table;
}

static inline struct index_row row_of(const char *path, int64_t label, uint64_t shard)
{
	return (struct index_row){
		.path = path,
		.label = label,
		.shard = shard,
		.image = {.width_px = 48, .height_px = 8, .format = 1, .orientation = 1, .channels = 3, .sample_bits = 8}};
}

/* Two classes, three samples; only the first has no table, the third lies in the last shard. */
static inline struct pack_recipe small_pack(uint32_t shard_count)
{
	struct pack_recipe recipe = pack_recipe_begin(shard_count, 0);
	struct bytes image = bytes_of(image_text), table = small_table();
	struct index_row rows[] = {row_of("cat/1.jpg", 0, 0), row_of("dog/2.jpg", 1, 0),
	                           row_of("dog/3.jpg", 1, shard_count ? shard_count - 1 : 0)};

	assert_int_equal(index_build_class(recipe.build, "cat"), 0);
	assert_int_equal(index_build_class(recipe.build, "dog"), 0);
	for (size_t i = 0; i < 3; i++)
		pack_recipe_add(&recipe, &rows[i], &image, i > 0 ? &table : NULL);
	pack_recipe_finish(&recipe);
	bytes_free(&image);
	bytes_free(&table);
	return recipe;
}

static inline struct dataset *open_pack(const char *path)
{
	struct dataset *dataset;
	struct err err = {"no sentence"};

	if (dataset_open(&dataset, &(struct dataset_spec){.source = path, .threads = 1}, &err) != 0)
		fail_msg("%s", err.text);
	return dataset;
}

static inline struct dataset *open_recipe(struct pack_recipe *recipe)
{
	pack_recipe_write(recipe, "tree/small.pack");
	pack_recipe_free(recipe);
	return open_pack("tree/small.pack");
}

static inline void assert_spec_refused(const struct dataset_spec *spec, int code, const char *words)
{
	struct dataset *dataset;
	struct err err = {"no sentence"};

	assert_int_equal(dataset_open(&dataset, spec, &err), code);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static inline void assert_refused(const char *path, int code, const char *words)
{
	assert_spec_refused(&(struct dataset_spec){.source = path, .threads = 1}, code, words);
}

/* The small pack, changed. */
static inline void assert_recipe_refused(struct pack_recipe *recipe, const char *words)
{
	pack_recipe_write(recipe, "tree/small.pack");
	pack_recipe_free(recipe);
	assert_refused("tree/small.pack", -EINVAL, words);
}

static inline enum segment_kind kind_of(const struct dataset *dataset, uint64_t sample)
{
	struct dataset_file file;
	struct segments segments;

	dataset_image(dataset, sample, &file);
	assert_true(dataset_segments(dataset, &file, &segments));
	return segments.kind;
}

#endif
