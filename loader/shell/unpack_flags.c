/* unpack_flags.c - argv in, struct unpack_flags out.  One thread, before any work. */
#include "loader/shell/unpack_flags.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "loader/options_internal.h"

#define AT(field) .offset_bytes = offsetof(struct unpack_flags, field)

static const struct options_flag table[] = {
	/* clang-format off */
	{.group = "Images", .name = "only", .kind = KIND_TEXT, AT(wish.only), .default_text = "", .value = "GLOB",
	 .help = "those with such a name, as 'cats/*' or '*.png'; * matches slashes as well"},
	{.group = "Images", .name = "index", .letter = 'i', .kind = KIND_U64, AT(wish.sample), .default_text = "", .minimum = "0",
	 .maximum = "18446744073709551614", .value = "N", .help = "that of sample N alone, counted from 0, and its target"},
	{.group = "Output", .name = "force", .letter = 'f', .kind = KIND_SWITCH, AT(replaces), .default_text = "off",
	 .help = "replace files that are there"},
	{.group = "Work", .name = "threads", .letter = 'j', .kind = KIND_U32, AT(threads), .default_text = "0", .minimum = "0", .maximum = "64",
	 .value = "N", .help = "that read and write; 0: one for each CPU, up to 8"},
	{.group = "Report", .name = "verbose", .letter = 'v', .kind = KIND_LEVEL, AT(verbosity), .default_text = "", .minimum = "1", .maximum = "1",
	 .help = "name the files that got another name"},
	{.group = "Report", .name = "quiet", .letter = 'q', .kind = KIND_LEVEL, AT(verbosity), .default_text = "", .minimum = "-1", .maximum = "-1",
	 .help = "say nothing but errors"},
	/* clang-format on */
};

static const char help_head[] =
	"Usage: cropring unpack [FLAG]... PACK FOLDER\n"
	"       cropring unpack [FLAG]... --index N PACK -\n"
	"\n"
	"Writes the images of a pack, and the targets, as the ordinary files that they are, below FOLDER, each\n"
	"at the name that it had when it was packed; with -, the one of --index to standard output.\n"
	"\n"
	"Each file appears when it is whole and its checksum is right.  A BMP that was packed as a PNG ends in\n"
	".png; members of a tar lie in a folder of its name; where two images have one name, the second\n"
	"becomes NAME~2.\n"
	"\n"
	"Examples:\n"
	"  cropring unpack train.pack train/\n"
	"  cropring unpack train.pack cats/ --only 'cats/*'\n"
	"  cropring unpack train.pack - --index 17 > 17.jpg\n"
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
				"  3      some images of the pack are damaged: they are named, and the others are there\n"
				"  128+n  ended by signal n\n";

const struct options_command *unpack_flags_command(void)
{
	static const struct options_command command = {
		.flags = table, .flag_count = sizeof table / sizeof *table, .help_head = help_head, .help_tail = help_tail};

	return &command;
}

int unpack_flags_parse(struct unpack_flags *flags, int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	*flags = (struct unpack_flags){.wish = {.sample = UINT64_MAX}};
	rc = options_read(unpack_flags_command(), argc, argv, &line, flags, err);
	if (rc < 0)
		return rc;
	if (line.argument_count < 2)
		return err_fail(err, -EINVAL, "%s",
		                line.argument_count ? "where to? say cropring unpack PACK FOLDER" : "which pack?");
	if (line.argument_count > 2)
		return err_fail(err, -EINVAL, "'%.200s': there is one PACK and one FOLDER; a pattern of names goes with --only",
		                line.arguments[2]);
	flags->pack = line.arguments[0];
	flags->folder = line.arguments[1];
	if (!*flags->pack || !*flags->folder)
		return err_fail(err, -EINVAL, "the name of the %s is empty", *flags->pack ? "folder" : "pack");
	if (strcmp(flags->folder, "-") != 0)
		return 0;
	if (flags->wish.sample == UINT64_MAX)
		return err_fail(err, -EINVAL, "- is standard output, for one image: say which with --index N");
	if (isatty(STDOUT_FILENO))
		return err_fail(err, -EINVAL, "an image is not for a terminal: write > FILE behind, or name a folder");
	return 0;
}
