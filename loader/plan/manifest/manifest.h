/*
 * manifest.h - a table of samples in, as CSV, TSV or JSON Lines; an index out.
 *
 * Columns, rules and errors: docs/sources.md.
 */
#ifndef CROPRING_MANIFEST_H
#define CROPRING_MANIFEST_H

#include "loader/plan/index/index_build.h"
#include "loader/plan/manifest/manifest_columns.h"
#include "loader/plan/manifest/manifest_root.h"

enum manifest_format { MANIFEST_NONE, MANIFEST_CSV, MANIFEST_TSV, MANIFEST_JSONL };

/* By the file's ending, in any case. */
enum manifest_format manifest_format_of(const char *file);

/*
 * Reads the manifest behind `fd` to its end.  *build is to be closed by the caller, also after an error; *others are the columns
 * that were passed over.  -EINVAL: something in it is wrong, "FILE:LINE:COLUMN: " tells where; -ENODATA: no sample is in it;
 * -ENOMEM, or what reading says.
 */
int manifest_read(struct index_build **build, int fd, const char *file, enum manifest_format format,
                  const struct manifest_root *root, struct manifest_names *others, struct err *err);

#endif
