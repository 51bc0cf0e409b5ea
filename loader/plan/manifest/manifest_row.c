/* manifest_row.c - part of stage 1 of 5: the cells of one record in, a sample out.  One thread. */
#include "loader/plan/manifest/manifest_row.h"

#include <math.h>

/* The largest weight that an index takes: sums of them stay finite. */
#define MOST_WEIGHT 1e300

static bool has(uint32_t columns, enum manifest_column column)
{
	return columns >> column & 1;
}

static int refuse(struct manifest_row_fault *fault, enum manifest_column column, const struct manifest_cell *cell,
                  const char *words)
{
	char found[MANIFEST_QUOTE_BYTES];

	fault->column = column;
	err_fail(&fault->reason, 0, "column \"%s\": %s %s", manifest_column_name(column), manifest_cell_found(found, cell), words);
	return -1;
}

/* ------------------------------------------------------------------ numbers */

static int read_whole(int64_t *value, const struct manifest_cell *cells, enum manifest_column column, int64_t least, int64_t most,
                      const char *of_what, struct manifest_row_fault *fault)
{
	char words[120];

	if (manifest_cell_whole(&cells[column], value) && *value >= least && *value <= most)
		return 0;
	snprintf(words, sizeof words, "is not a whole number of %s from %lld to %lld", of_what, (long long)least, (long long)most);
	return refuse(fault, column, &cells[column], words);
}

static int read_pixels(int32_t *pixels, const struct manifest_cell *cells, enum manifest_column column, int32_t least,
                       struct manifest_row_fault *fault)
{
	int64_t value = 0;
	int rc = read_whole(&value, cells, column, least, INT32_MAX, "pixels", fault);

	*pixels = (int32_t)value;
	return rc;
}

static int read_bytes(uint64_t *byte_count, const struct manifest_cell *cells, enum manifest_column column, int64_t least,
                      struct manifest_row_fault *fault)
{
	int64_t value = 0;
	int rc = read_whole(&value, cells, column, least, INT64_MAX, "bytes", fault);

	*byte_count = (uint64_t)value;
	return rc;
}

static int read_share(float *share, const struct manifest_cell *cells, enum manifest_column column,
                      struct manifest_row_fault *fault)
{
	double value;

	if (!manifest_cell_real(&cells[column], &value) || !(value >= 0 && value <= 1))
		return refuse(fault, column, &cells[column], "is not a number from 0 to 1");
	*share = (float)value;
	return 0;
}

/* ------------------------------------------------------------------ what belongs together */

static int read_box(struct box *box, const struct manifest_cell *cells, struct manifest_row_fault *fault)
{
	int32_t x, y, width, height;
	int rc = read_pixels(&x, cells, MANIFEST_X, 0, fault);

	rc = rc ? rc : read_pixels(&y, cells, MANIFEST_Y, 0, fault);
	rc = rc ? rc : read_pixels(&width, cells, MANIFEST_WIDTH, 1, fault);
	rc = rc ? rc : read_pixels(&height, cells, MANIFEST_HEIGHT, 1, fault);
	if (rc == 0)
		*box = (struct box){x, y, width, height};
	return rc;
}

static int read_window(struct crop_window *window, const struct manifest_cell *cells, struct manifest_row_fault *fault)
{
	int rc = read_share(&window->x, cells, MANIFEST_X, fault);

	rc = rc ? rc : read_share(&window->y, cells, MANIFEST_Y, fault);
	return rc ? rc : read_share(&window->scale, cells, MANIFEST_SCALE, fault);
}

static int read_range(struct index_row *row, const struct manifest_cell *cells, struct manifest_row_fault *fault)
{
	int rc = read_bytes(&row->offset, cells, MANIFEST_OFFSET, 0, fault);

	rc = rc ? rc : read_bytes(&row->length, cells, MANIFEST_LENGTH, 1, fault);
	if (rc == 0 && row->length > INT64_MAX - row->offset)
		rc = refuse(fault, MANIFEST_LENGTH, &cells[MANIFEST_LENGTH], "bytes from the offset on end beyond any file");
	return rc;
}

static int read_weight(double *weight, const struct manifest_cell *cells, struct manifest_row_fault *fault)
{
	if (manifest_cell_real(&cells[MANIFEST_WEIGHT], weight) && *weight >= 0 && *weight <= MOST_WEIGHT)
		return 0;
	return refuse(fault, MANIFEST_WEIGHT, &cells[MANIFEST_WEIGHT], "is not a number from 0 to 1e300");
}

static int read_path(const char **relative, const struct manifest_cell *cells, enum manifest_column column,
                     const struct manifest_root *root, struct manifest_row_fault *fault)
{
	const struct manifest_cell *cell = &cells[column];
	struct err reason;
	const char *words = "is not a path";

	if (cell->kind == CELL_WRITTEN || cell->kind == CELL_STRING)
		words = manifest_root_path(root, cell->text, relative, &reason);
	return words ? refuse(fault, column, cell, words) : 0;
}

int manifest_row_read(struct index_row *row, uint32_t columns, const struct manifest_cell cells[MANIFEST_COLUMN_COUNT],
                      const struct manifest_root *root, struct manifest_row_fault *fault)
{
	int rc = read_path(&row->path, cells, MANIFEST_PATH, root, fault);

	if (rc == 0 && has(columns, MANIFEST_WIDTH))
		rc = read_box(&row->box, cells, fault);
	if (rc == 0 && has(columns, MANIFEST_SCALE))
		rc = read_window(&row->window, cells, fault);
	if (rc == 0 && has(columns, MANIFEST_OFFSET))
		rc = read_range(row, cells, fault);
	if (rc == 0 && has(columns, MANIFEST_TARGET))
		rc = read_path(&row->target, cells, MANIFEST_TARGET, root, fault);
	if (rc == 0 && has(columns, MANIFEST_WEIGHT))
		rc = read_weight(&row->weight, cells, fault);
	return rc;
}
