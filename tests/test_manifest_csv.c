/* test_manifest_csv.c - CSV and TSV are split as RFC 4180 says, wherever the buffer ends; what is wrong is told with its place. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/plan/manifest/manifest_csv.h"
#include "tests/manifest_fixture.h"
#include "tests/seed.h"

struct reader {
	int fd;
	struct manifest_text text;
	struct manifest_csv csv;
	struct err err;
};

static void open_reader(struct reader *reader, const char *bytes, size_t byte_count, bool tabs)
{
	*reader = (struct reader){.fd = file_of(bytes, byte_count), .err = {"no sentence"}};
	assert_int_equal(manifest_csv_open(&reader->csv, &reader->text, tabs, NULL), 0);
	assert_int_equal(manifest_text_open(&reader->text, reader->fd, "t.csv", &reader->err), 0);
}

static void close_reader(struct reader *reader)
{
	manifest_csv_close(&reader->csv);
	manifest_text_close(&reader->text);
	close(reader->fd);
}

/* The cells of all records as "[a][b]|[c][d]|", or the sentence that refuses them. */
static const char *split(const char *bytes, size_t byte_count, bool tabs)
{
	static char shown[4096];
	size_t used = 0;
	struct reader reader;
	int rc;

	open_reader(&reader, bytes, byte_count, tabs);
	shown[0] = '\0';
	while ((rc = manifest_csv_next(&reader.csv, &reader.err)) > 0 && used < sizeof shown / 2) {
		for (uint32_t i = 0; i < reader.csv.cell_count; i++) {
			assert_int_equal(strlen(reader.csv.cells[i].text), reader.csv.cells[i].text_bytes);
			if (used < sizeof shown / 2)
				used += (size_t)snprintf(shown + used, sizeof shown / 4, "[%.900s]", reader.csv.cells[i].text);
		}
		used += (size_t)snprintf(shown + used, sizeof shown - used, "|");
	}
	if (rc < 0) {
		assert_int_equal(rc, -EINVAL);
		snprintf(shown, sizeof shown, "%s", reader.err.text);
	}
	close_reader(&reader);
	return shown;
}

#define assert_csv(literal, expected) assert_string_equal(split(BYTES(literal), false), expected)
#define assert_tsv(literal, expected) assert_string_equal(split(BYTES(literal), true), expected)

static void cells_stand_between_commas(void **state)
{
	(void)state;
	assert_csv("a,b\nc,d\n", "[a][b]|[c][d]|");
	assert_csv("a, b \n,\n", "[a][ b ]|[][]|");
	assert_csv("a\tb;c\n", "[a\tb;c]|");
}

static void lines_end_in_either_way_or_with_the_file(void **state)
{
	(void)state;
	assert_csv("a,b\r\nc,d", "[a][b]|[c][d]|");
	assert_csv("a,\"b\"\r\nc,\"d\"", "[a][b]|[c][d]|");
	assert_csv("a,", "[a][]|");
	assert_csv("", "");
}

static void empty_lines_are_passed_over_and_counted(void **state)
{
	(void)state;
	assert_csv("\n\na\n\r\nb\n\n", "[a]|[b]|");
	assert_csv("\"\"\n", "[]|");
	assert_csv("\n\r\na,b\"\n",
	           "t.csv:3:4: a quote in the middle of a cell; the whole cell has to stand in quotes, and this one is "
	           "written twice");
}

static void quotes_hold_commas_line_breaks_and_quotes(void **state)
{
	(void)state;
	assert_csv("\"a,b\",\"c\nd\",\"e\r\nf\"\n", "[a,b][c\nd][e\r\nf]|");
	assert_csv("\"\"\"a\"\"\",\"\"\"\",\"\"\n", "[\"a\"][\"][]|");
	assert_csv("\"a\"\"b\"\"\"\"c\"", "[a\"b\"\"c]|");
}

static void tabs_know_no_quotes(void **state)
{
	(void)state;
	assert_tsv("a\t\"b\"\r\nc,d\t\"\n", "[a][\"b\"]|[c,d][\"]|");
	assert_tsv("a\rb\tc\n", "t.csv:1:2: a carriage return that ends no line; lines end in LF or CR LF");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
	struct reader reader;

	(void)state;
	assert_csv("\xef\xbb\xbf"
	           "a,b\"\n",
	           "t.csv:1:4: a quote in the middle of a cell; the whole cell has to stand in quotes, and "
	           "this one is written twice");
	assert_csv("\xef\xbb\xbf"
	           "a\n",
	           "[a]|");
	reader.fd = file_of(BYTES("\xff\xfe"
	                          "a\0"));
	assert_int_equal(manifest_text_open(&reader.text, reader.fd, "t.csv", &reader.err), -EINVAL);
	assert_string_equal(reader.err.text, "t.csv:1:1: this is UTF-16 text; save it as UTF-8");
	manifest_text_close(&reader.text);
	close(reader.fd);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	(void)state;
	assert_csv("a,b\n\"c\"d,e\n",
	           "t.csv:2:4: text behind a closing quote; a comma or the end of the line is expected, and a quote "
	           "within quotes is written twice");
	assert_csv("a,b\nc,\"d\ne\n", "t.csv:2:3: a quote that nothing closes");
	assert_csv("a,b\nc\0,d\n", "t.csv:2:2: a NUL byte; text is expected");
	assert_csv("a,\"b\0\"\n", "t.csv:1:5: a NUL byte; text is expected");
	assert_csv("a,\"b\"\0\n", "t.csv:1:6: a NUL byte; text is expected");
	assert_csv("a\rb\n", "t.csv:1:2: a carriage return that ends no line; lines end in LF or CR LF");
	assert_csv("a\r", "t.csv:1:2: a carriage return that ends no line; lines end in LF or CR LF");
}

static void columns_count_characters_and_lines_count_those_in_quotes(void **state)
{
	(void)state;
	assert_csv("\"\u00e4\n\u00f6\u00fc\",\u20acx\"\n",
	           "t.csv:2:7: a quote in the middle of a cell; the whole cell has to stand in "
	           "quotes, and this one is written twice");
}

static void lines_go_on_counting_after_a_record_of_several(void **state)
{
	(void)state;
	assert_csv("\"a\nb\"\n\"\r\n\"\nc\rd\n", "t.csv:5:2: a carriage return that ends no line; lines end in LF or CR LF");
}

/* Lines of 8 bytes, after a first one that moves them against the end of the buffer, byte by byte. */
static void the_buffer_may_end_at_any_byte_of_a_line(void **state)
{
	static const char *const lines[] = {"abc,de\r\n", "ab,\"c\"\r\n", "a,\"\"\"\"\r\n", "\"\r\n\",bc\n"};
	const size_t line_count = 2 * MANIFEST_RECORD_BYTES / 8 + 10;
	char *bytes = malloc(8 * (line_count + 2));
	struct reader reader;

	(void)state;
	for (size_t i = 0; i < 8 * COUNT(lines); i++) {
		size_t first_bytes = 2 + i % 8;

		memset(bytes, 'x', first_bytes);
		bytes[first_bytes - 1] = '\n';
		for (size_t line = 0; line < line_count; line++)
			memcpy(bytes + first_bytes + 8 * line, lines[i / 8], 8);
		open_reader(&reader, bytes, first_bytes + 8 * line_count, false);
		for (size_t line = 0; line <= line_count; line++) {
			if (manifest_csv_next(&reader.csv, &reader.err) != 1)
				fail_msg("line %zu of %s: %s", line, lines[i / 8], reader.err.text);
			assert_int_equal(reader.csv.cell_count, line == 0 ? 1 : 2);
		}
		assert_int_equal(manifest_csv_next(&reader.csv, &reader.err), 0);
		close_reader(&reader);
	}
	free(bytes);
}

/* Places are asked for when quotes have been made single and NULs written. */
static void places_are_those_of_the_file_after_the_cells_were_made(void **state)
{
	static const char record[] = "first\n\"a\"\"b\nc\"\"\"\"d\"\"\",\"e\",f\n";
	struct reader reader;

	(void)state;
	open_reader(&reader, record, sizeof record - 1, false);
	for (int i = 0; i < 2; i++)
		assert_int_equal(manifest_csv_next(&reader.csv, &reader.err), 1);
	assert_int_equal(reader.csv.cell_count, 3);
	assert_string_equal(reader.csv.cells[0].text, "a\"b\nc\"\"d\"");
	manifest_text_fault(&reader.text, reader.csv.cells[1].at, &reader.err, "here");
	assert_string_equal(reader.err.text, "t.csv:3:11: here");
	manifest_text_fault(&reader.text, reader.csv.cells[2].at, &reader.err, "here");
	assert_string_equal(reader.err.text, "t.csv:3:15: here");
	close_reader(&reader);
}

static void a_line_of_too_many_cells_is_refused(void **state)
{
	const size_t byte_count = MANIFEST_CSV_CELLS;
	char *bytes = malloc(byte_count + 1), expected[80];

	(void)state;
	memset(bytes, ',', byte_count);
	bytes[byte_count - 1] = '\n';
	assert_true(strlen(split(bytes, byte_count, false)) > MANIFEST_CSV_CELLS / 2); /* as much as is shown of so many */
	memset(bytes, ',', byte_count);
	snprintf(expected, sizeof expected, "t.csv:1:%d: a line of more than %d cells", MANIFEST_CSV_CELLS + 1, MANIFEST_CSV_CELLS);
	assert_string_equal(split(bytes, byte_count, false), expected);
	free(bytes);
}

/* A record of so many bytes, after one of a few. */
static const char *split_long(size_t record_bytes, const char *opening, const char *closing)
{
	size_t byte_count = 3 + record_bytes;
	char *bytes = malloc(byte_count);
	const char *shown;

	memset(bytes, 'x', byte_count);
	memcpy(bytes, "ab\n", 3);
	memcpy(bytes + 3, opening, strlen(opening));
	memcpy(bytes + byte_count - strlen(closing), closing, strlen(closing));
	shown = split(bytes, byte_count, false);
	free(bytes);
	return shown;
}

static void a_record_may_have_a_megabyte(void **state)
{
	(void)state;
	assert_string_equal(split_long(MANIFEST_RECORD_BYTES + 1, "", "\n"), "t.csv:2:1: a line of more than 1048576 bytes");
	assert_string_equal(split_long(3 * MANIFEST_RECORD_BYTES, "", "x"), "t.csv:2:1: a line of more than 1048576 bytes");
	assert_string_equal(split_long(3 * MANIFEST_RECORD_BYTES, "y,\"", "x"),
	                    "t.csv:2:3: a line of more than 1048576 bytes, because of the quote that begins here");
	assert_memory_equal(split_long(MANIFEST_RECORD_BYTES, "\"", "\"\n"), "[ab]|[xxx", 9);
}

/* Random cells, written in one of the ways that stand for them, and read back; records end anywhere in the buffer. */
static void what_was_written_is_read_back(void **state)
{
	static const char letters[] = "ab,\"\n\r \t\u00e4";
	enum { RECORDS = 30000, MOST_CELLS = 5, MOST_LETTERS = 40 };
	uint64_t seed = seed_of_test(__func__), again = seed;
	char *bytes = malloc(RECORDS * MOST_CELLS * (2 * MOST_LETTERS + 4)), *to = bytes, cell[MOST_LETTERS + 1];
	struct reader reader;

	(void)state;
	for (int pass = 0; pass < 2; pass++) {
		uint64_t *random = pass == 0 ? &seed : &again;

		if (pass == 1)
			open_reader(&reader, bytes, (size_t)(to - bytes), false);
		for (int r = 0; r < RECORDS; r++) {
			uint32_t cell_count = (uint32_t)seed_between(random, 2, MOST_CELLS);

			if (pass == 1) {
				assert_int_equal(manifest_csv_next(&reader.csv, &reader.err), 1);
				assert_int_equal(reader.csv.cell_count, cell_count);
			}
			for (uint32_t c = 0; c < cell_count; c++) {
				size_t length = seed_between(random, 0, MOST_LETTERS);
				bool crlf = seed_next(random) & 1, quoted = seed_next(random) & 1;

				for (size_t i = 0; i < length; i++)
					cell[i] = letters[seed_between(random, 0, sizeof letters - 2)];
				cell[length] = '\0';
				if (pass == 1) {
					assert_string_equal(reader.csv.cells[c].text, cell);
					continue;
				}
				quoted = quoted || strpbrk(cell, ",\"\n\r");
				if (quoted)
					*to++ = '"';
				for (size_t i = 0; i < length; i++) {
					if (cell[i] == '"')
						*to++ = '"';
					*to++ = cell[i];
				}
				if (quoted)
					*to++ = '"';
				if (c + 1 < cell_count) {
					*to++ = ',';
				} else {
					if (crlf)
						*to++ = '\r';
					*to++ = '\n';
				}
			}
		}
	}
	assert_int_equal(manifest_csv_next(&reader.csv, &reader.err), 0);
	assert_true(to - bytes > 2 * MANIFEST_RECORD_BYTES); /* more than the buffer holds */
	close_reader(&reader);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_stand_between_commas),
		cmocka_unit_test(lines_end_in_either_way_or_with_the_file),
		cmocka_unit_test(empty_lines_are_passed_over_and_counted),
		cmocka_unit_test(quotes_hold_commas_line_breaks_and_quotes),
		cmocka_unit_test(tabs_know_no_quotes),
		cmocka_unit_test(a_byte_order_mark_is_passed_over),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(columns_count_characters_and_lines_count_those_in_quotes),
		cmocka_unit_test(lines_go_on_counting_after_a_record_of_several),
		cmocka_unit_test(the_buffer_may_end_at_any_byte_of_a_line),
		cmocka_unit_test(places_are_those_of_the_file_after_the_cells_were_made),
		cmocka_unit_test(a_line_of_too_many_cells_is_refused),
		cmocka_unit_test(a_record_may_have_a_megabyte),
		cmocka_unit_test(what_was_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
