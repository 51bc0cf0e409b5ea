/* pack_finish.h - part of `cropring pack`: all pictures written in; index and headers, and with them a whole pack, out.  One thread. */
#ifndef CROPRING_PACK_FINISH_H
#define CROPRING_PACK_FINISH_H

#include "loader/pack/pack_writer.h"

/*
 * Writes index and headers, the pack's own header last, and notes in the journal that the pack is whole.  An end in between costs
 * nothing but these again.  As write()'s; -ENOMEM.
 */
int pack_finish(struct pack_writer *writer, struct err *err);

#endif
