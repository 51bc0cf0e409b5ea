/* source_manifest.h - part of stage 1 of 5: a manifest (CSV, TSV, JSON Lines) in, its samples out. */
#ifndef CROPRING_SOURCE_MANIFEST_H
#define CROPRING_SOURCE_MANIFEST_H

#include "loader/plan/source.h"

/* Paths begin at --root, else at the folder that the manifest lies in. */
int source_manifest_read(struct source *source, struct err *err);

#endif
