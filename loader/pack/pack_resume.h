/* pack_resume.h - part of `cropring pack`: what an interrupted packing left in, a writer that stands where it ended out.  One thread. */
#ifndef CROPRING_PACK_RESUME_H
#define CROPRING_PACK_RESUME_H

#include "loader/pack/pack_writer.h"

/*
 * Reads the writer's journal and looks at the files.  What the journal says to be on the disk is trusted; of what came after, all that
 * is as it was written stays, the rest is cut off.  1: the writer can go on; 0: there is nothing, not even terms; -EINVAL: it was
 * begun on other terms, or files are missing or too short.
 */
int pack_resume(struct pack_writer *writer, struct err *err);

#endif
