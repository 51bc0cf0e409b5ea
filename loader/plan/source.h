/*
 * source.h - part of stage 1 of 5: what dataset_open() asks of the reader of one kind of source, and what that reader gives.
 *
 * A reader is one function, `int NAME_read(struct source *source, struct err *err)`, and a line in dataset.c.
 */
#ifndef CROPRING_SOURCE_H
#define CROPRING_SOURCE_H

#include "base/err.h"
#include "loader/plan/index/index_build.h"
#include "loader/plan/index/index_stamp.h"
#include "loader/plan/link_targets.h"

struct dataset_spec;
struct pack_set;

struct source {
	const struct dataset_spec *spec;
	const char *path; /* the file or folder to read: spec->source, or the metadata file in it */

	char *root;       /* from malloc: what paths begin at, in the user's words; NULL: an index, whose reader knows it */
	const char *name; /* what is to be read there: a file, a pattern; "": the folder itself */

	/* What the reader fills; all of it is freed by dataset_open(), also after an error. */
	int root_fd;                      /* O_PATH; -1 before, and of a pack, of which nothing is opened later */
	struct index_build *build;        /* the samples, or */
	int index_fd;                     /* an index that was there already, in a sealed memfd; -1: none */
	struct pack_set *pack;            /* its open files; NULL: of none */
	struct index_stamps *stamps;      /* for --index: takes what was looked at, before it is read; NULL: nobody asks */
	struct link_targets link_targets; /* folders outside of the root that are to be read as well */
	char *remark;                     /* from malloc: what is worth knowing under -v; NULL: nothing */
	char *warning;                    /* from malloc: what is hardly meant so; NULL: nothing */
	uint64_t stray_count;             /* images that were left out because they lie beside class folders */
};

#endif
