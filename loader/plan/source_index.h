/* source_index.h - part of stage 1 of 5: an index file in, the same index in sealed memory out. */
#ifndef CROPRING_SOURCE_INDEX_H
#define CROPRING_SOURCE_INDEX_H

#include "loader/plan/source.h"

/* Its paths begin at --root, else where the file says; a relative one is looked for beside the file. */
int source_index_read(struct source *source, struct err *err);

#endif
