/*
 * options_read.c - argv and the environment in, the fields of a command out.  One thread, before any work.
 *
 * argp collects the text of each flag; then every flag is set once, in the order of the table, from the command line, else from
 * its environment variable, else from its default.  So --help answers whatever the environment holds.
 */
#include <argp.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/options_internal.h"

/* Keys of options without a letter; argp takes any number above the characters. */
enum { KEY_FLAG = 256, KEY_NEGATION = 512 };

enum {
	FLAG_BYTES = 32,   /* of the longest flag's name, with "no-" and the NUL */
	LONGEST_WORD = 64, /* bytes: longer words are no flag with a typing error */
};

static_assert(KEY_FLAG + OPTIONS_FLAG_LIMIT <= KEY_NEGATION, "keys");

struct reading {
	const struct options_command *command;
	struct options_line *line;
	struct err *err;
};

static const struct options_flag *end_of(const struct options_command *command)
{
	return command->flags + command->flag_count;
}

static int key_of(const struct options_command *command, const struct options_flag *flag)
{
	return flag->letter ? flag->letter : KEY_FLAG + (int)(flag - command->flags);
}

/* "--shuffle" and "--no-shuffle" are one flag. */
static const struct options_flag *flag_named(const struct options_command *command, const char *name, size_t length)
{
	bool negated = length > 3 && !memcmp(name, "no-", 3);

	for (const struct options_flag *flag = command->flags; flag < end_of(command); flag++) {
		if (strlen(flag->name) == length && !memcmp(flag->name, name, length))
			return flag;
		if (negated && flag->kind == KIND_SWITCH && strlen(flag->name) == length - 3 &&
		    !memcmp(flag->name, name + 3, length - 3))
			return flag;
	}
	return NULL;
}

static const struct options_flag *flag_with_key(const struct options_command *command, int key)
{
	for (const struct options_flag *flag = command->flags; flag < end_of(command); flag++)
		if (key_of(command, flag) == key)
			return flag;
	return NULL;
}

/* Levenshtein's distance, in one row.  Source: R. Wagner, M. Fischer, The String-to-String Correction Problem, 1974. */
static unsigned edit_distance(const char *from, size_t from_length, const char *to)
{
	unsigned row[LONGEST_WORD];
	size_t to_length = strlen(to);

	assert(to_length < LONGEST_WORD);
	for (unsigned j = 0; j <= to_length; j++)
		row[j] = j;
	for (unsigned i = 0; i < from_length; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < to_length; j++) {
			unsigned best = diagonal + (from[i] != to[j]);

			diagonal = row[j + 1];
			if (best > row[j] + 1)
				best = row[j] + 1;
			if (best > diagonal + 1)
				best = diagonal + 1;
			row[j + 1] = best;
		}
	}
	return row[to_length];
}

/* A part of a name, such as "timeout", counts as one error. */
static unsigned typing_errors(const char *word, size_t length, const char *name)
{
	unsigned errors = edit_distance(word, length, name);

	return errors > 1 && length >= 3 && memmem(name, strlen(name), word, length) ? 1 : errors;
}

/* The visible flag that was probably meant: it contains the word, or differs from it by the fewest typing errors.  False: none. */
static bool find_nearest(const struct options_command *command, const char *word, size_t length, char nearest[FLAG_BYTES])
{
	unsigned fewest = length < 6 ? 2 : 3; /* more errors than that are another word */
	bool found = false;

	for (size_t i = 0; i < 2 * command->flag_count && length < LONGEST_WORD; i++) {
		const struct options_flag *flag = &command->flags[i / 2];
		char name[FLAG_BYTES];
		unsigned errors;

		if (!flag->group || (i % 2 && flag->kind != KIND_SWITCH))
			continue;
		snprintf(name, sizeof name, "%s%s", i % 2 ? "no-" : "", flag->name);
		errors = typing_errors(word, length, name);
		if (errors < fewest) {
			fewest = errors;
			found = true;
			memcpy(nearest, name, sizeof name);
		}
	}
	return found;
}

/* Says what getopt had against `word`; false when there is nothing against it. */
static bool refuse_long(const struct reading *reading, const char *word)
{
	struct err *err = reading->err;
	size_t length = strcspn(word + 2, "=");
	const struct options_flag *flag = flag_named(reading->command, word + 2, length);
	char nearest[FLAG_BYTES];
	int shown = length < LONGEST_WORD ? (int)length + 2 : LONGEST_WORD;
	bool has_value = word[2 + length];

	if (flag && !flag->value == !has_value)
		return false;
	if (flag && has_value)
		err_fail(err, -EINVAL, "--%.*s takes no value", (int)length, word + 2);
	else if (flag)
		err_fail(err, -EINVAL, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
	else if (find_nearest(reading->command, word + 2, length, nearest))
		err_fail(err, -EINVAL, "unknown flag '%.*s'; did you mean --%s?", shown, word, nearest);
	else
		err_fail(err, -EINVAL, "unknown flag '%.*s'", shown, word);
	return true;
}

static bool refuse_letters(const struct reading *reading, const char *word)
{
	for (const char *letter = word + 1; *letter; letter++) {
		const struct options_flag *flag = flag_with_key(reading->command, *letter);

		if (*letter == 'h' || *letter == 'V')
			continue;
		if (!flag) {
			err_fail(reading->err, -EINVAL, "unknown flag '-%c'", *letter);
			return true;
		}
		if (flag->value && letter[1]) /* the value follows at once */
			return false;
		if (flag->value) {
			err_fail(reading->err, -EINVAL, "-%c needs a value: -%c %s", *letter, *letter, flag->value);
			return true;
		}
	}
	return false;
}

/*
 * getopt refused a word and, being told not to print, does not say which or why.  It is the one before state->next, or the one
 * there when letters of a cluster are left.
 */
static void refuse_word(const struct reading *reading, const struct argp_state *state)
{
	err_fail(reading->err, -EINVAL, "the command line cannot be read");
	for (int i = state->next - 1; i <= state->next && i < state->argc; i++) {
		const char *word = state->argv[i];

		if (i > 0 && word[0] == '-' && (word[1] == '-' ? refuse_long(reading, word) : refuse_letters(reading, word)))
			return;
	}
}

static _Noreturn void exit_after_output(void)
{
	if (fflush(stdout) == 0)
		exit(EXIT_SUCCESS);
	perror("cropring: standard output");
	exit(EXIT_FAILURE);
}

static error_t collect(int key, char *argument, struct argp_state *state)
{
	const struct reading *reading = state->input;
	const struct options_command *command = reading->command;
	struct options_line *line = reading->line;
	const struct options_flag *flag;
	bool negated = key >= KEY_NEGATION && key < KEY_NEGATION + OPTIONS_FLAG_LIMIT;

	switch (key) {
	case 'h':
		options_print_help(command);
		exit_after_output();
	case 'V':
		printf("cropring %s\n", CROPRING_VERSION);
		exit_after_output();
	case ARGP_KEY_ARGS: /* all that are left, since flags come first */
		line->arguments = state->argv + state->next;
		line->argument_count = (size_t)(state->argc - state->next);
		return 0;
	case ARGP_KEY_ERROR:
		refuse_word(reading, state);
		return 0;
	}
	flag = negated ? &command->flags[key - KEY_NEGATION] : flag_with_key(command, key);
	if (!flag)
		return ARGP_ERR_UNKNOWN;
	for (size_t i = 0; flag->kind == KIND_LEVEL && i < command->flag_count; i++)
		if (command->flags[i].kind == KIND_LEVEL) /* the last one counts, and none waits for another's variable */
			line->text[i] = "no";
	line->text[flag - command->flags] = argument ? argument : negated ? "no" : "yes";
	return 0;
}

static int collect_all(struct reading *reading, int argc, char **argv)
{
	const struct options_command *command = reading->command;
	struct argp_option known[2 * OPTIONS_FLAG_LIMIT + 3] = {{.name = "help", .key = 'h'}, {.name = "version", .key = 'V'}};
	char negations[OPTIONS_FLAG_LIMIT][FLAG_BYTES];
	struct argp argp = {.options = known, .parser = collect};
	struct argp_option *next = known + 2;
	error_t error;

	for (size_t i = 0; i < command->flag_count; i++) {
		const struct options_flag *flag = &command->flags[i];

		*next++ = (struct argp_option){.name = flag->name, .key = key_of(command, flag), .arg = flag->value};
		if (flag->kind != KIND_SWITCH)
			continue;
		snprintf(negations[i], sizeof negations[i], "no-%s", flag->name);
		*next++ = (struct argp_option){.name = negations[i], .key = KEY_NEGATION + (int)i};
	}
	error = argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_NO_ERRS, NULL, reading);
	if (error == ENOMEM) /* argp's own: collect() refuses nothing with it */
		return err_fail(reading->err, -ENOMEM, "out of memory for the command line");
	return error ? -EINVAL : 0;
}

/* An empty variable is no variable: what `VARIABLE= command` and container files leave behind. */
const char *options_variable_text(const struct options_flag *flag)
{
	const char *text = flag->group && flag->variable ? getenv(flag->variable) : NULL;

	return text && *text ? text : NULL;
}

static int set_all(const struct reading *reading, void *fields)
{
	for (size_t i = 0; i < reading->command->flag_count; i++) {
		const struct options_flag *flag = &reading->command->flags[i];
		const char *text = reading->line->text[i], *variable = options_variable_text(flag);
		char origin[40];
		int rc = 0;

		snprintf(origin, sizeof origin, "--%s", flag->name);
		if (text)
			rc = options_value_set(fields, flag, origin, text, reading->err);
		else if (variable)
			rc = options_value_set(fields, flag, flag->variable, variable, reading->err);
		else if (*flag->default_text)
			rc = options_value_set(fields, flag, origin, flag->default_text, reading->err);
		if (rc)
			return rc;
	}
	return 0;
}

int options_read(const struct options_command *command, int argc, char **argv, struct options_line *line, void *fields,
                 struct err *err)
{
	struct reading reading = {.command = command, .line = line, .err = err};
	int rc;

	assert(command->flag_count <= OPTIONS_FLAG_LIMIT);
	*line = (struct options_line){0};
	rc = collect_all(&reading, argc, argv);
	return rc < 0 ? rc : set_all(&reading, fields);
}
