/* manifest_cell.h - one cell of a manifest, as it was written or as JSON has it, in; a number out. */
#ifndef CROPRING_MANIFEST_CELL_H
#define CROPRING_MANIFEST_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/plan/manifest/manifest_text.h"

enum manifest_cell_kind {
	CELL_ABSENT,  /* no such key in this line, or null */
	CELL_WRITTEN, /* CSV and TSV: text that may stand for a number */
	CELL_STRING,  /* JSON's kinds; a string stands for no number */
	CELL_WHOLE,
	CELL_REAL,
	CELL_OTHER, /* `text` says what: "a list" */
};

struct manifest_cell {
	enum manifest_cell_kind kind;
	const char *text;  /* NUL-terminated, with no other NUL in it */
	size_t text_bytes; /* WRITTEN, STRING */
	int64_t whole;
	double real;
	const char *at; /* where it begins in the file; NULL: nobody knows */
};

/* An optional '-' and digits, within int64.  False: it is anything else. */
bool manifest_cell_whole(const struct manifest_cell *cell, int64_t *value);

/* A decimal number, perhaps with an exponent, and finite. */
bool manifest_cell_real(const struct manifest_cell *cell, double *value);

/* For messages: "12a" in its quotes, 0.5, or a list. */
const char *manifest_cell_found(char found[MANIFEST_QUOTE_BYTES], const struct manifest_cell *cell);

#endif
