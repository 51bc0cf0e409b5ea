/* test_options_print.c - the table of flags against the parser, the environment, --help, Markdown and JSON: none may drift. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "loader/options_internal.h"
#include "tests/options_fixture.h"

/* What `print` writes to stdout; to be freed. */
static char *capture(void (*print)(void))
{
	int file = memfd_create("stdout", 0), before = dup(STDOUT_FILENO);
	char *text;
	off_t byte_count;

	fflush(stdout);
	dup2(file, STDOUT_FILENO);
	print();
	fflush(stdout);
	dup2(before, STDOUT_FILENO);
	close(before);
	byte_count = lseek(file, 0, SEEK_END);
	text = calloc((size_t)byte_count + 1, 1);
	assert_int_equal(pread(file, text, (size_t)byte_count, 0), byte_count);
	close(file);
	return text;
}

/* ------------------------------------------------------------------ the table */

static bool is_text(const struct options_flag *flag)
{
	return flag->kind == KIND_TEXT || flag->kind == KIND_RING_NAME || flag->kind == KIND_SOCKET_PATH;
}

/* A value that is not the default. */
static const char *another_value(const struct options_flag *flag)
{
	if (is_text(flag))
		return "other";
	switch (flag->kind) {
	case KIND_SWITCH:
		return "no";
	case KIND_LEVEL:
		return "yes";
	case KIND_CHOICE:
	case KIND_CHOSEN_NUMBER:
		return strrchr(flag->choices, '|') + 1;
	case KIND_PAIR:
		return "0.25,0.5";
	case KIND_REAL:
	case KIND_VECTOR:
		return "0.25";
	default:
		return flag->maximum;
	}
}

static size_t field_bytes(const struct options_flag *flag)
{
	switch (flag->kind) {
	case KIND_SWITCH:
		return sizeof(bool);
	case KIND_U64:
	case KIND_QUANTITY:
	case KIND_REAL:
	case KIND_PAIR:
		return 8;
	default:
		return 4;
	}
}

static void every_flag_works_by_argv_and_by_variable(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		const char *value = i == OPTION_WORLD_SIZE ? "9" : i == OPTION_SOCKET ? "./s" : another_value(flag);
		struct options usual, by_argv, by_variable;
		char words[300];

		if (!flag->group)
			continue;
		setenv("CROPRING_WORLD_SIZE", "1048576", 1); /* so that each of the others may stand alone */
		setenv("CROPRING_DTYPE", "float32", 1);
		setenv("CROPRING_SHARE", i == OPTION_SHARE ? "split" : "broadcast", 1);
		setenv("CROPRING_CROP", i == OPTION_SHORT_SIDE ? "center" : "random-resized", 1);
		assert_int_equal(parse(&usual, "p"), 0);

		if (flag->value)
			snprintf(words, sizeof words, "--%s=%s p", flag->name, value);
		else
			snprintf(words, sizeof words, "--%s%s p", flag->kind == KIND_SWITCH ? "no-" : "", flag->name);
		assert_int_equal(parse(&by_argv, words), 0);
		setenv(flag->variable, value, 1);
		assert_int_equal(parse(&by_variable, "p"), 0);

		assert_memory_not_equal((char *)&usual + flag->offset_bytes, (char *)&by_argv + flag->offset_bytes,
		                        field_bytes(flag));
		if (is_text(flag)) {
			char *text[2];

			memcpy(&text[0], (char *)&by_argv + flag->offset_bytes, sizeof text[0]);
			memcpy(&text[1], (char *)&by_variable + flag->offset_bytes, sizeof text[1]);
			assert_string_equal(text[0], value);
			assert_string_equal(text[1], value);
			memcpy((char *)&by_variable + flag->offset_bytes, &text[0], sizeof text[0]);
		}
		by_argv.source = by_variable.source = NULL;
		assert_memory_equal(&by_argv, &by_variable, sizeof by_argv);
		forget_variables(NULL);
	}
}

static void names_variables_and_letters_agree_and_are_unique(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		char variable[64] = "CROPRING_";

		for (size_t j = 0; j <= strlen(flag->name); j++)
			variable[9 + j] = flag->name[j] == '-' ? '_' : (char)toupper(flag->name[j]);
		assert_string_equal(flag->variable, variable);
		assert_true(strlen(flag->name) < 28); /* room for "no-" in options.c */
		assert_int_equal(!flag->value, flag->kind == KIND_SWITCH || flag->kind == KIND_LEVEL);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(flag->name, options_flags[j].name);
			assert_false(flag->letter && flag->letter == options_flags[j].letter);
		}
		assert_true(flag->letter != 'h' && flag->letter != 'V');
	}
	assert_int_equal(strtol(options_flags[OPTION_SLOTS].minimum, NULL, 10), SHMRING_MIN_SLOTS);
	assert_int_equal(strtol(options_flags[OPTION_SLOTS].maximum, NULL, 10), SHMRING_MAX_SLOTS);
}

static void limits_belong_to_the_range_and_what_is_next_does_not(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		struct options options = {.channels = 3};
		uint64_t least = 0, most = 0;
		char next[32];

		if (*flag->default_text)
			assert_int_equal(options_value_set(&options, flag, "x", flag->default_text, NULL), 0);
		if (!flag->minimum || flag->kind == KIND_LEVEL || flag->kind == KIND_PAIR)
			continue;
		assert_int_equal(options_value_set(&options, flag, "x", flag->minimum, NULL), 0);
		assert_int_equal(options_value_set(&options, flag, "x", flag->maximum, NULL), 0);
		if (flag->kind == KIND_REAL || flag->kind == KIND_VECTOR)
			continue;
		assert_true(options_value_whole(flag->minimum, true, &least) && options_value_whole(flag->maximum, true, &most));
		assert_true(least <= most);
		snprintf(next, sizeof next, "%llu", (unsigned long long)most + 1);
		if (most < UINT64_MAX)
			assert_int_equal(options_value_set(&options, flag, "x", next, NULL), -EINVAL);
		snprintf(next, sizeof next, "%llu", (unsigned long long)least - 1);
		if (least > 0)
			assert_int_equal(options_value_set(&options, flag, "x", next, NULL), -EINVAL);
	}
}

/* ------------------------------------------------------------------ what is printed */

/* Each run of white space becomes one space, so that line breaks do not hide words. */
static void join_lines(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (!isspace((unsigned char)*from))
			*to++ = *from;
		else if (to > text && to[-1] != ' ')
			*to++ = ' ';
	*to = '\0';
}

static void print_help(void)
{
	options_print_help(&options_serve);
}

static void help_shows_every_flag_with_its_default(void **state)
{
	char *help = capture(print_help);

	(void)state;
	for (char *line = help; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		assert_true(strcspn(line, "\n") <= 100);
	join_lines(help);
	assert_null(strstr(help, "(null)"));
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		char left[100], right[400], list[200] = "";
		const char *found;

		snprintf(left, sizeof left, " --%s%s%s%s ", flag->kind == KIND_SWITCH ? "[no-]" : "", flag->name,
		         flag->value ? " " : "", flag->value ? flag->value : "");
		if (flag->choices)
			options_value_list(flag->choices, list, sizeof list);
		snprintf(right, sizeof right, "%s%s%s%s%s%s ", list, *list ? ": " : "", flag->help, *flag->default_text ? " [" : "",
		         flag->default_text, *flag->default_text ? "]" : "");
		found = strstr(help, left);
		while (found && strncmp(found + strlen(left), right, strlen(right)) != 0) /* an example, or another flag's help */
			found = strstr(found + 1, left);
		assert_int_equal(found != NULL, flag->group != NULL);
	}
	free(help);
}

static void markdown_has_a_row_for_every_flag(void **state)
{
	char *text = capture(options_print_markdown), *line = text;
	size_t rows = 0, flags = 0;

	(void)state;
	for (char *next; (next = strchr(line, '\n')); line = next + 1, rows++) {
		size_t bars = 0;

		for (char *bar = line; bar < next; bar++)
			bars += *bar == '|' && (bar == line || bar[-1] != '\\');
		assert_int_equal(bars, 6);
		assert_int_equal(line[0], '|');
		assert_int_equal(next[-1], '|');
	}
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct options_flag *flag = &options_flags[i];
		char name[64];

		snprintf(name, sizeof name, "`--%s%s%s", flag->kind == KIND_SWITCH ? "[no-]" : "", flag->name,
		         flag->value ? " " : "`");
		assert_int_equal(strstr(text, name) != NULL, flag->group != NULL);
		flags += flag->group != NULL;
	}
	assert_int_equal(rows, flags + 2);
	free(text);
}

static void json_holds_every_flag_with_its_typed_default(void **state)
{
	char *text = capture(options_print_json);
	json_t *array = json_loads(text, 0, NULL), *entry;
	size_t next = 0, i;

	(void)state;
	assert_non_null(array);
	json_array_foreach(array, i, entry)
	{
		const struct options_flag *flag = &options_flags[next++];
		const char *keyword = json_string_value(json_object_get(entry, "keyword"));

		assert_non_null(flag->group); /* the hidden ones are the last */
		assert_string_equal(json_string_value(json_object_get(entry, "name")), flag->name);
		assert_int_equal(strlen(keyword), strlen(flag->name));
		assert_null(strchr(keyword, '-'));
		assert_string_equal(json_string_value(json_object_get(entry, "help")), flag->help);
		assert_int_equal(json_is_null(json_object_get(entry, "default")), !*flag->default_text);
		assert_non_null(json_object_get(entry, "kind"));
	}
	assert_int_equal(next, OPTION_READER_FD);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(array, OPTION_MAX_PIXELS), "default")), 268435456);
	assert_true(json_is_true(json_object_get(json_array_get(array, OPTION_SHUFFLE), "default")));
	assert_int_equal(json_array_size(json_object_get(json_array_get(array, OPTION_RATIO), "default")), 2);
	assert_true(json_real_value(json_object_get(json_array_get(array, OPTION_HFLIP), "default")) == 0.5);
	assert_int_equal(json_array_size(json_object_get(json_array_get(array, OPTION_RESAMPLE), "choices")), 6);
	json_decref(array);
	free(text);
}

/* Parses in a child, which is to exit 0 by itself. */
static void print_by_flag(const char *words)
{
	struct options options;
	pid_t child = fork();
	int status;

	if (child == 0) {
		(void)parse(&options, words);
		_exit(99);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void print_help_by_flag(void)
{
	print_by_flag("--help");
}

static void print_version_by_flag(void)
{
	print_by_flag("p -V");
}

static void help_and_version_exit_with_0_whatever_the_environment_holds(void **state)
{
	char *by_flag, *direct, *version;

	(void)state;
	setenv("CROPRING_BATCH_SIZE", "12x", 1);
	by_flag = capture(print_help_by_flag);
	direct = capture(print_help);
	version = capture(print_version_by_flag);
	assert_string_equal(by_flag, direct);
	assert_string_equal(version, "cropring " CROPRING_VERSION "\n");
	free(by_flag);
	free(direct);
	free(version);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, forget_variables)
	const struct CMUnitTest tests[] = {
		TEST(every_flag_works_by_argv_and_by_variable),
		TEST(names_variables_and_letters_agree_and_are_unique),
		TEST(limits_belong_to_the_range_and_what_is_next_does_not),
		TEST(help_shows_every_flag_with_its_default),
		TEST(markdown_has_a_row_for_every_flag),
		TEST(json_holds_every_flag_with_its_typed_default),
		TEST(help_and_version_exit_with_0_whatever_the_environment_holds),
	};

	forget_variables(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
