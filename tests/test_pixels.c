/*
 * test_pixels.c - the same crops on every machine: whichever processor, vectors and compiler, the bytes of rows and their boxes.
 *
 * tests/data/pixels.golden has a line for each photograph with the CRC-32 of what each recipe makes of it.  A line that differs is
 * printed as it is here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "loader/options.h"
#include "loader/run/render.h"

enum { MOST_FLAGS = 8, LINE_BYTES = 256, PHOTOS = 34, SAMPLE = 5 };

/* Flags of `cropring serve`, in the order of the golden file's columns. */
static const char *const recipes[][MOST_FLAGS] = {
	{"--size=96", "--crop=resize", "--resample=nearest"},
	{"--size=96", "--crop=resize", "--resample=box"},
	{"--size=96", "--crop=resize", "--resample=bilinear"},
	{"--size=96", "--crop=resize", "--resample=hamming"},
	{"--size=96", "--crop=resize", "--resample=bicubic"},
	{"--size=96", "--crop=resize", "--resample=lanczos"},
	{"--size=96", "--crop=resize", "--resample=bicubic", "--channels=1"},
	{"--size=64x96", "--crop=random-resized", "--hflip=0.5", "--fidelity=fast", "--orientation=exif"},
	{"--size=96", "--crop=center", "--dtype=float32", "--layout=nchw", "--mean=0.485,0.456,0.406", "--std=0.229,0.224,0.225"},
	{"--size=96", "--crop=random", "--dtype=float16", "--fidelity=fast", "--mean=0.5", "--std=0.25"},
};

enum { RECIPES = sizeof recipes / sizeof recipes[0] };

static void read_photo(const char *name, uint8_t **bytes, size_t *byte_count)
{
	char path[4096];
	FILE *file;

	snprintf(path, sizeof path, "%s/photos/%s", CROPRING_TEST_DATA, name);
	file = fopen(path, "rb");
	if (!file)
		fail_msg("%s is not there", path);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	*byte_count = (size_t)ftell(file);
	rewind(file);
	*bytes = malloc(*byte_count);
	assert_non_null(*bytes);
	assert_int_equal(fread(*bytes, 1, *byte_count, file), *byte_count);
	fclose(file);
}

static void spec_of_recipe(const char *const flags[MOST_FLAGS], struct render_spec *spec)
{
	char *argv[MOST_FLAGS + 2] = {"serve"};
	struct options options;
	struct err err;
	int argc = 1;

	while (argc <= MOST_FLAGS && flags[argc - 1]) {
		argv[argc] = (char *)(uintptr_t)flags[argc - 1];
		argc++;
	}
	argv[argc++] = "photos";
	if (options_parse(&options, argc, argv, &err) < 0)
		fail_msg("%s", err.text);
	render_spec_init(spec, &options);
}

static unsigned long checksum(const struct render_spec *spec, const struct file_bytes *file)
{
	struct renderer *renderer = renderer_open(spec);
	struct crop_ask ask = crop_usual_ask(&spec->crop, 0, SAMPLE);
	uint8_t *image = malloc(spec->image_bytes), flipped;
	struct render_times times;
	int32_t box[4], source_size[2];
	struct render_row row = {.image = image, .box = box, .source_size = source_size, .flipped = &flipped};
	unsigned long crc;

	assert_non_null(renderer);
	assert_non_null(image);
	assert_int_equal(renderer_run(renderer, file, &ask, &row, &times), ITEM_OK);
	crc = crc32(crc32(0, (const uint8_t *)box, sizeof box), &flipped, 1);
	crc = crc32(crc, image, (unsigned)spec->image_bytes);
	free(image);
	renderer_close(renderer);
	return crc;
}

static void every_machine_makes_the_same_pixels(void **state)
{
	struct render_spec specs[RECIPES];
	char line[LINE_BYTES], here[LINE_BYTES];
	int photo_count = 0, different_count = 0;
	FILE *golden = fopen(CROPRING_TEST_DATA "/pixels.golden", "r");

	(void)state;
	assert_non_null(golden);
	for (int i = 0; i < RECIPES; i++)
		spec_of_recipe(recipes[i], &specs[i]);
	for (; fgets(line, sizeof line, golden); photo_count++) {
		size_t byte_count, used = strcspn(line, " \n");
		struct file_bytes file;
		uint8_t *bytes;

		snprintf(here, sizeof here, "%.*s", (int)used, line);
		read_photo(here, &bytes, &byte_count);
		file = file_bytes_whole(bytes, byte_count);
		for (int i = 0; i < RECIPES; i++)
			used += (size_t)snprintf(here + used, sizeof here - used, " %08lx", checksum(&specs[i], &file));
		snprintf(here + used, sizeof here - used, "\n");
		if (strcmp(here, line) != 0) {
			print_error("%s", here);
			different_count++;
		}
		free(bytes);
	}
	fclose(golden);
	assert_int_equal(photo_count, PHOTOS);
	assert_int_equal(different_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_machine_makes_the_same_pixels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
