/* Formats by their first bytes, and what the decoder says about those that it does not read.  One thread. */
#include "loader/decode/sniff.h"
#include "tests/decode_check.h"

#define FILE_OF(text) file_copy((const uint8_t *)text, sizeof text - 1)

static void check_format(struct file file, enum image_format format, const char *name)
{
	const char *found = "untouched";

	assert_int_equal(sniff(file.bytes, file.byte_count, &found), format);
	if (name)
		assert_string_equal(found, name);
	else
		assert_null(found);
	free(file.bytes);
}

static void the_three_formats_are_known_by_their_magic(void **state)
{
	(void)state;
	check_format(FILE_OF("\xff\xd8\xff\xe0"), IMAGE_JPEG, "JPEG");
	check_format(FILE_OF("\xff\xd8\xff"), IMAGE_JPEG, "JPEG");
	check_format(FILE_OF("\x89PNG\r\n\x1a\n"), IMAGE_PNG, "PNG");
	check_format(FILE_OF("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), IMAGE_BMP, "BMP");
}

static void other_image_formats_have_a_name(void **state)
{
	(void)state;
	check_format(FILE_OF("RIFF\x24\0\0\0WEBPVP8 "), IMAGE_OTHER, "WebP");
	check_format(FILE_OF("GIF89a"), IMAGE_OTHER, "GIF");
	check_format(FILE_OF("GIF87a"), IMAGE_OTHER, "GIF");
	check_format(FILE_OF("II*\0\x08\0\0\0"), IMAGE_OTHER, "TIFF");
	check_format(FILE_OF("MM\0*\0\0\0\x08"), IMAGE_OTHER, "TIFF");
	check_format(FILE_OF("P6\n4 4\n255\n"), IMAGE_OTHER, "PPM");
	check_format(FILE_OF("P5 4 4 255 "), IMAGE_OTHER, "PGM");
	check_format(FILE_OF("P1\n4 4\n"), IMAGE_OTHER, "PBM");
	check_format(FILE_OF("\0\0\0\x1c"
	                     "ftypavif"),
	             IMAGE_OTHER, "AVIF");
	check_format(FILE_OF("\0\0\0\x0cJXL \r\n"), IMAGE_OTHER, "JPEG XL");
}

static void what_only_resembles_a_format_is_unknown(void **state)
{
	(void)state;
	check_format(FILE_OF(""), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("\xff\xd8"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("\x89PNG\r\n\x1a"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("\x89PNG\n\n\x1a\n"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("RIFF\x24\0\0\0WAVEfmt "), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("RIFF\x24\0\0\0WEB"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("BMW and other cars, a list"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("P7\n"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("P6"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("P6\0"), IMAGE_UNKNOWN, NULL);
	check_format(FILE_OF("<!DOCTYPE html>"), IMAGE_UNKNOWN, NULL);
}

static void the_decoder_names_the_format_that_it_does_not_read(void **state)
{
	struct decoder *decoder = open_decoder();
	struct file webp = FILE_OF("RIFF\x24\0\0\0WEBPVP8 "), text = FILE_OF("hello");
	struct image_info info;

	(void)state;
	check_probe_fails(decoder, webp, ITEM_UNSUPPORTED);
	assert_string_equal(decoder_reason(decoder), "a WebP file, which is not read");
	check_probe_fails(decoder, text, ITEM_NOT_AN_IMAGE);
	assert_string_equal(decoder_reason(decoder), "starts like no image format (first byte 0x68)");
	assert_int_equal(decode_probe(decoder, &(struct file_bytes){.data = text.bytes}, &info), ITEM_EMPTY);
	assert_string_equal(decoder_reason(decoder), "");
	free(webp.bytes);
	free(text.bytes);
	decoder_close(decoder);
	decoder_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_three_formats_are_known_by_their_magic),
		cmocka_unit_test(other_image_formats_have_a_name),
		cmocka_unit_test(what_only_resembles_a_format_is_unknown),
		cmocka_unit_test(the_decoder_names_the_format_that_it_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
