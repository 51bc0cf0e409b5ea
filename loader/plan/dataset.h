/*
 * dataset.h - stage 1 of 5: a source in, a numbered list of samples out.
 *
 * A folder with sub-folders is read as torchvision's ImageFolder reads it: same classes, same class_to_idx, same samples in the
 * same order.  A folder without sub-folders is flat: every label is -1.
 * Whatever the source, the list lives in one sealed memfd, the index, which readers map as well: its layout is in index_layout.h.
 */
#ifndef CROPRING_DATASET_H
#define CROPRING_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/plan/crop.h"
#include "loader/plan/index/index_view.h"
#include "loader/plan/link_targets.h"
#include "loader/segment_table.h"

struct dataset;

/* What to open; strings stay the caller's, and need not outlive the call. */
struct dataset_spec {
	const char *source;  /* a folder, a manifest, tar files, a pack or an index: source_kind.h */
	const char *root;    /* --root: what paths begin at; NULL: where the source says, or lies */
	const char *targets; /* --targets: the folder of a second picture for each sample, in tar files its extension; NULL: none */
	const char *index_path; /* --index: keep the list of samples in this file; NULL: do not */
	uint32_t threads;       /* that may look around at once; at least 1 */
	bool unscanned;         /* a folder, of which readers will name files: it has no samples */
};

/*
 * -ENOENT, -ENOTDIR, -EACCES, ... when the source cannot be read; -ENODATA when it holds no image, or a class folder has none;
 * -ELOOP on a loop of symbolic links; -EINVAL when a line or a byte in it cannot be right.
 */
int dataset_open(struct dataset **dataset, const struct dataset_spec *spec, struct err *err);
void dataset_close(struct dataset *dataset);

uint64_t dataset_sample_count(const struct dataset *dataset);

/* Where an image or its target lies. */
struct dataset_file {
	const char *path;        /* relative to dataset_root_fd() or dataset_target_root_fd(); valid as long as the dataset */
	uint64_t offset, length; /* within the file; both 0: the whole file */
	uint64_t id;             /* the same for samples of the same file and place, hardly ever for others: see file_bytes.h */

	/* Of a pack only; else -1 and NULL.  Then the path is the name that the image once had, and fd the open file that it lies in. */
	int fd;
	const struct index_image *image;
	uint64_t shard;     /* in which of the pack's; 0: it has none, or that is the one */
	bool lies_in_shard; /* which of the two */
};

/* All that dataset_file.fd may be. */
const int *dataset_open_fds(const struct dataset *dataset, uint32_t *count);

void dataset_image(const struct dataset *dataset, uint64_t sample, struct dataset_file *file);

/* Only if dataset_has(INDEX_TARGET). */
void dataset_target(const struct dataset *dataset, uint64_t sample, struct dataset_file *file);

/* dataset_image()'s path. */
const char *dataset_path(const struct dataset *dataset, uint64_t sample);

/*
 * The picture of a pack and where one can begin to decode it; kind is SEGMENT_NONE if it has no table, or a damaged one.  The table is
 * mapped from the pack: to look at it may take a read from the disk.  False: not of a pack.
 */
bool dataset_segments(const struct dataset *dataset, const struct dataset_file *file, struct segments *segments);

/* The sample will be wanted soon: what dataset_segments() will look at may be read from the disk meanwhile. */
void dataset_announce(const struct dataset *dataset, uint64_t sample);

/* For messages: the path, or, in `text`, the path and where in that file, or in which shard of a pack and where there, the image begins. */
const char *dataset_file_name(const struct dataset_file *file, char *text, size_t text_bytes);

/* Class number, or what the manifest says; -1: none. */
int64_t dataset_label(const struct dataset *dataset, uint64_t sample);

bool dataset_has(const struct dataset *dataset, enum index_column column);

/* The sample's box or window, into ask->box or ask->window and ask->rule, if the source tells one; else nothing is changed. */
bool dataset_box(const struct dataset *dataset, uint64_t sample, struct crop_ask *ask);

/* All columns at once. */
const struct index_view *dataset_index(const struct dataset *dataset);

uint32_t dataset_class_count(const struct dataset *dataset);

/* What paths begin at, as the user named it, for messages. */
const char *dataset_root(const struct dataset *dataset);

/* Files that were left out because they lie beside class folders; worth a warning. */
uint64_t dataset_stray_count(const struct dataset *dataset);

/* What became of --index: a sentence; "": nothing was asked for. */
const char *dataset_cache_report(const struct dataset *dataset, bool *is_warning);

/* A sentence for those who want to know more, and one for everybody; NULL: there is none. */
const char *dataset_remark(const struct dataset *dataset);
const char *dataset_warning(const struct dataset *dataset);

/* The folders outside of the root that its symbolic links led to when it was scanned. */
const struct link_targets *dataset_link_targets(const struct dataset *dataset);

/* The root is "/", so that absolute paths are files of it. */
bool dataset_is_everything(const struct dataset *dataset);

/* O_PATH descriptor of the root, for openat(); owned by the dataset.  -1: a pack, of which nothing is opened any more. */
int dataset_root_fd(const struct dataset *dataset);

/* The same three for targets: the folder of --targets, or the root, for which there are no links of their own: NULL. */
int dataset_target_root_fd(const struct dataset *dataset);
const char *dataset_target_root(const struct dataset *dataset);
const struct link_targets *dataset_target_links(const struct dataset *dataset);

/* No image and no target is reached by a link that leaves its root: see link_targets.h. */
bool dataset_stays_beneath(const struct dataset *dataset);

/* Descriptor of the index, sealed against writing; owned by the dataset. */
int dataset_index_fd(const struct dataset *dataset);

#endif
