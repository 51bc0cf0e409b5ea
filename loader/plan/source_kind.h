/*
 * source_kind.h - part of stage 1 of 5: what the user named in, what kind of source it is out.
 *
 * Only names, and what stands directly in a folder, are looked at; the reader of that kind says what is wrong with it.
 */
#ifndef CROPRING_SOURCE_KIND_H
#define CROPRING_SOURCE_KIND_H

#include "base/err.h"

enum source_kind {
	SOURCE_FOLDER,   /* also what does not exist, or is nothing that is known */
	SOURCE_MANIFEST, /* .csv, .tsv, .jsonl; or a folder with a metadata.csv, .tsv or .jsonl, which *path then names */
	SOURCE_TAR, /* .tar, also as a pattern such as x-{00..99}.tar; or a folder of .tar files without images or sub-folders */
	SOURCE_UNSCANNED, /* a folder of which readers will name files; never found, only asked for */
	SOURCE_INDEX,     /* .cropidx, or a file that begins like one */
};

/* What to read for `source` is *path, which is to be freed.  -ENOMEM. */
int source_kind_find(const char *source, enum source_kind *kind, char **path, struct err *err);

#endif
