/*
 * pack_pictures.h - part of `cropring pack`: a dataset in, the pictures to store out, each once, in the order of the pack.
 *
 * Samples may share a picture: the rows of a manifest that name one file with a box each.  One thread makes the list; then it is only
 * read, by any thread.
 */
#ifndef CROPRING_PACK_PICTURES_H
#define CROPRING_PACK_PICTURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loader/plan/dataset.h"

struct pack_pictures {
	const struct dataset *dataset;
	uint64_t count;
	uint64_t *origin;    /* of each picture: twice the first sample that has it, and 1 more if it is its target */
	uint64_t *image_of;  /* of each sample: its picture */
	uint64_t *target_of; /* the same; NULL: there are no targets */
};

/*
 * `pairs`: a sample's target is stored right behind its image, so that both lie in one shard; then samples share both or none.
 * -ENOMEM.  *pictures is to be closed in any case.
 */
int pack_pictures_open(struct pack_pictures *pictures, const struct dataset *dataset, bool pairs, struct err *err);
void pack_pictures_close(struct pack_pictures *pictures);

static inline uint64_t pack_picture_sample(const struct pack_pictures *pictures, uint64_t picture)
{
	return pictures->origin[picture] / 2;
}

static inline bool pack_picture_is_target(const struct pack_pictures *pictures, uint64_t picture)
{
	return pictures->origin[picture] % 2 != 0;
}

/* Where it lies in the source. */
static inline void pack_picture_file(const struct pack_pictures *pictures, uint64_t picture, struct dataset_file *file)
{
	if (pack_picture_is_target(pictures, picture))
		dataset_target(pictures->dataset, pack_picture_sample(pictures, picture), file);
	else
		dataset_image(pictures->dataset, pack_picture_sample(pictures, picture), file);
}

#endif
