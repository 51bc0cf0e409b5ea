/* pack_check.h - what the tests of `cropring pack` share: rules, and what must be so of a packed JPEG. */
#ifndef CROPRING_TESTS_PACK_CHECK_H
#define CROPRING_TESTS_PACK_CHECK_H

#include "loader/pack/image/pack_jpeg.h"
#include "loader/segment_table.h"
#include "tests/decode_check.h"
#include "tests/jpeg_recipe.h"
#include "tests/jpeg_reference.h"

static const struct pack_rules plain_rules = {
	.segment_px = 80, .png_level = 6, .max_pixels = TEST_MAX_PIXELS, .most_memory_bytes = (uint64_t)1 << 30};

static inline struct file packed_file(const struct packed_image *packed)
{
	return (struct file){(uint8_t *)packed->file.data, packed->file.used_bytes};
}

static inline void drop_packed(struct packed_image *packed)
{
	bytes_free(&packed->file);
	bytes_free(&packed->table);
}

/* Of exactly its size, so that a sanitizer sees each step past it. */
static inline struct packed_image pack_file(const struct pack_rules *rules, struct file source)
{
	struct packed_image packed = {0};

	assert_int_equal(pack_jpeg(rules, source.bytes, source.byte_count, &packed), 0);
	if (packed.outcome != PACK_SEGMENTED) {
		assert_int_equal(packed.table.used_bytes, 0);
		assert_true(packed.outcome == PACK_SMALL || packed.file.used_bytes == 0);
	}
	return packed;
}

static inline struct packed_image pack_file_into_segments(const struct pack_rules *rules, struct file source)
{
	struct packed_image packed = pack_file(rules, source);

	if (packed.outcome != PACK_SEGMENTED)
		fail_msg("outcome %d, %s", packed.outcome, packed.reason);
	return packed;
}

struct coefficients {
	struct jpeg_decompress_struct codec;
	struct jpeg_error_mgr errors;
	jvirt_barray_ptr *arrays;
};

static inline void coefficients_open(struct coefficients *coefficients, struct file file)
{
	struct jpeg_decompress_struct *codec = &coefficients->codec;

	codec->err = jpeg_std_error(&coefficients->errors);
	jpeg_create_decompress(codec);
	jpeg_mem_src(codec, file.bytes, file.byte_count);
	jpeg_read_header(codec, TRUE);
	coefficients->arrays = jpeg_read_coefficients(codec);
}

static inline void check_same_component(struct coefficients *a, struct coefficients *b, int c)
{
	jpeg_component_info *info = &a->codec.comp_info[c], *other = &b->codec.comp_info[c];

	assert_int_equal(info->width_in_blocks, other->width_in_blocks);
	assert_int_equal(info->height_in_blocks, other->height_in_blocks);
	assert_int_equal(info->component_id, other->component_id);
	assert_memory_equal(info->quant_table->quantval, other->quant_table->quantval, sizeof info->quant_table->quantval);
	for (JDIMENSION y = 0; y < info->height_in_blocks; y++) {
		JBLOCKARRAY row = a->codec.mem->access_virt_barray((j_common_ptr)&a->codec, a->arrays[c], y, 1, FALSE);
		JBLOCKARRAY other_row = b->codec.mem->access_virt_barray((j_common_ptr)&b->codec, b->arrays[c], y, 1, FALSE);

		assert_memory_equal(row[0], other_row[0], info->width_in_blocks * sizeof(JBLOCK));
	}
}

static inline void check_same_coefficients(struct file file, struct file other)
{
	struct coefficients a, b;

	coefficients_open(&a, file);
	coefficients_open(&b, other);
	assert_int_equal(a.codec.image_width, b.codec.image_width);
	assert_int_equal(a.codec.image_height, b.codec.image_height);
	assert_int_equal(a.codec.jpeg_color_space, b.codec.jpeg_color_space);
	assert_int_equal(a.codec.saw_JFIF_marker, b.codec.saw_JFIF_marker);
	assert_int_equal(a.codec.saw_Adobe_marker, b.codec.saw_Adobe_marker);
	assert_int_equal(a.codec.Adobe_transform, b.codec.Adobe_transform);
	assert_int_equal(a.codec.num_components, b.codec.num_components);
	for (int c = 0; c < a.codec.num_components; c++)
		check_same_component(&a, &b, c);
	assert_int_equal(b.errors.num_warnings, 0);
	jpeg_destroy_decompress(&a.codec);
	jpeg_destroy_decompress(&b.codec);
}

static inline void check_same_pixels(struct file file, struct file other)
{
	struct picture a = jpeg_reference(file, 3, 8), b = jpeg_reference(other, 3, 8);

	assert_int_equal(a.width_px, b.width_px);
	assert_int_equal(a.height_px, b.height_px);
	assert_memory_equal(a.data, b.data, (size_t)a.width_px * a.height_px * 3);
	free(a.data);
	free(b.data);
}

/* Segments lie one behind the other, from the end of the head to the end marker, with one restart marker each, in turn. */
static inline void check_segments(const struct packed_image *packed)
{
	struct file file = packed_file(packed);
	struct segments segments = {.file_bytes = file.byte_count};
	const struct segment_table_header *header = &segments.header;
	uint64_t at;

	assert_true(segment_table_open(&segments, (const uint8_t *)packed->table.data, packed->table.used_bytes));
	assert_int_equal(segments.kind, SEGMENT_JPEG);
	at = header->data_at;
	for (uint32_t i = 0; i < header->segment_count; i++) {
		uint8_t marker = i + 1 < header->segment_count ? (uint8_t)(JPEG_RST0 + i % 8) : JPEG_EOI;
		struct file_run run;

		assert_true(segment_table_run(&segments, i, i + 1, &run));
		assert_int_equal(run.offset, at);
		at += run.byte_count;
		assert_true(run.byte_count > 2 && at <= file.byte_count);
		for (uint64_t k = run.offset; k < at - 2; k++)
			assert_true(file.bytes[k] != 0xff || file.bytes[k + 1] == 0);
		assert_int_equal(file.bytes[at - 2], 0xff);
		assert_int_equal(file.bytes[at - 1], marker);
	}
}

/* The head's runs, put together, and then the segments are a JPEG: *head is that one, to be freed. */
static inline struct file without_metadata(const struct packed_image *packed)
{
	struct file file = packed_file(packed), short_file;
	struct segments segments = {.file_bytes = file.byte_count};
	const struct segment_table_header *header = &segments.header;

	assert_true(segment_table_open(&segments, (const uint8_t *)packed->table.data, packed->table.used_bytes));
	short_file = file_copy(file.bytes, header->head_bytes);
	if (header->second_head_bytes > 0)
		file_append(&short_file, file.bytes + header->second_head_at, header->second_head_bytes);
	file_append(&short_file, file.bytes + header->data_at, file.byte_count - header->data_at);
	return short_file;
}

#endif
