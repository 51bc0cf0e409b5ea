/* PNGs in segments: libpng reads the same pictures from them, each segment stands by itself, and metadata lie where they should. */
#include "tests/png_recipe.h"
#include "tests/png_reference.h"

#include "loader/pack/image/pack_png.h"
#include "loader/segment_table.h"

static const struct pack_rules usual = {
	.png_rows = 16, .png_level = 6, .max_pixels = TEST_MAX_PIXELS, .most_memory_bytes = (uint64_t)1 << 28};

static void pack(const struct pack_rules *rules, struct file file, struct packed_image *out)
{
	*out = (struct packed_image){.outcome = PACK_OUTCOME_COUNT};
	assert_int_equal(pack_png(rules, file.bytes, file.byte_count, out), 0);
	assert_int_equal(out->is_source, out->outcome != PACK_SEGMENTED);
	if (out->is_source) {
		assert_int_equal(out->file.used_bytes, 0);
		assert_int_equal(out->table.used_bytes, 0);
	}
}

static void close_packed(struct packed_image *out)
{
	bytes_free(&out->file);
	bytes_free(&out->table);
}

static void pack_ok(const struct pack_rules *rules, struct file file, struct packed_image *out)
{
	pack(rules, file, out);
	if (out->outcome != PACK_SEGMENTED)
		fail_msg("outcome %d: %s", out->outcome, out->reason);
}

static struct segments open_table(const struct packed_image *packed)
{
	struct segments segments = {
		.width_px = packed->image.width_px, .height_px = packed->image.height_px, .file_bytes = packed->file.used_bytes};

	assert_int_equal(packed->image.segments_bytes, packed->table.used_bytes);
	assert_true(segment_table_open(&segments, (const uint8_t *)packed->table.data, packed->table.used_bytes));
	assert_int_equal(segments.kind, SEGMENT_PNG);
	return segments;
}

static uint32_t number_at(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A segment of so many rows is a chunk from whose data alone they come, the first one with a filter that needs none above it. */
static void check_segment(const struct packed_image *packed, const struct file_run *run, bool is_first, uint32_t row_count,
                          size_t row_bytes)
{
	const uint8_t *chunk = (const uint8_t *)packed->file.data + run->offset;
	uint32_t skipped = is_first ? 2 : 0, data_bytes = (uint32_t)run->byte_count - 12;
	uint8_t *rows = malloc(row_count * row_bytes + 1);
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)chunk + 8 + skipped, .avail_in = data_bytes - skipped};

	assert_non_null(rows);
	assert_int_equal(number_at(chunk), data_bytes);
	assert_memory_equal(chunk + 4, "IDAT", 4);
	assert_int_equal(number_at(chunk + 8 + data_bytes), crc32(0, chunk + 4, 4 + data_bytes));
	stream.next_out = rows;
	stream.avail_out = (uInt)(row_count * row_bytes + 1);
	assert_int_equal(inflateInit2(&stream, -15), Z_OK);
	while (inflate(&stream, Z_NO_FLUSH) == Z_OK)
		;
	assert_null(stream.msg);
	assert_int_equal(stream.total_out, row_count * row_bytes);
	assert_in_range(rows[0], 0, 1);
	inflateEnd(&stream);
	free(rows);
}

static void check_segments(const struct packed_image *packed, uint32_t unit, size_t row_bytes)
{
	struct segments segments = open_table(packed);
	uint32_t height_px = packed->image.height_px;

	assert_int_equal(segments.header.unit, unit);
	assert_int_equal(segments.header.segment_count, (height_px + unit - 1) / unit);
	for (uint32_t i = 0; i < segments.header.segment_count; i++) {
		struct file_run run;

		assert_true(segment_table_run(&segments, i, i + 1, &run));
		check_segment(packed, &run, i == 0, height_px - i * unit < unit ? height_px - i * unit : unit, row_bytes);
	}
}

/* What libpng sees in the packed file is what it sees in the source, without a word. */
static void check_picture(const struct packed_image *packed, struct file source)
{
	struct png_reference expected, found;

	png_reference_open(&expected, source.bytes, source.byte_count, true, SIZE_MAX);
	png_reference_open(&found, (const uint8_t *)packed->file.data, packed->file.used_bytes, true, SIZE_MAX);
	if (!expected.is_read || !found.is_read || found.has_warned)
		fail_msg("source: \"%s\", packed: \"%s\"", expected.words, found.words);
	assert_true(png_reference_equals(&expected, &found));
	assert_int_equal(found.interlaced, 0);
	assert_int_equal(packed->image.width_px, found.width_px);
	assert_int_equal(packed->image.height_px, found.height_px);
	assert_int_equal(packed->image.sample_bits, found.sample_bits);
	assert_int_equal(packed->image.format, 2);
	check_segments(packed, open_table(packed).header.unit, found.row_bytes + 1);
	png_reference_close(&expected);
	png_reference_close(&found);
}

static void every_kind_shows_the_same_picture(void **state)
{
	(void)state;
	for (int round = 0; round < 12 * PNG_KINDS; round++) {
		struct png_kind kind = png_kinds[round % PNG_KINDS];
		uint32_t width_px = 1 + check_below(round % 2 ? 9 : 200), height_px = 2 + check_below(150);
		struct file file = png_write_kind(width_px, height_px, kind, round / PNG_KINDS % 3 == 0,
		                                  round % 4 ? ALL_FILTERS : (uint8_t)check_below(5));
		struct pack_rules rules = usual;
		struct packed_image packed, again;

		rules.png_rows = 1 + check_below(height_px - 1);
		rules.png_level = 1 + check_below(check_below(8) ? 3 : 9);
		pack_ok(&rules, file, &packed);
		check_picture(&packed, file);
		pack_ok(&rules, file, &again);
		assert_int_equal(packed.file.used_bytes, again.file.used_bytes);
		assert_memory_equal(packed.file.data, again.file.data, packed.file.used_bytes);
		assert_memory_equal(packed.table.data, again.table.data, packed.table.used_bytes);
		close_packed(&packed);
		close_packed(&again);
		free(file.bytes);
	}
}

/* Each row but the first of each segment. */
static void the_sources_filters_are_kept(void **state)
{
	struct file file = png_write_kind(100, 64, png_kinds[3], false, PNG_FILTER_VALUE_AVG);
	struct packed_image packed;
	struct segments segments;
	struct file_run run;
	uint8_t rows[64 * 101];
	uLongf byte_count = sizeof rows;
	uint8_t stream[64 * 101 + 1000];
	size_t stream_bytes = 0;

	(void)state;
	pack_ok(&usual, file, &packed);
	segments = open_table(&packed);
	for (uint32_t i = 0; i < segments.header.segment_count; i++) {
		assert_true(segment_table_run(&segments, i, i + 1, &run));
		memcpy(stream + stream_bytes, packed.file.data + run.offset + 8, run.byte_count - 12);
		stream_bytes += run.byte_count - 12;
	}
	assert_int_equal(uncompress(rows, &byte_count, stream, stream_bytes), Z_OK);
	assert_int_equal(byte_count, sizeof rows);
	for (uint32_t y = 0; y < 64; y++) {
		if (y % usual.png_rows)
			assert_int_equal(rows[y * 101], PNG_FILTER_VALUE_AVG);
		else
			assert_in_range(rows[y * 101], 0, 1);
	}
	close_packed(&packed);
	free(file.bytes);
}

static void rows_wider_than_a_piece_are_packed(void **state)
{
	struct file file = png_write_kind(200000, 5, png_kinds[14], false, ALL_FILTERS);
	struct pack_rules rules = usual;
	struct packed_image packed;

	(void)state;
	rules.png_rows = 2;
	rules.png_level = 1;
	pack_ok(&rules, file, &packed);
	check_picture(&packed, file);
	close_packed(&packed);
	free(file.bytes);
}

/* A palette picture with all sorts of chunks, in an order that PNG permits. */
static struct file write_with_metadata(uint8_t orientation)
{
	static const uint8_t exif[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0};
	struct png_kind kind = {8, 3};
	struct file file = {NULL, 0}, stream = png_random_stream(50, 60, kind, false, ALL_FILTERS);
	uint8_t palette[3 * 200], block[sizeof exif], histogram[2 * 200] = {0};

	memcpy(block, exif, sizeof exif);
	block[19] = orientation;
	for (size_t i = 0; i < sizeof palette; i++)
		palette[i] = (uint8_t)i;
	png_append_head(&file, 50, 60, kind, false);
	png_append_chunk(&file, "tEXt", "Title\0first", 11);
	png_append_chunk(&file, "gAMA", "\0\0\261\217", 4);
	png_append_chunk(&file, "sBIT", "\10\10\10", 3);
	png_append_chunk(&file, "PLTE", palette, sizeof palette);
	png_append_chunk(&file, "hIST", histogram, sizeof histogram);
	png_append_chunk(&file, "tRNS", "\1\2\3", 3);
	png_append_chunk(&file, "bKGD", "\7", 1);
	png_append_chunk(&file, "pHYs", "\0\0\13\23\0\0\13\23\1", 9);
	png_append_chunk(&file, "prVt", "copy me", 7);
	png_append_chunk(&file, "prVT", "do not", 6);
	if (orientation)
		png_append_chunk(&file, "eXIf", block, sizeof block);
	png_append_pixels(&file, stream, IDAT_SOME);
	png_append_chunk(&file, "tIME", "\7\350\2\35\14\0\0", 7);
	png_append_chunk(&file, "tEXt", "Comment\0last", 12);
	png_append_chunk(&file, "IEND", "", 0);
	file_append(&file, "more", 4);
	free(stream.bytes);
	return file;
}

/* The types of a file's chunks with a space behind each, those of its pixels once; what follows IEND as it is. */
static void list_chunks(const uint8_t *bytes, size_t byte_count, char *list)
{
	for (size_t at = 8; at < byte_count;) {
		if (byte_count - at < 12) {
			memcpy(list, bytes + at, byte_count - at);
			list += byte_count - at;
			break;
		}
		if (memcmp(bytes + at + 4, "IDAT", 4) != 0 || memcmp(list - 5, "IDAT ", 5) != 0) {
			memcpy(list, bytes + at + 4, 4);
			list[4] = ' ';
			list += 5;
		}
		at += 12 + number_at(bytes + at);
	}
	*list = '\0';
}

static void check_chunks(const struct packed_image *packed, const char *whole, const char *head)
{
	struct segment_table_header header = open_table(packed).header;
	const uint8_t *bytes = (const uint8_t *)packed->file.data;
	struct file heads = file_copy(bytes, header.head_bytes);
	char lists[2][300] = {"", ""};

	list_chunks(bytes, packed->file.used_bytes, lists[0] + 5);
	assert_string_equal(lists[0] + 5, whole);
	file_append(&heads, bytes + header.second_head_at, header.second_head_bytes);
	list_chunks(heads.bytes, heads.byte_count, lists[1] + 5);
	assert_string_equal(lists[1] + 5, head);
	free(heads.bytes);
}

static void metadata_are_left_out_but_for_the_orientation(void **state)
{
	(void)state;
	for (uint8_t orientation = 0; orientation <= 9; orientation++) {
		struct file file = write_with_metadata(orientation);
		bool turned = orientation >= 2 && orientation <= 8;
		struct packed_image packed;

		pack_ok(&usual, file, &packed);
		check_picture(&packed, file);
		check_chunks(&packed, turned ? "IHDR PLTE tRNS eXIf IDAT IEND " : "IHDR PLTE tRNS IDAT IEND ", "IHDR PLTE tRNS ");
		assert_int_equal(packed.image.orientation, turned ? orientation : 1);
		close_packed(&packed);
		free(file.bytes);
	}
}

static void kept_metadata_lie_outside_of_the_head(void **state)
{
	struct file file = write_with_metadata(6), plain = png_write_kind(50, 60, png_kinds[5], false, ALL_FILTERS);
	struct pack_rules rules = usual;
	struct packed_image packed;

	(void)state;
	rules.keep_metadata = true;
	pack_ok(&rules, file, &packed);
	check_picture(&packed, file);
	check_chunks(&packed, "IHDR gAMA sBIT PLTE tRNS tEXt hIST bKGD pHYs prVt eXIf IDAT tIME tEXt IEND more", "IHDR PLTE tRNS ");
	assert_int_equal(packed.image.orientation, 6);
	close_packed(&packed);

	/* And with nothing of that sort, but a chunk of 100 KB. */
	file_insert(&plain, 33, (uint8_t[12 + 100000]){0}, 12 + 100000);
	png_put_chunk(plain.bytes + 33, "teSt", (uint8_t[100000]){0}, 100000);
	pack_ok(&rules, plain, &packed);
	check_picture(&packed, plain);
	check_chunks(&packed, "IHDR teSt IDAT IEND ", "IHDR ");
	close_packed(&packed);
	free(plain.bytes);
	free(file.bytes);
}

/* Where the chunk with this type begins. */
static size_t find(struct file file, const char *type)
{
	return (size_t)((uint8_t *)memmem(file.bytes, file.byte_count, type, 4) - file.bytes) - 4;
}

static void check_refused(struct file file, enum pack_outcome outcome, const char *reason)
{
	struct packed_image packed;

	pack(&usual, file, &packed);
	assert_int_equal(packed.outcome, outcome);
	if (!strstr(packed.reason, reason))
		fail_msg("\"%s\", not \"%s\"", packed.reason, reason);
	free(file.bytes);
}

static void what_is_damaged_or_odd_stays_as_it_is(void **state)
{
	struct file good = write_with_metadata(1), file;
	struct file short_stream = png_random_stream(50, 59, (struct png_kind){8, 3}, false, 0);
	struct file long_stream = png_random_stream(50, 61, (struct png_kind){8, 3}, false, 0);

	(void)state;
	for (size_t cut = 0; cut < good.byte_count - 4; cut += 1 + check_below(40))
		check_refused(file_copy(good.bytes, cut), PACK_DAMAGED, "");
	file = file_copy(good.bytes, good.byte_count); /* a CRC, of metadata, of pixels */
	file.bytes[find(file, "pHYs") + 8] ^= 1;
	check_refused(file, PACK_DAMAGED, "a chunk's CRC is wrong");
	file = file_copy(good.bytes, good.byte_count);
	file.bytes[find(file, "IDAT") + 8] ^= 1;
	check_refused(file, PACK_DAMAGED, "a chunk's CRC is wrong");

	file = file_copy(good.bytes, good.byte_count);
	file_insert(&file, find(file, "IDAT"), "\0\0\0\10acTL\0\0\0\1\0\0\0\1\0\0\0\0", 20);
	png_put_chunk(file.bytes + find(file, "acTL"), "acTL", "\0\0\0\1\0\0\0\1", 8);
	check_refused(file, PACK_KIND, "animated");
	file = file_copy(good.bytes, find(good, "tRNS")); /* transparency after the pixels, twice, and before the palette */
	file_append(&file, good.bytes + find(good, "bKGD"), find(good, "IEND") - find(good, "bKGD"));
	file_append(&file, good.bytes + find(good, "tRNS"), 15);
	file_append(&file, good.bytes + find(good, "IEND"), 12);
	check_refused(file, PACK_DAMAGED, "tRNS");
	file = file_copy(good.bytes, good.byte_count);
	file_insert(&file, find(file, "bKGD"), good.bytes + find(good, "tRNS"), 15);
	check_refused(file, PACK_DAMAGED, "tRNS");
	file = file_copy(good.bytes, good.byte_count);
	file_insert(&file, find(file, "PLTE"), good.bytes + find(good, "tRNS"), 15);
	check_refused(file, PACK_DAMAGED, "tRNS");
	file = file_copy(good.bytes, good.byte_count); /* pixels after metadata after pixels */
	file_insert(&file, find(file, "IEND"), "\0\0\0\0IDAT\x35\xaf\x06\x1e", 12);
	check_refused(file, PACK_DAMAGED, "not together");

	for (int i = 0; i < 2; i++) {
		file = file_copy(good.bytes, find(good, "IDAT"));
		png_append_pixels(&file, i ? long_stream : short_stream, IDAT_SOME);
		png_append_chunk(&file, "IEND", "", 0);
		check_refused(file, PACK_DAMAGED, i ? "data after the last row" : "fewer pixels");
	}
	free(good.bytes);
	free(short_stream.bytes);
	free(long_stream.bytes);
}

static void damaged_streams_stay_as_they_are(void **state)
{
	int refused = 0;

	(void)state;
	for (int round = 0; round < 200; round++) {
		struct png_kind kind = png_kinds[round % PNG_KINDS];
		bool interlaced = round % 2;
		struct file file = {NULL, 0}, stream = png_random_stream(40, 40, kind, interlaced, ALL_FILTERS);
		struct packed_image packed;

		stream.bytes[check_below((uint32_t)stream.byte_count)] ^= (uint8_t)(1u << check_below(8));
		png_append_head(&file, 40, 40, kind, interlaced);
		if (kind.color == 3)
			png_append_palette(&file, kind);
		png_append_pixels(&file, stream, IDAT_ONE);
		png_append_chunk(&file, "IEND", "", 0);
		pack(&usual, file, &packed);
		if (packed.outcome == PACK_SEGMENTED)
			check_picture(&packed, file);
		else
			assert_int_equal(packed.outcome, PACK_DAMAGED);
		refused += packed.is_source;
		close_packed(&packed);
		free(stream.bytes);
		free(file.bytes);
	}
	assert_true(refused > 180);
}

/* All rows of an interlaced picture are kept while it is decoded: what the loader has no memory for, nobody reads after packing. */
static void interlaced_ones_that_are_too_large_to_decode_stay_as_they_are(void **state)
{
	struct pack_rules rules = usual;
	struct packed_image packed;

	(void)state;
	rules.max_pixels = rules.most_memory_bytes = UINT64_C(1) << 40;
	for (uint32_t side_px = 5200; side_px <= 5300; side_px += 100) { /* 206 and 214 MB */
		struct file file = {NULL, 0};

		png_append_head(&file, side_px, side_px, (struct png_kind){16, 6}, true);
		png_append_chunk(&file, "IDAT", "\x78\x9c\x03\0\0\0\0\1", 8); /* nothing */
		png_append_chunk(&file, "IEND", "", 0);
		pack(&rules, file, &packed);
		assert_int_equal(packed.outcome, side_px == 5200 ? PACK_DAMAGED : PACK_LARGE);
		free(file.bytes);
	}
}

static void small_and_too_large_pictures_stay_as_they_are(void **state)
{
	struct file file = png_write_kind(60, 60, png_kinds[3], false, ALL_FILTERS);
	struct pack_rules rules = usual;
	struct packed_image packed;
	uint64_t needed;

	(void)state;
	rules.png_rows = 60;
	pack(&rules, file, &packed);
	assert_int_equal(packed.outcome, PACK_SMALL);
	rules.png_rows = PACK_NO_SEGMENTS;
	pack(&rules, file, &packed);
	assert_int_equal(packed.outcome, PACK_SMALL);
	rules.png_rows = 0;
	pack(&rules, file, &packed);
	assert_int_equal(packed.outcome, PACK_SMALL);

	rules = usual;
	rules.max_pixels = 3599;
	pack(&rules, file, &packed);
	assert_int_equal(packed.outcome, PACK_LARGE);
	rules = usual;
	needed = pack_png_memory_bytes(&rules, file.bytes, 40, file.byte_count);
	rules.most_memory_bytes = needed - 1;
	pack(&rules, file, &packed);
	assert_int_equal(packed.outcome, PACK_LARGE);
	assert_true(packed.reason[0] != '\0');
	rules.most_memory_bytes = needed;
	pack_ok(&rules, file, &packed);
	close_packed(&packed);
	free(file.bytes);
}

static void pixels_become_a_png(void **state)
{
	uint8_t palette[200][3];

	(void)state;
	for (int i = 0; i < 200; i++)
		memset(palette[i], i, 3);
	for (int round = 0; round < 60; round++) {
		uint32_t width_px = 1 + check_below(90), height_px = 1 + check_below(90), channels = round % 3 == 0 ? 3 : 1;
		struct picture photo = picture_make_photo(width_px, height_px, channels);
		struct pixels pixels = {photo.data, (size_t)width_px * channels, width_px, height_px, channels};
		bool is_index = round % 3 == 2;
		struct pack_rules rules = usual;
		struct packed_image packed = {0};
		struct png_reference found;

		rules.png_rows = round % 2 ? PACK_NO_SEGMENTS : 20;
		assert_int_equal(pack_png_from_pixels(&rules, &pixels, is_index ? palette : NULL, is_index ? 200 : 0, &packed), 0);
		assert_int_equal(packed.outcome, PACK_SEGMENTED);
		png_reference_open(&found, (const uint8_t *)packed.file.data, packed.file.used_bytes, true, SIZE_MAX);
		assert_true(found.is_read && (is_index || !found.has_warned)); /* of indexes beyond the palette */
		assert_int_equal(found.row_bytes, width_px * channels);
		assert_int_equal(found.entry_count, is_index ? 200 : 0);
		assert_memory_equal(found.rows, photo.data, found.row_bytes * height_px);
		assert_int_equal(packed.image.channels, channels);
		check_segments(&packed, height_px < rules.png_rows ? height_px : rules.png_rows, found.row_bytes + 1);
		png_reference_close(&found);
		close_packed(&packed);
		free(photo.data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_shows_the_same_picture),
		cmocka_unit_test(the_sources_filters_are_kept),
		cmocka_unit_test(rows_wider_than_a_piece_are_packed),
		cmocka_unit_test(metadata_are_left_out_but_for_the_orientation),
		cmocka_unit_test(kept_metadata_lie_outside_of_the_head),
		cmocka_unit_test(what_is_damaged_or_odd_stays_as_it_is),
		cmocka_unit_test(damaged_streams_stay_as_they_are),
		cmocka_unit_test(interlaced_ones_that_are_too_large_to_decode_stay_as_they_are),
		cmocka_unit_test(small_and_too_large_pictures_stay_as_they_are),
		cmocka_unit_test(pixels_become_a_png),
	};

	check_state = seed_of_test("test_pack_png");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
