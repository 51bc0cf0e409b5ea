/*
 * options.c - argv and the environment in, struct options out.  One thread, before any work.
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

#define TYPE_U32           uint32_t
#define TYPE_U64           uint64_t
#define TYPE_I32           int32_t
#define TYPE_QUANTITY      uint64_t
#define TYPE_SLOTS         uint32_t
#define TYPE_SIZE          uint32_t
#define TYPE_REAL          double
#define TYPE_PAIR          double
#define TYPE_VECTOR        float
#define TYPE_CHOICE        unsigned int
#define TYPE_CHOSEN_NUMBER uint32_t
#define TYPE_SWITCH        bool
#define TYPE_LEVEL         int
#define TYPE_TEXT          const char *
#define TYPE_NUMBERS       const char *
#define TYPE_RING_NAME     const char *
#define TYPE_SOCKET_PATH   const char *

/* clang-format off */
#define HAS_TYPE(field, type) _Generic(&((struct options *)0)->field, type *: true, default: false)
/* clang-format on */

#define FLAG(id, group, letter, name, kind, field, ...)                                                                            \
	static_assert(HAS_TYPE(field, TYPE_##kind), "--" name ": type of its field");
#include "loader/options_table.h"
#undef FLAG

const struct options_flag options_flags[OPTION_COUNT] = {
#define FLAG(id, group_name, letter_, long_name, kind_, field, initial, limits, value_name, sentence)                              \
	[OPTION_##id] = {                                                                                                          \
		.group = group_name,                                                                                               \
		.name = long_name,                                                                                                 \
		.variable = "CROPRING_" #id,                                                                                       \
		.letter = letter_,                                                                                                 \
		.kind = KIND_##kind_,                                                                                              \
		.offset_bytes = offsetof(struct options, field),                                                                   \
		.default_text = initial,                                                                                           \
		.value = value_name,                                                                                               \
		.help = sentence,                                                                                                  \
		limits,                                                                                                            \
	},
#include "loader/options_table.h"
#undef FLAG
};

struct command_line {
	const char *text[OPTION_COUNT]; /* the last value that each flag was given, or NULL */
	const char *source;
	bool refused; /* *err holds the sentence */
	struct err *err;
};

static int key_of(const struct options_flag *flag)
{
	return flag->letter ? flag->letter : KEY_FLAG + (int)(flag - options_flags);
}

/* "--shuffle" and "--no-shuffle" are one flag. */
static const struct options_flag *flag_named(const char *name, size_t length)
{
	bool negated = length > 3 && !memcmp(name, "no-", 3);

	for (const struct options_flag *flag = options_flags; flag < options_flags + OPTION_COUNT; flag++) {
		if (strlen(flag->name) == length && !memcmp(flag->name, name, length))
			return flag;
		if (negated && flag->kind == KIND_SWITCH && strlen(flag->name) == length - 3 &&
		    !memcmp(flag->name, name + 3, length - 3))
			return flag;
	}
	return NULL;
}

static const struct options_flag *flag_with_key(int key)
{
	for (const struct options_flag *flag = options_flags; flag < options_flags + OPTION_COUNT; flag++)
		if (key_of(flag) == key)
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
static bool find_nearest(const char *word, size_t length, char nearest[FLAG_BYTES])
{
	unsigned fewest = length < 6 ? 2 : 3; /* more errors than that are another word */
	bool found = false;

	for (size_t i = 0; i < 2 * OPTION_COUNT && length < LONGEST_WORD; i++) {
		const struct options_flag *flag = &options_flags[i / 2];
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
static bool refuse_long(const char *word, struct err *err)
{
	size_t length = strcspn(word + 2, "=");
	const struct options_flag *flag = flag_named(word + 2, length);
	char nearest[FLAG_BYTES];
	int shown = length < LONGEST_WORD ? (int)length + 2 : LONGEST_WORD;
	bool has_value = word[2 + length];

	if (flag && !flag->value == !has_value)
		return false;
	if (flag && has_value)
		err_fail(err, -EINVAL, "--%.*s takes no value", (int)length, word + 2);
	else if (flag)
		err_fail(err, -EINVAL, "--%s needs a value: --%s %s", flag->name, flag->name, flag->value);
	else if (find_nearest(word + 2, length, nearest))
		err_fail(err, -EINVAL, "unknown flag '%.*s'; did you mean --%s?", shown, word, nearest);
	else
		err_fail(err, -EINVAL, "unknown flag '%.*s'", shown, word);
	return true;
}

static bool refuse_letters(const char *word, struct err *err)
{
	for (const char *letter = word + 1; *letter; letter++) {
		const struct options_flag *flag = flag_with_key(*letter);

		if (*letter == 'h' || *letter == 'V')
			continue;
		if (!flag) {
			err_fail(err, -EINVAL, "unknown flag '-%c'", *letter);
			return true;
		}
		if (flag->value && letter[1]) /* the value follows at once */
			return false;
		if (flag->value) {
			err_fail(err, -EINVAL, "-%c needs a value: -%c %s", *letter, *letter, flag->value);
			return true;
		}
	}
	return false;
}

/*
 * getopt refused a word and, being told not to print, does not say which or why.  It is the one before state->next, or the one
 * there when letters of a cluster are left.
 */
static void refuse_word(const struct argp_state *state, struct err *err)
{
	err_fail(err, -EINVAL, "the command line cannot be read");
	for (int i = state->next - 1; i <= state->next && i < state->argc; i++) {
		const char *word = state->argv[i];

		if (i > 0 && word[0] == '-' && (word[1] == '-' ? refuse_long(word, err) : refuse_letters(word, err)))
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
	struct command_line *line = state->input;
	const struct options_flag *flag;
	bool negated = key >= KEY_NEGATION && key < KEY_NEGATION + OPTION_COUNT;

	switch (key) {
	case 'h':
		options_print_help();
		exit_after_output();
	case 'V':
		printf("cropring %s\n", CROPRING_VERSION);
		exit_after_output();
	case ARGP_KEY_ARG:
		if (!line->source) {
			line->source = argument;
			return 0;
		}
		line->refused = true;
		return -err_fail(line->err, -EINVAL, "one SOURCE is served, but both '%.100s' and '%.100s' were given",
		                 line->source, argument);
	case ARGP_KEY_ERROR:
		if (!line->refused)
			refuse_word(state, line->err);
		return 0;
	}
	flag = negated ? &options_flags[key - KEY_NEGATION] : flag_with_key(key);
	if (!flag)
		return ARGP_ERR_UNKNOWN;
	if (flag->kind == KIND_LEVEL) /* of -v and -q the later one counts, and neither waits for the other's variable */
		line->text[OPTION_VERBOSE] = line->text[OPTION_QUIET] = "no";
	line->text[flag - options_flags] = argument ? argument : negated ? "no" : "yes";
	return 0;
}

static int collect_all(struct command_line *line, int argc, char **argv)
{
	struct argp_option known[2 * OPTION_COUNT + 3] = {{.name = "help", .key = 'h'}, {.name = "version", .key = 'V'}};
	char negations[OPTION_COUNT][FLAG_BYTES];
	struct argp argp = {.options = known, .parser = collect};
	struct argp_option *next = known + 2;
	error_t error;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];

		*next++ = (struct argp_option){.name = flag->name, .key = key_of(flag), .arg = flag->value};
		if (flag->kind != KIND_SWITCH)
			continue;
		snprintf(negations[i], sizeof negations[i], "no-%s", flag->name);
		*next++ = (struct argp_option){.name = negations[i], .key = KEY_NEGATION + (int)i};
	}
	error = argp_parse(&argp, argc, argv, ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_NO_ERRS, NULL, line);
	if (error == ENOMEM) /* argp's own: collect() refuses nothing with it */
		return err_fail(line->err, -ENOMEM, "out of memory for the command line");
	return error ? -EINVAL : 0;
}

/* An empty variable is no variable: what `VARIABLE= command` and container files leave behind. */
static const char *variable_text(const struct options_flag *flag)
{
	const char *text = flag->group ? getenv(flag->variable) : NULL;

	return text && *text ? text : NULL;
}

static int set_all(struct options *options, const struct command_line *line, struct err *err)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		const char *variable = variable_text(flag);
		char origin[40];
		int code = 0;

		snprintf(origin, sizeof origin, "--%s", flag->name);
		if (line->text[i])
			code = options_value_set(options, flag, origin, line->text[i], err);
		else if (variable)
			code = options_value_set(options, flag, flag->variable, variable, err);
		else if (*flag->default_text)
			code = options_value_set(options, flag, origin, flag->default_text, err);
		if (code)
			return code;
		if ((i == OPTION_MEAN || i == OPTION_STD) && (line->text[i] || variable))
			options->normalise = true;
	}
	return 0;
}

/* A flag on the command line that could not change anything is a mistake; a variable may be meant for other runs. */
static int check_idle_flags(const struct command_line *line, const struct options *options, struct err *err)
{
	static const struct {
		size_t flag;
		enum crop_rule crop;
		const char *needs;
	} tied[] = {
		{OPTION_SCALE, CROP_RANDOM_RESIZED, "random-resized"},
		{OPTION_RATIO, CROP_RANDOM_RESIZED, "random-resized"},
		{OPTION_SHORT_SIDE, CROP_CENTER, "center"},
	};

	bool any_rule = options->requests == REQUESTS_PATHS; /* each row may have another */

	for (size_t i = 0; i < sizeof tied / sizeof tied[0]; i++) {
		if (line->text[tied[i].flag] && options->crop != tied[i].crop && !any_rule)
			return err_fail(err, -EINVAL, "--%s is for --crop %s only; leave it out, or choose that crop",
			                options_flags[tied[i].flag].name, tied[i].needs);
	}
	return 0;
}

static int check_together(struct options *options, struct err *err)
{
	uint32_t larger_px = options->height_px > options->width_px ? options->height_px : options->width_px;

	if (options->rank >= options->world_size)
		return err_fail(err, -EINVAL, "--rank %u is not below --world-size %u; ranks count from 0", options->rank,
		                options->world_size);
	if (options->weights && !options->shuffle)
		return err_fail(err, -EINVAL, "--weights draws samples at random: leave --no-shuffle out");
	if (options->normalise && options->dtype == CONVERT_UINT8)
		return err_fail(err, -EINVAL,
		                "--mean and --std need --dtype float32 or float16; with uint8, pixels stay as they are");
	if (options->slots > 0 && options->slots <= options->readers)
		return err_fail(
			err, -EINVAL,
			"--slots %u is too few for --readers %u: each keeps a batch while it asks for the next, and one is being "
			"filled; give %u or more",
			options->slots, options->readers, options->readers + 1);
	if (options->stalled_reader == STALLED_EXPEL && options->share != SHMRING_BROADCAST)
		return err_fail(err, -EINVAL,
		                "--stalled-reader expel is for --share broadcast only: without the reader, its lane would still "
		                "wait, and split does not wait");
	if (options->socket_path && !strchr(options->socket_path, '/'))
		return err_fail(err, -EINVAL, "--socket %s: a path with a '/' is expected, such as ./%s", options->socket_path,
		                options->socket_path);
	if (options->requests != REQUESTS_NONE && options->reader_fd < 0)
		return err_fail(err, -EINVAL, "--requests %s needs --reader-fd: only the process that started this one can ask",
		                options->requests == REQUESTS_SAMPLES ? "samples" : "paths");
	if (options->requests == REQUESTS_PATHS && options->targets) /* which are told by the number of a sample */
		return err_fail(err, -EINVAL, "--targets goes with samples of a SOURCE; files that are named one by one have none");
	if (!options->short_side_px) /* to the nearest pixel: 256 for 224, 342 for 299 */
		options->short_side_px = (larger_px * 8 + 3) / 7;
	if ((options->crop == CROP_CENTER || options->requests == REQUESTS_PATHS) && options->short_side_px < larger_px)
		return err_fail(err, -EINVAL, "--short-side %u is smaller than the %ux%u of --size; raise it to %u or more",
		                options->short_side_px, options->height_px, options->width_px, larger_px);
	return 0;
}

/* Looked for by itself, so that whatever else is wrong with the command line, the parent learns it over this socket. */
static int find_reader_fd(int argc, char **argv)
{
	static const char name[] = "--reader-fd";
	const size_t length = sizeof name - 1;
	struct options found = {.reader_fd = -1};

	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const char *text = NULL;

		if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
			text = argv[i] + length + 1;
		else if (!strcmp(argv[i], name) && i + 1 < argc)
			text = argv[i + 1];
		if (text)
			(void)options_value_set(&found, &options_flags[OPTION_READER_FD], name, text,
			                        NULL); /* refused later, with all flags */
	}
	return found.reader_fd;
}

int options_parse(struct options *options, int argc, char **argv, struct err *err)
{
	struct command_line line = {.err = err};
	int code;

	*options = (struct options){.std = {1, 1, 1}, .reader_fd = find_reader_fd(argc, argv)};
	code = collect_all(&line, argc, argv);
	if (code)
		return code;
	code = set_all(options, &line, err);
	if (code)
		return code;
	if (!line.source || !*line.source)
		return err_fail(err, -EINVAL, "no SOURCE was given: name a folder of images");
	options->source = line.source;
	code = check_idle_flags(&line, options, err);
	return code ? code : check_together(options, err);
}
