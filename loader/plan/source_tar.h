/*
 * source_tar.h - part of stage 1 of 5: WebDataset shards in, where each image lies in them and its label out.
 *
 * One .tar, a pattern of braces, or a folder of .tar files, sorted bytewise.  Only headers and labels are read, shards in parallel.
 */
#ifndef CROPRING_SOURCE_TAR_H
#define CROPRING_SOURCE_TAR_H

#include "loader/plan/source.h"

/* spec->targets is the extension of the targets. */
int source_tar_read(struct source *source, struct err *err);

#endif
