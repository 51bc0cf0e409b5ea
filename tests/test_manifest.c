/*
 * test_manifest.c - a table of samples becomes the index that it describes, the same from each format; and the first thing in it
 * that is wrong is told with file, line and column, what was found and what was expected.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "loader/plan/index/index_view.h"
#include "loader/plan/manifest/manifest.h"
#include "loader/plan/manifest/manifest_text.h"
#include "tests/manifest_fixture.h"

static const char *const names[] = {"", "t.csv", "t.tsv", "t.jsonl"};

/* An index that is mapped. */
struct opened {
	void *memory;
	size_t byte_count;
	struct index_view view;
	struct manifest_names others;
};

static int read_manifest(struct opened *opened, enum manifest_format format, const char *bytes, size_t byte_count, struct err *err)
{
	struct manifest_root root;
	struct index_build *build;
	int fd = file_of(bytes, byte_count), index_fd, rc;

	assert_int_equal(manifest_root_open(&root, "/", NULL), 0);
	root.folder = "data";
	rc = manifest_read(&build, fd, names[format], format, &root, &opened->others, err);
	if (rc == 0) {
		index_fd = index_build_finish(build, "data");
		assert_true(index_fd >= 0);
		opened->byte_count = (size_t)lseek(index_fd, 0, SEEK_END);
		opened->memory = mmap(NULL, opened->byte_count, PROT_READ, MAP_PRIVATE, index_fd, 0);
		assert_true(opened->memory != MAP_FAILED);
		close(index_fd);
		if (index_view_open(&opened->view, opened->memory, opened->byte_count, "index", err) < 0)
			fail_msg("%s", err->text);
	}
	index_build_close(build);
	manifest_root_close(&root);
	close(fd);
	return rc;
}

static struct opened read_good(enum manifest_format format, const char *bytes)
{
	struct opened opened;
	struct err err = {"no sentence"};

	if (read_manifest(&opened, format, bytes, strlen(bytes), &err) != 0)
		fail_msg("%s", err.text);
	return opened;
}

static void assert_refused(enum manifest_format format, const char *bytes, size_t byte_count, int code, const char *sentence)
{
	struct opened opened;
	struct err err = {"no sentence"};
	int rc = read_manifest(&opened, format, bytes, byte_count, &err);

	assert_string_equal(err.text, sentence);
	assert_int_equal(rc, code);
}

#define CSV(literal, sentence)   assert_refused(MANIFEST_CSV, BYTES(literal), -EINVAL, sentence)
#define JSONL(literal, sentence) assert_refused(MANIFEST_JSONL, BYTES(literal), -EINVAL, sentence)

/* ------------------------------------------------------------------ what is right */

static const char *path_of(const struct opened *opened, enum index_column column, uint64_t sample)
{
	return opened->view.text + ((const uint64_t *)opened->view.column[column])[sample];
}

static void every_column_reaches_the_index(void **state)
{
	static const char *const tables[] = {
		"weight,target,length,offset,height,width,y,x,label,note,path\n"
		"0.5,m/a.png,10,20,4,3,2,1,cat,\"one, two\",a.jpg\n"
		"2,m/b.png,9223372036854775807,0,1,2147483647,0,2147483647,ant,,./b c.jpg\n",
		"weight\ttarget\tlength\toffset\theight\twidth\ty\tx\tlabel\tnote\tpath\n"
		"0.5\tm/a.png\t10\t20\t4\t3\t2\t1\tcat\tone, two\ta.jpg\n"
		"2\tm/b.png\t9223372036854775807\t0\t1\t2147483647\t0\t2147483647\tant\t\t/b c.jpg\n",
		"{\"weight\": 0.5, \"target\": \"m/a.png\", \"length\": 10, \"offset\": 20, \"height\": 4, \"width\": 3, \"y\": 2, "
		"\"x\": 1, "
		"\"label\": \"cat\", \"note\": {\"x\": [1, 2]}, \"path\": \"a.jpg\"}\n"
		"{\"path\": \"b c.jpg\", \"label\": \"ant\", \"weight\": 2, \"target\": \"m/b.png\", \"length\": "
		"9223372036854775807, "
		"\"offset\": 0, \"height\": 1, \"width\": 2147483647, \"y\": 0, \"x\": 2147483647}\n",
	};
	uint8_t fingerprint[16];

	(void)state;
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct opened opened = read_good(MANIFEST_CSV + (enum manifest_format)i, tables[i]);
		const int32_t(*boxes)[4] = opened.view.column[INDEX_BOX];
		const int64_t *labels = opened.view.column[INDEX_LABEL];
		const uint64_t *offsets = opened.view.column[INDEX_OFFSET], *lengths = opened.view.column[INDEX_LENGTH];
		const double *weights = opened.view.column[INDEX_WEIGHT];

		assert_int_equal(opened.view.header->sample_count, 2);
		assert_string_equal(path_of(&opened, INDEX_PATH, 0), "a.jpg");
		assert_string_equal(path_of(&opened, INDEX_PATH, 1), "b c.jpg");
		assert_string_equal(path_of(&opened, INDEX_TARGET, 0), "m/a.png");
		assert_string_equal(path_of(&opened, INDEX_TARGET, 1), "m/b.png");
		assert_true(labels[0] == 1 && labels[1] == 0 && opened.view.header->class_count == 2);
		assert_memory_equal(boxes[0], ((const int32_t[]){1, 2, 3, 4}), 16);
		assert_memory_equal(boxes[1], ((const int32_t[]){INT32_MAX, 0, INT32_MAX, 1}), 16);
		assert_true(offsets[0] == 20 && lengths[0] == 10 && offsets[1] == 0 && lengths[1] == INT64_MAX);
		assert_true(weights[0] == 0.5 && weights[1] == 2);
		assert_string_equal(opened.others.text, "\"note\"");
		if (i == 0)
			memcpy(fingerprint, opened.view.header->fingerprint, sizeof fingerprint);
		assert_memory_equal(opened.view.header->fingerprint, fingerprint, sizeof fingerprint);
		munmap(opened.memory, opened.byte_count);
	}
}

static void windows_are_the_same_floats_from_each_format(void **state)
{
	struct opened csv = read_good(MANIFEST_CSV, "path,x,y,scale\na,0.1,1,3e-1\n"),
		      json = read_good(MANIFEST_JSONL, "{\"path\": \"a\", \"x\": 0.1, \"y\": 1, \"scale\": 3e-1}\n");

	(void)state;
	assert_memory_equal(csv.view.column[INDEX_WINDOW], ((const float[]){0.1f, 1.0f, 0.3f}), 12);
	assert_memory_equal(json.view.column[INDEX_WINDOW], csv.view.column[INDEX_WINDOW], 12);
	munmap(csv.memory, csv.byte_count);
	munmap(json.memory, json.byte_count);
}

static void assert_labels(enum manifest_format format, const char *bytes, const int64_t *labels, uint64_t count,
                          uint64_t class_count)
{
	struct opened opened = read_good(format, bytes);

	assert_int_equal(opened.view.header->sample_count, count);
	assert_int_equal(opened.view.header->class_count, class_count);
	assert_memory_equal(opened.view.column[INDEX_LABEL], labels, count * sizeof *labels);
	munmap(opened.memory, opened.byte_count);
}

static void labels_may_be_missing_numbers_or_names(void **state)
{
	(void)state;
	assert_labels(MANIFEST_CSV, "path\na\nb\n", (const int64_t[]){-1, -1}, 2, 0);
	assert_labels(MANIFEST_CSV, "path,label\na,7\nb,\nc,-2\n", (const int64_t[]){7, -1, -2}, 3, 0);
	assert_labels(MANIFEST_CSV, "path,label\na,7\nb,\nc,x\n", (const int64_t[]){0, -1, 1}, 3, 2);
	assert_labels(MANIFEST_JSONL,
	              "{\"path\":\"a\"}\n{\"path\":\"b\",\"label\":7}\n{\"path\":\"c\",\"label\":\"7\"}\n{\"path\":\"d\",\"label\":"
	              "null}\n",
	              (const int64_t[]){-1, 7, 7, -1}, 4, 0);
	assert_labels(MANIFEST_JSONL,
	              "{\"path\":\"a\",\"label\":10}\n{\"path\":\"b\",\"label\":\"x\"}\n\n{\"path\":\"c\",\"label\":9}",
	              (const int64_t[]){0, 2, 1}, 3, 3);
}

static void formats_are_told_by_the_ending(void **state)
{
	(void)state;
	assert_int_equal(manifest_format_of("a.b/train.csv"), MANIFEST_CSV);
	assert_int_equal(manifest_format_of("train.TSV"), MANIFEST_TSV);
	assert_int_equal(manifest_format_of("metadata.JsonL"), MANIFEST_JSONL);
	assert_int_equal(manifest_format_of("train.json"), MANIFEST_NONE);
	assert_int_equal(manifest_format_of("train"), MANIFEST_NONE);
}

/* ------------------------------------------------------------------ what is wrong */

static void numbers_are_checked_cell_by_cell(void **state)
{
	(void)state;
	CSV("path,x,y,width,height\na,0,0,1,1\nb,0,0,12a,1\n",
	    "t.csv:3:7: column \"width\": \"12a\" is not a whole number of pixels from 1 to 2147483647");
	CSV("path,x,y,width,height\na,0,0,0,1\n",
	    "t.csv:2:7: column \"width\": \"0\" is not a whole number of pixels from 1 to 2147483647");
	CSV("path,x,y,width,height\na,0,-1,1,1\n",
	    "t.csv:2:5: column \"y\": \"-1\" is not a whole number of pixels from 0 to 2147483647");
	CSV("path,x,y,width,height\na,2147483648,0,1,1\n",
	    "t.csv:2:3: column \"x\": \"2147483648\" is not a whole number of pixels from 0 to 2147483647");
	CSV("path,x,y,width,height\na,1,1,1,\n",
	    "t.csv:2:9: column \"height\": \"\" is not a whole number of pixels from 1 to 2147483647");
	CSV("scale,x,y,path\n0.5,0,1.01,a\n", "t.csv:2:7: column \"y\": \"1.01\" is not a number from 0 to 1");
	CSV("scale,x,y,path\nnan,0,1,a\n", "t.csv:2:1: column \"scale\": \"nan\" is not a number from 0 to 1");
	CSV("path,offset,length\na,0,0\n",
	    "t.csv:2:5: column \"length\": \"0\" is not a whole number of bytes from 1 to 9223372036854775807");
	CSV("path,offset,length\na,1,9223372036854775807\n",
	    "t.csv:2:5: column \"length\": \"9223372036854775807\" bytes from the offset on end beyond any file");
	CSV("path,weight\na,-1\n", "t.csv:2:3: column \"weight\": \"-1\" is not a number from 0 to 1e300");
	CSV("path,weight\na,1e301\n", "t.csv:2:3: column \"weight\": \"1e301\" is not a number from 0 to 1e300");
	CSV("path,weight\na,0\nb,0\n", "t.csv: all weights are 0; one at least has to be above it");
}

static void paths_are_checked(void **state)
{
	(void)state;
	CSV("label,path\n1,\n", "t.csv:2:3: column \"path\": \"\" names no file");
	CSV("path,target\na,../b\n",
	    "t.csv:2:3: column \"target\": \"../b\" has a step up (\"..\"); paths begin at data, or at the folder "
	    "that --root names, and stay in it");
}

static void records_are_like_the_header(void **state)
{
	(void)state;
	CSV("path,label\na,1\nb\n", "t.csv:3:1: 1 cell, but the header has 2");
	CSV("path,label\na,1,2\n", "t.csv:2:1: 3 cells, but the header has 2");
	CSV("label,x\na,1\n", "t.csv:1:1: no column \"path\" or \"file_name\", but \"label\", \"x\"; the header names the columns");
	CSV("\xef\xbb\xbfpath,label,label\na,1,1\n", "t.csv:1:12: the column \"label\" is there twice");
}

static void nothing_is_refused(void **state)
{
	static const char sentence[] = "t.csv: no sample is in it; the first line names the columns, each other line is a sample";

	(void)state;
	assert_refused(MANIFEST_CSV, BYTES(""), -ENODATA, sentence);
	assert_refused(MANIFEST_CSV, BYTES("\n\n"), -ENODATA, sentence);
	assert_refused(MANIFEST_CSV, BYTES("path,label\n"), -ENODATA, sentence);
	assert_refused(MANIFEST_JSONL, BYTES(""), -ENODATA, "t.jsonl: no sample is in it");
	assert_refused(MANIFEST_JSONL, BYTES("\n \n"), -ENODATA, "t.jsonl: no sample is in it");
}

static void lines_that_are_no_json_are_told_where_they_break(void **state)
{
	(void)state;
	JSONL("{\"path\": \"a\"}\n{\"path\": \"b\",}\n",
	      "t.jsonl:2:14: no JSON object, which each line has to be: string or '}' expected near '}'");
	JSONL("{\"path\": \"a\"} x\n", "t.jsonl:1:15: no JSON object, which each line has to be: end of file expected near 'x'");
	JSONL("[\"a\"]\n", "t.jsonl:1:1: a list; each line has to be a JSON object, such as {\"path\": \"a.jpg\"}");
	JSONL("{\"path\": \"a\",\n\"label\": 1}\n",
	      "t.jsonl:1:14: no JSON object, which each line has to be: string or '}' expected near end of file");
	JSONL("{\"path\": \"a\", \"path\": \"b\"}\n",
	      "t.jsonl:1:20: no JSON object, which each line has to be: duplicate object key near '\"path\"'");
	JSONL("{\"path\": \"a\\u0000\"}\n", "t.jsonl:1:18: no JSON object, which each line has to be: \\u0000 is not allowed "
	                                    "without JSON_ALLOW_NUL near '\"a\\u0000\"'");
}

static void json_values_are_checked_and_found_in_their_line(void **state)
{
	(void)state;
	JSONL("{\"note\": {\"x\": \"}\\\"{\"}, \"path\": \"a\", \"x\": 1.0, \"y\": 2, \"width\": 3, \"height\": 4}\n",
	      "t.jsonl:1:43: column \"x\": 1.0 is not a whole number of pixels from 0 to 2147483647");
	JSONL("{\"path\": \"a\", \"x\": 1, \"y\": \"2\", \"width\": 3, \"height\": 4}\n",
	      "t.jsonl:1:28: column \"y\": \"2\" is not a whole number of pixels from 0 to 2147483647");
	JSONL("{\"x\": 0, \"y\":\t[0], \"scale\": 1, \"path\": \"a\"}\n",
	      "t.jsonl:1:15: column \"y\": a list is not a number from 0 to 1");
	JSONL("{\"path\": 7}\n", "t.jsonl:1:10: column \"path\": 7 is not a path");
	JSONL("{\"label\": true, \"path\": \"a\"}\n", "t.jsonl:1:11: column \"label\": true is neither a whole number nor text");
	JSONL("{\"label\": 1.5, \"path\": \"a\"}\n", "t.jsonl:1:11: column \"label\": 1.5 is neither a whole number nor text");
	JSONL("{\"label\": 1, \"file\": \"a\"}\n",
	      "t.jsonl:1:1: no column \"path\" or \"file_name\", but \"label\", \"file\"; the header names the columns");
}

static void lines_of_json_have_the_columns_of_the_first(void **state)
{
	(void)state;
	JSONL("{\"path\": \"a\", \"target\": \"b\"}\n{\"path\": \"c\"}\n",
	      "t.jsonl:2:1: no value for \"target\"; every line needs the columns of the first one");
	JSONL("{\"path\": \"a\", \"target\": \"b\"}\n{\"path\": \"c\", \"target\": null}\n",
	      "t.jsonl:2:25: no value for \"target\"; every line needs the columns of the first one");
	JSONL("{\"path\": \"a\"}\n{\"path\": \"c\", \"weight\": 1}\n",
	      "t.jsonl:2:25: \"weight\" is new; every line needs the columns of the first one");
	JSONL("{\"path\": \"a\"}\n{\"file\": \"c\"}\n",
	      "t.jsonl:2:1: no value for \"path\"; every line needs the columns of the first one");
	JSONL("{\"path\": \"a\"}\n{\"path\": \"c\", \"file_name\": \"d\"}\n",
	      "t.jsonl:2:1: both \"path\" and \"file_name\"; one of them is expected");
}

static void a_line_of_json_may_have_a_megabyte(void **state)
{
	static const char begin[] = "{\"path\": \"a\", \"note\": \"", end[] = "\"}\n";
	const size_t most = MANIFEST_RECORD_BYTES;
	char *bytes = malloc(most + 1);

	(void)state;
	memset(bytes, 'x', most + 1);
	memcpy(bytes, begin, sizeof begin - 1);
	memcpy(bytes + most + 1 - (sizeof end - 1), end, sizeof end - 1);
	assert_refused(MANIFEST_JSONL, bytes, most + 1, -EINVAL, "t.jsonl:1:1: a line of more than 1048576 bytes");
	bytes[most - 2] = '\"';
	bytes[most - 1] = '}';
	bytes[most] = '\0';
	struct opened opened = read_good(MANIFEST_JSONL, bytes);

	assert_int_equal(opened.view.header->sample_count, 1);
	munmap(opened.memory, opened.byte_count);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_column_reaches_the_index),
		cmocka_unit_test(windows_are_the_same_floats_from_each_format),
		cmocka_unit_test(labels_may_be_missing_numbers_or_names),
		cmocka_unit_test(formats_are_told_by_the_ending),
		cmocka_unit_test(numbers_are_checked_cell_by_cell),
		cmocka_unit_test(paths_are_checked),
		cmocka_unit_test(records_are_like_the_header),
		cmocka_unit_test(nothing_is_refused),
		cmocka_unit_test(lines_that_are_no_json_are_told_where_they_break),
		cmocka_unit_test(json_values_are_checked_and_found_in_their_line),
		cmocka_unit_test(lines_of_json_have_the_columns_of_the_first),
		cmocka_unit_test(a_line_of_json_may_have_a_megabyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
