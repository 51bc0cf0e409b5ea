/*
 * manifest_jsonl.h - the bytes of a JSON Lines file in, the values that mean something out, line by line.
 *
 * Each line is an object in UTF-8; empty lines are passed over, as are keys that mean nothing here, whatever their values are.
 */
#ifndef CROPRING_MANIFEST_JSONL_H
#define CROPRING_MANIFEST_JSONL_H

#include <jansson.h>

#include "loader/plan/manifest/manifest_cell.h"
#include "loader/plan/manifest/manifest_columns.h"
#include "loader/plan/manifest/manifest_text.h"

struct manifest_jsonl {
	struct manifest_text *text; /* the caller's */
	json_t *object;             /* of the line at `begin` */
	size_t line_bytes;          /* of that line, passed over by the next call */
};

void manifest_jsonl_open(struct manifest_jsonl *jsonl, struct manifest_text *text);
void manifest_jsonl_close(struct manifest_jsonl *jsonl);

/* The next line.  1; 0: there is none any more; -EINVAL and where what is wrong. */
int manifest_jsonl_next(struct manifest_jsonl *jsonl, struct err *err);

/* The line's keys, as if they were a header. */
int manifest_jsonl_header(const struct manifest_jsonl *jsonl, struct manifest_header *header, struct err *err);

/* The line's values, by column; valid until the next call.  -EINVAL: "path" and "file_name" are both there. */
int manifest_jsonl_cells(const struct manifest_jsonl *jsonl, struct manifest_cell cells[MANIFEST_COLUMN_COUNT], struct err *err);

/* Where the value of this column begins in the line, or, if that cannot be told, where the line does. */
const char *manifest_jsonl_find(const struct manifest_jsonl *jsonl, enum manifest_column column);

#endif
