/*
 * Run-length encoded BMPs beside a model that keeps the whole picture as one line of pixels, and damaged ones.  One thread.
 *
 * The model says what Pillow 13.0 gives for right and faulty runs; tests/python/test_exactness.py compares with Pillow itself.
 */
#include "tests/bmp_recipe.h"

enum { PALETTE_ENTRIES = 256, PIXELS_AT = 14 + 40 + 4 * PALETTE_ENTRIES };

/* The picture's header and a random palette; runs follow. */
static struct file begin_file(uint32_t bits, uint32_t compression, uint32_t width_px, uint32_t height_px, bool top_row_first,
                              uint8_t palette[PALETTE_ENTRIES][3])
{
	struct bmp_recipe recipe = {.header_bytes = 40,
	                            .bits = bits,
	                            .compression = compression,
	                            .palette_entries = PALETTE_ENTRIES,
	                            .top_row_first = top_row_first};
	struct file file = file_copy(NULL, 0);

	bmp_append_header(&file, &recipe, width_px, height_px);
	for (uint32_t i = 0; i < PALETTE_ENTRIES; i++) {
		for (int c = 0; c < 3; c++)
			palette[i][c] = (uint8_t)check_random();
		file_append(&file, (uint8_t[]){palette[i][2], palette[i][1], palette[i][0], 0xee}, 4);
	}
	bmp_write_number(file, 10, PIXELS_AT);
	return file;
}

/* Random codes, most of them such as a writer makes, until about the picture's size; then perhaps its end. */
static void append_runs(struct file *file, bool halves, uint32_t width_px, uint32_t height_px)
{
	for (uint32_t y = 0, x = 0; y < height_px;) {
		uint32_t left = x < width_px ? width_px - x : 0, most = check_below(30) == 0 ? 255 : left < 255 ? left : 255;

		switch (left == 0 ? 4 : check_below(12)) {
		case 0: /* a move */
			file_append(file, (uint8_t[]){0, 2, (uint8_t)check_below(left + 1), (uint8_t)check_below(3)}, 4);
			x += file->bytes[file->byte_count - 2];
			y += file->bytes[file->byte_count - 1];
			break;
		case 1:
		case 2:
		case 3: /* pixels as they are */
			if (most >= 3) {
				uint32_t count = 3 + check_below(most - 2), byte_count = halves ? (count + 1) / 2 : count;

				file_append(file, (uint8_t[]){0, (uint8_t)count}, 2);
				for (uint32_t i = 0; i < byte_count + byte_count % 2; i++)
					file_append(file, &(uint8_t){(uint8_t)check_random()}, 1);
				x += count;
			}
			break;
		case 4:
			file_append(file, "\0\0", 2);
			x = 0;
			y++;
			break;
		default:
			if (most > 0) {
				file_append(file, (uint8_t[]){(uint8_t)(1 + check_below(most)), (uint8_t)check_random()}, 2);
				x += file->bytes[file->byte_count - 2];
			}
		}
	}
	if (check_random() & 1)
		file_append(file, "\0\1", 2);
}

/* What the runs draw, in the order of the file; returns how many pixels, the rest are 0. */
static uint64_t model(struct file file, size_t at, bool halves, uint32_t width_px, uint32_t height_px, uint8_t *line)
{
	uint64_t length = 0, full = (uint64_t)width_px * height_px, x = 0;

	memset(line, 0, full);
	while (length < full && at + 2 <= file.byte_count) {
		uint32_t first = file.bytes[at], second = file.bytes[at + 1];

		at += 2;
		if (first > 0) {
			for (uint32_t i = 0; i < first && x < width_px; i++, x++)
				line[length++] = (uint8_t)(!halves ? second : i % 2 == 0 ? second >> 4 : second & 15);
		} else if (second == 0) {
			while (length % width_px != 0)
				length++;
			x = 0;
		} else if (second == 1) {
			break;
		} else if (second == 2) {
			if (at + 2 > file.byte_count)
				break;
			length += file.bytes[at] + file.bytes[at + 1] * (uint64_t)width_px;
			length = length < full ? length : full;
			x = length % width_px;
			at += 2;
		} else {
			for (uint32_t i = 0; i < second && length < full; i++) {
				size_t from = at + (halves ? i / 2 : i);

				if (from >= file.byte_count)
					return length;
				line[length++] = !halves      ? file.bytes[from]
				                 : i % 2 == 0 ? file.bytes[from] >> 4
				                              : file.bytes[from] & 15;
			}
			x += second;
			at += halves ? (second + 1) / 2 : second;
			at += at % 2;
		}
	}
	return length;
}

/* The whole file or a piece of it gives the regions that are complete, and says of all others that they are cut off. */
static void check_file(struct decoder *decoder, struct file file, bool halves, uint32_t width_px, uint32_t height_px,
                       bool top_row_first, uint8_t palette[PALETTE_ENTRIES][3], uint32_t counts[2])
{
	uint8_t *line = malloc((size_t)width_px * height_px);
	uint64_t length = model(file, PIXELS_AT, halves, width_px, height_px, line);
	struct picture rgb = picture_make(width_px, height_px, 3), luma;
	struct image_info info = probe_ok(decoder, file);

	for (uint32_t y = 0; y < height_px; y++) {
		for (uint32_t x = 0; x < width_px; x++)
			memcpy(rgb.data + ((size_t)y * width_px + x) * 3,
			       palette[line[(size_t)(top_row_first ? y : height_px - 1 - y) * width_px + x]], 3);
	}
	luma = picture_make_luma(&rgb);
	for (int i = 0; i < 8; i++) {
		const struct picture *expected = check_random() & 1 ? &rgb : &luma;
		struct decode_want want = {random_box(width_px, height_px), expected->channels, 8, false};
		uint32_t top = (uint32_t)want.region.y, end = top + (uint32_t)want.region.height;
		uint64_t rows_needed = top_row_first ? end : height_px - top;
		bool there = length >= rows_needed * width_px;
		struct pixels out;

		if (there)
			check_region(decoder, file, &info, &want, expected);
		else
			assert_int_equal(decode(decoder, file, &info, &want, &out), ITEM_TRUNCATED);
		counts[there]++;
	}
	free(line);
	free(rgb.data);
	free(luma.data);
}

static void a_region_equals_the_crop_of_what_the_runs_draw(void **state)
{
	struct decoder *decoder = open_decoder();
	uint32_t counts[2] = {0};

	(void)state;
	for (int round = 0; round < 1500; round++) {
		bool halves = check_random() & 1, top_row_first = check_random() & 1;
		uint32_t width_px = 1 + check_below(check_random() & 1 ? 20 : 300), height_px = 1 + check_below(30);
		uint32_t bits = check_below(8) == 0 ? 1 : check_below(8) == 0 ? 12u - (halves ? 4 : 8) : halves ? 4 : 8;
		uint8_t palette[PALETTE_ENTRIES][3];
		struct file file = begin_file(bits, halves ? BMP_RECIPE_RLE4 : BMP_RECIPE_RLE8, width_px, height_px, top_row_first,
		                              palette),
			    cut;

		append_runs(&file, halves, width_px, height_px);
		cut = file_copy(file.bytes, check_below(4) ? file.byte_count
		                                           : PIXELS_AT + check_below((uint32_t)file.byte_count - PIXELS_AT + 1));
		if (check_below(4) == 0 && cut.byte_count > PIXELS_AT)
			cut.bytes[PIXELS_AT + check_below((uint32_t)cut.byte_count - PIXELS_AT)] = (uint8_t)check_below(4);
		check_file(decoder, cut, halves, width_px, height_px, top_row_first, palette, counts);
		free(file.bytes);
		free(cut.bytes);
	}
	assert_true(counts[false] > 500 && counts[true] > 5000);
	decoder_close(decoder);
}

struct drawing {
	const char *runs;
	size_t byte_count;
	uint8_t expected[8]; /* of 4x2 pixels, later row first */
};

#define RUNS(text) text, sizeof text - 1

static void faulty_runs_are_drawn_as_pillow_draws_them(void **state)
{
	static const struct drawing drawings[] = {
		{RUNS("\4\1\0\0\4\2\0\1"), {2, 2, 2, 2, 1, 1, 1, 1}},
		{RUNS("\2\1\0\0\4\2\0\1"), {2, 2, 2, 2, 1, 1, 0, 0}},         /* a short row */
		{RUNS("\7\1\0\0\4\2\0\1"), {2, 2, 2, 2, 1, 1, 1, 1}},         /* a run past the row's end */
		{RUNS("\0\6\1\2\3\4\5\6\0\0\0\1"), {5, 6, 0, 0, 1, 2, 3, 4}}, /* pixels past it */
		{RUNS("\0\6\1\2\3\4\5\6\2\7\0\0"), {5, 6, 0, 0, 1, 2, 3, 4}}, /* and a run after them */
		{RUNS("\0\3\1\2\3\0\1\4\0\0\4\5"), {5, 5, 5, 5, 1, 2, 3, 4}}, /* padding */
		{RUNS("\0\0\0\0\4\1\0\0\4\2"), {2, 2, 2, 2, 1, 1, 1, 1}},     /* ends of rows without pixels */
		{RUNS("\1\1\0\2\1\1\1\3\0\0"), {0, 0, 3, 0, 1, 0, 0, 0}},     /* a move */
		{RUNS("\1\1\0\2\5\0\1\3\0\0"), {0, 0, 3, 0, 1, 0, 0, 0}},     /* past the row's end */
		{RUNS("\3\1\0\2\377\377"), {0, 0, 0, 0, 1, 1, 1, 0}},         /* past the picture's */
	};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t i = 0; i < sizeof drawings / sizeof drawings[0]; i++) {
		uint8_t palette[PALETTE_ENTRIES][3];
		struct file file = begin_file(8, BMP_RECIPE_RLE8, 4, 2, false, palette);
		struct picture rgb = picture_make(4, 2, 3);

		file_append(&file, drawings[i].runs, drawings[i].byte_count);
		for (int p = 0; p < 8; p++)
			memcpy(rgb.data + 3 * p, palette[drawings[i].expected[p]], 3);

		struct image_info info = probe_ok(decoder, file);

		check_regions(decoder, file, &info, &rgb, 8, 10);
		free(rgb.data);
		free(file.bytes);
	}
	decoder_close(decoder);
}

static void a_gray_palette_makes_indices_gray(void **state)
{
	/* Of two entries all but 0 is white; of more the index is the value, even past the palette's end. */
	static const struct {
		uint32_t entries;
		uint8_t last, expected[4];
	} kinds[] = {{1, 0, {0, 255, 255, 255}}, {2, 255, {0, 255, 255, 255}}, {3, 2, {0, 1, 3, 200}}, {2, 254, {0, 254, 0, 0}}};
	struct decoder *decoder = open_decoder();

	(void)state;
	for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
		uint8_t palette[PALETTE_ENTRIES][3];
		struct file file = begin_file(8, BMP_RECIPE_RLE8, 4, 1, false, palette);
		struct picture luma = picture_make(4, 1, 1);

		for (uint32_t i = 0; i < kinds[k].entries; i++)
			bmp_write_number(file, 14 + 40 + 4 * i, i * 0x10101);
		bmp_write_number(file, 14 + 40 + 4 * (kinds[k].entries - 1), kinds[k].last * 0x10101u);
		bmp_write_number(file, 46, kinds[k].entries);
		file_append(&file, "\0\4\0\1\3\310", 6);
		memcpy(luma.data, kinds[k].expected, 4);

		struct image_info info = probe_ok(decoder, file);

		check_regions(decoder, file, &info, &luma, 8, 4);
		free(luma.data);
		free(file.bytes);
	}
	decoder_close(decoder);
}

static void runs_in_pictures_without_a_palette_are_unsupported(void **state)
{
	struct decoder *decoder = open_decoder();

	(void)state;
	for (uint32_t bits = 16; bits <= 32; bits += 8) {
		uint8_t palette[PALETTE_ENTRIES][3];
		struct file file = begin_file(bits, BMP_RECIPE_RLE8, 4, 2, false, palette);

		check_probe_fails(decoder, file, ITEM_UNSUPPORTED);
		free(file.bytes);
	}
	decoder_close(decoder);
}

/* 4 bytes skip up to 255 rows, and 2 pixels of the last row are all that is wanted. */
static void a_bomb_of_moves_costs_neither_memory_nor_time(void **state)
{
	struct decoder *decoder = decoder_open(&(struct decode_limits){.max_pixels = UINT64_MAX});
	uint8_t palette[PALETTE_ENTRIES][3];
	enum { MOVES = 100000 };
	static uint8_t moves[MOVES][4];
	const uint32_t height_px = 255 * MOVES;
	struct file file = begin_file(8, BMP_RECIPE_RLE8, 0x7fffffff, height_px + 1, false, palette);
	struct image_info info = probe_ok(decoder, file);
	struct decode_want want = {{0x7ffffffd, 0, 2, 1}, 3, 8, false};
	struct pixels out;

	(void)state;
	for (int i = 0; i < MOVES; i++)
		memcpy(moves[i], "\0\2\0\377", 4);
	file_append(&file, moves, sizeof moves);
	assert_int_equal(decode(decoder, file, &info, &want, &out), ITEM_TRUNCATED);
	file_append(&file, "\0\0\0\2\377\1", 6);
	assert_int_equal(decode(decoder, file, &info, &want, &out), ITEM_OK);
	assert_memory_equal(out.data, palette[0], 3);
	free(file.bytes);
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_region_equals_the_crop_of_what_the_runs_draw),
		cmocka_unit_test(faulty_runs_are_drawn_as_pillow_draws_them),
		cmocka_unit_test(a_gray_palette_makes_indices_gray),
		cmocka_unit_test(runs_in_pictures_without_a_palette_are_unsupported),
		cmocka_unit_test(a_bomb_of_moves_costs_neither_memory_nor_time),
	};

	check_state = seed_of_test("test_decode_bmp_rle");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
