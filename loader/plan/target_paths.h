/*
 * target_paths.h - part of stage 1 of 5: an index and a folder of targets in, the same index with a target for each sample out.
 *
 * The target of a/b.jpg is a/b.png below the folder, or else a/b.PNG, a/b.bmp, a/b.BMP, or a/b.jpg.
 */
#ifndef CROPRING_TARGET_PATHS_H
#define CROPRING_TARGET_PATHS_H

#include "base/err.h"
#include "loader/plan/index/index_view.h"
#include "loader/plan/link_targets.h"

/* -EINVAL: the index has targets, or no files that could have any by their names.  `folder` is that of the flag, for messages. */
int target_paths_check(const struct index_view *view, const char *folder, struct err *err);

/*
 * Of an index that passed that check.  A sealed memfd, or a negative errno: -ENOENT names the first sample without a target and how
 * many there are.  folder_fd (O_PATH is enough) is the folder, `links` open for it.  About 1 us for each sample.
 */
int target_paths_find(const struct index_view *view, int folder_fd, const char *folder, struct link_targets *links,
                      struct err *err);

#endif
