/*
 * Our PNG path beside libpng's and beside the samples that were written: filters, chunks, streams, regions, damage.  One thread.
 * Long, because both paths must agree on every way in which a PNG can be odd, and the list is one list.
 */
#include "tests/png_recipe.h"

#include "loader/decode/decode_png.h"
#include "loader/decode/png_fallback.h"
#include "loader/decode/png_own.h"

static const uint8_t colors[] = {PNG_GRAY, PNG_RGB, PNG_PALETTE, PNG_GRAY_ALPHA, PNG_RGBA};
enum { COLORS = sizeof colors };

/* One for each level, and one for libpng: each path has its own memory, whose contents are those of other pictures. */
struct paths {
	struct workspace own[SIMD_AVX512 + 1], libpng;
	int levels;
};

static struct paths *open_paths(void)
{
	struct paths *paths = calloc(1, sizeof *paths);

	assert_non_null(paths);
	paths->levels = (int)simd_best() + 1;
	for (int i = 0; i < paths->levels; i++) {
		paths->own[i].max_pixels = TEST_MAX_PIXELS;
		paths->own[i].simd = (enum simd_level)i;
	}
	paths->libpng.max_pixels = TEST_MAX_PIXELS;
	return paths;
}

static void free_workspace(struct workspace *workspace)
{
	free(workspace->band.data);
	free(workspace->rows.data);
	free(workspace->inflate.data);
}

static void close_paths(struct paths *paths)
{
	for (int i = 0; i < paths->levels; i++)
		free_workspace(&paths->own[i]);
	free_workspace(&paths->libpng);
	free(paths);
}

static struct image_info probe(struct workspace *workspace, struct file file)
{
	struct file_bytes bytes = file_whole(file);
	struct image_info info = {.format = IMAGE_PNG};

	if (decode_png_probe(workspace, &bytes, &info) != ITEM_OK)
		fail_msg("probe: %s", workspace->reason);
	return info;
}

static void check_equal(const char *what, const struct png_recipe *recipe, const struct pixels *out, const struct decode_want *want,
                        const struct picture *full)
{
	for (uint32_t y = 0; y < out->height_px; y++) {
		size_t at = ((size_t)(want->region.y + (int32_t)y) * full->width_px + (uint32_t)want->region.x) * full->channels;

		if (memcmp(out->data + y * out->stride_bytes, full->data + at, (size_t)out->width_px * full->channels) != 0)
			fail_msg("%s: %ux%u pixels, colour %d, filter %d, tails %d, zlib level %d strategy %d window %d, layout "
			         "%d, region "
			         "%dx%d at %d,%d: row %u differs",
			         what, recipe->width_px, recipe->height_px, recipe->color, recipe->filter, recipe->with_tails,
			         recipe->level, recipe->strategy, recipe->window_bits, recipe->layout, want->region.width,
			         want->region.height, want->region.x, want->region.y, y);
	}
}

static void check_paths(struct paths *paths, const struct png_recipe *recipe, struct file file, const struct decode_want *want,
                        const struct picture *full)
{
	static const char *const names[] = {"plain", "AVX2", "AVX-512"};
	struct file_bytes bytes = file_whole(file);
	struct image_info info = probe(&paths->libpng, file);
	struct png_header header;
	struct kept out;

	kept_open(&out, want);
	assert_true(png_chunks_header(file.bytes, file.byte_count, &header));
	for (int i = 0; i < paths->levels; i++) {
		if (!png_own_rows(&paths->own[i], &bytes, &header, want, &out.sink))
			fail_msg("not read: colour %d, filter %d, zlib level %d strategy %d window %d, layout %d", recipe->color,
			         recipe->filter, recipe->level, recipe->strategy, recipe->window_bits, recipe->layout);
		assert_int_equal(out.row_count, want->region.height);
		check_equal(names[i], recipe, &out.region, want, full);
	}
	assert_int_equal(png_fallback_rows(&paths->libpng, &bytes, &info, want, &out.sink), ITEM_OK);
	assert_int_equal(out.row_count, want->region.height);
	check_equal("libpng", recipe, &out.region, want, full);
	kept_close(&out);
}

/* The whole picture and random boxes of it, as RGB and luma. */
static void check_recipe(struct paths *paths, const struct png_recipe *recipe, int box_count)
{
	struct picture rgb;
	struct file file = png_recipe_write(recipe, &rgb);
	struct picture luma = picture_make_luma(&rgb);
	struct decode_want want = {{0, 0, (int32_t)rgb.width_px, (int32_t)rgb.height_px}, 3, 8, false};

	for (int i = 0; i <= box_count; i++) {
		want.channels = 3;
		check_paths(paths, recipe, file, &want, &rgb);
		want.channels = 1;
		check_paths(paths, recipe, file, &want, &luma);
		want.region = random_box(rgb.width_px, rgb.height_px);
	}
	free(file.bytes);
	free(rgb.data);
	free(luma.data);
}

static void both_paths_read_what_was_written(void **state)
{
	struct paths *paths = open_paths();

	(void)state;
	for (int color = 0; color < COLORS; color++) {
		for (uint8_t filter = 0; filter < FILTER_CHOICES; filter++) {
			for (int round = 0; round < 8; round++) {
				struct png_recipe recipe = png_recipe_random(colors[color], filter, round < 4 ? 9 : 110);

				check_recipe(paths, &recipe, 2);
			}
		}
	}
	close_paths(paths);
}

static void pictures_of_several_pieces_are_read(void **state)
{
	struct paths *paths = open_paths();

	(void)state;
	for (int color = 0; color < COLORS; color++) {
		for (int round = 0; round < 2; round++) {
			struct png_recipe recipe = png_recipe_random(colors[color], (uint8_t[]){4, MOSTLY_PAETH}[round], 1);

			recipe.width_px = 300 + check_below(200);
			recipe.height_px = 500 + check_below(200);
			recipe.layout = round ? IDAT_SOME : IDAT_ONE;
			check_recipe(paths, &recipe, 2);
		}
	}
	close_paths(paths);
}

static void rows_wider_than_a_piece_are_read(void **state)
{
	struct paths *paths = open_paths();
	struct png_recipe recipe = png_recipe_random(PNG_RGBA, ALL_FILTERS, 1);

	(void)state;
	recipe.width_px = 150000; /* 600 KB a row */
	recipe.height_px = 9;
	recipe.layout = IDAT_ONE;
	check_recipe(paths, &recipe, 1);
	assert_true(paths->own[0].rows.capacity_bytes < 5 << 20);
	close_paths(paths);
}

static void every_window_and_every_strategy_is_read(void **state)
{
	struct paths *paths = open_paths();

	(void)state;
	for (int window_bits = 9; window_bits <= 15; window_bits++) {
		for (int strategy = Z_DEFAULT_STRATEGY; strategy <= Z_FIXED; strategy++) {
			struct png_recipe recipe = {.width_px = 130,
			                            .height_px = 110,
			                            .color = colors[check_below(COLORS)],
			                            .filter = (uint8_t)check_below(FILTER_CHOICES),
			                            .level = 6,
			                            .strategy = strategy,
			                            .window_bits = window_bits,
			                            .layout = check_below(IDAT_LAYOUTS)};

			check_recipe(paths, &recipe, 1);
		}
	}
	close_paths(paths);
}

static bool equals(const struct pixels *a, const struct pixels *b)
{
	return memcmp(a->data, b->data, a->stride_bytes * a->height_px) == 0;
}

/* The verdict on a damaged file is libpng's, and so are its words and pixels.  Returns the status. */
static enum item_status check_verdict(struct paths *paths, struct file file, const struct image_info *info,
                                      const struct decode_want *want)
{
	struct workspace *own = &paths->own[paths->levels - 1], *libpng = &paths->libpng;
	struct file_bytes bytes = file_whole(file);
	struct kept out, expected;

	kept_open(&out, want);
	kept_open(&expected, want);
	own->reason[0] = libpng->reason[0] = '\0';

	enum item_status status = decode_png_rows(own, &bytes, info, want, &out.sink);
	enum item_status judged = png_fallback_rows(libpng, &bytes, info, want, &expected.sink);

	assert_int_equal(status, judged);
	assert_string_equal(own->reason, libpng->reason);
	assert_true(status != ITEM_OK || equals(&out.region, &expected.region));
	kept_close(&out);
	kept_close(&expected);
	return status;
}

static enum item_status check_probe_verdict(struct paths *paths, struct file file)
{
	struct workspace *own = &paths->own[0], *libpng = &paths->libpng;
	struct file_bytes bytes = file_whole(file);
	struct image_info info = {0}, expected = {0};
	enum item_status status;

	own->reason[0] = libpng->reason[0] = '\0';
	status = png_fallback_probe(libpng, &bytes, &expected);
	assert_int_equal(decode_png_probe(own, &bytes, &info), status);
	assert_string_equal(own->reason, libpng->reason);
	assert_int_equal(info.width_px, expected.width_px);
	assert_int_equal(info.height_px, expected.height_px);
	return status;
}

static struct decode_want want_whole(const struct image_info *info)
{
	return (struct decode_want){{0, 0, (int32_t)info->width_px, (int32_t)info->height_px}, 3, 8, false};
}

static void a_cut_file_is_judged_as_by_libpng(void **state)
{
	struct paths *paths = open_paths();
	int read = 0, truncated = 0;

	(void)state;
	for (int round = 0; round < 6; round++) {
		struct png_recipe recipe = png_recipe_random(colors[round % COLORS], ALL_FILTERS, 1);
		struct picture rgb;

		recipe.width_px = 150;
		recipe.height_px = 120;
		recipe.layout = round % IDAT_LAYOUTS;
		if (recipe.layout == IDAT_SINGLE_BYTES)
			recipe.height_px = 12;

		struct file file = png_recipe_write(&recipe, &rgb);
		struct image_info info = probe(&paths->libpng, file);
		struct decode_want want = want_whole(&info);

		for (size_t cut = file.byte_count / 64 + 100; cut < file.byte_count; cut += file.byte_count / 64 + 1) {
			struct file head = file_copy(file.bytes, cut);

			want.region = check_below(3) ? random_box(info.width_px, info.height_px) : want_whole(&info).region;

			enum item_status status = check_verdict(paths, head, &info, &want);

			read += status == ITEM_OK;
			truncated += status == ITEM_TRUNCATED;
			free(head.bytes);
		}
		free(file.bytes);
		free(rgb.data);
	}
	assert_true(read > 10 && truncated > 10);
	close_paths(paths);
}

static void flipped_bits_are_judged_as_by_libpng(void **state)
{
	struct paths *paths = open_paths();
	int read = 0, corrupt = 0;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct png_recipe recipe = png_recipe_random(colors[round % COLORS], ALL_FILTERS, 70);
		struct picture rgb;
		struct file file = png_recipe_write(&recipe, &rgb);
		struct image_info info = probe(&paths->libpng, file);
		struct decode_want want = {random_box(info.width_px, info.height_px), 3, 8, false};
		if (check_below(3) == 0)
			want = want_whole(&info);
		file.bytes[8 + check_below((uint32_t)file.byte_count - 8)] ^= (uint8_t)(1u << check_below(8));
		if (check_probe_verdict(paths, file) == ITEM_OK) {
			enum item_status status = check_verdict(paths, file, &info, &want);

			read += status == ITEM_OK;
			corrupt += status == ITEM_CORRUPT;
		}
		free(file.bytes);
		free(rgb.data);
	}
	assert_true(read > 10 && corrupt > 100);
	close_paths(paths);
}

/* A picture of 64 rows of 100 gray samples, whose stream is written by hand. */
static struct file wrap_stream(const uint8_t *stream, size_t byte_count)
{
	static const uint8_t ihdr[13] = {0, 0, 0, 100, 0, 0, 0, 64, 8, 0, 0, 0, 0};
	struct file file = {NULL, 0};

	file_append(&file, "\x89PNG\r\n\x1a\n", 8);
	png_append_chunk(&file, "IHDR", ihdr, sizeof ihdr);
	png_append_chunk(&file, "IDAT", stream, byte_count);
	png_append_chunk(&file, "IEND", "", 0);
	return file;
}

static struct file stream_of(size_t raw_bytes, uint8_t filter)
{
	struct png_recipe recipe = {.level = 6, .window_bits = 15};
	struct file raw = {calloc(1, raw_bytes), raw_bytes}, stream;

	assert_non_null(raw.bytes);
	for (size_t i = 0; i < raw_bytes; i += 101)
		raw.bytes[i] = filter;
	stream = png_compress(&recipe, raw);
	free(raw.bytes);
	return stream;
}

static enum item_status verdict_on_stream(struct paths *paths, struct file stream, int32_t row_count)
{
	struct file file = wrap_stream(stream.bytes, stream.byte_count);
	struct image_info info = probe(&paths->libpng, file);
	struct decode_want want = {{10, 10, 50, row_count}, 1, 8, false};
	enum item_status status = check_verdict(paths, file, &info, &want);

	free(file.bytes);
	return status;
}

static int flip_rounds = 1000;

static void an_odd_stream_is_judged_as_by_libpng(void **state)
{
	enum { RAW_BYTES = 64 * 101 };
	struct paths *paths = open_paths();
	struct file stream = stream_of(RAW_BYTES, 4);

	(void)state;
	assert_int_equal(verdict_on_stream(paths, stream, 54), ITEM_OK);
	stream.bytes[stream.byte_count - 1] ^= 1; /* Adler-32: libpng complains only when it is at hand with the last row */
	(void)verdict_on_stream(paths, stream, 54);
	assert_int_equal(verdict_on_stream(paths, stream, 30), ITEM_OK);
	stream.byte_count -= 4;
	(void)verdict_on_stream(paths, stream, 54);
	stream.bytes[0] = 0x88; /* a window of 64 KB */
	stream.bytes[1] = 0x1c;
	assert_int_equal(verdict_on_stream(paths, stream, 30), ITEM_CORRUPT);
	stream.bytes[0] = 0x79; /* another method */
	stream.bytes[1] = 0x13;
	assert_int_equal(verdict_on_stream(paths, stream, 30), ITEM_CORRUPT);
	stream.bytes[0] = 0x78; /* a dictionary */
	stream.bytes[1] = 0x20 | (31 - (0x7820 % 31));
	assert_int_equal(verdict_on_stream(paths, stream, 30), ITEM_CORRUPT);
	stream.bytes[1] = 0x9d; /* not a multiple of 31 */
	assert_int_equal(verdict_on_stream(paths, stream, 30), ITEM_CORRUPT);
	free(stream.bytes);

	stream = stream_of(RAW_BYTES, 5); /* no such filter */
	assert_int_equal(verdict_on_stream(paths, stream, 1), ITEM_CORRUPT);
	free(stream.bytes);
	stream = stream_of(RAW_BYTES / 2, 2); /* half of the rows */
	assert_int_equal(verdict_on_stream(paths, stream, 20), ITEM_OK);
	assert_int_equal(verdict_on_stream(paths, stream, 54), ITEM_TRUNCATED);
	free(stream.bytes);
	stream = stream_of(RAW_BYTES + 70000, 2); /* more than the rows */
	assert_int_equal(verdict_on_stream(paths, stream, 54), ITEM_OK);
	free(stream.bytes);
	stream = file_copy((const uint8_t *)"\x78\x9c\x4b\x04\x12\x00", 6); /* a distance to before the first byte */
	assert_int_equal(verdict_on_stream(paths, stream, 1), ITEM_CORRUPT);
	free(stream.bytes);
	close_paths(paths);
}

/* Most flips are where the Huffman codes of a block are described, which igzip believes more readily than zlib: the CRC tells. */
static void flipped_bits_in_a_stream_are_judged_as_by_libpng(void **state)
{
	struct paths *paths = open_paths();
	int read = 0, corrupt = 0;

	(void)state;
	for (int round = 0; round < flip_rounds; round++) {
		struct png_recipe recipe = png_recipe_random(PNG_GRAY, ALL_FILTERS, 1);
		struct picture samples = picture_make_photo(100, 64, 1);

		recipe.width_px = 100;
		recipe.height_px = 64;

		struct file filtered = png_filter_rows(&recipe, samples.data), stream = png_compress(&recipe, filtered);
		struct file file = wrap_stream(stream.bytes, stream.byte_count);
		struct image_info info = probe(&paths->libpng, file);
		struct decode_want want = {{10, 0, 50, 1 + (int32_t)check_below(64)}, 1, 8, false};
		uint8_t *begin = file.bytes + file.byte_count - 12 - 4 - stream.byte_count;

		begin[check_below(check_below(8) ? 80 : (uint32_t)stream.byte_count)] ^= (uint8_t)(1u << check_below(8));

		enum item_status status = check_verdict(paths, file, &info, &want);

		read += status == ITEM_OK;
		corrupt += status == ITEM_CORRUPT;
		free(samples.data);
		free(filtered.bytes);
		free(stream.bytes);
		free(file.bytes);
	}
	assert_true(read > flip_rounds / 100 && corrupt > flip_rounds / 4);
	close_paths(paths);
}

/* Empty blocks cost time and give nothing: our path leaves them early, and the clock ends what libpng makes of them. */
static void a_stream_of_empty_blocks_ends_in_time(void **state)
{
	enum { BLOCKS_BYTES = 10, STREAM_BYTES = 4000000 }; /* eight blocks of fixed codes: 3 bits, and 7 zeros for the end */
	static const uint8_t blocks[BLOCKS_BYTES] = {0x02, 0x08, 0x20, 0x80, 0x00, 0x02, 0x08, 0x20, 0x80, 0x00};
	struct paths *paths = open_paths();
	struct workspace *own = &paths->own[0];
	struct file stream = {malloc(STREAM_BYTES), STREAM_BYTES};
	struct decode_want want = {{0, 0, 100, 60}, 1, 8, false};
	struct kept out;

	(void)state;
	kept_open(&out, &want);
	assert_non_null(stream.bytes);
	memcpy(stream.bytes, "\x78\x9c", 2);
	for (size_t i = 2; i < STREAM_BYTES; i++)
		stream.bytes[i] = blocks[(i - 2) % BLOCKS_BYTES];

	struct file file = wrap_stream(stream.bytes, stream.byte_count);
	struct file_bytes bytes = file_whole(file);
	struct image_info info = probe(own, file);

	assert_int_equal(decode_png_rows(own, &bytes, &info, &want, &out.sink), ITEM_TRUNCATED);
	own->timeout_ms = 1;
	assert_int_equal(decode_png_rows(own, &bytes, &info, &want, &out.sink), ITEM_TIMEOUT);
	assert_string_equal(own->reason, "not decoded within 1 ms of CPU time");
	kept_close(&out);
	free(file.bytes);
	free(stream.bytes);
	close_paths(paths);
}

/* It would have to be inflated to its end, which is 300 MB for 300 KB. */
static void much_data_after_the_last_row_is_corrupt(void **state)
{
	enum { ROWS_BYTES = 8 * 101 }; /* more than 8 rows of 8 pixels of each kind have */
	static const uint8_t kinds[][3] = {
		{8, PNG_RGB, 0}, {16, PNG_RGB, 0}, {1, PNG_GRAY, 0}, {8, PNG_GRAY, 1}, {16, PNG_RGBA, 1}};
	const size_t surplus_bytes[] = {40000, 90000};
	struct png_recipe recipe = {.window_bits = 15}; /* stored as it is */
	struct paths *paths = open_paths();
	struct workspace *own = &paths->own[paths->levels - 1];

	(void)state;
	for (size_t i = 0; i < 2 * sizeof kinds / sizeof kinds[0]; i++) {
		const uint8_t *kind = kinds[i / 2];
		uint8_t ihdr[13] = {0, 0, 0, 8, 0, 0, 0, 8, kind[0], kind[1], 0, 0, kind[2]};
		struct file raw = {calloc(1, ROWS_BYTES + surplus_bytes[i % 2]), ROWS_BYTES + surplus_bytes[i % 2]};
		struct decode_want all = {{0, 0, 8, 8}, 3, 8, false}, last_row = {{3, 7, 2, 1}, 1, 8, false},
				   no_last_row = {{0, 0, 8, 7}, 3, 8, false};
		struct file file = {NULL, 0}, stream;
		struct kept out, out_last, out_others;

		assert_non_null(raw.bytes);
		kept_open(&out, &all);
		kept_open(&out_last, &last_row);
		kept_open(&out_others, &no_last_row);
		stream = png_compress(&recipe, raw);
		file_append(&file, "\x89PNG\r\n\x1a\n", 8);
		png_append_chunk(&file, "IHDR", ihdr, sizeof ihdr);
		png_append_chunk(&file, "tEXt", raw.bytes, raw.byte_count); /* is no such data */
		png_append_chunk(&file, "IDAT", stream.bytes, stream.byte_count);

		struct file_bytes bytes = file_whole(file);
		struct image_info info = probe(own, file);
		enum item_status expected = i % 2 ? ITEM_CORRUPT : ITEM_OK;

		assert_int_equal(decode_png_rows(own, &bytes, &info, &all, &out.sink), expected);
		assert_string_equal(own->reason, i % 2 ? "over 65536 bytes of compressed data after the last row" : "");
		assert_int_equal(decode_png_rows(own, &bytes, &info, &last_row, &out_last.sink), expected);
		assert_int_equal(decode_png_rows(own, &bytes, &info, &no_last_row, &out_others.sink), ITEM_OK);
		kept_close(&out);
		kept_close(&out_last);
		kept_close(&out_others);
		free(file.bytes);
		free(stream.bytes);
		free(raw.bytes);
	}
	close_paths(paths);
}

static void palettes_of_odd_sizes_are_judged_as_by_libpng(void **state)
{
	static const size_t sizes[] = {0, 2, 3, 4, 5, 765, 767, 768, 769, 771, 774, 1536, 3000};
	static const uint8_t kinds[] = {PNG_PALETTE, PNG_RGB, PNG_GRAY};
	struct paths *paths = open_paths();
	struct file stream = stream_of(6464, 0);
	uint8_t palette[3000];
	int read = 0;

	(void)state;
	for (size_t i = 0; i < sizeof palette; i++)
		palette[i] = (uint8_t)check_below(256);
	for (size_t i = 0; i < 6 * sizeof sizes / sizeof sizes[0]; i++) {
		uint8_t ihdr[13] = {0, 0, 0, 8, 0, 0, 0, 8, 8, kinds[i % 3], 0, 0, 0};
		struct file file = {NULL, 0};
		struct decode_want want = {{0, 0, 8, 7}, 3, 8, false};

		file_append(&file, "\x89PNG\r\n\x1a\n", 8);
		png_append_chunk(&file, "IHDR", ihdr, sizeof ihdr);
		png_append_chunk(&file, "PLTE", palette, sizes[i / 6]);
		if (i / 3 % 2) /* one too many */
			png_append_chunk(&file, "PLTE", palette, sizes[i / 6]);
		png_append_chunk(&file, "IDAT", stream.bytes, stream.byte_count);
		if (check_probe_verdict(paths, file) == ITEM_OK) {
			struct image_info info = probe(&paths->libpng, file);

			read += check_verdict(paths, file, &info, &want) == ITEM_OK;
		}
		free(file.bytes);
	}
	assert_true(read > 10);
	free(stream.bytes);
	close_paths(paths);
}

/* Of every kind of pixel; what they are is libpng's to say. */
static void every_kind_is_read_as_by_libpng(void **state)
{
	struct paths *paths = open_paths();

	(void)state;
	for (int round = 0; round < 16 * PNG_KINDS; round++) {
		struct png_kind kind = png_kinds[round % PNG_KINDS];
		uint32_t width_px = 1 + check_below(round % 2 ? 12 : 300), height_px = 1 + check_below(round % 3 ? 9 : 150);
		bool interlaced = round % 16 == 0;
		struct file file = png_write_kind(width_px, height_px, kind, interlaced, ALL_FILTERS);
		struct file_bytes bytes = file_whole(file);
		struct image_info info = probe(&paths->libpng, file);
		struct decode_want want = {random_box(width_px, height_px), check_below(2) ? 3 : 1, 8, false};
		struct png_header header;
		struct kept out;

		want.as_stored = info.channels == 1 && check_below(2);
		if (want.as_stored)
			want.channels = kind.sample_bits == 16 ? 2 : 1;
		assert_int_equal(check_verdict(paths, file, &info, &want), ITEM_OK);
		kept_open(&out, &want);
		assert_true(png_chunks_header(file.bytes, file.byte_count, &header));
		assert_int_equal(png_own_rows(&paths->own[0], &bytes, &header, &want, &out.sink), !interlaced);
		kept_close(&out);
		free(file.bytes);
	}
	close_paths(paths);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_paths_read_what_was_written),
		cmocka_unit_test(pictures_of_several_pieces_are_read),
		cmocka_unit_test(rows_wider_than_a_piece_are_read),
		cmocka_unit_test(every_window_and_every_strategy_is_read),
		cmocka_unit_test(a_cut_file_is_judged_as_by_libpng),
		cmocka_unit_test(flipped_bits_are_judged_as_by_libpng),
		cmocka_unit_test(a_stream_of_empty_blocks_ends_in_time),
		cmocka_unit_test(flipped_bits_in_a_stream_are_judged_as_by_libpng),
		cmocka_unit_test(an_odd_stream_is_judged_as_by_libpng),
		cmocka_unit_test(much_data_after_the_last_row_is_corrupt),
		cmocka_unit_test(palettes_of_odd_sizes_are_judged_as_by_libpng),
		cmocka_unit_test(every_kind_is_read_as_by_libpng),
	};

	if (argc > 1)
		flip_rounds = atoi(argv[1]);
	check_state = seed_of_test("test_png_own");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
