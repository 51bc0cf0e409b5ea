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
	SOURCE_PACK,      /* .pack, or a file that begins like one; a .shard as well, which its reader refuses */
};

/* What to read for `source` is *path, which is to be freed.  -ENOENT: it is the address of something that is not here.  -ENOMEM. */
int source_kind_find(const char *source, enum source_kind *kind, char **path, struct err *err);

/*
 * Where the paths of a source begin that source_kind_find() has found, but for an index, in the user's words, from malloc: the folder
 * itself, or the one that the file lies in; of a pattern all before the last slash before its first brace.  *name is the rest of
 * `path`; "": there is none.  NULL: no memory.
 */
char *source_kind_folder(const char *path, const char **name);

#endif
