/*
 * manifest_labels.h - the labels of a manifest in, as text; numbers out, and the classes that they count.
 *
 * Whether they are numbers or names shows only with the last one: if all are whole numbers, they are taken as they are; else all
 * are names, sorted bytewise, and their numbers begin at 0.
 */
#ifndef CROPRING_MANIFEST_LABELS_H
#define CROPRING_MANIFEST_LABELS_H

#include "loader/plan/index/index_build.h"

struct manifest_labels;

/* NULL: no memory. */
struct manifest_labels *manifest_labels_open(void);
void manifest_labels_close(struct manifest_labels *labels);

/* A number for this text, the same for the same text, to stand for the label until the end.  -ENOMEM. */
int64_t manifest_labels_add(struct manifest_labels *labels, const char *text, size_t byte_count);

/* Replaces the numbers above in all rows of the index by the labels that they stand for, and adds the classes.  -ENOMEM. */
int manifest_labels_finish(const struct manifest_labels *labels, struct index_build *build);

#endif
