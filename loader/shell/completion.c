/*
 * completion.c - the words of a command line that is being typed in; what the last of them may become out.  One thread.
 *
 * The shells' scripts (completion_script.c) know nothing of our flags, but ask here: so all shells offer the same, namely what this
 * executable takes, with the rings that run now.
 */
#include "loader/shell/completion.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "loader/options_internal.h"
#include "loader/run/printable.h"
#include "loader/shell/command.h"
#include "loader/shell/python_flags.h"
#include "shmring/shmring.h"

/* The word that is typed: what offers begin with, and what stands before them in the same word, as in --tail=pa. */
struct place {
	const char *prefix;
	const char *before;
	int before_length;
};

static void offer(const struct place *place, const char *word, const char *about)
{
	if (strncmp(word, place->prefix, strlen(place->prefix)) == 0)
		printf("%.*s%s%s%s\n", place->before_length, place->before, word, *about ? "\t" : "", about);
}

static void offer_files(void)
{
	puts(":files");
}

static void offer_ring(const struct shmring_card *card, void *context)
{
	char name[4 * sizeof card->name], subject[4 * sizeof card->subject];

	printable_escape(name, sizeof name, card->name);
	printable_escape(subject, sizeof subject, card->subject);
	offer(context, name, subject);
}

static void offer_rings(struct place *place)
{
	(void)shmring_list(offer_ring, place); /* where it fails, there is nothing to offer */
}

/* ------------------------------------------------------------------ values */

static void offer_choices(const struct place *place, const char *choices)
{
	for (char word[32]; *choices; choices += *choices == '|') {
		int length = (int)strcspn(choices, "|");

		snprintf(word, sizeof word, "%.*s", length, choices);
		offer(place, word, "");
		choices += length;
	}
}

/* "FILE", or "FILE|column", of which the word is offered when it is begun: alone it would hide the files. */
static void offer_by_value(const struct place *place, const char *value)
{
	static const char *const paths[] = {"FILE", "DIR", "PATH", "PNG"};

	if (*place->prefix && strchr(value, '|') && strstr(value, "column"))
		offer_choices(place, "column");
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
		if (strncmp(value, paths[i], strlen(paths[i])) == 0)
			offer_files();
}

static void offer_values(struct place *place, const struct options_flag *flag)
{
	if (flag->choices)
		offer_choices(place, flag->choices);
	else if (strcmp(flag->name, "ring") == 0)
		offer_rings(place);
	else
		offer_by_value(place, flag->value);
}

/* ------------------------------------------------------------------ flags */

static bool takes_value(const struct options_flag *flag)
{
	return flag->kind != KIND_SWITCH && flag->kind != KIND_LEVEL;
}

/* The flag of `word`, which is "--name", "-x" or "-vx", if a value comes after it. */
static const struct options_flag *flag_that_waits(const struct options_command *command, const char *word, size_t length)
{
	bool is_long = length > 2 && word[0] == '-' && word[1] == '-';
	bool is_short = length >= 2 && word[0] == '-' && word[1] != '-';

	for (const struct options_flag *flag = command->flags; flag < command->flags + command->flag_count; flag++) {
		if (!flag->group || !takes_value(flag))
			continue;
		if (is_long && strlen(flag->name) == length - 2 && memcmp(flag->name, word + 2, length - 2) == 0)
			return flag;
		if (is_short && flag->letter && flag->letter == word[length - 1])
			return flag;
	}
	return NULL;
}

static void offer_flags(const struct place *place, const struct options_command *command)
{
	for (const struct options_flag *flag = command->flags; flag < command->flags + command->flag_count; flag++) {
		char word[64];

		if (!flag->group)
			continue;
		snprintf(word, sizeof word, "--%s", flag->name);
		offer(place, word, flag->help);
		snprintf(word, sizeof word, "--no-%s", flag->name);
		if (flag->kind == KIND_SWITCH)
			offer(place, word, "the opposite");
	}
	offer(place, "--help", "print a help and exit");
	offer(place, "--version", "print the version and exit");
}

/* The flag whose value the last word is, or NULL; the place becomes that of the value. */
static const struct options_flag *flag_of_last(const struct options_command *command, char **words, size_t count,
                                               struct place *place)
{
	const char *last = words[count - 1], *before = count > 1 ? words[count - 2] : "", *equals = strchr(last, '=');
	const struct options_flag *flag;

	if (strncmp(last, "--", 2) == 0 && equals) {
		flag = flag_that_waits(command, last, (size_t)(equals - last));
		if (flag)
			*place = (struct place){.prefix = equals + 1, .before = last, .before_length = (int)(equals + 1 - last)};
		return flag;
	}
	if (strcmp(before, "=") == 0 && count > 2)
		before = words[count - 3];
	flag = flag_that_waits(command, before, strlen(before));
	if (flag && strcmp(last, "=") == 0)
		place->prefix = "";
	return flag;
}

/* ------------------------------------------------------------------ where the last word stands */

static bool flags_are_over(char **words, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++)
		if (strcmp(words[i], "--") == 0)
			return true;
	return false;
}

static void offer_operands(struct place *place, enum command_operand operand)
{
	if (operand == OPERAND_FILE)
		offer_files();
	else if (operand == OPERAND_RING)
		offer_rings(place);
	else if (operand == OPERAND_SHELL)
		for (int i = 0; i < SHELL_COUNT; i++)
			offer(place, completion_shells[i], "");
}

/* Python takes its time to tell: it is not asked where no flag can be. */
static const struct options_command *table_of(const struct command *command, char **words, size_t count)
{
	static struct python_flags flags;
	bool has_flag = false;

	for (size_t i = 0; i < count; i++)
		has_flag |= *words[i] == '-';
	if (command->flags)
		return command->flags();
	return has_flag ? python_flags_read(&flags, command->name) : &flags.command;
}

static void offer_after(const struct command *command, char **words, size_t count)
{
	struct place place = {.prefix = words[count - 1], .before = ""};
	const struct options_command *table = table_of(command, words, count);
	const struct options_flag *flag;

	if (!flags_are_over(words, count)) {
		flag = flag_of_last(table, words, count, &place);
		if (flag) {
			offer_values(&place, flag);
			return;
		}
		if (*place.prefix == '-') {
			offer_flags(&place, table);
			return;
		}
	}
	offer_operands(&place, command->operand);
}

void completion_offer(char **words, size_t count)
{
	struct place place = {.prefix = count ? words[0] : "", .before = ""};

	if (count > 1) {
		for (const struct command *command = commands; command->name; command++)
			if (strcmp(words[0], command->name) == 0)
				offer_after(command, words + 1, count - 1);
		return;
	}
	for (const struct command *command = commands; command->name; command++)
		offer(&place, command->name, command->about);
	if (*place.prefix == '-') {
		offer(&place, "--help", "print a help and exit");
		offer(&place, "--version", "print the version and exit");
	}
}

/* ------------------------------------------------------------------ the command */

const struct options_command *completion_flags(void)
{
	static const struct options_command command = {
		.help_head = "Usage: cropring completion bash|zsh|fish\n"
			     "\n"
			     "Prints what a shell is to run so that TAB completes commands, flags, values and the names of rings.\n"
			     "\n"
			     "Examples:\n"
			     "  eval \"$(cropring completion bash)\"                  in ~/.bashrc\n"
			     "  source <(cropring completion zsh)                   in ~/.zshrc, after compinit\n"
			     "  cropring completion fish | source                   in ~/.config/fish/config.fish\n",
		.help_tail = "\n"
			     "  -h, --help                   print this and exit\n"
			     "  -V, --version                print the version and exit\n"
			     "\n"
			     "Exit codes:\n"
			     "  0      done\n"
			     "  1      failed\n"
			     "  2      the shell is missing or unknown\n",
	};

	return &command;
}

int completion_command(int argc, char **argv, struct err *err)
{
	struct options_line line;
	int rc;

	if (argc > 2 && strcmp(argv[1], "words") == 0 && strcmp(argv[2], "--") == 0) { /* that is how the scripts ask */
		completion_offer(argv + 3, (size_t)(argc - 3));
		return 0;
	}
	rc = options_read(completion_flags(), argc, argv, &line, NULL, err);
	if (rc < 0)
		return rc;
	for (int i = 0; i < SHELL_COUNT && line.argument_count == 1; i++) {
		if (strcmp(line.arguments[0], completion_shells[i]) == 0) {
			fputs(completion_scripts[i], stdout);
			return 0;
		}
	}
	return err_fail(err, -EINVAL, "for which shell? say bash, zsh or fish");
}
