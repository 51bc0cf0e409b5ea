/*
 * manifest_jsonl.c - part of stage 1 of 5: the bytes of a JSON Lines file in, values out.  One thread.
 *
 * jansson parses each line.  It keeps no positions of values, so a line in which a value is wrong is looked through once more.
 * A million lines with a path and a label take 1.4 s of CPU time, with a box as well 2.7 s; five sixths of that are jansson's.
 */
#include "loader/plan/manifest/manifest_jsonl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void manifest_jsonl_open(struct manifest_jsonl *jsonl, struct manifest_text *text)
{
	*jsonl = (struct manifest_jsonl){.text = text};
}

void manifest_jsonl_close(struct manifest_jsonl *jsonl)
{
	json_decref(jsonl->object);
	jsonl->object = NULL;
}

/* ------------------------------------------------------------------ lines */

static bool is_blank(const char *line, size_t byte_count)
{
	return strspn(line, " \t\r\n") >= byte_count;
}

/* The length of the line at `begin`, with its line feed.  0: there is none any more. */
static int find_line(struct manifest_text *text, size_t *byte_count, struct err *err)
{
	for (;;) {
		const char *begin = text->buffer + text->begin;
		const char *feed = memchr(begin, '\n', text->end - text->begin);
		int rc;

		*byte_count = feed ? (size_t)(feed + 1 - begin) : text->end - text->begin;
		if (*byte_count > MANIFEST_RECORD_BYTES)
			return manifest_text_fault(text, begin, err, "a line of more than %d bytes", MANIFEST_RECORD_BYTES);
		if (feed || text->at_end)
			return *byte_count > 0;
		rc = manifest_text_fill(text, err);
		if (rc < 0)
			return rc;
	}
}

/* jansson's words may quote what it met. */
static int refuse_json(const struct manifest_text *text, const json_error_t *error, size_t byte_count, struct err *err)
{
	size_t position = error->position > 0 ? (size_t)error->position - 1 : 0;
	char words[JSON_ERROR_TEXT_LENGTH];

	snprintf(words, sizeof words, "%s", error->text);
	for (char *byte = words; *byte; byte++)
		if ((unsigned char)*byte < ' ' || (unsigned char)*byte > '~')
			*byte = '?';
	return manifest_text_fault(text, text->buffer + text->begin + (position < byte_count ? position : byte_count - 1), err,
	                           "no JSON object, which each line has to be: %s", words);
}

int manifest_jsonl_next(struct manifest_jsonl *jsonl, struct err *err)
{
	struct manifest_text *text = jsonl->text;
	json_error_t error;
	const char *line;
	int rc;

	json_decref(jsonl->object);
	jsonl->object = NULL;
	do {
		manifest_text_pass(text, jsonl->line_bytes, jsonl->line_bytes > 0);
		rc = find_line(text, &jsonl->line_bytes, err);
		if (rc <= 0)
			return rc;
		line = text->buffer + text->begin;
	} while (is_blank(line, jsonl->line_bytes));
	jsonl->object = json_loadb(line, jsonl->line_bytes, JSON_REJECT_DUPLICATES, &error);
	if (!jsonl->object)
		return refuse_json(text, &error, jsonl->line_bytes, err);
	if (!json_is_object(jsonl->object))
		return manifest_text_fault(text, line, err,
		                           "a list; each line has to be a JSON object, such as {\"path\": \"a.jpg\"}");
	return 1;
}

int manifest_jsonl_header(const struct manifest_jsonl *jsonl, struct manifest_header *header, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(jsonl->object, key, value) if (manifest_header_add(header, key, strlen(key)) <
	                                                   0) return manifest_text_fault(jsonl->text,
	                                                                                 jsonl->text->buffer + jsonl->text->begin,
	                                                                                 err, "%s", header->reason);
	return 0;
}

/* ------------------------------------------------------------------ values */

static void put_cell(struct manifest_cell *cell, const json_t *value)
{
	*cell = (struct manifest_cell){.kind = CELL_OTHER};
	switch (json_typeof(value)) {
	case JSON_STRING:
		cell->kind = CELL_STRING;
		cell->text = json_string_value(value);
		cell->text_bytes = json_string_length(value);
		break;
	case JSON_INTEGER:
		cell->kind = CELL_WHOLE;
		cell->whole = json_integer_value(value);
		break;
	case JSON_REAL:
		cell->kind = CELL_REAL;
		cell->real = json_real_value(value);
		break;
	case JSON_NULL:
		cell->kind = CELL_ABSENT;
		break;
	case JSON_OBJECT:
		cell->text = "an object";
		break;
	case JSON_ARRAY:
		cell->text = "a list";
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		cell->text = json_is_true(value) ? "true" : "false";
		break;
	}
}

int manifest_jsonl_cells(const struct manifest_jsonl *jsonl, struct manifest_cell cells[MANIFEST_COLUMN_COUNT], struct err *err)
{
	const char *key;
	json_t *value;

	for (int i = 0; i < MANIFEST_COLUMN_COUNT; i++)
		cells[i].kind = CELL_ABSENT;
	json_object_foreach(jsonl->object, key, value)
	{
		enum manifest_column column = manifest_column_named(key, strlen(key));

		if (column == MANIFEST_PATH && cells[column].kind != CELL_ABSENT)
			return manifest_text_fault(jsonl->text, jsonl->text->buffer + jsonl->text->begin, err,
			                           "both \"path\" and \"file_name\"; one of them is expected");
		if (column < MANIFEST_COLUMN_COUNT)
			put_cell(&cells[column], value);
	}
	return 0;
}

/* ------------------------------------------------------------------ where a value is */

/* Behind the string that begins at `at`, in a line that is known to be JSON. */
static const char *string_end(const char *at)
{
	for (at++; *at != '"'; at++)
		at += *at == '\\';
	return at + 1;
}

const char *manifest_jsonl_find(const struct manifest_jsonl *jsonl, enum manifest_column column)
{
	const char *line = jsonl->text->buffer + jsonl->text->begin, *at = line, *end = line + jsonl->line_bytes;
	int depth = 0;

	while (at < end) {
		const char *string = at;

		if (*at != '"') {
			depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
			at++;
			continue;
		}
		at = string_end(at);
		if (depth > 1 || manifest_column_named(string + 1, (size_t)(at - string - 2)) != column)
			continue;
		at += strspn(at, " \t\r");
		if (*at == ':')
			return at + 1 + strspn(at + 1, " \t\r");
	}
	return line;
}
