/*
 * manifest.c - part of stage 1 of 5: a table of samples in, an index out.  One thread.
 *
 * The file is read once, record by record, and each becomes a row of the index; the first record that is wrong ends it.
 */
#include "loader/plan/manifest/manifest.h"

#include <errno.h>
#include <string.h>

#include "loader/plan/manifest/manifest_csv.h"
#include "loader/plan/manifest/manifest_jsonl.h"
#include "loader/plan/manifest/manifest_labels.h"
#include "loader/plan/manifest/manifest_row.h"

struct manifest {
	struct manifest_text text;
	bool is_jsonl;
	struct manifest_csv csv;
	struct manifest_jsonl jsonl;

	struct manifest_header header;
	int column_of_cell[MANIFEST_CSV_CELLS]; /* CSV, TSV: enum manifest_column */
	uint32_t header_cells;
	struct manifest_cell cells[MANIFEST_COLUMN_COUNT]; /* of the record at hand */

	const struct manifest_root *root;
	struct index_build *build;
	struct manifest_labels *labels;
	bool any_weight; /* above 0 */
};

static const char *record_begin(const struct manifest *manifest)
{
	return manifest->text.buffer + manifest->text.begin;
}

/* ------------------------------------------------------------------ the header */

/* Where the header is wrong as a whole, `begin` is told. */
static int finish_header(struct manifest *manifest, struct err *err)
{
	if (manifest_header_finish(&manifest->header) < 0)
		return manifest_text_fault(&manifest->text, record_begin(manifest), err, "%s", manifest->header.reason);
	manifest->build = index_build_open(manifest_columns_of_index(manifest->header.columns));
	manifest->labels = manifest_labels_open();
	return manifest->build && manifest->labels ? 0 : -ENOMEM;
}

static int read_csv_header(struct manifest *manifest, struct err *err)
{
	const struct manifest_csv *csv = &manifest->csv;
	int rc = manifest_csv_next(&manifest->csv, err);

	if (rc <= 0)
		return rc;
	for (uint32_t i = 0; i < csv->cell_count; i++) {
		const struct manifest_csv_cell *cell = &csv->cells[i];

		manifest->column_of_cell[i] = manifest_header_add(&manifest->header, cell->text, cell->text_bytes);
		if (manifest->column_of_cell[i] < 0)
			return manifest_text_fault(&manifest->text, cell->at, err, "%s", manifest->header.reason);
	}
	manifest->header_cells = csv->cell_count;
	rc = finish_header(manifest, err);
	return rc < 0 ? rc : manifest_csv_next(&manifest->csv, err);
}

/* A JSON Lines file has none: its first line says which columns there are. */
static int read_first_line(struct manifest *manifest, struct err *err)
{
	int rc = manifest_jsonl_next(&manifest->jsonl, err);

	if (rc <= 0)
		return rc;
	rc = manifest_jsonl_header(&manifest->jsonl, &manifest->header, err);
	rc = rc < 0 ? rc : finish_header(manifest, err);
	return rc < 0 ? rc : 1;
}

/* ------------------------------------------------------------------ the cells of a record */

static int take_csv_cells(struct manifest *manifest, struct err *err)
{
	const struct manifest_csv *csv = &manifest->csv;

	if (csv->cell_count != manifest->header_cells)
		return manifest_text_fault(&manifest->text, record_begin(manifest), err, "%u cell%s, but the header has %u",
		                           csv->cell_count, csv->cell_count == 1 ? "" : "s", manifest->header_cells);
	for (uint32_t i = 0; i < csv->cell_count; i++) {
		const struct manifest_csv_cell *cell = &csv->cells[i];

		if (manifest->column_of_cell[i] < MANIFEST_COLUMN_COUNT)
			manifest->cells[manifest->column_of_cell[i]] = (struct manifest_cell){
				.kind = CELL_WRITTEN, .text = cell->text, .text_bytes = cell->text_bytes, .at = cell->at};
	}
	return 0;
}

/* Each line has the columns of the first one; only a label may be missing, or be new. */
static int take_jsonl_cells(struct manifest *manifest, struct err *err)
{
	const uint32_t leading = MANIFEST_HAS(MANIFEST_X) | MANIFEST_HAS(MANIFEST_Y) | MANIFEST_HAS(MANIFEST_OFFSET) |
	                         MANIFEST_HAS(MANIFEST_TARGET) | MANIFEST_HAS(MANIFEST_WEIGHT);
	int rc = manifest_jsonl_cells(&manifest->jsonl, manifest->cells, err);

	for (int i = 0; rc == 0 && i < MANIFEST_COLUMN_COUNT; i++) {
		const enum manifest_column column = (enum manifest_column)i;
		bool absent = manifest->cells[i].kind == CELL_ABSENT, wanted = manifest->header.columns & MANIFEST_HAS(i);

		if (absent && wanted && column != MANIFEST_LABEL)
			rc = manifest_text_fault(&manifest->text, manifest_jsonl_find(&manifest->jsonl, column), err,
			                         "no value for \"%s\"; every line needs the columns of the first one",
			                         manifest_column_name(column));
		else if (!absent && !wanted && leading & MANIFEST_HAS(i))
			rc = manifest_text_fault(&manifest->text, manifest_jsonl_find(&manifest->jsonl, column), err,
			                         "\"%s\" is new; every line needs the columns of the first one",
			                         manifest_column_name(column));
	}
	return rc;
}

/* ------------------------------------------------------------------ rows of the index */

static int refuse_cell(const struct manifest *manifest, enum manifest_column column, const char *reason, struct err *err)
{
	const char *at = manifest->is_jsonl ? manifest_jsonl_find(&manifest->jsonl, column) : manifest->cells[column].at;

	return manifest_text_fault(&manifest->text, at, err, "%s", reason);
}

/* Until the end a number that stands for the label's text. */
static int take_label(struct manifest *manifest, int64_t *label, struct err *err)
{
	const struct manifest_cell *cell = &manifest->cells[MANIFEST_LABEL];
	char number[24], found[MANIFEST_QUOTE_BYTES];
	struct err reason;

	switch (cell->kind) {
	case CELL_ABSENT:
		*label = -1;
		return 0;
	case CELL_WRITTEN:
	case CELL_STRING:
		*label = cell->text_bytes > 0 ? manifest_labels_add(manifest->labels, cell->text, cell->text_bytes) : -1;
		return cell->text_bytes > 0 && *label < 0 ? -ENOMEM : 0;
	case CELL_WHOLE:
		*label = manifest_labels_add(manifest->labels, number, (size_t)sprintf(number, "%lld", (long long)cell->whole));
		return *label < 0 ? -ENOMEM : 0;
	default:
		err_fail(&reason, 0, "column \"label\": %s is neither a whole number nor text", manifest_cell_found(found, cell));
		return refuse_cell(manifest, MANIFEST_LABEL, reason.text, err);
	}
}

static int add_record(struct manifest *manifest, struct err *err)
{
	struct manifest_row_fault fault;
	struct index_row row;
	int rc = manifest->is_jsonl ? take_jsonl_cells(manifest, err) : take_csv_cells(manifest, err);

	if (rc < 0)
		return rc;
	if (manifest_row_read(&row, manifest->header.columns, manifest->cells, manifest->root, &fault) < 0)
		return refuse_cell(manifest, fault.column, fault.reason.text, err);
	rc = take_label(manifest, &row.label, err);
	if (rc < 0)
		return rc;
	manifest->any_weight = manifest->any_weight || (manifest->header.columns & MANIFEST_HAS(MANIFEST_WEIGHT) && row.weight > 0);
	return index_build_add(manifest->build, &row);
}

static int read_all(struct manifest *manifest, struct err *err)
{
	int rc = manifest->is_jsonl ? read_first_line(manifest, err) : read_csv_header(manifest, err);

	while (rc > 0) {
		rc = add_record(manifest, err);
		if (rc == 0)
			rc = manifest->is_jsonl ? manifest_jsonl_next(&manifest->jsonl, err)
			                        : manifest_csv_next(&manifest->csv, err);
	}
	if (rc < 0)
		return rc;
	if (!manifest->build || index_build_sample_count(manifest->build) == 0)
		return err_fail(err, -ENODATA, "%s: no sample is in it%s", manifest->text.name,
		                manifest->is_jsonl ? "" : "; the first line names the columns, each other line is a sample");
	if (manifest->header.columns & MANIFEST_HAS(MANIFEST_WEIGHT) && !manifest->any_weight)
		return err_fail(err, -EINVAL, "%s: all weights are 0; one at least has to be above it", manifest->text.name);
	return manifest_labels_finish(manifest->labels, manifest->build);
}

/* ------------------------------------------------------------------ from outside */

enum manifest_format manifest_format_of(const char *file)
{
	const char *ending = strrchr(file, '.');

	if (ending && strcasecmp(ending, ".csv") == 0)
		return MANIFEST_CSV;
	if (ending && strcasecmp(ending, ".tsv") == 0)
		return MANIFEST_TSV;
	return ending && strcasecmp(ending, ".jsonl") == 0 ? MANIFEST_JSONL : MANIFEST_NONE;
}

int manifest_read(struct index_build **build, int fd, const char *file, enum manifest_format format,
                  const struct manifest_root *root, struct manifest_names *others, struct err *err)
{
	struct manifest manifest = {.is_jsonl = format == MANIFEST_JSONL, .root = root};
	struct err reason = {""};
	int rc = manifest_text_open(&manifest.text, fd, file, &reason);

	manifest_jsonl_open(&manifest.jsonl, &manifest.text);
	if (rc == 0)
		rc = manifest_csv_open(&manifest.csv, &manifest.text, format == MANIFEST_TSV, &reason);
	if (rc == 0)
		rc = read_all(&manifest, &reason);
	if (rc < 0)
		err_fail(err, rc, "%s%s", reason.text, reason.text[0] ? "" : "out of memory for the manifest");
	*build = manifest.build;
	*others = manifest.header.others;
	manifest_labels_close(manifest.labels);
	manifest_csv_close(&manifest.csv);
	manifest_jsonl_close(&manifest.jsonl);
	manifest_text_close(&manifest.text);
	return rc;
}
