/* Tests of loader/plan/tar/tar_header.c: one header, whoever wrote it, and whatever is wrong with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/tar/tar_header.h"
#include "tests/tar_recipe.h"

static struct tar_recipe recipe;

/* A header for the test to spoil. */
static uint8_t *new_block(const char *name, char type, uint64_t size_bytes)
{
	recipe.byte_count = 0;
	return tar_put_header(&recipe, name, type, size_bytes);
}

static void expect_fault(const uint8_t *block, const char *words)
{
	struct tar_header header;
	const char *fault = tar_header_read(block, &header);

	assert_non_null(fault);
	assert_non_null(strstr(fault, words));
}

static struct tar_header read_block(uint8_t *block)
{
	struct tar_header header;

	tar_sign(block);
	assert_null(tar_header_read(block, &header));
	return header;
}

static void set_size(uint8_t *block, const char *bytes)
{
	memcpy(block + 124, bytes, 12);
	tar_sign(block);
}

static void names_and_sizes_are_read_wherever_they_stand(void **state)
{
	char long_name[101];
	struct tar_header header;
	uint8_t *block;

	(void)state;
	header = read_block(new_block("a.jpg", '0', 4711));
	assert_string_equal(header.name, "a.jpg");
	assert_int_equal(header.size_bytes, 4711);
	assert_int_equal(header.type, TAR_FILE);

	memset(long_name, 'n', 100); /* without a NUL behind it */
	long_name[100] = '\0';
	block = new_block(long_name, '0', 0);
	assert_string_equal(read_block(block).name, long_name);
	memset(block + 345, 'p', 155);
	header = read_block(block);
	assert_int_equal(strlen(header.name), 256);
	assert_string_equal(header.name + 155 + 1, long_name);
	assert_int_equal(header.name[155], '/');

	memcpy(block + 257, "ustar  ", 8); /* GNU's, whose prefix is something else */
	assert_string_equal(read_block(block).name, long_name);
	memset(block + 257, 0, 8); /* older than both */
	assert_string_equal(read_block(block).name, long_name);
}

static void numbers_are_octal_or_binary(void **state)
{
	uint8_t *block = new_block("a", '0', 0);

	(void)state;
	set_size(block, "        17 \0");
	assert_int_equal(read_block(block).size_bytes, 15);
	set_size(block, "777777777777"); /* without an end */
	assert_int_equal(read_block(block).size_bytes, 0xfffffffffu);
	set_size(block, "\0\0\0\0\0\0\0\0\0\0\0\0");
	assert_int_equal(read_block(block).size_bytes, 0);
	set_size(block, "\x80\0\0\0\0\0\0\2\0\0\0\1"); /* 2^33 + 1, as GNU writes it */
	assert_int_equal(read_block(block).size_bytes, ((uint64_t)1 << 33) + 1);
	set_size(block, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
	assert_int_equal(read_block(block).size_bytes, INT64_MAX);
}

static void sizes_that_no_file_can_have_are_refused(void **state)
{
	static const char *const sizes[] = {
		"\x80\0\0\0\x80\0\0\0\0\0\0\0",                     /* 2^63 */
		"\x80\0\0\1\0\0\0\0\0\0\0\0",                       /* 2^64 */
		"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", /* 2^94 - 1 */
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", /* -1 */
		"\xc0\0\0\0\0\0\0\0\0\0\0\0",
		"0000000008\0\0",
		"-0000000001\0",
		"1 1\0\0\0\0\0\0\0\0\0",
		"0x100\0\0\0\0\0\0\0",
	};
	uint8_t *block = new_block("a", '0', 0);

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		set_size(block, sizes[i]);
		expect_fault(block, "size");
	}
}

static void a_checksum_is_that_of_the_bytes(void **state)
{
	uint8_t *block = new_block("caf\xc3\xa9.jpg", '0', 5), ones[512];
	struct tar_header header;
	int signed_sum = 0;
	char digits[8];

	(void)state;
	block[0] ^= 1;
	expect_fault(block, "checksum");
	block[0] ^= 1;
	assert_null(tar_header_read(block, &header));
	memcpy(block + 148, "ab", 2);
	expect_fault(block, "checksum");

	tar_sign(block); /* as programs did for which a char was signed */
	memset(block + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		signed_sum += (int8_t)block[i];
	snprintf(digits, sizeof digits, "%06o", (unsigned)signed_sum);
	memcpy(block + 148, digits, 7);
	assert_null(tar_header_read(block, &header));
	memset(ones, 1, sizeof ones);
	expect_fault(ones, "checksum");
}

static void types_are_told_apart(void **state)
{
	static const struct {
		char flag;
		enum tar_type type;
	} types[] = {{'0', TAR_FILE},      {'\0', TAR_FILE},   {'7', TAR_FILE},       {'1', TAR_LINK},   {'2', TAR_LINK},
	             {'3', TAR_DEVICE},    {'4', TAR_DEVICE},  {'6', TAR_DEVICE},     {'5', TAR_FOLDER}, {'L', TAR_LONG_NAME},
	             {'K', TAR_LONG_LINK}, {'x', TAR_PAX},     {'g', TAR_PAX_GLOBAL}, {'S', TAR_SPARSE}, {'V', TAR_LABEL},
	             {'M', TAR_UNKNOWN},   {'D', TAR_UNKNOWN}, {'\xff', TAR_UNKNOWN}};
	uint8_t zeros[512] = {0};
	struct tar_header header;

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		header = read_block(new_block("a", types[i].flag, 100));
		assert_int_equal(header.type, types[i].type);
		assert_int_equal(header.size_bytes, types[i].type >= TAR_FOLDER ? 0 : 100); /* whatever stands there */
	}
	assert_int_equal(read_block(new_block("folder/", '\0', 0)).type, TAR_FOLDER);
	assert_null(tar_header_read(zeros, &header));
	assert_int_equal(header.type, TAR_END);
}

static const char *read_pax(const char *records, struct tar_pax *pax)
{
	return tar_pax_read(records, strlen(records), pax);
}

static void pax_records_tell_names_and_sizes(void **state)
{
	struct tar_pax pax = {.has_size = false};

	(void)state;
	assert_null(read_pax("", &pax));
	assert_null(read_pax("30 mtime=1700000000.123456789\n16 path=a=b.jpg\n11 size=47\n", &pax));
	assert_string_equal(pax.name, "a=b.jpg");
	assert_true(pax.has_size && pax.size_bytes == 47 && !pax.is_sparse);
	assert_null(read_pax("8 path=\n8 size=\n", &pax)); /* taken back */
	assert_true(!pax.has_size && pax.name[0] == '\0');
	assert_null(read_pax("22 GNU.sparse.major=1\n", &pax));
	assert_true(pax.is_sparse);
	assert_null(read_pax("27 size=999999999999999999\n", &pax));
	assert_int_equal(pax.size_bytes, 999999999999999999);
}

static void pax_records_that_cannot_be_right_are_refused(void **state)
{
	static const char *const wrong[] = {
		"path=a\n",
		"9 path=ab\n",
		"12 path=ab\n",
		"10 path=ab",
		"10 path=abc",
		"0 \n",
		"1 ",
		"2 \n",
		"3 \n",
		"5 a\n\n",
		"-9 path=a\n",
		"99999999999999999999 path=a\n",
		"12 size=-47\n",
		"12 size=0x1\n",
		"28 size=1000000000000000000\n",
		"18446744073709551615 a=b\n",
	};
	static char long_path[5000];
	struct tar_pax pax;

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		if (!read_pax(wrong[i], &pax))
			fail_msg("accepted: %s", wrong[i]);
	assert_non_null(tar_pax_read("12 path=a\0b\n", 12, &pax));
	memset(long_path, 'p', sizeof long_path);
	memcpy(long_path, "4999 path=", 10);
	strcpy(long_path + 4998, "\n");
	assert_non_null(read_pax(long_path, &pax));
}

static void names_lead_nowhere_out_of_the_archive(void **state)
{
	static const char *const bad[] = {"", "/etc/passwd", "..", "../x.jpg", "a/../../x.jpg", "a/..", "./..", "//x"};
	static const char *const good[] = {"x.jpg", "./x.jpg", "a/b/x.jpg", "..x.jpg", "a..b/x..", "a/...", "a//b"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_non_null(tar_name_fault(bad[i]));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_null(tar_name_fault(good[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_sizes_are_read_wherever_they_stand),
		cmocka_unit_test(numbers_are_octal_or_binary),
		cmocka_unit_test(sizes_that_no_file_can_have_are_refused),
		cmocka_unit_test(a_checksum_is_that_of_the_bytes),
		cmocka_unit_test(types_are_told_apart),
		cmocka_unit_test(pax_records_tell_names_and_sizes),
		cmocka_unit_test(pax_records_that_cannot_be_right_are_refused),
		cmocka_unit_test(names_lead_nowhere_out_of_the_archive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
