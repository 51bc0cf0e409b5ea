/*
 * python_flags.c - the help of a command that is Python's in, its table of flags out.  One thread.
 *
 * bindings/cropring/command.py prints it as options_print.c does: "  -o, --output PNG   what to write".
 */
#include "loader/shell/python_flags.h"

#include <stdio.h>
#include <string.h>

enum { NAME_COLUMN = 6 }; /* behind "  -o, " */

/* Ends the word at `text`, which `length` bytes are long, and returns what is behind it and its blanks. */
static char *cut(char *text, size_t length)
{
	char *behind = text + length;

	if (!*behind)
		return behind;
	*behind = '\0';
	return behind + 1 + strspn(behind + 1, " ");
}

/* The same word means the same in `cropring serve`. */
static const char *choices_of(const char *name)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strcmp(options_flags[i].name, name) == 0)
			return options_flags[i].choices;
	return NULL;
}

static bool read_row(char *line, struct options_flag *flag)
{
	bool negatable;
	char *name, *behind;

	if (strnlen(line, NAME_COLUMN + 3) < NAME_COLUMN + 3 || strncmp(line, "  ", 2) != 0 ||
	    strncmp(line + NAME_COLUMN, "--", 2) != 0)
		return false;
	name = line + NAME_COLUMN + 2;
	negatable = strncmp(name, "[no-]", 5) == 0;
	name += negatable ? 5 : 0;
	*flag = (struct options_flag){
		.group = "", .name = name, .kind = negatable ? KIND_SWITCH : KIND_LEVEL, .value = "", .help = ""};
	flag->letter = line[2] == '-' ? line[3] : '\0';
	behind = name + strcspn(name, " ");
	if (behind[0] && behind[1] && behind[1] != ' ') { /* one blank: its value; more: what it means */
		flag->kind = KIND_TEXT;
		flag->value = cut(name, (size_t)(behind - name));
		flag->help = cut(behind + 1, strcspn(behind + 1, " "));
	} else {
		flag->help = cut(name, (size_t)(behind - name));
	}
	if (flag->kind == KIND_TEXT)
		flag->choices = choices_of(name);
	return strcmp(name, "help") != 0 && strcmp(name, "version") != 0;
}

const struct options_command *python_flags_of_help(struct python_flags *flags)
{
	size_t count = 0;

	for (char *line = flags->help, *rest; line && count < OPTIONS_FLAG_LIMIT; line = rest) {
		rest = strchr(line, '\n');
		if (rest)
			*rest++ = '\0';
		count += read_row(line, &flags->flag[count]);
	}
	flags->command = (struct options_command){.flags = flags->flag, .flag_count = count};
	return &flags->command;
}

const struct options_command *python_flags_read(struct python_flags *flags, const char *name)
{
	char line[64];
	FILE *pipe;

	/* The command that the shell finds: of a virtual environment, its own, whatever `python3` is. */
	snprintf(line, sizeof line, "cropring %s --help 2>/dev/null", name);
	flags->help[0] = '\0';
	pipe = popen(line, "r");
	if (pipe) {
		flags->help[fread(flags->help, 1, sizeof flags->help - 1, pipe)] = '\0';
		(void)pclose(pipe); /* where it failed, there are no rows */
	}
	return python_flags_of_help(flags);
}
