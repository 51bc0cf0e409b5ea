/* Tests of loader/plan/tar/tar_samples.c: which members are one sample, which of them is its image, and what its label is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/plan/tar/tar_samples.h"
#include "tests/tar_recipe.h"

static struct tar_recipe recipe;
static struct tar_samples samples;

/* The shard in `recipe`, into `samples`. */
static void read_with(const char *target_extension)
{
	struct err err = {""};
	int fd = tar_fd(&recipe);

	tar_samples_close(&samples);
	if (tar_samples_read(&samples, fd, "x.tar", target_extension, &err) != 0)
		fail_msg("%s", err.text);
	close(fd);
}

static void expect_refusal(const char *target_extension, const char *words)
{
	struct err err = {""};
	int fd = tar_fd(&recipe);

	tar_samples_close(&samples);
	assert_int_equal(tar_samples_read(&samples, fd, "x.tar", target_extension, &err), -EINVAL);
	if (!strstr(err.text, words))
		fail_msg("\"%s\", expected \"%s\"", err.text, words);
	close(fd);
}

static void expect_sample(size_t number, uint64_t offset, uint64_t length, const char *label)
{
	const struct tar_sample *sample = &samples.sample[number];

	assert_true(number < samples.count);
	assert_int_equal(sample->offset, offset);
	assert_int_equal(sample->length, length);
	if (label)
		assert_string_equal(samples.labels + sample->label_at, label);
	else
		assert_int_equal(sample->label_at, TAR_NO_LABEL);
}

static int close_samples(void **state)
{
	(void)state;
	tar_samples_close(&samples);
	return 0;
}

static void members_of_one_key_that_follow_one_another_are_a_sample(void **state)
{
	uint64_t a, b, c, d, e, f;

	(void)state;
	a = tar_put(&recipe, "1.jpg", "a");
	tar_put(&recipe, "1.cls", "7");
	tar_put(&recipe, "2.cls", "8"); /* the label may come first */
	b = tar_put(&recipe, "2.JPEG", "bb");
	c = tar_put(&recipe, "x/1.png", "ccc");  /* the folder belongs to the key */
	d = tar_put(&recipe, "y.z/1.webp", "d"); /* and its dots to the folder */
	tar_put(&recipe, "y.z/1.txt", "words");
	e = tar_put(&recipe, "1.bmp", "e");   /* again, but not beside the first */
	f = tar_put(&recipe, "10.tiff", "f"); /* 1 is where this one begins */
	tar_put_end(&recipe);
	read_with(NULL);
	assert_int_equal(samples.count, 6);
	assert_int_equal(samples.imageless_count, 0);
	expect_sample(0, a, 1, "7");
	expect_sample(1, b, 2, "8");
	expect_sample(2, c, 3, NULL);
	expect_sample(3, d, 1, NULL);
	expect_sample(4, e, 1, NULL);
	expect_sample(5, f, 1, NULL);
}

static void what_is_no_member_of_a_sample_is_passed_over(void **state)
{
	uint64_t a;

	(void)state;
	tar_put(&recipe, "__meta__", "");
	tar_put(&recipe, "__info__/1.jpg", "");
	tar_put(&recipe, "__0__.jpg", "z"); /* a name like others, as it does not end so */
	a = tar_put(&recipe, "1.jpg", "a");
	tar_put(&recipe, ".DS_Store", "");
	tar_put(&recipe, "._1.jpg", "another system's notes on 1.jpg");
	tar_put(&recipe, "x/.hidden.jpg", "");
	tar_put(&recipe, "README", "");
	tar_put(&recipe, "1.cls", "3");
	read_with(NULL);
	assert_int_equal(samples.count, 2);
	expect_sample(1, a, 1, "3");
	assert_int_equal(samples.imageless_count, 0);
}

static void samples_without_an_image_are_left_out_and_counted(void **state)
{
	uint64_t a;

	(void)state;
	tar_put(&recipe, "1.txt", "words");
	tar_put(&recipe, "1.cls", "no label, for nobody asks");
	a = tar_put(&recipe, "2.jpg", "a");
	tar_put(&recipe, "3.json", "}{");
	read_with(NULL);
	assert_int_equal(samples.count, 1);
	assert_int_equal(samples.imageless_count, 2);
	expect_sample(0, a, 1, NULL);
	tar_put(&recipe, "1.txt", "words");
	read_with(NULL);
	assert_int_equal(samples.count, 0);
	assert_int_equal(samples.imageless_count, 1);
}

static void the_image_is_the_one_with_the_plain_extension_or_the_only_one(void **state)
{
	uint64_t a, b;

	(void)state;
	tar_put(&recipe, "1.seg.png", "s");
	a = tar_put(&recipe, "1.jpg", "aa");
	tar_put(&recipe, "1.depth.png", "d");
	b = tar_put(&recipe, "2.input.jpg", "b");
	read_with(NULL);
	assert_int_equal(samples.count, 2);
	expect_sample(0, a, 2, NULL);
	expect_sample(1, b, 1, NULL);

	tar_put(&recipe, "1.jpg", "a");
	tar_put(&recipe, "1.png", "b");
	expect_refusal(NULL, "x.tar at byte 1024: sample 1: a second image");
	tar_put(&recipe, "1.left.jpg", "a");
	tar_put(&recipe, "1.right.jpg", "b");
	expect_refusal(NULL, "a second image");
	tar_put(&recipe, "1.jpg", "a");
	tar_put(&recipe, "1.JPG", "b");
	expect_refusal(NULL, "a second image");
}

static void the_target_is_the_member_with_its_extension(void **state)
{
	uint64_t a, b, at;

	(void)state;
	a = tar_put(&recipe, "1.jpg", "aa");
	at = tar_put(&recipe, "1.Seg.PNG", "sss");
	tar_put(&recipe, "2.txt", "");
	b = tar_put(&recipe, "3.png", "b"); /* may be plain, too, beside an image of another kind */
	tar_put(&recipe, "3.seg.png", "");
	read_with("seg.png");
	assert_int_equal(samples.count, 2);
	expect_sample(0, a, 2, NULL);
	assert_int_equal(samples.sample[0].target_offset, at);
	assert_int_equal(samples.sample[0].target_length, 3);
	expect_sample(1, b, 1, NULL);
	assert_int_equal(samples.sample[1].target_length, 0);

	a = tar_put(&recipe, "1.jpg", "aa");
	at = tar_put(&recipe, "1.png", "sss");
	read_with("png");
	expect_sample(0, a, 2, NULL);
	assert_int_equal(samples.sample[0].target_offset, at);

	tar_put(&recipe, "1.jpg", "aa");
	expect_refusal("seg.png", "sample 1: no .seg.png, which --targets names");
	tar_put(&recipe, "1.jpg", "aa");
	tar_put(&recipe, "1.seg.png", "a");
	tar_put(&recipe, "1.seg.png", "b");
	expect_refusal("seg.png", "a second .seg.png");
}

/* A sample with this .cls, or this .json, or both. */
static void put_labelled(const char *cls, const char *json)
{
	tar_put(&recipe, "1.jpg", "a");
	if (cls)
		tar_put(&recipe, "1.cls", cls);
	if (json)
		tar_put(&recipe, "1.json", json);
}

static void expect_label(const char *cls, const char *json, const char *label)
{
	put_labelled(cls, json);
	read_with(NULL);
	assert_int_equal(samples.count, 1);
	expect_sample(0, 512, 1, label);
}

static void labels_come_from_cls_or_from_json(void **state)
{
	(void)state;
	expect_label("7", NULL, "7");
	expect_label("  -12 \r\n", NULL, "-12");
	expect_label("tabby cat\n", NULL, "tabby cat");
	expect_label("7", "{\"label\": 8}", "7");
	expect_label("7", "}{", "7"); /* which is not even read then */
	expect_label(NULL, "{\"label\": 8, \"cls\": 9}", "8");
	expect_label(NULL, "{\"cls\": \"k\\u00e4tzchen\"}", "k\xc3\xa4tzchen");
	expect_label(NULL, "{\"label\": null, \"cls\": 9}", NULL);
	expect_label(NULL, "{\"caption\": \"a cat\"}", NULL);
	expect_label(NULL, "[1, 2]", NULL);
	expect_label(NULL, "3", NULL);
	expect_label(NULL, NULL, NULL);
}

static void labels_that_cannot_be_right_are_refused(void **state)
{
	static const char *const json[] = {"",
	                                   "{",
	                                   "{\"label\": 1.5}",
	                                   "{\"label\": [1]}",
	                                   "{\"label\": true}",
	                                   "{\"cls\": \"\"}",
	                                   "{\"label\": 99999999999999999999}",
	                                   "{\"label\": \"a\\u0000b\"}",
	                                   "{\"label\": \"\xff\"}"};
	char long_text[5000];

	(void)state;
	for (size_t i = 0; i < sizeof json / sizeof *json; i++) {
		put_labelled(NULL, json[i]);
		expect_refusal(NULL, "x.tar at byte 1024: sample 1: ");
	}
	put_labelled("", NULL);
	expect_refusal(NULL, "its .cls is empty");
	put_labelled(" \n", NULL);
	expect_refusal(NULL, "its .cls is empty");
	put_labelled("a\nb", NULL);
	expect_refusal(NULL, "holds the byte 10");
	memset(long_text, '7', sizeof long_text);
	long_text[4999] = '\0';
	put_labelled(long_text, NULL);
	expect_refusal(NULL, "its .cls has 4999 bytes");
	tar_put(&recipe, "1.jpg", "a");
	tar_put(&recipe, "1.cls", "1");
	tar_put(&recipe, "1.cls", "2");
	expect_refusal(NULL, "a second .cls");
	tar_put(&recipe, "1.jpg", "a");
	tar_put_header(&recipe, "1.json", '0', (1 << 20) + 1);
	recipe.byte_count += (1 << 20) + 512;
	expect_refusal(NULL, "its .json has 1048577 bytes");
}

static void equal_labels_side_by_side_take_memory_once(void **state)
{
	char name[32];

	(void)state;
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof name, "%d.jpg", i);
		tar_put(&recipe, name, "a");
		snprintf(name, sizeof name, "%d.cls", i);
		tar_put(&recipe, name, i < 250 ? "cat" : "dog");
	}
	read_with(NULL);
	assert_int_equal(samples.count, 500);
	assert_int_equal(samples.labels_bytes, 8);
	expect_sample(249, 249 * 2048 + 512, 1, "cat");
	expect_sample(499, 499 * 2048 + 512, 1, "dog");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_of_one_key_that_follow_one_another_are_a_sample),
		cmocka_unit_test(what_is_no_member_of_a_sample_is_passed_over),
		cmocka_unit_test(samples_without_an_image_are_left_out_and_counted),
		cmocka_unit_test(the_image_is_the_one_with_the_plain_extension_or_the_only_one),
		cmocka_unit_test(the_target_is_the_member_with_its_extension),
		cmocka_unit_test(labels_come_from_cls_or_from_json),
		cmocka_unit_test(labels_that_cannot_be_right_are_refused),
		cmocka_unit_test(equal_labels_side_by_side_take_memory_once),
	};

	return cmocka_run_group_tests(tests, NULL, close_samples);
}
