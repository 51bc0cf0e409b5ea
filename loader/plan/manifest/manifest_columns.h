/*
 * manifest_columns.h - the names in a manifest's header in, the columns that they mean out; others are passed over and remembered.
 */
#ifndef CROPRING_MANIFEST_COLUMNS_H
#define CROPRING_MANIFEST_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

enum manifest_column {
	MANIFEST_PATH, /* "path" or "file_name" */
	MANIFEST_LABEL,
	MANIFEST_X,
	MANIFEST_Y,
	MANIFEST_WIDTH,
	MANIFEST_HEIGHT,
	MANIFEST_SCALE,
	MANIFEST_OFFSET,
	MANIFEST_LENGTH,
	MANIFEST_TARGET,
	MANIFEST_WEIGHT,
	MANIFEST_COLUMN_COUNT, /* and any other name */
};

#define MANIFEST_HAS(column) (1u << (column))

/* Names in quotes with commas between them, as many as fit. */
struct manifest_names {
	char text[200];
	size_t used_bytes;
	uint32_t count;
};

struct manifest_header {
	uint32_t columns;             /* MANIFEST_HAS() of those that are used */
	struct manifest_names all;    /* every name that was found, */
	struct manifest_names others; /* and those of them that mean nothing here */
	char reason[400];             /* of what was wrong */
};

/* What a name means; its place in a JSON object, or MANIFEST_COLUMN_COUNT. */
enum manifest_column manifest_column_named(const char *name, size_t byte_count);

/* The next name.  Its meaning, or MANIFEST_COLUMN_COUNT for others; -1 and header->reason if it cannot stand there. */
int manifest_header_add(struct manifest_header *header, const char *name, size_t byte_count);

/* After the last name: which columns are used.  -1 and header->reason, if some belong together and are not. */
int manifest_header_finish(struct manifest_header *header);

/* The columns of the index (INDEX_HAS()) that these columns fill. */
uint32_t manifest_columns_of_index(uint32_t columns);

/* "x"; for MANIFEST_PATH "path". */
const char *manifest_column_name(enum manifest_column column);

#endif
