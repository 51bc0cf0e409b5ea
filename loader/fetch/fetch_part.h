/*
 * fetch_part.h - the part of a file that was chosen: where its rows lie in the file, and where in memory, behind the head.
 *
 * Threads: whoever has the slot.
 */
#ifndef CROPRING_FETCH_PART_H
#define CROPRING_FETCH_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/fetch/fetch_slot.h"

/* False: no such part can be asked for.  One run of bytes begins behind the head; rows may begin in it, and are read again. */
bool fetch_part_makes_sense(const struct file_part *part, uint64_t head_bytes);

/*
 * False: nothing is to be read.  Rows beyond the end of the file are not read, not even those before it; a run of bytes is, as far
 * as it goes.  Afterwards no sum of the part's numbers overflows.  Only a part that makes sense, and has rows.
 */
bool fetch_part_clip(struct file_part *part, uint64_t file_bytes);

/* Memory behind the head, for the rows and for what they are picked from; only after clipping. */
uint64_t fetch_part_room_bytes(const struct file_part *part);

/* Where all of it is in the cache, reading row by row is cheaper. */
bool fetch_part_has_wide_gaps(const struct file_part *part);

/* Makes slot->read the next one. */
void fetch_part_plan_read(struct fetch_slot *slot);

/* So many bytes came of that read.  True: they were the last. */
bool fetch_part_took(struct fetch_slot *slot, uint64_t byte_count);

/* What there is of it now, in memory: all rows or none; a run of bytes as far as it was read. */
uint64_t fetch_part_got_bytes(const struct fetch_slot *slot);

#endif
