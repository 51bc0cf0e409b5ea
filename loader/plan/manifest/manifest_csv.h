/*
 * manifest_csv.h - the bytes of a CSV or TSV file in, records of cells out.
 *
 * CSV is RFC 4180 in UTF-8 or any other bytes: cells may stand in quotes, in which a quote is doubled and line breaks may stand.
 * TSV has no quotes: a cell is what stands between two tabs.  Lines end in LF or CR LF, the last one perhaps in neither; empty
 * ones are passed over.
 */
#ifndef CROPRING_MANIFEST_CSV_H
#define CROPRING_MANIFEST_CSV_H

#include "loader/plan/manifest/manifest_text.h"

enum { MANIFEST_CSV_CELLS = 4096 }; /* of a record at most */

struct manifest_csv_cell {
	char *text; /* NUL-terminated, with no other NUL in it */
	size_t text_bytes;
	char *at; /* where it begins in the file, perhaps with a quote */
	bool quoted, doubled;
};

struct manifest_csv {
	struct manifest_text *text; /* the caller's */
	bool tabs;                  /* TSV */
	struct manifest_csv_cell *cells;
	uint32_t cell_count;
	char *undoubled;     /* texts that had doubled quotes, of all cells of a record */
	size_t record_bytes; /* of the record that the cells are from, */
	uint64_t line_count; /* and the line feeds in it: passed over by the next call */
};

/* -ENOMEM. */
int manifest_csv_open(struct manifest_csv *csv, struct manifest_text *text, bool tabs, struct err *err);
void manifest_csv_close(struct manifest_csv *csv);

/* The next record's cells, valid until the next call.  1; 0: there is none any more; -EINVAL and where what is wrong. */
int manifest_csv_next(struct manifest_csv *csv, struct err *err);

#endif
