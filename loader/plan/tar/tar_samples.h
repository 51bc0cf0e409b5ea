/*
 * tar_samples.h - part of stage 1 of 5: one WebDataset shard in, its samples out.
 *
 * A member's name is a key, which ends before the first dot of the name's last part, and an extension, which is the rest, in lower
 * case.  Members of one key that follow one another are a sample:
 *   - its image has an extension such as jpg; without one, an extension that ends so, such as left.jpg
 *   - its target has the extension that was asked for, such as seg.png
 *   - its label is the text in .cls; without one, `label` or else `cls` in .json: a whole number or a string
 * Samples without an image are left out and counted.  Names of folders and of what begins with a dot or with __ are passed over.
 */
#ifndef CROPRING_TAR_SAMPLES_H
#define CROPRING_TAR_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define TAR_NO_LABEL UINT64_MAX

/* Each place lies within the archive. */
struct tar_sample {
	uint64_t offset, length;
	uint64_t target_offset, target_length; /* both 0 where no target was asked for */
	uint64_t label_at;                     /* where its text begins in `labels`, or TAR_NO_LABEL */
};

struct tar_samples {
	struct tar_sample *sample;
	size_t count, capacity;
	char *labels; /* NUL-terminated, one after another; equal neighbours only once */
	size_t labels_bytes, labels_capacity;
	uint64_t imageless_count;
	uint64_t unlabelled_count, lost_label_count; /* images without a label; labels without an image */
};

/*
 * Fills *samples, which is to be closed in any case.  fd is the shard, `name` is what people call it; target_extension NULL: none
 * is asked for.  -EINVAL when the shard cannot be right, or another negative errno; *err says what and where.
 */
int tar_samples_read(struct tar_samples *samples, int fd, const char *name, const char *target_extension, struct err *err);
void tar_samples_close(struct tar_samples *samples);

#endif
