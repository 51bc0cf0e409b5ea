/* Tests of loader/plan/tar/tar_walk.c: the files of an archive, and archives that cannot be right. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/tar/tar_walk.h"
#include "tests/tar_recipe.h"

static struct tar_recipe recipe;

/* The next member is this one. */
static void expect_member(struct tar_walk *walk, const char *name, uint64_t offset, uint64_t length)
{
	static struct tar_member member;
	struct err err = {""};

	if (tar_walk_next(walk, &member, &err) != 1)
		fail_msg("expected %s: %s", name, err.text);
	assert_string_equal(member.name, name);
	assert_int_equal(member.offset, offset);
	assert_int_equal(member.length, length);
}

static void expect_end(struct tar_walk *walk)
{
	static struct tar_member member;
	struct err err = {""};

	if (tar_walk_next(walk, &member, &err) != 0)
		fail_msg("expected the end: %s%s", member.name, err.text);
}

static void open_walk(struct tar_walk *walk)
{
	struct err err = {""};

	if (tar_walk_open(walk, tar_fd(&recipe), "x.tar", &err) != 0)
		fail_msg("%s", err.text);
}

static void close_walk(struct tar_walk *walk)
{
	close(walk->fd);
	tar_walk_close(walk);
}

/* The archive in `recipe` is refused with these words, at this byte. */
static void expect_refusal(uint64_t at, const char *words)
{
	static struct tar_member member;
	struct err err = {""};
	struct tar_walk walk;
	char where[64];
	int rc = tar_walk_open(&walk, tar_fd(&recipe), "x.tar", &err);

	while (rc == 0 && (rc = tar_walk_next(&walk, &member, &err)) == 1)
		rc = 0;
	snprintf(where, sizeof where, "x.tar at byte %llu: ", (unsigned long long)at);
	if (rc != -EINVAL || (at != UINT64_MAX && strncmp(err.text, where, strlen(where)) != 0) || !strstr(err.text, words))
		fail_msg("%d \"%s\", expected \"%s\" and \"%s\"", rc, err.text, where, words);
	close_walk(&walk);
}

static void files_are_found_and_folders_passed_over(void **state)
{
	struct tar_walk walk;
	uint64_t a, b, c;
	char text[6] = "";

	(void)state;
	tar_put_as(&recipe, "volume", 'V', "");
	tar_put_as(&recipe, "folder/", '5', "");
	a = tar_put(&recipe, "folder/a.jpg", "hello");
	b = tar_put(&recipe, "./empty", "");
	c = tar_put_as(&recipe, "old", '\0', "world");
	tar_put_end(&recipe);
	tar_put(&recipe, "behind the end", "");
	open_walk(&walk);
	expect_member(&walk, "folder/a.jpg", a, 5);
	expect_member(&walk, "./empty", b, 0);
	expect_member(&walk, "old", c, 5);
	assert_int_equal(tar_walk_read(&walk, a, text, 5, NULL), 0);
	assert_string_equal(text, "hello");
	expect_end(&walk);
	expect_end(&walk);
	close_walk(&walk);
}

static void long_names_come_in_headers_of_their_own(void **state)
{
	char gnu[301] = "", pax[400], *record = pax;
	struct tar_walk walk;
	uint64_t a, b, c;

	(void)state;
	memset(gnu, 'g', 300);
	tar_put_header(&recipe, "././@LongLink", 'L', 301);
	tar_put_data(&recipe, gnu, 301);
	a = tar_put(&recipe, "ggg", "1");
	record += sprintf(record, "14 path=p.jpg\n10 size=2\n");
	tar_put_header(&recipe, "PaxHeaders/p", 'x', (uint64_t)(record - pax));
	tar_put_data(&recipe, pax, (size_t)(record - pax));
	b = recipe.byte_count + 512;
	tar_put_header(&recipe, "ppp", '0', 0); /* the size above is the one that counts */
	tar_put_data(&recipe, "22", 2);
	tar_put_as(&recipe, "PaxHeaders/f", 'x', "14 path=f.jpg\n"); /* of a folder, not of what follows it */
	tar_put_as(&recipe, "folder/", '5', "");
	c = tar_put(&recipe, "plain", "333");
	tar_put_end(&recipe);
	open_walk(&walk);
	expect_member(&walk, gnu, a, 1);
	expect_member(&walk, "p.jpg", b, 2);
	expect_member(&walk, "plain", c, 3);
	expect_end(&walk);
	close_walk(&walk);
}

static void a_global_header_tells_of_all_that_follow_but_one_that_has_its_own(void **state)
{
	struct tar_walk walk;
	uint64_t a, b, c;

	(void)state;
	a = tar_put(&recipe, "a", "1");
	tar_put_as(&recipe, "pax_global_header", 'g', "14 path=g.jpg\n20 comment=a commit\n");
	b = tar_put(&recipe, "b", "1");
	tar_put_as(&recipe, "PaxHeaders/c", 'x', "14 path=c.jpg\n");
	c = tar_put(&recipe, "c", "1");
	open_walk(&walk);
	expect_member(&walk, "a", a, 1);
	expect_member(&walk, "g.jpg", b, 1);
	expect_member(&walk, "c.jpg", c, 1);
	expect_end(&walk);
	close_walk(&walk);
}

static void the_end_may_be_missing_or_half_of_it(void **state)
{
	(void)state;
	for (int blocks = 0; blocks < 3; blocks++) {
		struct tar_walk walk;
		uint64_t a = tar_put(&recipe, "a", "1");

		recipe.byte_count += 512 * (size_t)blocks;
		open_walk(&walk);
		expect_member(&walk, "a", a, 1);
		expect_end(&walk);
		close_walk(&walk);
	}
	for (size_t filling = 0; filling < 512; filling += 511) { /* what fills up the last block may be missing */
		struct tar_walk walk;
		uint64_t a = tar_put(&recipe, "a", "1");

		recipe.byte_count = (size_t)a + 1 + filling;
		open_walk(&walk);
		expect_member(&walk, "a", a, 1);
		expect_end(&walk);
		close_walk(&walk);
	}
}

static void a_cut_archive_is_refused_where_it_is_cut(void **state)
{
	uint64_t a;

	(void)state;
	a = tar_put(&recipe, "a", "hello");
	recipe.byte_count = (size_t)a + 4;
	expect_refusal(0, "a member of 5 bytes");
	tar_put(&recipe, "a", "hello");
	tar_put(&recipe, "b", "hello");
	recipe.byte_count = 1024 + 511;
	expect_refusal(1024, "within a header, after 511 of 512 bytes");
	tar_put_header(&recipe, "././@LongLink", 'L', 301);
	expect_refusal(0, "a member of 301 bytes");
	expect_refusal(UINT64_MAX, "x.tar: 0 bytes");
	recipe.byte_count = 511;
	expect_refusal(UINT64_MAX, "x.tar: 511 bytes");
}

static void sizes_beyond_the_archive_are_refused_however_large(void **state)
{
	static const uint64_t sizes[] = {1024, 1025, (uint64_t)1 << 33};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		tar_put(&recipe, "first", "1");
		tar_put_header(&recipe, "a.jpg", '0', sizes[i]);
		recipe.byte_count += 1023;
		expect_refusal(1024, "it is cut");
	}
	memcpy(tar_put_header(&recipe, "a.jpg", '0', 0) + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
	tar_sign(recipe.bytes);
	expect_refusal(0, "a member of 9223372036854775807 bytes");
	memcpy(tar_put_header(&recipe, "a.jpg", '0', 0) + 124, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
	tar_sign(recipe.bytes);
	expect_refusal(0, "size");
	tar_put_as(&recipe, "PaxHeaders/a", 'x', "27 size=999999999999999999\n");
	tar_put(&recipe, "a.jpg", "1");
	expect_refusal(0, "a member of 999999999999999999 bytes");
}

static void bytes_that_are_no_header_are_refused(void **state)
{
	(void)state;
	tar_put(&recipe, "a", "1");
	tar_put(&recipe, "b", "1");
	recipe.bytes[1024 + 3] ^= 1;
	expect_refusal(1024, "checksum");
	memset(recipe.bytes, 'x', 2048);
	recipe.byte_count = 2048;
	expect_refusal(0, "checksum");
}

static void what_is_no_file_is_refused_by_its_name(void **state)
{
	static const struct {
		char type;
		const char *words;
	} types[] = {{'1', "y.jpg is a link"}, {'2', "y.jpg is a link"}, {'3', "y.jpg is a device"}, {'4', "y.jpg is a device"},
	             {'6', "a FIFO"},          {'S', "sparse"},          {'M', "type 'M'"},          {'\x01', "type '?'"}};

	(void)state;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		tar_put(&recipe, "x.jpg", "1");
		tar_put_as(&recipe, "y.jpg", types[i].type, "");
		tar_put_end(&recipe);
		expect_refusal(1024, types[i].words);
	}
	tar_put_as(&recipe, "PaxHeaders/y", 'x', "22 GNU.sparse.major=1\n");
	tar_put(&recipe, "y.jpg", "1");
	expect_refusal(0, "sparse");
	tar_put_as(&recipe, "GlobalHead", 'g', "22 GNU.sparse.major=1\n");
	tar_put(&recipe, "y", "data");
	expect_refusal(0, "sparse");
}

static void names_that_lead_out_are_refused(void **state)
{
	(void)state;
	tar_put(&recipe, "../x.jpg", "1");
	expect_refusal(0, "leads out of the archive: \"../x.jpg\"");
	tar_put(&recipe, "/etc/x.jpg", "1");
	expect_refusal(0, "an absolute name: \"/etc/x.jpg\"");
	tar_put_as(&recipe, "././@LongLink", 'L', "a/../../x.jpg");
	tar_put(&recipe, "x.jpg", "1");
	expect_refusal(0, "leads out");
	tar_put_as(&recipe, "PaxHeaders/y", 'x', "16 path=../x.jpg\n");
	recipe.bytes[512] = '1', recipe.bytes[513] = '7';
	tar_put(&recipe, "x.jpg", "1");
	expect_refusal(0, "leads out");
	tar_put(&recipe, "", "1");
	expect_refusal(0, "without a name");
}

static void headers_before_a_member_are_bounded(void **state)
{
	char *text = malloc(5000);

	(void)state;
	tar_put_header(&recipe, "PaxHeaders/x", 'x', (1 << 20) + 1);
	recipe.byte_count += (1 << 20) + 512;
	expect_refusal(0, "at most 1048576");
	tar_put_header(&recipe, "././@LongLink", 'K', (uint64_t)5 << 30);
	recipe.byte_count += 4096;
	expect_refusal(0, "a member of 5368709120 bytes");
	for (int i = 0; i < 100; i++)
		tar_put_as(&recipe, "././@LongLink", 'L', "x.jpg");
	expect_refusal(0, "more than 16 headers");
	memset(text, 'n', 4999);
	text[4999] = '\0';
	tar_put_as(&recipe, "././@LongLink", 'L', text);
	tar_put(&recipe, "x.jpg", "1");
	expect_refusal(0, "a name of 4999 characters");
	tar_put_as(&recipe, "PaxHeaders/x", 'x', "99 path=x.jpg\n");
	tar_put(&recipe, "x.jpg", "1");
	expect_refusal(0, "pax record");
	free(text);
}

/* Folders with names that need a header of their own. */
static void headers_are_counted_for_each_member_alone(void **state)
{
	struct tar_walk walk;

	(void)state;
	for (int i = 0; i < 20; i++) {
		tar_put_as(&recipe, "././@LongLink", 'L', "folder/");
		tar_put_as(&recipe, "folder/", '5', "");
	}
	tar_put(&recipe, "x.jpg", "1");
	open_walk(&walk);
	expect_member(&walk, "x.jpg", 20 * 3 * 512 + 512, 1);
	close_walk(&walk);
}

static void compressed_archives_are_refused_with_their_kind(void **state)
{
	static const struct {
		const char *begin, *words;
	} kinds[] = {{"\x1f\x8b\x08", "gzip"},
	             {"\x28\xb5\x2f\xfd", "zstd"},
	             {"BZh9", "bzip2"},
	             {"\xfd"
	              "7zXZ",
	              "xz"},
	             {"\x04\x22\x4d\x18", "lz4"}};

	(void)state;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		memcpy(recipe.bytes, kinds[i].begin, strlen(kinds[i].begin));
		recipe.byte_count = 10240;
		expect_refusal(UINT64_MAX, kinds[i].words);
	}
}

/* Labels lie between images: what the window holds is used, and what it does not hold is read. */
static void bytes_are_right_inside_and_outside_of_the_window(void **state)
{
	struct tar_walk walk;
	char bytes[9000];

	(void)state;
	for (size_t i = 0; i < 40000; i++)
		recipe.bytes[i] = (uint8_t)(i * 2654435761u >> 24);
	recipe.byte_count = 40000;
	open_walk(&walk);
	for (uint64_t offset = 0; offset < 40000; offset += 701) {
		for (size_t count = 0; count <= 9000 && offset + count <= 40000; count += 1 + count / 2) {
			assert_int_equal(tar_walk_read(&walk, offset, bytes, count, NULL), 0);
			for (size_t i = 0; i < count; i++)
				assert_int_equal((uint8_t)bytes[i], (uint8_t)((offset + i) * 2654435761u >> 24));
		}
	}
	assert_int_equal(ftruncate(walk.fd, 1000), 0);
	assert_int_equal(tar_walk_read(&walk, 20000, bytes, 9000, NULL), -EINVAL);
	assert_int_equal(tar_walk_read(&walk, 20000, bytes, 512, NULL), -EINVAL);
	assert_int_equal(tar_walk_read(&walk, 20000, bytes, 512, NULL), -EINVAL); /* nor is it remembered */
	close_walk(&walk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_found_and_folders_passed_over),
		cmocka_unit_test(long_names_come_in_headers_of_their_own),
		cmocka_unit_test(a_global_header_tells_of_all_that_follow_but_one_that_has_its_own),
		cmocka_unit_test(the_end_may_be_missing_or_half_of_it),
		cmocka_unit_test(a_cut_archive_is_refused_where_it_is_cut),
		cmocka_unit_test(sizes_beyond_the_archive_are_refused_however_large),
		cmocka_unit_test(bytes_that_are_no_header_are_refused),
		cmocka_unit_test(what_is_no_file_is_refused_by_its_name),
		cmocka_unit_test(names_that_lead_out_are_refused),
		cmocka_unit_test(headers_before_a_member_are_bounded),
		cmocka_unit_test(headers_are_counted_for_each_member_alone),
		cmocka_unit_test(compressed_archives_are_refused_with_their_kind),
		cmocka_unit_test(bytes_are_right_inside_and_outside_of_the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
