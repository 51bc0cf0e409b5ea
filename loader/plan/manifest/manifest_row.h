/* manifest_row.h - the cells of one record in, a sample out, with every value looked at. */
#ifndef CROPRING_MANIFEST_ROW_H
#define CROPRING_MANIFEST_ROW_H

#include "loader/plan/index/index_build.h"
#include "loader/plan/manifest/manifest_cell.h"
#include "loader/plan/manifest/manifest_columns.h"
#include "loader/plan/manifest/manifest_root.h"

/* What is wrong, and with which column. */
struct manifest_row_fault {
	enum manifest_column column;
	struct err reason;
};

/*
 * Fills all of *row that `columns` (of the header) name, but for the label; strings are those of the cells.  -1 and *fault.
 */
int manifest_row_read(struct index_row *row, uint32_t columns, const struct manifest_cell cells[MANIFEST_COLUMN_COUNT],
                      const struct manifest_root *root, struct manifest_row_fault *fault);

#endif
