/* Regions of PNGs in segments, from the runs that they need alone: libpng's pixels; and what is damaged says so and does no harm. */
#include "tests/png_recipe.h"
#include "tests/png_reference.h"

#include "loader/pack/image/pack_png.h"

/* A packed picture, and the source that it was made of. */
struct packed {
	struct file source;
	struct packed_image image;
	struct segments segments;
};

static struct segments segments_of(const struct packed_image *image)
{
	struct segments segments = {.width_px = image->image.width_px,
	                            .height_px = image->image.height_px,
	                            .orientation = image->image.orientation,
	                            .channels = image->image.channels,
	                            .sample_bits = image->image.sample_bits,
	                            .file_bytes = image->file.used_bytes};

	assert_true(segment_table_open(&segments, (const uint8_t *)image->table.data, image->table.used_bytes));
	return segments;
}

static void make(struct packed *packed, uint32_t width_px, uint32_t height_px, struct png_kind kind, uint32_t unit)
{
	const struct pack_rules rules = {.png_rows = unit,
	                                 .png_level = 1 + check_below(3),
	                                 .keep_metadata = check_below(2),
	                                 .max_pixels = TEST_MAX_PIXELS,
	                                 .most_memory_bytes = (uint64_t)1 << 28};

	*packed = (struct packed){.source = png_write_kind(width_px, height_px, kind, check_below(5) == 0, ALL_FILTERS)};
	if (check_below(2)) { /* metadata, between the runs of the head if there is a palette */
		file_insert(&packed->source, 33, (uint8_t[16]){0}, 16);
		png_put_chunk(packed->source.bytes + 33, "gAMA", "\0\0\261\217", 4);
	}
	assert_int_equal(pack_png(&rules, packed->source.bytes, packed->source.byte_count, &packed->image), 0);
	assert_int_equal(packed->image.outcome, PACK_SEGMENTED);
	packed->segments = segments_of(&packed->image);
}

static void drop(struct packed *packed)
{
	bytes_free(&packed->image.file);
	bytes_free(&packed->image.table);
	free(packed->source.bytes);
}

/* The runs' bytes, in memory of exactly their size. */
static struct file gather(const struct packed_image *image, const struct file_runs *runs)
{
	struct file read = {NULL, 0};

	for (uint32_t i = 0; i < runs->count; i++) {
		assert_true(runs->run[i].byte_count > 0 && runs->run[i].offset + runs->run[i].byte_count <= image->file.used_bytes);
		assert_true(i == 0 || runs->run[i].offset >= runs->run[i - 1].offset + runs->run[i - 1].byte_count);
		file_append(&read, image->file.data + runs->run[i].offset, runs->run[i].byte_count);
	}
	assert_int_equal(read.byte_count, runs->total_bytes);
	return read;
}

static struct decode_want random_want(const struct segments *segments)
{
	struct decode_want want = {random_box(segments->width_px, segments->height_px), check_below(2) ? 3 : 1, 8, false};

	want.as_stored = segments->channels == 1 && check_below(3) == 0;
	if (want.as_stored)
		want.channels = segments->sample_bits == 16 ? 2 : 1;
	return want;
}

/* Through the runs if there are any, else through the whole packed file. */
static enum item_status decode_packed(struct decoder *decoder, const struct packed_image *image, const struct segments *segments,
                                      const struct decode_want *want, struct pixels *out, bool *in_runs)
{
	struct file whole = {(uint8_t *)image->file.data, image->file.used_bytes}, read = {NULL, 0};
	struct file_bytes bytes = file_whole(whole);
	struct file_runs *runs;
	struct image_info info;
	enum item_status status;

	*in_runs = decode_runs(segments, want, &runs);
	if (*in_runs) {
		read = gather(image, runs);
		bytes = file_bytes_in_runs(read.bytes, runs, segments);
	} else {
		assert_null(runs);
	}
	status = decode_probe(decoder, &bytes, &info);
	if (status == ITEM_OK)
		status = decode_region(decoder, &bytes, &info, want, out);
	if (status != ITEM_OK)
		assert_true(decoder_reason(decoder)[0] != '\0');
	free(read.bytes);
	free(runs);
	return status;
}

/* The source is read by libpng, and what we make of libpng's rows is held to be right by other tests. */
static void check_region_of(struct decoder *decoder, const struct packed *packed, const struct decode_want *want,
                            int *in_runs_count)
{
	struct decoder *other = open_decoder();
	struct file_bytes source = file_whole(packed->source);
	struct image_info info = probe_ok(other, packed->source);
	struct pixels out, expected;
	bool in_runs;

	assert_int_equal(decode_region(other, &source, &info, want, &expected), ITEM_OK);
	if (decode_packed(decoder, &packed->image, &packed->segments, want, &out, &in_runs) != ITEM_OK)
		fail_msg("region: %s", decoder_reason(decoder));
	for (uint32_t y = 0; y < expected.height_px; y++)
		assert_memory_equal(out.data + y * out.stride_bytes, expected.data + y * expected.stride_bytes,
		                    (size_t)expected.width_px * expected.channels);
	*in_runs_count += in_runs;
	decoder_close(other);
}

static void random_regions_are_the_sources(void **state)
{
	struct decoder *decoder = open_decoder();
	int in_runs_count = 0;

	(void)state;
	for (int round = 0; round < 8 * PNG_KINDS; round++) {
		uint32_t height_px = 2 + check_below(200), unit = 1 + check_below(check_below(2) ? 20 : height_px - 1);
		struct packed packed;

		make(&packed, 1 + check_below(round % 2 ? 10 : 300), height_px, png_kinds[round % PNG_KINDS],
		     unit < height_px ? unit : height_px - 1);
		for (int i = 0; i < 6; i++) {
			struct decode_want want = random_want(&packed.segments);

			if (i % 2) { /* a few rows */
				want.region.height = 1 + (int32_t)check_below(unit);
				if ((uint32_t)want.region.height > height_px)
					want.region.height = (int32_t)height_px;
				want.region.y = (int32_t)check_below(height_px - (uint32_t)want.region.height + 1);
			}
			check_region_of(decoder, &packed, &want, &in_runs_count);
		}
		drop(&packed);
	}
	assert_true(in_runs_count > 300);
	decoder_close(decoder);
}

/* Pieces of 128 KB that end within segments, and segments that end within pieces. */
static void segments_larger_and_smaller_than_a_piece_are_read(void **state)
{
	static const uint32_t units[] = {1, 7, 32, 100, 256, 599};
	struct decoder *decoder = open_decoder();
	int in_runs_count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
		struct packed packed;

		make(&packed, 1500, 600, png_kinds[i % 2 ? 3 : 10], units[i]);
		for (int k = 0; k < 4; k++) {
			struct decode_want want = random_want(&packed.segments);

			want.region.y = (int32_t)check_below(300);
			want.region.height = 1 + (int32_t)check_below(290);
			check_region_of(decoder, &packed, &want, &in_runs_count);
		}
		drop(&packed);
	}
	assert_int_equal(in_runs_count, 24);
	decoder_close(decoder);
}

static void only_the_segments_of_the_region_are_read(void **state)
{
	struct packed packed;
	struct file_run run;
	struct file_runs *runs;
	struct decode_want want = {{0, 37, 50, 30}, 3, 8, false}; /* rows 37 to 66, segments 3 to 6 */

	(void)state;
	make(&packed, 50, 100, png_kinds[3], 10);
	assert_true(segment_table_run(&packed.segments, 3, 7, &run));
	assert_true(decode_runs(&packed.segments, &want, &runs));
	assert_int_equal(runs->count, 2);
	assert_int_equal(runs->run[0].offset, 0);
	assert_int_equal(runs->run[0].byte_count, 33);
	assert_memory_equal(&runs->run[1], &run, sizeof run);
	free(runs);

	want.region.y = 0; /* all of it */
	want.region.height = 100;
	assert_false(decode_runs(&packed.segments, &want, &runs));
	want.region.height = 91;
	assert_false(decode_runs(&packed.segments, &want, &runs));
	want.region.height = 90;
	assert_true(decode_runs(&packed.segments, &want, &runs));
	free(runs);
	drop(&packed);
}

/* What a pack would hold after bits have flipped: no other pixels than those of the source, unless the file is read as a whole. */
static void flipped_bits_are_noticed(void **state)
{
	struct decoder *decoder = open_decoder();
	int refused = 0, in_runs_count = 0;

	(void)state;
	for (int round = 0; round < 600; round++) {
		struct packed packed;
		struct segments segments;
		struct decode_want want;
		struct pixels out;
		bool in_runs;

		make(&packed, 60, 60, png_kinds[round % PNG_KINDS], 1 + check_below(30));
		segments = packed.segments;
		want = random_want(&segments);
		if (round % 3 == 0)
			packed.image.table.data[check_below((uint32_t)packed.image.table.used_bytes)] ^=
				(char)(1 << check_below(8));
		else
			packed.image.file.data[check_below((uint32_t)packed.image.file.used_bytes)] ^= (char)(1 << check_below(8));
		if (decode_packed(decoder, &packed.image, &segments, &want, &out, &in_runs) != ITEM_OK)
			refused++;
		else if (in_runs)
			check_region_of(decoder, &packed, &want, &in_runs_count);
		drop(&packed);
	}
	assert_true(refused > 100 && in_runs_count > 50);
	decoder_close(decoder);
}

/* Decodes rows 15 to 24 of a picture of 40 rows in 4 segments, whose bytes the caller has changed. */
static void check_corrupt(const struct packed *packed, const struct segments *segments, const char *reason)
{
	const struct decode_want want = {{0, 15, 20, 10}, 1, 8, false};
	struct decoder *decoder = open_decoder();
	struct pixels out;
	bool in_runs;

	assert_int_equal(decode_packed(decoder, &packed->image, segments, &want, &out, &in_runs), ITEM_CORRUPT);
	assert_true(in_runs);
	if (!strstr(decoder_reason(decoder), reason))
		fail_msg("\"%s\", not \"%s\"", decoder_reason(decoder), reason);
	decoder_close(decoder);
}

/* Puts a chunk of these rows in the place of a segment, deflated as a whole or left open at its end; and a table for it. */
static void replace_segment(struct packed *packed, uint32_t number, const uint8_t *rows, size_t byte_count, int flush)
{
	struct segment_table_header header = packed->segments.header;
	z_stream stream = {.next_in = (Bytef *)(uintptr_t)rows, .avail_in = (uInt)byte_count};
	uint8_t deflated[20000], chunk[20012];
	uint64_t ends[8], end = 0;
	struct bytes file = {0};
	size_t chunk_bytes = 0;

	assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, 0), Z_OK);
	stream.next_out = deflated;
	stream.avail_out = sizeof deflated;
	deflate(&stream, flush);
	chunk_bytes = (size_t)(png_put_chunk(chunk, "IDAT", deflated, stream.total_out) - chunk);
	deflateEnd(&stream);

	assert_int_equal(bytes_append(&file, packed->image.file.data, header.data_at), 0);
	for (uint32_t i = 0; i < header.segment_count; i++) {
		struct file_run run;

		assert_true(segment_table_run(&packed->segments, i, i + 1, &run));
		end += i == number ? chunk_bytes : run.byte_count;
		ends[i] = end;
		assert_int_equal(i == number ? bytes_append(&file, chunk, chunk_bytes)
		                             : bytes_append(&file, packed->image.file.data + run.offset, run.byte_count),
		                 0);
	}
	assert_int_equal(bytes_append(&file, "\0\0\0\0IEND\xae\x42\x60\x82", 12), 0);
	bytes_free(&packed->image.file);
	bytes_free(&packed->image.table);
	packed->image.file = file;
	assert_int_equal(segment_table_write(&header, ends, header.segment_count, &packed->image.table), 0);
	packed->segments = segments_of(&packed->image);
}

static void a_segment_that_breaks_a_promise_is_corrupt(void **state)
{
	static const struct {
		uint32_t number, row_count;
		uint8_t filter;
		int flush;
		bool is_fine;
	} cases[] = {
		{1, 10, 0, Z_FULL_FLUSH, true},  {1, 10, 1, Z_FULL_FLUSH, true}, /* as they should be */
		{1, 10, 2, Z_FULL_FLUSH, false}, {1, 10, 3, Z_FULL_FLUSH, false}, {1, 10, 4, Z_FULL_FLUSH, false}, /* look up */
		{2, 10, 4, Z_FULL_FLUSH, false}, {1, 10, 5, Z_FULL_FLUSH, false}, {1, 9, 0, Z_FULL_FLUSH, false},
		{1, 11, 0, Z_FULL_FLUSH, false},                                /* fewer rows, more rows */
		{1, 10, 0, Z_FINISH, false},     {1, 10, 0, Z_NO_FLUSH, false}, /* the end of all, and no end */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint8_t rows[11][21] = {{0}};
		struct packed packed;

		for (int y = 0; y < 11; y++)
			rows[y][0] = y == 0 ? cases[i].filter : 1;
		make(&packed, 20, 40, png_kinds[3], 10);
		replace_segment(&packed, cases[i].number, rows[0], cases[i].row_count * sizeof rows[0], cases[i].flush);
		if (cases[i].is_fine) {
			struct decoder *decoder = open_decoder();
			struct decode_want want = {{0, 15, 20, 10}, 1, 8, false};
			struct pixels out;
			bool in_runs;

			assert_int_equal(decode_packed(decoder, &packed.image, &packed.segments, &want, &out, &in_runs), ITEM_OK);
			decoder_close(decoder);
		} else {
			check_corrupt(&packed, &packed.segments, "segment");
		}
		drop(&packed);
	}
}

static void what_the_table_says_must_be_so(void **state)
{
	struct packed packed, other;
	struct segments segments;
	uint8_t *ihdr;

	(void)state;
	make(&packed, 20, 40, png_kinds[3], 10);
	make(&other, 20, 40, png_kinds[3], 20);
	segments = packed.segments; /* another picture's numbers */
	segments.width_px = 21;
	check_corrupt(&packed, &segments, "20x40 pixels, but 21x40 when it was probed");
	segments = packed.segments;
	segments.channels = 3;
	check_corrupt(&packed, &segments, "channels");
	segments = packed.segments; /* where segments begin */
	segments.header.data_at++;
	check_corrupt(&packed, &segments, "header");
	segments = packed.segments; /* and the header ends */
	segments.header.head_bytes--;
	check_corrupt(&packed, &segments, "header");
	segments = packed.segments; /* of which there are so many */
	segments.header.unit = 9;
	{
		struct decode_want want = {{0, 15, 20, 10}, 1, 8, false};
		struct file_runs *runs;

		assert_false(decode_runs(&segments, &want, &runs));
		segments = packed.segments;
		want.region.y = 35;
		assert_false(decode_runs(&segments, &want, &runs));
	}
	ihdr = (uint8_t *)packed.image.file.data + 8; /* which are not interlaced */
	png_put_chunk(ihdr, "IHDR", (uint8_t[13]){0, 0, 0, 20, 0, 0, 0, 40, 8, 0, 0, 0, 1}, 13);
	check_corrupt(&packed, &packed.segments, "header");
	drop(&packed);
	drop(&other);
}

/* The runs that were read are not those that this region takes. */
static void other_runs_than_were_asked_for_are_corrupt(void **state)
{
	struct decode_want want = {{0, 15, 20, 10}, 1, 8, false}, other = {{0, 5, 20, 10}, 1, 8, false};
	struct decoder *decoder = open_decoder();
	struct file_runs *runs;
	struct image_info info;
	struct packed packed;
	struct pixels out;

	(void)state;
	make(&packed, 20, 40, png_kinds[3], 10);
	assert_true(decode_runs(&packed.segments, &want, &runs));
	for (int i = 0; i < 3; i++) {
		struct file read = gather(&packed.image, runs);
		struct file_bytes bytes = file_bytes_in_runs(read.bytes, runs, &packed.segments);

		if (i == 1)
			bytes.byte_count--;
		if (i == 2)
			runs->run[1].offset++;
		assert_int_equal(decode_probe(decoder, &bytes, &info), ITEM_OK);
		assert_int_equal(decode_region(decoder, &bytes, &info, i == 0 ? &other : &want, &out), ITEM_CORRUPT);
		free(read.bytes);
	}
	free(runs);
	drop(&packed);
	decoder_close(decoder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_regions_are_the_sources),
		cmocka_unit_test(segments_larger_and_smaller_than_a_piece_are_read),
		cmocka_unit_test(only_the_segments_of_the_region_are_read),
		cmocka_unit_test(flipped_bits_are_noticed),
		cmocka_unit_test(a_segment_that_breaks_a_promise_is_corrupt),
		cmocka_unit_test(what_the_table_says_must_be_so),
		cmocka_unit_test(other_runs_than_were_asked_for_are_corrupt),
	};

	check_state = seed_of_test("test_png_segments");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
