/*
 * png_recipe.h - PNGs written byte by byte, so that filters, chunks and the compressed stream are the test's choice.
 *
 * Filters and chunks are written here, the stream by zlib.
 */
#ifndef CROPRING_TESTS_PNG_RECIPE_H
#define CROPRING_TESTS_PNG_RECIPE_H

#include "tests/decode_check.h"

#include <zlib.h>

enum { ALL_FILTERS = 5, MOSTLY_PAETH, FILTER_CHOICES };
enum idat_layout { IDAT_ONE, IDAT_SOME, IDAT_SINGLE_BYTES, IDAT_EMPTY_BETWEEN, IDAT_LAYOUTS };

struct png_recipe {
	uint32_t width_px, height_px;
	uint8_t color;   /* 0, 2, 3, 4 or 6 */
	uint8_t filter;  /* 0 to 4, ALL_FILTERS or MOSTLY_PAETH */
	bool with_tails; /* before the pixels: tRNS, zTXt and others that must not matter */
	int level;       /* zlib's: 0 is stored, 9 smallest */
	int strategy;    /* zlib's: Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE, ... */
	int window_bits; /* 9 to 15; zlib writes no 8 */
	enum idat_layout layout;
};

static inline uint32_t png_recipe_px_bytes(const struct png_recipe *recipe)
{
	return (uint32_t[]){1, 0, 3, 1, 2, 0, 4}[recipe->color];
}

static inline void png_put_number(uint8_t *at, uint32_t number)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(number >> (24 - 8 * i));
}

/* Returns where the chunk ends: 12 bytes and its data. */
static inline uint8_t *png_put_chunk(uint8_t *at, const char *type, const void *data, size_t byte_count)
{
	png_put_number(at, (uint32_t)byte_count);
	memcpy(at + 4, type, 4);
	memcpy(at + 8, data, byte_count);
	png_put_number(at + 8 + byte_count, (uint32_t)crc32(0, at + 4, (uInt)(4 + byte_count)));
	return at + 12 + byte_count;
}

static inline void png_append_chunk(struct file *file, const char *type, const void *data, size_t byte_count)
{
	uint8_t *chunk = malloc(12 + byte_count);

	assert_non_null(chunk);
	png_put_chunk(chunk, type, data, byte_count);
	file_append(file, chunk, 12 + byte_count);
	free(chunk);
}

static inline uint8_t png_predict(int filter, int left, int above, int corner)
{
	switch (filter) {
	case 1:
		return (uint8_t)left;
	case 2:
		return (uint8_t)above;
	case 3:
		return (uint8_t)((left + above) / 2);
	case 4: {
		int guess = left + above - corner;

		if (abs(guess - left) <= abs(guess - above) && abs(guess - left) <= abs(guess - corner))
			return (uint8_t)left;
		return (uint8_t)(abs(guess - above) <= abs(guess - corner) ? above : corner);
	}
	default:
		return 0;
	}
}

static inline int png_choose_filter(const struct png_recipe *recipe)
{
	if (recipe->filter == MOSTLY_PAETH)
		return check_below(12) ? 4 : (int)check_below(5);
	return recipe->filter == ALL_FILTERS ? (int)check_below(5) : recipe->filter;
}

/* Rows of samples to rows as they stand in the stream. */
static inline struct file png_filter_rows(const struct png_recipe *recipe, const uint8_t *samples)
{
	size_t px_bytes = png_recipe_px_bytes(recipe), row_bytes = recipe->width_px * px_bytes;
	struct file filtered = {malloc((row_bytes + 1) * recipe->height_px), (row_bytes + 1) * recipe->height_px};
	uint8_t *out = filtered.bytes;

	assert_non_null(out);
	for (uint32_t y = 0; y < recipe->height_px; y++) {
		const uint8_t *row = samples + y * row_bytes, *above = row - row_bytes;
		int filter = png_choose_filter(recipe);

		*out++ = (uint8_t)filter;
		for (size_t i = 0; i < row_bytes; i++) {
			int left = i < px_bytes ? 0 : row[i - px_bytes];
			int corner = i < px_bytes || y == 0 ? 0 : above[i - px_bytes];

			*out++ = (uint8_t)(row[i] - png_predict(filter, left, y == 0 ? 0 : above[i], corner));
		}
	}
	return filtered;
}

static inline struct file png_compress(const struct png_recipe *recipe, struct file from)
{
	z_stream stream = {0};
	struct file to;

	assert_int_equal(deflateInit2(&stream, recipe->level, Z_DEFLATED, recipe->window_bits, 8, recipe->strategy), Z_OK);
	to.byte_count = deflateBound(&stream, from.byte_count) + 100;
	to.bytes = malloc(to.byte_count);
	assert_non_null(to.bytes);
	stream.next_in = from.bytes;
	stream.avail_in = (uInt)from.byte_count;
	stream.next_out = to.bytes;
	stream.avail_out = (uInt)to.byte_count;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	to.byte_count = stream.total_out;
	deflateEnd(&stream);
	return to;
}

/* That many are enough, and each is slow to read. */
enum { SINGLE_BYTES = 4000 };

static inline void png_append_pixels(struct file *file, struct file stream, enum idat_layout layout)
{
	uint8_t *chunks = malloc(25 * stream.byte_count), *end = chunks; /* an empty chunk and one of a byte for each byte */
	size_t at = 0;

	assert_non_null(chunks);
	while (at < stream.byte_count) {
		size_t byte_count = stream.byte_count - at, most = 1;

		if (layout == IDAT_EMPTY_BETWEEN && check_below(2))
			end = png_put_chunk(end, "IDAT", "", 0);
		if (layout != IDAT_SINGLE_BYTES || at >= SINGLE_BYTES)
			most = check_below(4) ? 1 + check_below(5000) : 1 + check_below(8);
		if (layout != IDAT_ONE && byte_count > most)
			byte_count = most;
		end = png_put_chunk(end, "IDAT", stream.bytes + at, byte_count);
		at += byte_count;
	}
	file_append(file, chunks, (size_t)(end - chunks));
	free(chunks);
}

/* Photograph-like samples; *rgb becomes what a reader must find: alpha dropped, entries looked up. */
static inline struct file png_recipe_write(const struct png_recipe *recipe, struct picture *rgb)
{
	uint32_t px_bytes = png_recipe_px_bytes(recipe);
	struct picture samples = picture_make_photo(recipe->width_px, recipe->height_px, px_bytes);
	uint8_t ihdr[13] = {0}, palette[768];
	uint32_t entry_count = 1 + check_below(256); /* indices over it are black */
	struct file file = {NULL, 0}, filtered, stream;

	*rgb = picture_make(recipe->width_px, recipe->height_px, 3);
	for (size_t i = 0; i < sizeof palette; i++)
		palette[i] = (uint8_t)check_random();
	for (size_t i = 0; i < (size_t)recipe->width_px * recipe->height_px; i++) {
		const uint8_t *px = samples.data + i * px_bytes;

		for (uint32_t c = 0; c < 3; c++) {
			uint8_t value = px[px_bytes >= 3 ? c : 0];

			if (recipe->color == 3)
				value = value < entry_count ? palette[3 * value + c] : 0;
			rgb->data[3 * i + c] = value;
		}
	}

	png_put_number(ihdr, recipe->width_px);
	png_put_number(ihdr + 4, recipe->height_px);
	ihdr[8] = 8;
	ihdr[9] = recipe->color;
	file_append(&file, "\x89PNG\r\n\x1a\n", 8);
	png_append_chunk(&file, "IHDR", ihdr, sizeof ihdr);
	if (recipe->color == 3)
		png_append_chunk(&file, "PLTE", palette, 3 * entry_count);
	if (recipe->with_tails) {
		png_append_chunk(&file, "tRNS", "\0\1\0\1\0\1", recipe->color == 2 ? 6 : recipe->color == 3 ? 1 : 2);
		png_append_chunk(&file, "zTXt", "Comment\0\0not zlib", 17);
		png_append_chunk(&file, "gAMA", "\0\0\1\1", 4);
		if (recipe->color == 2)
			png_append_chunk(&file, "PLTE", palette, 3 * entry_count); /* a suggestion */
	}
	filtered = png_filter_rows(recipe, samples.data);
	stream = png_compress(recipe, filtered);
	png_append_pixels(&file, stream, recipe->layout);
	png_append_chunk(&file, "IEND", "", 0);
	free(samples.data);
	free(filtered.bytes);
	free(stream.bytes);
	return file;
}

/* A colour and filters as given, everything else by chance. */
static inline struct png_recipe png_recipe_random(uint8_t color, uint8_t filter, uint32_t most_px)
{
	static const int strategies[] = {Z_DEFAULT_STRATEGY, Z_FILTERED, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE};

	return (struct png_recipe){
		.width_px = 1 + check_below(most_px),
		.height_px = 1 + check_below(most_px),
		.color = color,
		.filter = filter,
		.with_tails = check_below(2),
		.level = (int)check_below(10),
		.strategy = strategies[check_below(5)],
		.window_bits = 9 + (int)check_below(7),
		.layout = check_below(IDAT_LAYOUTS),
	};
}

/* Every kind of pixel that there is (PNG 3rd edition, table 12). */
struct png_kind {
	uint8_t sample_bits, color;
};

static const struct png_kind png_kinds[] = {{1, 0}, {2, 0}, {4, 0}, {8, 0}, {16, 0}, {8, 2}, {16, 2}, {1, 3},
                                            {2, 3}, {4, 3}, {8, 3}, {8, 4}, {16, 4}, {8, 6}, {16, 6}};
enum { PNG_KINDS = sizeof png_kinds / sizeof png_kinds[0] };

static inline uint32_t png_kind_px_bits(struct png_kind kind)
{
	return kind.sample_bits * (uint32_t[]){1, 0, 3, 1, 2, 0, 4}[kind.color];
}

/* Rows of random filters and bytes, which any picture's may be; what they show is for another reader to say. */
static inline void png_append_random_rows(struct file *rows, uint32_t width_px, uint32_t height_px, struct png_kind kind,
                                          uint8_t filter)
{
	size_t row_bytes = ((size_t)width_px * png_kind_px_bits(kind) + 7) / 8;
	uint8_t *row = malloc(1 + row_bytes);

	assert_non_null(row);
	for (uint32_t y = 0; width_px > 0 && y < height_px; y++) {
		row[0] = (uint8_t)png_choose_filter(&(struct png_recipe){.filter = filter});
		for (size_t i = 0; i < row_bytes; i++)
			row[1 + i] = check_below(3) ? 0 : (uint8_t)check_below(1u << (1 + check_below(8)));
		file_append(rows, row, 1 + row_bytes);
	}
	free(row);
}

/* The header up to the pixels, with a palette if the kind has one. */
static inline void png_append_head(struct file *file, uint32_t width_px, uint32_t height_px, struct png_kind kind, bool interlaced)
{
	uint8_t ihdr[13] = {[8] = kind.sample_bits, kind.color, [12] = interlaced};

	png_put_number(ihdr, width_px);
	png_put_number(ihdr + 4, height_px);
	file_append(file, "\x89PNG\r\n\x1a\n", 8);
	png_append_chunk(file, "IHDR", ihdr, sizeof ihdr);
}

static inline void png_append_palette(struct file *file, struct png_kind kind)
{
	uint32_t entry_count = 1 + check_below(1u << kind.sample_bits);
	uint8_t palette[768];

	for (size_t i = 0; i < sizeof palette; i++)
		palette[i] = (uint8_t)check_random();
	png_append_chunk(file, "PLTE", palette, 3 * entry_count);
}

/* The stream of a picture's rows, which interlacing sorts into seven pictures (section 8). */
static inline struct file png_random_stream(uint32_t width_px, uint32_t height_px, struct png_kind kind, bool interlaced,
                                            uint8_t filter)
{
	static const uint8_t passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
	                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}; /* x, y, step x, step y */
	struct png_recipe recipe = {.level = (int)check_below(check_below(8) ? 4 : 10), .window_bits = 9 + (int)check_below(7)};
	struct file rows = {NULL, 0}, stream;

	for (int pass = 0; interlaced && pass < 7; pass++) {
		uint32_t x = passes[pass][0], y = passes[pass][1], step_x = passes[pass][2], step_y = passes[pass][3];

		png_append_random_rows(&rows, width_px > x ? (width_px - x + step_x - 1) / step_x : 0,
		                       height_px > y ? (height_px - y + step_y - 1) / step_y : 0, kind, filter);
	}
	if (!interlaced)
		png_append_random_rows(&rows, width_px, height_px, kind, filter);
	stream = png_compress(&recipe, rows);
	free(rows.bytes);
	return stream;
}

static inline struct file png_write_kind(uint32_t width_px, uint32_t height_px, struct png_kind kind, bool interlaced,
                                         uint8_t filter)
{
	struct file file = {NULL, 0}, stream = png_random_stream(width_px, height_px, kind, interlaced, filter);

	png_append_head(&file, width_px, height_px, kind, interlaced);
	if (kind.color == 3)
		png_append_palette(&file, kind);
	png_append_pixels(&file, stream, stream.byte_count < 20000 ? check_below(IDAT_LAYOUTS) : IDAT_ONE);
	png_append_chunk(&file, "IEND", "", 0);
	free(stream.bytes);
	return file;
}

#endif
