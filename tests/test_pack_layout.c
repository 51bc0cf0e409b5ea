/*
 * test_pack_layout.c - header, index and segment tables of a pack are what the golden file says, to the byte: what was packed once is
 * read by every later version.
 */
#include "tests/small_pack.h"

#define OFFSET(type, member)                                                                                                       \
	{                                                                                                                          \
#type "." #member, offsetof(struct type, member)                                                                   \
	}
#define SIZE(type)                                                                                                                 \
	{                                                                                                                          \
		"sizeof " #type, sizeof(struct type)                                                                               \
	}
#define NUMBER(name)                                                                                                               \
	{                                                                                                                          \
#name, (size_t)(name)                                                                                              \
	}

static const struct {
	const char *what;
	size_t bytes;
} facts[] = {
	SIZE(pack_header),
	OFFSET(pack_header, id),
	OFFSET(pack_header, shard_count),
	OFFSET(pack_header, shard_number),
	OFFSET(pack_header, file_bytes),
	OFFSET(pack_header, index_at),
	OFFSET(pack_header, index_bytes),
	OFFSET(pack_header, original_bytes),
	OFFSET(pack_header, segment_px),
	OFFSET(pack_header, png_rows),
	OFFSET(pack_header, check),
	NUMBER(PACK_HEADER_BYTES),
	NUMBER(PACK_IMAGE_ALIGNMENT),
	NUMBER(PACK_TABLE_ALIGNMENT),
	SIZE(index_header),
	OFFSET(index_header, columns),
	OFFSET(index_header, sample_count),
	OFFSET(index_header, class_count),
	OFFSET(index_header, text_bytes),
	OFFSET(index_header, root_at),
	OFFSET(index_header, stamp_bytes),
	OFFSET(index_header, fingerprint),
	NUMBER(INDEX_PATH),
	NUMBER(INDEX_LABEL),
	NUMBER(INDEX_OFFSET),
	NUMBER(INDEX_LENGTH),
	NUMBER(INDEX_BOX),
	NUMBER(INDEX_WINDOW),
	NUMBER(INDEX_TARGET),
	NUMBER(INDEX_TARGET_OFFSET),
	NUMBER(INDEX_TARGET_LENGTH),
	NUMBER(INDEX_WEIGHT),
	NUMBER(INDEX_IMAGE),
	NUMBER(INDEX_TARGET_IMAGE),
	NUMBER(INDEX_SHARD),
	SIZE(index_image),
	OFFSET(index_image, height_px),
	OFFSET(index_image, format),
	OFFSET(index_image, orientation),
	OFFSET(index_image, channels),
	OFFSET(index_image, sample_bits),
	OFFSET(index_image, segments_bytes),
	OFFSET(index_image, checksum),
	SIZE(segment_table_header),
	OFFSET(segment_table_header, version),
	OFFSET(segment_table_header, kind),
	OFFSET(segment_table_header, length_bytes),
	OFFSET(segment_table_header, head_bytes),
	OFFSET(segment_table_header, second_head_at),
	OFFSET(segment_table_header, second_head_bytes),
	OFFSET(segment_table_header, data_at),
	OFFSET(segment_table_header, unit),
	OFFSET(segment_table_header, mcu_width_px),
	OFFSET(segment_table_header, mcu_height_px),
	OFFSET(segment_table_header, segment_count),
	OFFSET(segment_table_header, check),
	NUMBER(SEGMENT_TABLE_VERSION),
	NUMBER(SEGMENTS_OF_GROUP),
	NUMBER(SEGMENT_JPEG),
	NUMBER(SEGMENT_PNG),
};

static FILE *open_golden(void)
{
	const char *folder = getenv("CROPRING_TEST_DATA") ? getenv("CROPRING_TEST_DATA") : CROPRING_TEST_DATA;
	char path[4096];
	FILE *golden;

	snprintf(path, sizeof path, "%s/pack.golden", folder);
	golden = fopen(path, "r");
	assert_non_null(golden);
	return golden;
}

static void assert_line(FILE *golden, const char *expected)
{
	char line[128];

	assert_non_null(fgets(line, sizeof line, golden));
	assert_string_equal(line, expected);
}

static unsigned long long hash_of(const struct bytes *file)
{
	return XXH3_64bits(file->data, file->used_bytes);
}

/* Offsets alone would not notice another seed of a checksum, or other padding. */
static void the_format_equals_its_golden_file(void **state)
{
	struct pack_recipe whole = small_pack(0), parts = small_pack(2);
	FILE *golden = open_golden();
	char expected[128];

	(void)state;
	assert_line(golden, PACK_MAGIC " " INDEX_MAGIC " " SEGMENT_TABLE_MAGIC "\n");
	for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++) {
		snprintf(expected, sizeof expected, "%s %zu\n", facts[i].what, facts[i].bytes);
		assert_line(golden, expected);
	}
	snprintf(expected, sizeof expected, "XXH3 of small.pack %016llx\n", hash_of(&whole.head));
	assert_line(golden, expected);
	snprintf(expected, sizeof expected, "XXH3 of small-00001.shard %016llx\n", hash_of(&parts.shards[1]));
	assert_line(golden, expected);
	assert_int_equal(fgetc(golden), EOF);
	fclose(golden);
	pack_recipe_free(&whole);
	pack_recipe_free(&parts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_format_equals_its_golden_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
