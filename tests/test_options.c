/*
 * test_options.c - the command line: values by argv and by variable, and what is refused with which sentence.  Over 500 lines, as the
 * sentences are written out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/options_internal.h"
#include "tests/options_fixture.h"
#include "tests/seed.h"

static void assert_refused(const char *command_line, const char *sentence)
{
	struct options options;

	assert_int_equal(parse(&options, command_line), -EINVAL);
	assert_string_equal(err.text, sentence);
}

/* ------------------------------------------------------------------ values */

static void defaults_are_those_of_the_design(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "photos"), 0);
	assert_string_equal(options.source, "photos");
	assert_int_equal(options.batch_size, 256);
	assert_int_equal(options.epochs, 1);
	assert_int_equal(options.start_epoch, 0);
	assert_int_equal(options.seed, 0);
	assert_true(options.shuffle);
	assert_int_equal(options.tail, TAIL_DROP);
	assert_int_equal(options.start_sample, 0);
	assert_int_equal(options.rank, 0);
	assert_int_equal(options.world_size, 1);
	assert_int_equal(options.height_px, 224);
	assert_int_equal(options.width_px, 224);
	assert_int_equal(options.crop, CROP_RANDOM_RESIZED);
	assert_int_equal(options.short_side_px, 256);
	assert_true(options.scale_min == 0.08 && options.scale_max == 1);
	assert_true(options.ratio_min == 0.75 && options.ratio_max == 1.3333);
	assert_true(options.hflip == 0.5);
	assert_int_equal(options.resample, RESAMPLE_BILINEAR);
	assert_int_equal(options.fidelity, FIDELITY_EXACT);
	assert_int_equal(options.orientation, ORIENTATION_RAW);
	assert_int_equal(options.channels, 3);
	assert_int_equal(options.dtype, CONVERT_UINT8);
	assert_int_equal(options.layout, CONVERT_NHWC);
	assert_false(options.normalise);
	assert_null(options.ring);
	assert_null(options.socket_path);
	assert_int_equal(options.slots, 0);
	assert_int_equal(options.segment, SHMRING_SEGMENT_AUTO);
	assert_int_equal(options.share, SHMRING_SPLIT);
	assert_int_equal(options.readers, 1);
	assert_int_equal(options.threads, 0);
	assert_null(options.cpus);
	assert_int_equal(options.nice, 0);
	assert_int_equal(options.io, FETCH_AUTO);
	assert_int_equal(options.io_depth, 64);
	assert_int_equal(options.on_error, ON_ERROR_SUBSTITUTE);
	assert_int_equal(options.max_pixels, 268435456);
	assert_int_equal(options.max_file_bytes, 268435456);
	assert_int_equal(options.item_timeout_ms, 30000);
	assert_int_equal(options.verbosity, 0);
	assert_int_equal(options.log_format, LOG_TEXT);
	assert_null(options.stats_path);
	assert_int_equal(options.first_batch, 0);
	assert_null(options.crashed);
	assert_int_equal(options.reader_fd, -1);
}

static void choices_stand_in_the_order_of_their_enums(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options,
	                       "--tail pad --crop resize --resample lanczos --fidelity fast --orientation exif --dtype float16 "
	                       "--layout nchw --segment memfd --share broadcast --io pread --on-error stop --log json p"),
	                 0);
	assert_int_equal(options.tail, TAIL_PAD);
	assert_int_equal(options.crop, CROP_RESIZE);
	assert_int_equal(options.resample, RESAMPLE_LANCZOS);
	assert_int_equal(options.fidelity, FIDELITY_FAST);
	assert_int_equal(options.orientation, ORIENTATION_EXIF);
	assert_int_equal(options.dtype, CONVERT_FLOAT16);
	assert_int_equal(options.layout, CONVERT_NCHW);
	assert_int_equal(options.segment, SHMRING_SEGMENT_MEMFD);
	assert_int_equal(options.share, SHMRING_BROADCAST);
	assert_int_equal(options.io, FETCH_PREAD);
	assert_int_equal(options.on_error, ON_ERROR_STOP);
	assert_int_equal(options.log_format, LOG_JSON);
	assert_int_equal(parse(&options,
	                       "--tail partial --crop center --resample nearest --dtype float32 --segment shm --share lanes "
	                       "--io uring --on-error zero p"),
	                 0);
	assert_int_equal(options.tail, TAIL_PARTIAL);
	assert_int_equal(options.crop, CROP_CENTER);
	assert_int_equal(options.resample, RESAMPLE_NEAREST);
	assert_int_equal(options.dtype, CONVERT_FLOAT32);
	assert_int_equal(options.segment, SHMRING_SEGMENT_SHM);
	assert_int_equal(options.share, SHMRING_LANES);
	assert_int_equal(options.io, FETCH_URING);
	assert_int_equal(options.on_error, ON_ERROR_ZERO);
}

static void letters_cluster_and_join_their_values(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "-vb16 p -e 3 -s100x200 -j4"), 0);
	assert_int_equal(options.verbosity, 1);
	assert_int_equal(options.batch_size, 16);
	assert_int_equal(options.epochs, 3);
	assert_int_equal(options.height_px, 100);
	assert_int_equal(options.width_px, 200);
	assert_int_equal(options.threads, 4);
	assert_string_equal(options.source, "p");
}

static void one_mean_serves_every_channel(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--dtype float32 --mean 0.5 p"), 0);
	assert_true(options.normalise);
	for (size_t i = 0; i < 3; i++)
		assert_true(options.mean[i] == 0.5f && options.std[i] == 1);
	assert_int_equal(parse(&options, "--dtype float16 --std 0.25,0.5,2 p"), 0);
	assert_true(options.normalise && options.mean[2] == 0);
	assert_true(options.std[0] == 0.25f && options.std[1] == 0.5f && options.std[2] == 2);
	assert_int_equal(parse(&options, "--dtype float32 --mean -1e-3,0,1 --std 1 --no-shuffle p"), 0);
	assert_true(options.mean[0] == -0.001f);
	assert_false(options.shuffle);
	assert_int_equal(parse(&options, "--mean 0.5 --std 0.5 --channels 1 --dtype float32 p"), 0); /* in any order */
}

static void quantities_take_powers_of_1024(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--max-pixels 4G --max-file-bytes 3K p"), 0);
	assert_true(options.max_pixels == UINT64_C(4) << 30);
	assert_int_equal(options.max_file_bytes, 3072);
	assert_int_equal(parse(&options, "--max-pixels 2M p"), 0);
	assert_int_equal(options.max_pixels, 2097152);
}

static void short_side_follows_the_larger_side(void **state)
{
	static const struct {
		const char *command_line;
		uint32_t short_side_px;
	} cases[] = {
		{"p", 256},
		{"--size 299 p", 342},
		{"--size 7 p", 8},
		{"--size 1 p", 1},
		{"--size 112x224 p", 256},
		{"--size 224x96 p", 256},
		{"--size 8192 p", 9362},
		{"--crop center --short-side 232 p", 232},
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(parse(&options, cases[i].command_line), 0);
		assert_int_equal(options.short_side_px, cases[i].short_side_px);
	}
}

static void the_later_of_two_flags_counts(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--epochs 3 --epochs 4 --shuffle --no-shuffle -v -q p"), 0);
	assert_int_equal(options.epochs, 4);
	assert_false(options.shuffle);
	assert_int_equal(options.verbosity, -1);
	assert_int_equal(parse(&options, "-q --no-shuffle --shuffle -v p"), 0);
	assert_true(options.shuffle);
	assert_int_equal(options.verbosity, 1);
}

/* ------------------------------------------------------------------ refusals */

static void numbers_are_read_strictly(void **state)
{
	static const char *const bad[] = {
		"12x",   "",    "1e99", "-1", "+1", "0x10", "1.0", "65537", "0", "18446744073709551872", "99999999999999999999999",
		"1_000", "\t1", "1K",
	};
	static const char *const bad_real[] = {"", "nan", "inf", "0x1", "1e", ".", "-0.5", "2", "1e99", "0.5x", "0.5,0.5", "+0.5"};
	static const char *const bad_quantity[] = {"K", "1KB", "1T", "99999999999G", "1 K"};
	struct options options;
	char words[200], sentence[300];
	char *spaced[] = {"serve", "--batch-size", " 5", "p"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		snprintf(words, sizeof words, "--batch-size=%s p", bad[i]);
		snprintf(sentence, sizeof sentence, "--batch-size: '%s' is not a whole number between 1 and 65536", bad[i]);
		assert_refused(words, sentence);
	}
	for (size_t i = 0; i < sizeof bad_real / sizeof bad_real[0]; i++) {
		snprintf(words, sizeof words, "--hflip=%s p", bad_real[i]);
		snprintf(sentence, sizeof sentence, "--hflip: '%s' is not a number between 0 and 1", bad_real[i]);
		assert_refused(words, sentence);
	}
	assert_int_equal(options_parse(&options, 4, spaced, NULL), -EINVAL);
	assert_refused("--seed 18446744073709551616 p",
	               "--seed: '18446744073709551616' is not a whole number between 0 and 18446744073709551615");
	assert_refused("--max-file-bytes 3G p",
	               "--max-file-bytes: '3G' is not a whole number between 1 and 2G; K, M and G stand for powers of 1024");
	for (size_t i = 0; i < sizeof bad_quantity / sizeof bad_quantity[0]; i++)
		assert_int_equal(options_value_set(&options, &options_flags[OPTION_MAX_PIXELS], "x", bad_quantity[i], NULL),
		                 -EINVAL);
}

static void sizes_pairs_and_lists_are_read_strictly(void **state)
{
	static const struct {
		const char *flag, *values[12];
	} bad[] = {
		{"--size", {"224x", "x224", "0", "8193", "1x2x3", "224X224", "224,224", "000000224"}},
		{"--scale", {"0.5", "0,1", "0.5,0.2", "0.5,1.1", "0.1,0.2,0.3", "0.1,", ",1"}},
		{"--ratio", {"1,101", "nan,1", "-1,1"}},
		{"--mean", {"1,2", "1,2,3,4", "1,,3", "inf", "2e6", "", ","}},
		{"--std", {"0", "-1", "1,1,0", "1e-40"}},
		{"--channels", {"2", "1|3", "", "|"}},
		{"--tail", {"Drop", "drop|pad", "dro", "drops", "", "|"}},
		{"--slots", {"1", "2", "65"}},
		{"--nice", {"-5", "20"}},
		{"--ring", {"a/b", "", "a b", "0123456789012345678901234567890x"}},
		{"--stats", {""}},
		{"--cpus", {""}},
		{"--socket", {""}},
		{"--readers", {"0", "25"}},
		{"--io-depth", {"0"}},
		{"--epochs", {"4294967297", "", "K"}},
	};
	struct options options;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		for (size_t j = 0; bad[i].values[j]; j++) {
			char *words[] = {"serve", (char *)bad[i].flag, (char *)bad[i].values[j], "p", "--dtype=float32"};

			err.text[0] = '\0';
			if (options_parse(&options, 5, words, &err) != -EINVAL)
				fail_msg("%s '%s' was taken", bad[i].flag, bad[i].values[j]);
			assert_memory_equal(err.text, bad[i].flag, strlen(bad[i].flag));
		}
	}
}

static void refusals_say_what_is_wanted(void **state)
{
	(void)state;
	assert_refused("--batch-size 12x p", "--batch-size: '12x' is not a whole number between 1 and 65536");
	assert_refused("--slots 2 p", "--slots: '2' is not a whole number between 3 and 64, or 0 to choose one");
	assert_refused("--size 9x9x9 p",
	               "--size: '9x9x9' is not a side in pixels or HEIGHTxWIDTH, each a whole number between 1 and 8192");
	assert_refused("--scale 0,1 p", "--scale: '0,1' is not MIN,MAX with 0 < MIN <= MAX <= 1");
	assert_refused("--dtype float32 --mean 1,2 p",
	               "--mean: '1,2' is not one number or 3 with commas between them, each between -1000000 and 1000000");
	assert_refused("--dtype float32 --channels 1 --std 1,2,3 p",
	               "--std: '1,2,3' is not one number between 0.000001 and 1000000");
	assert_refused("--tail cut p", "--tail: 'cut' is not drop, pad or partial");
	assert_refused("--ring a/b p", "--ring: 'a/b' is not a name of 1 to 31 of the characters A-Z a-z 0-9 . _ -");
	assert_refused("", "no SOURCE was given: name a folder of images, a manifest or tar shards");
	assert_refused("a b", "one SOURCE is served, but both 'a' and 'b' were given");
}

static void unknown_flags_are_named_with_the_nearest(void **state)
{
	(void)state;
	assert_refused("--bach-size 3 p", "unknown flag '--bach-size'; did you mean --batch-size?");
	assert_refused("p --batch_size=3", "unknown flag '--batch_size'; did you mean --batch-size?");
	assert_refused("--timeout 3 p", "unknown flag '--timeout'; did you mean --item-timeout-ms?");
	assert_refused("--no-shufle p", "unknown flag '--no-shufle'; did you mean --no-shuffle?");
	assert_refused("--workers 3 p", "unknown flag '--workers'");
	assert_refused("--ki 3 p", "unknown flag '--ki'"); /* half of a short word is too much */
	assert_refused("--readr-fd 3 p", "unknown flag '--readr-fd'");
	assert_refused("--reader 3 p", "unknown flag '--reader'; did you mean --readers?"); /* never the hidden one */
	assert_refused("-x p", "unknown flag '-x'");
	assert_refused("-vx p", "unknown flag '-x'");
	assert_refused("-vxq p", "unknown flag '-x'");
	assert_refused("--seed 3 -xv p", "unknown flag '-x'");
	assert_refused("--batch-size", "--batch-size needs a value: --batch-size N");
	assert_refused("p -vb", "-b needs a value: -b N");
	assert_refused("--shuffle=yes p", "--shuffle takes no value");
	assert_refused("--no-shuffle=1 p", "--no-shuffle takes no value");
}

static void flags_that_contradict_each_other_are_refused(void **state)
{
	struct options options;

	(void)state;
	assert_refused("--rank 2 --world-size 2 p", "--rank 2 is not below --world-size 2; ranks count from 0");
	assert_refused("--mean 0.5 p", "--mean and --std need --dtype float32 or float16; with uint8, pixels stay as they are");
	assert_refused("--std 1 p", "--mean and --std need --dtype float32 or float16; with uint8, pixels stay as they are");
	assert_refused("--crop center --short-side 223 p",
	               "--short-side 223 is smaller than the 224x224 of --size; raise it to 224 or more");
	assert_int_equal(parse(&options, "--crop center --short-side 224 p"), 0);
	assert_refused("--short-side 100 p", "--short-side is for --crop center only; leave it out, or choose that crop");
	assert_refused("--crop center --scale 0.5,1 p",
	               "--scale is for --crop random-resized only; leave it out, or choose that crop");
	assert_refused("--ratio 0.5,1 --crop resize p",
	               "--ratio is for --crop random-resized only; leave it out, or choose that crop");
	setenv("CROPRING_SCALE", "0.5,1", 1); /* a variable may be meant for other runs */
	assert_int_equal(parse(&options, "--crop center p"), 0);
	unsetenv("CROPRING_SCALE");
	assert_refused("--slots 3 --readers 3 p", "--slots 3 is too few for --readers 3: each keeps a batch while it asks for the "
	                                          "next, and one is being filled; give 4 or more");
	assert_int_equal(parse(&options, "--slots 4 --readers 3 p"), 0);
	assert_refused("--stalled-reader expel p",
	               "--stalled-reader expel is for --share broadcast only: without the reader, its lane would still wait, "
	               "and split does not wait");
	assert_int_equal(parse(&options, "--stalled-reader expel --share broadcast p"), 0);
	assert_refused("--socket here p", "--socket here: a path with a '/' is expected, such as ./here");
}

static void the_parents_socket_is_known_whatever_else_is_wrong(void **state)
{
	static const char *const command_lines[] = {"--bogus --reader-fd 7 p", "--reader-fd=7", "-b x --reader-fd=7 p",
	                                            "a b --reader-fd 7"};
	struct options options;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(parse(&options, command_lines[i]), -EINVAL);
		assert_int_equal(options.reader_fd, 7);
	}
	assert_int_equal(parse(&options, "p --reader-fd 9"), 0);
	assert_int_equal(options.reader_fd, 9);
	assert_refused("--reader-fd x p", "--reader-fd: 'x' is not a whole number between 0 and 1048576");
	assert_int_equal(parse(&options, "-- --reader-fd=7"), 0); /* a folder of that name */
	assert_int_equal(options.reader_fd, -1);
}

static void a_worker_is_told_where_another_died_and_on_which_samples(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "--first-batch 18446744073709551615 --crashed 17,4 p"), 0);
	assert_true(options.first_batch == UINT64_MAX);
	assert_string_equal(options.crashed, "17,4");
	assert_int_equal(parse(&options, "--crashed=0 p"), 0);
	assert_string_equal(options.crashed, "0");
	assert_refused("--crashed 1,,2 p", "--crashed: '1,,2' is not whole numbers with commas between them");
	assert_refused("--crashed 1, p", "--crashed: '1,' is not whole numbers with commas between them");
	assert_refused("--crashed -1 p", "--crashed: '-1' is not whole numbers with commas between them");
	assert_refused("--crashed 18446744073709551616 p",
	               "--crashed: '18446744073709551616' is not whole numbers with commas between them");
	setenv("CROPRING_CRASHED", "3", 1);
	setenv("CROPRING_FIRST_BATCH", "3", 1);
	assert_int_equal(parse(&options, "p"), 0);
	assert_null(options.crashed);
	assert_int_equal(options.first_batch, 0);
	unsetenv("CROPRING_CRASHED");
	unsetenv("CROPRING_FIRST_BATCH");
}

static void ranks_that_share_a_worker_have_a_lane_each(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse(&options, "p"), 0);
	assert_int_equal(options.lane_ranks, 1);
	assert_int_equal(parse(&options, "--rank 2 --world-size 4 --lane-ranks 2 --share lanes --readers 2 p"), 0);
	assert_int_equal(options.lane_ranks, 2);
	assert_refused("--world-size 4 --lane-ranks 2 --readers 2 p",
	               "--lane-ranks 2 needs --share lanes and --readers 2: a lane for each rank");
	assert_refused("--world-size 4 --lane-ranks 2 --share lanes --readers 3 p",
	               "--lane-ranks 2 needs --share lanes and --readers 2: a lane for each rank");
	assert_refused("--rank 3 --world-size 4 --lane-ranks 2 --share lanes --readers 2 p",
	               "--rank 3 and --lane-ranks 2 go beyond --world-size 4");
}

/* ------------------------------------------------------------------ environment */

static void requests_need_somebody_who_asks(void **state)
{
	struct options options;

	(void)state;
	assert_refused("--requests samples photos",
	               "--requests samples needs --reader-fd: only the process that started this one can ask");
	assert_int_equal(parse(&options, "--requests paths --reader-fd 3 /"), 0);
	assert_refused("--requests paths --reader-fd 3 --targets masks /",
	               "--targets goes with samples of a SOURCE; files that are named one by one have none");
	assert_int_equal(options.requests, REQUESTS_PATHS);
	assert_int_equal(parse(&options, "photos"), 0);
	assert_int_equal(options.requests, REQUESTS_NONE);
}

static void variables_are_the_second_choice(void **state)
{
	struct options options;

	(void)state;
	setenv("CROPRING_BATCH_SIZE", "64", 1);
	setenv("CROPRING_SHUFFLE", "no", 1);
	setenv("CROPRING_QUIET", "1", 1);
	setenv("CROPRING_EPOCHS", "", 1);
	setenv("CROPRING_READER_FD", "5", 1);
	setenv("CROPRING_WHAT_IS_THIS", "5", 1);
	assert_int_equal(parse(&options, "p"), 0);
	assert_int_equal(options.batch_size, 64);
	assert_false(options.shuffle);
	assert_int_equal(options.verbosity, -1);
	assert_int_equal(options.epochs, 1);
	assert_int_equal(options.reader_fd, -1);
	assert_int_equal(parse(&options, "-b 5 --shuffle -v p"), 0);
	assert_int_equal(options.batch_size, 5);
	assert_true(options.shuffle);
	assert_int_equal(options.verbosity, 1);
	unsetenv("CROPRING_WHAT_IS_THIS");
}

static void refused_variables_are_named(void **state)
{
	struct options options;

	(void)state;
	setenv("CROPRING_BATCH_SIZE", "12x", 1);
	assert_refused("p", "CROPRING_BATCH_SIZE: '12x' is not a whole number between 1 and 65536");
	assert_int_equal(parse(&options, "-b 3 p"), 0); /* not asked for */
	setenv("CROPRING_SHUFFLE", "maybe", 1);
	assert_refused("-b 3 p", "CROPRING_SHUFFLE: 'maybe' is not yes or no");
}

static void switches_are_yes_or_no_in_every_common_spelling(void **state)
{
	static const char *const spellings[] = {"0", "1", "no", "yes", "off", "on", "false", "true"};
	struct options options;

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		setenv("CROPRING_SHUFFLE", spellings[i], 1);
		assert_int_equal(parse(&options, "p"), 0);
		assert_int_equal(options.shuffle, i % 2);
	}
}

/* ------------------------------------------------------------------ anything at all */

/* Neither these words nor their beginnings may be --help or --version, which exit. */
static void any_words_give_options_or_a_sentence(void **state)
{
	static const char *const pieces[] = {"--",   "-",    "b",       "v",    "x",    "=",         "1",   "0",     ",",
	                                     "no-",  "size", "shuffle", "mean", "99",   "reader-fd", "K",   "s",     ".",
	                                     "\xff", "q",    "crop",    " ",    "tail", "drop",      "--b", "--seed"};
	uint64_t random_state = seed_of_test("any_words_give_options_or_a_sentence");
	size_t parsed = 0;

	(void)state;
	for (size_t round = 0; round < 20000; round++) {
		char text[8][80], *words[9] = {"serve"};
		struct options options;
		int count = (int)seed_between(&random_state, 1, 7), code;

		for (int i = 1; i < count; i++) {
			text[i][0] = '\0';
			for (uint64_t j = seed_between(&random_state, 1, 5); j > 0; j--)
				strcat(text[i], pieces[seed_next(&random_state) % (sizeof pieces / sizeof pieces[0])]);
			words[i] = text[i];
			if (!strncmp(text[i], "--v", 3))
				words[i] = "p";
		}
		err.text[0] = '\0';
		code = options_parse(&options, count, words, &err);
		if (code == 0)
			assert_true(options.source && options.batch_size > 0);
		else
			assert_true(code == -EINVAL && *err.text);
		assert_string_not_equal(err.text, "the command line cannot be read");
		parsed += code == 0;
	}
	assert_true(parsed > 0);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, forget_variables)
	const struct CMUnitTest tests[] = {
		TEST(defaults_are_those_of_the_design),
		TEST(choices_stand_in_the_order_of_their_enums),
		TEST(letters_cluster_and_join_their_values),
		TEST(one_mean_serves_every_channel),
		TEST(quantities_take_powers_of_1024),
		TEST(short_side_follows_the_larger_side),
		TEST(the_later_of_two_flags_counts),
		TEST(numbers_are_read_strictly),
		TEST(sizes_pairs_and_lists_are_read_strictly),
		TEST(refusals_say_what_is_wanted),
		TEST(unknown_flags_are_named_with_the_nearest),
		TEST(flags_that_contradict_each_other_are_refused),
		TEST(the_parents_socket_is_known_whatever_else_is_wrong),
		TEST(a_worker_is_told_where_another_died_and_on_which_samples),
		TEST(ranks_that_share_a_worker_have_a_lane_each),
		TEST(requests_need_somebody_who_asks),
		TEST(variables_are_the_second_choice),
		TEST(refused_variables_are_named),
		TEST(switches_are_yes_or_no_in_every_common_spelling),
		TEST(any_words_give_options_or_a_sentence),
	};

	forget_variables(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
