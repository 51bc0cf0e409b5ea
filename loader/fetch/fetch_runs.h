/*
 * fetch_runs.h - the runs of an image that are wanted: where the next read of them goes out, and how they come to lie one behind the
 * other.
 *
 * Threads: whoever has the slot.
 */
#ifndef CROPRING_FETCH_RUNS_H
#define CROPRING_FETCH_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/fetch/fetch_slot.h"

/* A copy from malloc; NULL: memory is short. */
struct file_runs *fetch_runs_copy(const struct file_runs *runs);

/* There are some, in order, all within an image of so many bytes, and total_bytes is their sum. */
bool fetch_runs_make_sense(const struct file_runs *runs, uint64_t image_bytes);

/* Memory for them, and for what is read between them; no more than the image has bytes. */
uint64_t fetch_runs_room_bytes(const struct file_runs *runs);

/* Makes slot->read the next one. */
void fetch_runs_plan_read(struct fetch_slot *slot);

/* So many bytes came of that read.  True: they were the last. */
bool fetch_runs_took(struct fetch_slot *slot, uint64_t byte_count);

/* The next read would wait: has the disk begin with those that follow as well. */
void fetch_runs_advise(struct fetch_slot *slot);

#endif
