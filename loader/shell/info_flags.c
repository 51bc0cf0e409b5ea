/* info_flags.c - argv in, struct info_flags out.  One thread, before any work. */
#include "loader/shell/info_flags.h"

#include <assert.h>
#include <errno.h>

#include "loader/options_internal.h"

enum { OWN = OPTIONS_OWN };

#define AT(field) .offset_bytes = offsetof(struct info_flags, field)

static const struct options_row rows[] = {
	/* clang-format off */
	{OPTION_SIZE, {.group = "Crops", .letter = 's', .help = "height and width of the crops whose cost is told, in pixels"}},
	{OWN, {.group = "Crops", .name = "sample", .letter = 'n', .kind = KIND_U32, AT(sample), .default_text = "100", .minimum = "0", .maximum = "1000000",
	       .value = "N", .help = "images whose crops are looked at, spread over all of them; 0: none"}},
	{OPTION_SEED, {.group = "Crops", .help = "chooses these images, and where their random boxes lie"}},
	{OWN, {.group = "Pack", .name = "verify", .kind = KIND_SWITCH, AT(verify), .default_text = "off",
	       .help = "read all of a pack and compare it with its checksums"}},
	{OPTION_ROOT, {.group = "Source"}},
	{OPTION_THREADS, {.group = "Work", .letter = 'j', .help = "that read for --verify; 0: one for each CPU, up to 8"}},
	{OPTION_MAX_PIXELS, {.group = "Faults"}},
	{OPTION_MAX_FILE_BYTES, {.group = "Faults"}},
	{OWN, {.group = "Report", .name = "json", .kind = KIND_SWITCH, AT(json), .default_text = "off", .help = "print an object for programs"}},
	{OPTION_VERBOSE, {.group = "Report"}},
	{OPTION_QUIET, {.group = "Report"}},
	/* clang-format on */
};

enum { FLAG_COUNT = sizeof rows / sizeof rows[0] };

static_assert(sizeof rows / sizeof rows[0] <= OPTIONS_FLAG_LIMIT, "flags");

static const char help_head[] =
	"Usage: cropring info [FLAG]... FILE|PACK|SOURCE\n"
	"\n"
	"Says what is in an image, a pack or any other source of `cropring serve`: how many images, of which\n"
	"formats and sizes; and what a crop costs: the bytes that are read for it, and the share of the picture\n"
	"that is decoded.  For a pack that is worked out from its tables, as the loader does it; of other images\n"
	"a sample is read and packed in memory, to tell what `cropring pack` would make of them.\n"
	"\n"
	"Crops are those of --crop random, center and random-resized, four of each image.\n"
	"\n"
	"Examples:\n"
	"  cropring info train.pack\n"
	"  cropring info photos/ --size 384 --sample 500\n"
	"  cropring info huge.jpg\n"
	"  cropring info train.pack --verify --sample 0 --json\n"
	"\n"
	"Defaults are in [brackets].\n";

static const char help_tail[] = "\n"
				"  -h, --help                   print this and exit\n"
				"  -V, --version                print the version and exit\n"
				"\n"
				"Exit codes:\n"
				"  0      done\n"
				"  1      failed\n"
				"  2      a flag is missing or wrong\n"
				"  3      --verify found damage\n"
				"  128+n  ended by signal n\n";

const struct options_command *info_flags_command(void)
{
	static struct options_flag table[FLAG_COUNT];
	static const struct options_command command = {
		.flags = table, .flag_count = FLAG_COUNT, .help_head = help_head, .help_tail = help_tail};

	options_from_rows(table, rows, FLAG_COUNT, offsetof(struct info_flags, worker));
	return &command;
}

int info_flags_parse(struct info_flags *flags, int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	*flags = (struct info_flags){0};
	rc = options_read(info_flags_command(), argc, argv, &line, flags, err);
	if (rc < 0)
		return rc;
	if (line.argument_count != 1)
		return err_fail(err, -EINVAL, line.argument_count ? "'%.200s': one file, pack or source at a time" : "of what?%s",
		                line.argument_count ? line.arguments[1] : "");
	flags->path = line.arguments[0];
	return *flags->path ? 0 : err_fail(err, -EINVAL, "the name of the file is empty");
}
