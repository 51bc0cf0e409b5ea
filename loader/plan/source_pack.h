/* source_pack.h - part of stage 1 of 5: a pack in, its index in sealed memory and its open files out. */
#ifndef CROPRING_SOURCE_PACK_H
#define CROPRING_SOURCE_PACK_H

#include "loader/plan/index/index_view.h"
#include "loader/plan/source.h"

int source_pack_read(struct source *source, struct err *err);

/* The rest, once every number of that index is looked at: what no other index has to do.  -EINVAL. */
int source_pack_check(const struct source *source, const struct index_view *view, struct err *err);

#endif
