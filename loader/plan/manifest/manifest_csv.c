/*
 * manifest_csv.c - part of stage 1 of 5: the bytes of a CSV or TSV file in, records of cells out.  One thread.
 *
 * A reader of our own: Debian's libcsv tells no positions and accepts most of what is wrong, and its last release is of 2013.
 * A record is split where it lies: all that is written there are NULs, each in the place of what ends a cell, so that lines and
 * columns can still be counted.  Cells with doubled quotes are copied.
 * A million lines with a path and a label take 0.22 s of CPU time, until the index is complete; with a box as well 0.33 s.
 */
#include "loader/plan/manifest/manifest_csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int manifest_csv_open(struct manifest_csv *csv, struct manifest_text *text, bool tabs, struct err *err)
{
	*csv = (struct manifest_csv){.text = text,
	                             .tabs = tabs,
	                             .cells = malloc(MANIFEST_CSV_CELLS * sizeof *csv->cells),
	                             .undoubled = malloc(MANIFEST_RECORD_BYTES)};
	return csv->cells && csv->undoubled ? 0 : err_fail(err, -ENOMEM, "%s: out of memory", text->name);
}

void manifest_csv_close(struct manifest_csv *csv)
{
	free(csv->cells);
	free(csv->undoubled);
	csv->cells = NULL;
	csv->undoubled = NULL;
}

/* ------------------------------------------------------------------ where the cells of a record are */

/* What a scan of a cell, or of a record, comes to. */
enum scanned { SCANNED, UNFINISHED /* there may be more in the file */, FAULTY };

/* A NUL: behind the last byte that was read, or one of the file's. */
static enum scanned meet_nul(const struct manifest_csv *csv, const char *at, struct err *err)
{
	const struct manifest_text *text = csv->text;

	if (at == text->buffer + text->end)
		return text->at_end ? SCANNED : UNFINISHED;
	manifest_text_fault(text, at, err, "a NUL byte; text is expected");
	return FAULTY;
}

static bool ends_line(const char *at)
{
	return *at == '\n' || (*at == '\r' && at[1] == '\n');
}

/* From behind the opening quote to behind the closing one. */
static enum scanned scan_quoted(struct manifest_csv *csv, struct manifest_csv_cell *cell, char **at, struct err *err)
{
	char *byte = *at;

	for (;; byte++) {
		while (*byte != '"' && *byte != '\n' && *byte != '\0')
			byte++;
		if (*byte == '\n') {
			csv->line_count++;
		} else if (*byte == '"') {
			if (byte[1] != '"')
				break;
			cell->doubled = true;
			byte++;
		} else {
			enum scanned scanned = meet_nul(csv, byte, err);

			if (scanned == SCANNED) {
				manifest_text_fault(csv->text, cell->at, err, "a quote that nothing closes");
				return FAULTY;
			}
			return scanned;
		}
	}
	cell->text_bytes = (size_t)(byte - cell->text);
	*at = byte + 1;
	if (byte[1] == ',' || ends_line(byte + 1))
		return SCANNED;
	if (byte[1] == '\0')
		return meet_nul(csv, byte + 1, err);
	if (byte[1] == '\r' && byte + 2 == csv->text->buffer + csv->text->end && !csv->text->at_end)
		return UNFINISHED;
	manifest_text_fault(csv->text, byte + 1, err,
	                    "text behind a closing quote; a comma or the end of the line is expected, and a quote within quotes is "
	                    "written twice");
	return FAULTY;
}

static enum scanned scan_plain(struct manifest_csv *csv, struct manifest_csv_cell *cell, char **at, struct err *err)
{
	const char separator = csv->tabs ? '\t' : ',', quote = csv->tabs ? '\t' : '"';
	char *byte = *at;
	enum scanned scanned = SCANNED;

	while (*byte != separator && *byte != '\n' && *byte != '\0' && *byte != quote && *byte != '\r')
		byte++;
	if (*byte == '\0') {
		scanned = meet_nul(csv, byte, err);
	} else if (*byte == '\r' && byte[1] != '\n') {
		if (byte + 1 == csv->text->buffer + csv->text->end && !csv->text->at_end)
			return UNFINISHED;
		manifest_text_fault(csv->text, byte, err, "a carriage return that ends no line; lines end in LF or CR LF");
		scanned = FAULTY;
	} else if (*byte == '"' && !csv->tabs) {
		manifest_text_fault(csv->text, byte, err,
		                    "a quote in the middle of a cell; the whole cell has to stand in quotes, and this one is "
		                    "written twice");
		scanned = FAULTY;
	}
	cell->text_bytes = (size_t)(byte - cell->text);
	*at = byte;
	return scanned;
}

/* Fills the cells of the record at `begin`; nothing is changed in the buffer yet, for it may have to be done again. */
static enum scanned scan_record(struct manifest_csv *csv, struct err *err)
{
	char *begin = csv->text->buffer + csv->text->begin, *at = begin;
	const char separator = csv->tabs ? '\t' : ',';

	csv->line_count = 0;
	for (csv->cell_count = 0;; at++) {
		struct manifest_csv_cell *cell = &csv->cells[csv->cell_count];
		enum scanned scanned;

		if (csv->cell_count == MANIFEST_CSV_CELLS) {
			manifest_text_fault(csv->text, at, err, "a line of more than %d cells", MANIFEST_CSV_CELLS);
			return FAULTY;
		}
		csv->cell_count++;
		cell->at = cell->text = at;
		cell->doubled = false;
		cell->quoted = *at == '"' && !csv->tabs;
		if (cell->quoted)
			cell->text = ++at;
		scanned = cell->quoted ? scan_quoted(csv, cell, &at, err) : scan_plain(csv, cell, &at, err);
		if (scanned != SCANNED)
			return scanned;
		if (*at != separator)
			break;
	}
	at += *at == '\r';
	if (*at == '\n') {
		csv->line_count++;
		at++;
	}
	csv->record_bytes = (size_t)(at - begin);
	return SCANNED;
}

/* ------------------------------------------------------------------ cells as text */

/* The cell's text is from now on at `to`, of which the end is returned.  With its NUL it is no longer than it was. */
static char *undouble(struct manifest_csv_cell *cell, char *to)
{
	const char *end = cell->text + cell->text_bytes;
	char *text = to;

	for (const char *from = cell->text; from < end; from += 1 + (*from == '"'))
		*to++ = *from;
	cell->text = text;
	cell->text_bytes = (size_t)(to - text);
	return to + 1;
}

static void finish_cells(struct manifest_csv *csv)
{
	char *undoubled = csv->undoubled;

	for (uint32_t i = 0; i < csv->cell_count; i++) {
		struct manifest_csv_cell *cell = &csv->cells[i];

		if (cell->doubled)
			undoubled = undouble(cell, undoubled);
		cell->text[cell->text_bytes] = '\0'; /* what stood there separates, closes or ends: no position needs it */
	}
}

static bool is_blank(const struct manifest_csv *csv)
{
	return csv->cell_count == 1 && !csv->cells->quoted && csv->cells->text_bytes == 0;
}

static int refuse_length(struct manifest_csv *csv, struct err *err)
{
	const struct manifest_csv_cell *last = &csv->cells[csv->cell_count - 1];

	if (last->quoted)
		return manifest_text_fault(csv->text, last->at, err,
		                           "a line of more than %d bytes, because of the quote that begins here",
		                           MANIFEST_RECORD_BYTES);
	return manifest_text_fault(csv->text, csv->text->buffer + csv->text->begin, err, "a line of more than %d bytes",
	                           MANIFEST_RECORD_BYTES);
}

int manifest_csv_next(struct manifest_csv *csv, struct err *err)
{
	for (;;) {
		enum scanned scanned;

		manifest_text_pass(csv->text, csv->record_bytes, csv->line_count);
		csv->record_bytes = 0;
		csv->line_count = 0;
		if (csv->text->at_end && csv->text->begin == csv->text->end)
			return 0;
		scanned = scan_record(csv, err);
		if (scanned == FAULTY)
			return -EINVAL;
		if (scanned == UNFINISHED) {
			int rc = manifest_text_fill(csv->text, err);

			csv->line_count = 0;
			if (rc < 0)
				return rc == -EFBIG ? refuse_length(csv, err) : rc;
		} else if (csv->record_bytes > MANIFEST_RECORD_BYTES) {
			return refuse_length(csv, err);
		} else if (!is_blank(csv)) {
			finish_cells(csv);
			return 1;
		}
	}
}
