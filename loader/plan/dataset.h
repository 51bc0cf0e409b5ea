/*
 * dataset.h - stage 1 of 5: a folder in, a numbered list of samples (path, label) out.
 *
 * A folder with sub-folders is read as torchvision's ImageFolder reads it: same classes, same class_to_idx, same samples in the
 * same order.  A folder without sub-folders is flat: every label is -1.
 * The list lives in one sealed memfd, the catalog, which readers map as well: its layout is in catalog.h.
 */
#ifndef CROPRING_DATASET_H
#define CROPRING_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/plan/link_targets.h"

struct dataset;

/*
 * Scans `folder`.  -ENOENT, -ENOTDIR, -EACCES, ... when it cannot be read; -ENODATA when it holds no image, or a class folder
 * has none; -ELOOP on a loop of symbolic links.
 */
int dataset_open_folder(struct dataset **dataset, const char *folder, struct err *err);
void dataset_close(struct dataset *dataset);

uint64_t dataset_sample_count(const struct dataset *dataset);

/* Relative to dataset_root_fd(); valid as long as the dataset. */
const char *dataset_path(const struct dataset *dataset, uint64_t sample);

/* Class number, or -1 in a flat folder. */
int32_t dataset_label(const struct dataset *dataset, uint64_t sample);

uint32_t dataset_class_count(const struct dataset *dataset);
const char *dataset_class_name(const struct dataset *dataset, uint32_t class_index);

/* The folder as the user named it, for messages. */
const char *dataset_folder(const struct dataset *dataset);

/* Files that were left out because they lie beside class folders; worth a warning. */
uint64_t dataset_stray_count(const struct dataset *dataset);

/* The folders outside of this one that its symbolic links led to when it was scanned. */
const struct link_targets *dataset_link_targets(const struct dataset *dataset);

/* O_PATH descriptor of the folder, for openat(); owned by the dataset. */
int dataset_root_fd(const struct dataset *dataset);

/* Descriptor of the catalog, sealed against writing; owned by the dataset. */
int dataset_catalog_fd(const struct dataset *dataset);

#endif
