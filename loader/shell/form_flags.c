/* form_flags.c - argv of `cropring list` or `cropring flags` in, enum form out.  One thread, before any work. */
#include "loader/shell/form_flags.h"

#include <errno.h>

#include "loader/options_internal.h"

struct said {
	int form; /* enum form */
};

#define FORM(number)                                                                                                               \
	.kind = KIND_LEVEL, .offset_bytes = offsetof(struct said, form), .default_text = "", .minimum = number, .maximum = number

static const struct options_flag list_table[] = {
	{.group = "Output", .name = "json", .letter = 'j', FORM("1"), .help = "print a JSON array of objects"},
};

static const struct options_flag flags_table[] = {
	{.group = "Output", .name = "json", .letter = 'j', FORM("1"), .help = "an array of objects, for programs"},
	{.group = "Output", .name = "markdown", .letter = 'm', FORM("2"), .help = "a table, for docs"},
};

static const char help_tail[] = "\n"
				"  -h, --help                   print this and exit\n"
				"  -V, --version                print the version and exit\n"
				"\n"
				"Exit codes:\n"
				"  0      done\n"
				"  1      failed\n"
				"  2      a flag is missing or wrong\n";

const struct options_command *form_flags_list(void)
{
	static const struct options_command command = {
		.flags = list_table,
		.flag_count = sizeof list_table / sizeof *list_table,
		.help_head = "Usage: cropring list [FLAG]...\n"
			     "\n"
			     "Shows the rings of this user that run now: name, process, slots and how many of them are ready,\n"
			     "readers, batches so far, size in memory, and what they are made of.\n"
			     "\n"
			     "Examples:\n"
			     "  cropring list\n"
			     "  cropring list --json | jq -r '.[].name'\n",
		.help_tail = help_tail,
	};

	return &command;
}

const struct options_command *form_flags_flags(void)
{
	static const struct options_command command = {
		.flags = flags_table,
		.flag_count = sizeof flags_table / sizeof *flags_table,
		.help_head = "Usage: cropring flags --json|--markdown\n"
			     "\n"
			     "Prints the flags of `cropring serve`.\n",
		.help_tail = help_tail,
	};

	return &command;
}

int form_flags_parse(enum form *form, const struct options_command *command, int argc, char **argv, struct err *err)
{
	struct said said = {FORM_NONE};
	struct options_line line;
	int rc = options_read(command, argc, argv, &line, &said, err);

	*form = (enum form)said.form;
	if (rc == 0 && line.argument_count)
		return err_fail(err, -EINVAL, "'%.100s': flags alone are expected", line.arguments[0]);
	return rc;
}
