/* manifest_columns.c - part of stage 1 of 5: the names in a manifest's header in, the columns that they mean out.  One thread. */
#include "loader/plan/manifest/manifest_columns.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "loader/plan/index/index_layout.h"
#include "loader/plan/manifest/manifest_text.h"

#define BOX    (MANIFEST_HAS(MANIFEST_X) | MANIFEST_HAS(MANIFEST_Y) | MANIFEST_HAS(MANIFEST_WIDTH) | MANIFEST_HAS(MANIFEST_HEIGHT))
#define WINDOW (MANIFEST_HAS(MANIFEST_X) | MANIFEST_HAS(MANIFEST_Y) | MANIFEST_HAS(MANIFEST_SCALE))
#define RANGE  (MANIFEST_HAS(MANIFEST_OFFSET) | MANIFEST_HAS(MANIFEST_LENGTH))

static const struct {
	const char *name;
	enum manifest_column column;
} known_names[] = {
	{"path", MANIFEST_PATH},     {"file_name", MANIFEST_PATH}, /* of Hugging Face's metadata files */
	{"label", MANIFEST_LABEL},   {"x", MANIFEST_X},
	{"y", MANIFEST_Y},           {"width", MANIFEST_WIDTH},
	{"height", MANIFEST_HEIGHT}, {"scale", MANIFEST_SCALE},
	{"offset", MANIFEST_OFFSET}, {"length", MANIFEST_LENGTH},
	{"target", MANIFEST_TARGET}, {"weight", MANIFEST_WEIGHT},
};

enum { KNOWN_COUNT = sizeof known_names / sizeof known_names[0] };

enum manifest_column manifest_column_named(const char *name, size_t byte_count)
{
	for (int i = 0; i < KNOWN_COUNT; i++)
		if (strlen(known_names[i].name) == byte_count && memcmp(known_names[i].name, name, byte_count) == 0)
			return known_names[i].column;
	return MANIFEST_COLUMN_COUNT;
}

const char *manifest_column_name(enum manifest_column column)
{
	for (int i = 0; i < KNOWN_COUNT; i++)
		if (known_names[i].column == column)
			return known_names[i].name;
	return "";
}

static void add_name(struct manifest_names *names, const char *name, size_t byte_count)
{
	char quote[MANIFEST_QUOTE_BYTES];
	size_t left_bytes = sizeof names->text - names->used_bytes;
	int length;

	names->count++;
	if (left_bytes <= sizeof ", ...") /* no more fit */
		return;
	length = snprintf(NULL, 0, "%s%s", names->used_bytes ? ", " : "", manifest_text_quote(quote, name, byte_count));
	if ((size_t)length + sizeof ", ..." > left_bytes) {
		strcpy(names->text + names->used_bytes, ", ...");
		names->used_bytes = sizeof names->text;
		return;
	}
	sprintf(names->text + names->used_bytes, "%s%s", names->used_bytes ? ", " : "", quote);
	names->used_bytes += (size_t)length;
}

static int refuse(struct manifest_header *header, const char *format, const char *name)
{
	snprintf(header->reason, sizeof header->reason, format, name);
	return -1;
}

/* "label " is not "label", and would be passed over without a word. */
static bool is_known_but_for_spaces(const char *name, size_t byte_count)
{
	const char *end = name + byte_count;

	while (name < end && *name == ' ')
		name++;
	while (name < end && end[-1] == ' ')
		end--;
	return (size_t)(end - name) < byte_count && manifest_column_named(name, (size_t)(end - name)) < MANIFEST_COLUMN_COUNT;
}

int manifest_header_add(struct manifest_header *header, const char *name, size_t byte_count)
{
	enum manifest_column column = manifest_column_named(name, byte_count);
	char quote[MANIFEST_QUOTE_BYTES];

	add_name(&header->all, name, byte_count);
	if (column == MANIFEST_COLUMN_COUNT) {
		if (is_known_but_for_spaces(name, byte_count))
			return refuse(header, "the column name %s has spaces around it; write it without them",
			              manifest_text_quote(quote, name, byte_count));
		add_name(&header->others, name, byte_count);
	} else if (header->columns & MANIFEST_HAS(column)) {
		return refuse(header,
		              column == MANIFEST_PATH
		                      ? "the paths are named twice, %s; give one of \"path\" and \"file_name\", once"
		                      : "the column %s is there twice",
		              column == MANIFEST_PATH ? header->all.text : manifest_text_quote(quote, name, byte_count));
	} else {
		header->columns |= MANIFEST_HAS(column);
	}
	return (int)column;
}

/* Columns that say nothing without x, y or offset, such as the width and height of whole images, are others. */
static void drop(struct manifest_header *header, uint32_t columns)
{
	for (int i = 0; i < MANIFEST_COLUMN_COUNT; i++) {
		const char *name = manifest_column_name((enum manifest_column)i);

		if (header->columns & columns & MANIFEST_HAS(i))
			add_name(&header->others, name, strlen(name));
	}
	header->columns &= ~columns;
}

int manifest_header_finish(struct manifest_header *header)
{
	const uint32_t corner = BOX & WINDOW;
	uint32_t columns = header->columns;

	if (!(columns & MANIFEST_HAS(MANIFEST_PATH)))
		return refuse(header, "no column \"path\" or \"file_name\", but %s; the header names the columns",
		              header->all.count > 0 ? header->all.text : "nothing");
	if (!(columns & corner))
		drop(header, BOX | WINDOW);
	else if ((columns & BOX) == BOX && columns & MANIFEST_HAS(MANIFEST_SCALE))
		return refuse(header, "both a box (x, y, width, height) and a window (x, y, scale); %s", "give one of them");
	else if ((columns & WINDOW) == WINDOW)
		drop(header, BOX & ~corner);
	else if ((columns & BOX) != BOX)
		return refuse(header, "a box needs the columns x, y, width and height, a window x, y and scale, but there are %s",
		              header->all.text);
	if (!(columns & MANIFEST_HAS(MANIFEST_OFFSET)))
		drop(header, RANGE);
	else if ((columns & RANGE) != RANGE)
		return refuse(header, "a place within a file needs the columns offset and length, but there are %s",
		              header->all.text);
	return 0;
}

uint32_t manifest_columns_of_index(uint32_t columns)
{
	uint32_t index = INDEX_HAS(INDEX_PATH) | INDEX_HAS(INDEX_LABEL);

	if ((columns & BOX) == BOX)
		index |= INDEX_HAS(INDEX_BOX);
	if ((columns & WINDOW) == WINDOW)
		index |= INDEX_HAS(INDEX_WINDOW);
	if ((columns & RANGE) == RANGE)
		index |= INDEX_HAS(INDEX_OFFSET) | INDEX_HAS(INDEX_LENGTH);
	if (columns & MANIFEST_HAS(MANIFEST_TARGET))
		index |= INDEX_HAS(INDEX_TARGET);
	if (columns & MANIFEST_HAS(MANIFEST_WEIGHT))
		index |= INDEX_HAS(INDEX_WEIGHT);
	return index;
}
