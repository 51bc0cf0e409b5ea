/* A packed image that is not its source: whatever differs is found.  One thread. */
#include "loader/pack/image/pack_png_chunks.h"
#include "loader/pack/image/pack_png_idat.h"
#include "loader/pack/image/pack_verify.h"
#include "tests/pack_check.h"
#include "tests/png_recipe.h"

static struct pack_verify_room *room;
static struct decoder *decoder;

static enum pack_outcome verify(struct file source, struct packed_image *packed)
{
	struct file_bytes bytes = file_whole(source);
	struct image_info info = probe_ok(decoder, source);

	return pack_verify(room, decoder, &bytes, &info, packed);
}

static struct file encode(uint32_t width_px, uint32_t height_px)
{
	return jpeg_encode(
		&(struct jpeg_recipe){.width_px = width_px, .height_px = height_px, .stored = JCS_YCbCr, .across = 2, .down = 2});
}

static void what_is_packed_right_is_the_same(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		struct file source = encode(1 + check_below(700), 1 + check_below(500));
		struct packed_image packed = pack_file(&plain_rules, source);

		if (packed.file.used_bytes > 0)
			assert_int_equal(verify(source, &packed), PACK_SEGMENTED);
		drop_packed(&packed);
		free(source.bytes);
	}
}

static void another_picture_of_the_same_size_differs(void **state)
{
	(void)state;
	for (int gray = 0; gray < 2; gray++) {
		struct jpeg_recipe recipe = {.width_px = 300, .height_px = 200, .stored = gray ? JCS_GRAYSCALE : JCS_YCbCr};
		struct file source = jpeg_encode(&recipe), other = jpeg_encode(&recipe);
		struct packed_image packed = pack_file_into_segments(&plain_rules, other);

		assert_int_equal(verify(source, &packed), PACK_DIFFERENT);
		assert_string_equal(packed.reason, "other pixels");
		drop_packed(&packed);
		free(source.bytes);
		free(other.bytes);
	}
}

static void a_packed_file_that_cannot_be_decoded_differs(void **state)
{
	struct file source = encode(300, 200);
	struct packed_image packed = pack_file_into_segments(&plain_rules, source);

	(void)state;
	packed.file.used_bytes -= 200;
	assert_int_equal(verify(source, &packed), PACK_DIFFERENT);
	drop_packed(&packed);
	free(source.bytes);
}

static void a_source_that_cannot_be_decoded_is_damaged(void **state)
{
	struct file source = encode(300, 200);
	struct packed_image packed = pack_file_into_segments(&plain_rules, source);

	(void)state;
	source.byte_count -= 200;
	assert_int_equal(verify(source, &packed), PACK_DAMAGED);
	assert_true(packed.reason[0] != '\0');
	drop_packed(&packed);
	free(source.bytes);
}

/* The file is right and its table is another's. */
static void regions_are_read_by_the_table(void **state)
{
	struct file source = encode(640, 480), other = encode(640, 480);
	struct packed_image packed = pack_file_into_segments(&plain_rules, source);
	struct packed_image of_other = pack_file_into_segments(&plain_rules, other);
	struct bytes table = packed.table;

	(void)state;
	assert_int_equal(verify(source, &packed), PACK_SEGMENTED);
	packed.table = of_other.table;
	assert_int_equal(verify(source, &packed), PACK_DIFFERENT);
	packed.table = table;
	packed.table.data[3] ^= 1;
	assert_int_equal(verify(source, &packed), PACK_DIFFERENT);
	drop_packed(&packed);
	drop_packed(&of_other);
	free(source.bytes);
	free(other.bytes);
}

/* PNGs in one piece, of rows that are given. */
static struct file write_png(struct png_kind kind, uint32_t width_px, uint32_t height_px, const uint8_t *rows, size_t row_bytes,
                             const char *transparency, size_t transparency_bytes)
{
	struct png_recipe recipe = {.level = 6, .window_bits = 15};
	struct file file = {NULL, 0}, filtered = {NULL, 0}, stream;
	uint8_t palette[768];

	for (uint32_t y = 0; y < height_px; y++) {
		file_append(&filtered, "", 1);
		file_append(&filtered, rows + y * row_bytes, row_bytes);
	}
	stream = png_compress(&recipe, filtered);
	png_append_head(&file, width_px, height_px, kind, false);
	for (size_t i = 0; i < sizeof palette; i++)
		palette[i] = (uint8_t)(i / 3 / 2); /* pairs of entries of one colour */
	if (kind.color == 3)
		png_append_chunk(&file, "PLTE", palette, sizeof palette);
	if (transparency)
		png_append_chunk(&file, "tRNS", transparency, transparency_bytes);
	png_append_pixels(&file, stream, IDAT_ONE);
	png_append_chunk(&file, "IEND", "", 0);
	free(filtered.bytes);
	free(stream.bytes);
	return file;
}

enum { SIDE = 400, ROWS_OF_SEGMENT = 4, SEGMENT_COUNT = SIDE / ROWS_OF_SEGMENT };

/* A black PNG in segments, of which the first row of one is filtered by the row above it, which changes no pixel. */
static struct packed_image black_in_segments(uint32_t filtered_segment)
{
	const struct png_header header = {.width_px = SIDE, .height_px = SIDE, .color = 0, .sample_bits = 8, .samples_per_px = 1};
	struct segment_table_header table = {.kind = SEGMENT_PNG, .unit = ROWS_OF_SEGMENT};
	uint8_t *rows = calloc(SIDE, 1 + SIDE);
	struct packed_image packed = {0};
	struct pack_png_idat idat;

	rows[filtered_segment * ROWS_OF_SEGMENT * (1 + SIDE)] = 2; /* "up" */
	assert_int_equal(pack_png_chunks_begin(&header, &packed.file), 0);
	table.head_bytes = table.data_at = (uint32_t)packed.file.used_bytes;
	assert_int_equal(pack_png_idat_open(&idat, &plain_rules, ROWS_OF_SEGMENT, SIDE, 1 + SIDE, 1 << 20, &packed), 0);
	assert_int_equal(pack_png_idat_add(&idat, rows, SIDE), 0);
	assert_int_equal(pack_png_chunks_append("IEND", (const uint8_t *)"", 0, &packed.file), 0);
	assert_int_equal(segment_table_write(&table, idat.ends, idat.segment_count, &packed.table), 0);
	pack_png_idat_close(&idat);
	free(rows);
	return packed;
}

/* Whichever it is. */
static void a_segment_that_needs_what_is_before_it_differs(void **state)
{
	struct packed_image source = black_in_segments(0);

	(void)state;
	assert_int_equal(verify(packed_file(&source), &source), PACK_DIFFERENT); /* nor may the first */
	packed_image_close(&source);
	for (uint32_t segment = 1; segment < SEGMENT_COUNT; segment++) {
		struct packed_image packed = black_in_segments(segment);

		assert_int_equal(verify(packed_file(&packed), &packed), PACK_DIFFERENT);
		packed_image_close(&packed);
	}
}

/* Changed in one byte of one pixel, which no crop would show. */
static void what_no_crop_shows_of_a_png_is_compared_too(void **state)
{
	static const struct {
		struct png_kind kind;
		uint32_t px_bytes, changed_at; /* in a pixel */
	} cases[] = {{{8, 6}, 4, 3}, {{8, 4}, 2, 1}, {{16, 2}, 6, 1}, {{16, 0}, 2, 1}, {{16, 6}, 8, 7}, {{8, 3}, 1, 0}};
	enum { WIDTH = 50, HEIGHT = 40 };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t row_bytes = WIDTH * cases[i].px_bytes;
		uint8_t *rows = malloc(HEIGHT * row_bytes);
		struct file source, same, changed;
		struct packed_image packed = {0};

		for (size_t k = 0; k < HEIGHT * row_bytes; k++)
			rows[k] = (uint8_t)check_random();
		source = write_png(cases[i].kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		same = write_png(cases[i].kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		rows[check_below(WIDTH * HEIGHT) * cases[i].px_bytes + cases[i].changed_at] ^= 1;
		changed = write_png(cases[i].kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		packed.file.data = (char *)same.bytes;
		packed.file.used_bytes = same.byte_count;
		if (verify(source, &packed) != PACK_SEGMENTED)
			fail_msg("%s", packed.reason);
		packed.file.data = (char *)changed.bytes;
		packed.file.used_bytes = changed.byte_count;
		assert_int_equal(verify(source, &packed), PACK_DIFFERENT);
		free(rows);
		free(source.bytes);
		free(same.bytes);
		free(changed.bytes);
	}
}

static void transparency_is_compared_too(void **state)
{
	static const struct {
		struct png_kind kind;
		uint32_t px_bytes;
		const char *one, *other;
		size_t byte_count;
	} cases[] = {
		{{8, 2}, 3, "\0\1\0\2\0\3", "\0\1\0\2\0\4", 6}, {{8, 0}, 1, "\0\1", "\0\2", 2}, {{8, 3}, 1, "\0\1\2", "\0\1\3", 3}};
	uint8_t rows[30 * 20 * 3] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		size_t row_bytes = 30 * cases[i].px_bytes;
		struct file files[] = {
			write_png(cases[i].kind, 30, 20, rows, row_bytes, cases[i].one, cases[i].byte_count),
			write_png(cases[i].kind, 30, 20, rows, row_bytes, cases[i].other, cases[i].byte_count),
			write_png(cases[i].kind, 30, 20, rows, row_bytes, NULL, 0),
		};

		for (int k = 0; k < 3; k++) {
			struct packed_image packed = {.file = {(char *)files[k].bytes, files[k].byte_count, files[k].byte_count}};

			assert_int_equal(verify(files[0], &packed), k == 0 ? PACK_SEGMENTED : PACK_DIFFERENT);
		}
		for (int k = 0; k < 3; k++)
			free(files[k].bytes);
	}
}

/* 43 pixels of 1, 2 and 4 bits, which leave some of the last byte. */
static void bits_behind_a_row_are_nobodys(void **state)
{
	enum { WIDTH = 43, HEIGHT = 20, MOST_ROW_BYTES = 22 };

	(void)state;
	for (uint32_t bits = 1; bits <= 4; bits *= 2) {
		struct png_kind kind = {.sample_bits = (uint8_t)bits, .color = 0};
		size_t row_bytes = (WIDTH * bits + 7) / 8;
		uint8_t rows[HEIGHT * MOST_ROW_BYTES], *last = rows + row_bytes * (1 + check_below(HEIGHT)) - 1;
		uint32_t spare_bits = (uint32_t)(8 * row_bytes - WIDTH * bits);
		struct file files[3];

		for (size_t k = 0; k < sizeof rows; k++)
			rows[k] = (uint8_t)check_random();
		files[0] = write_png(kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		*last ^= (uint8_t)(1u << (spare_bits - 1));
		files[1] = write_png(kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		*last ^= (uint8_t)(1u << spare_bits);
		files[2] = write_png(kind, WIDTH, HEIGHT, rows, row_bytes, NULL, 0);
		for (int k = 0; k < 3; k++) {
			struct packed_image packed = {.file = {(char *)files[k].bytes, files[k].byte_count, files[k].byte_count}};

			assert_int_equal(verify(files[0], &packed), k < 2 ? PACK_SEGMENTED : PACK_DIFFERENT);
		}
		for (int k = 0; k < 3; k++)
			free(files[k].bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_right_is_the_same),
		cmocka_unit_test(another_picture_of_the_same_size_differs),
		cmocka_unit_test(a_packed_file_that_cannot_be_decoded_differs),
		cmocka_unit_test(a_source_that_cannot_be_decoded_is_damaged),
		cmocka_unit_test(regions_are_read_by_the_table),
		cmocka_unit_test(a_segment_that_needs_what_is_before_it_differs),
		cmocka_unit_test(what_no_crop_shows_of_a_png_is_compared_too),
		cmocka_unit_test(transparency_is_compared_too),
		cmocka_unit_test(bits_behind_a_row_are_nobodys),
	};
	int failed;

	check_state = seed_of_test("test_pack_verify");
	room = pack_verify_room_open();
	decoder = decoder_open(&(struct decode_limits){.max_pixels = TEST_MAX_PIXELS});
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	decoder_close(decoder);
	pack_verify_room_close(room);
	return failed;
}
