/* options_print.c - a table of flags in; --help, the Markdown table of the docs, or JSON on stdout out.  One thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "loader/options_internal.h"

enum {
	HELP_WIDTH = 100, /* columns */
	HELP_INDENT = 31, /* where the flags' descriptions begin */
};

/* What a table shows as the default: "on", "256", or "" where the field starts as nothing. */
static void print_default(const struct options_flag *flag, const char *before, const char *after)
{
	if (*flag->default_text)
		printf("%s%s%s", before, flag->default_text, after);
}

/* "drop, pad or partial: what that means", or just what it means. */
static void describe(const struct options_flag *flag, char *text, size_t text_bytes)
{
	char list[120] = "";

	if (flag->choices)
		options_value_list(flag->choices, list, sizeof list);
	snprintf(text, text_bytes, "%s%s%s", list, *list ? ": " : "", flag->help);
}

/* Prints words from column HELP_INDENT on, beginning at `column`, with line breaks before HELP_WIDTH. */
static void print_wrapped(const char *text, int column)
{
	bool first = true;

	while (*text) {
		int length = (int)strcspn(text, " ");

		if (column + (first ? 0 : 1) + length > HELP_WIDTH) {
			printf("\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		} else if (!first) {
			putchar(' ');
			column++;
		}
		printf("%.*s", length, text);
		column += length;
		text += length + (text[length] == ' ');
		first = false;
	}
	putchar('\n');
}

static void print_help_row(const struct options_flag *flag)
{
	char left[80], text[400], with_default[480];
	const char *negation = flag->kind == KIND_SWITCH ? "[no-]" : "";
	const char *value = flag->value ? flag->value : "";
	char letter[8] = "    ";
	int width;

	if (flag->letter)
		snprintf(letter, sizeof letter, "-%c, ", flag->letter);
	width = snprintf(left, sizeof left, "  %s--%s%s%s%s", letter, negation, flag->name, *value ? " " : "", value);
	describe(flag, text, sizeof text);
	snprintf(with_default, sizeof with_default, *flag->default_text ? "%s [%s]" : "%s", text, flag->default_text);
	if (width > HELP_INDENT - 2)
		printf("%s\n%*s", left, HELP_INDENT, "");
	else
		printf("%-*s", HELP_INDENT, left);
	print_wrapped(with_default, HELP_INDENT);
}

void options_print_help(const struct options_command *command)
{
	const char *group = "";

	fputs(command->help_head, stdout);
	for (const struct options_flag *flag = command->flags; flag < command->flags + command->flag_count; flag++) {
		if (!flag->group)
			continue;
		if (strcmp(group, flag->group) != 0)
			printf("\n%s:\n", flag->group);
		group = flag->group;
		print_help_row(flag);
	}
	fputs(command->help_tail, stdout);
}

/* '|' would end a cell. */
static void print_cell(const char *text)
{
	for (; *text; text++)
		printf(*text == '|' ? "\\|" : "%c", *text);
}

void options_print_markdown(void)
{
	const char *group = "";

	puts("| | flag | default | range | |\n|---|---|---|---|---|");
	for (const struct options_flag *flag = options_flags; flag < options_flags + OPTION_COUNT; flag++) {
		const char *heading;

		if (!flag->group)
			continue;
		heading = strcmp(group, flag->group) != 0 ? flag->group : "";
		group = flag->group;
		printf(*heading ? "| **%s** | " : "| %s| ", heading);
		if (flag->letter)
			printf("`-%c` ", flag->letter);
		printf("`--%s%s", flag->kind == KIND_SWITCH ? "[no-]" : "", flag->name);
		if (flag->value) {
			putchar(' ');
			print_cell(flag->value);
		}
		fputs("` | ", stdout);
		print_default(flag, "`", "` ");
		fputs("| ", stdout);
		if (flag->choices)
			print_cell(flag->choices);
		else if (flag->minimum && flag->kind != KIND_LEVEL)
			printf("%s to %s", flag->minimum, flag->maximum);
		fputs(" | ", stdout);
		print_cell(flag->help);
		puts(" |");
	}
}

static json_t *json_from_text(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* "0.5" as a number, "0.08,1" as an array of them. */
static json_t *json_from_numbers(const char *text)
{
	json_t *array = json_array();
	json_t *only;

	for (char *end; *text; text = *end ? end + 1 : end) {
		double value = strtod(text, &end);

		json_array_append_new(array, json_real(value));
	}
	if (json_array_size(array) != 1)
		return array;
	only = json_incref(json_array_get(array, 0));
	json_decref(array);
	return only;
}

/* In the type that Python has for it; null: the flag has no default. */
static json_t *json_from_default(const struct options_flag *flag)
{
	uint64_t whole;

	if (!*flag->default_text)
		return json_null();
	if (flag->kind == KIND_SWITCH)
		return json_boolean(strcmp(flag->default_text, "on") == 0);
	if (options_value_whole(flag->default_text, true, &whole))
		return json_integer((json_int_t)whole);
	if (flag->kind == KIND_REAL || flag->kind == KIND_PAIR)
		return json_from_numbers(flag->default_text);
	return json_string(flag->default_text);
}

static json_t *json_from_choices(const char *choices)
{
	json_t *array = json_array();

	while (choices && *choices) {
		size_t length = strcspn(choices, "|");

		json_array_append_new(array, json_stringn(choices, length));
		choices += length + (choices[length] == '|');
	}
	return array;
}

static const char *kind_name(enum options_kind kind)
{
	static const char *const names[] = {
		[KIND_U32] = "integer",    [KIND_U64] = "integer",   [KIND_I32] = "integer",    [KIND_QUANTITY] = "integer",
		[KIND_SLOTS] = "integer",  [KIND_SIZE] = "size",     [KIND_REAL] = "number",    [KIND_PAIR] = "pair",
		[KIND_VECTOR] = "numbers", [KIND_CHOICE] = "choice", [KIND_SWITCH] = "switch",  [KIND_CHOSEN_NUMBER] = "choice",
		[KIND_LEVEL] = "level",    [KIND_TEXT] = "text",     [KIND_RING_NAME] = "text", [KIND_SOCKET_PATH] = "text",
		[KIND_NUMBERS] = "text",
	};

	return names[kind];
}

static json_t *json_from_flag(const struct options_flag *flag)
{
	char letter[2] = {flag->letter, '\0'}, keyword[40];

	snprintf(keyword, sizeof keyword, "%s", flag->name);
	for (char *dash = keyword; (dash = strchr(dash, '-'));)
		*dash = '_';
	/* Limits as text: the greatest seed is over what JSON readers agree on. */
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:s}", "name", flag->name, "keyword", keyword,
	                 "variable", flag->variable, "group", flag->group, "letter", json_from_text(flag->letter ? letter : NULL),
	                 "kind", kind_name(flag->kind), "default", json_from_default(flag), "minimum",
	                 json_from_text(flag->minimum), "maximum", json_from_text(flag->maximum), "choices",
	                 json_from_choices(flag->choices), "value", json_from_text(flag->value), "help", flag->help);
}

void options_print_json(void)
{
	json_t *array = json_array();

	for (const struct options_flag *flag = options_flags; flag < options_flags + OPTION_COUNT; flag++)
		if (flag->group)
			json_array_append_new(array, json_from_flag(flag));
	json_dumpf(array, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
	putchar('\n');
	json_decref(array);
}
