/*
 * segment_store.h - stage 3 of 5, decode: segment tables (segment_table.h) of loose files, made on the first visit of each and kept, so
 * that the next one need not read what it does not want.
 *
 * A table is for a file as it was: it is found again only while the file's stamp is the same.  Nothing is thrown out for something new:
 * an epoch reads each file once, so what was not read for the longest time comes next.  Nor is what has become old: what was found stays
 * valid until the store is closed.
 */
#ifndef CROPRING_SEGMENT_STORE_H
#define CROPRING_SEGMENT_STORE_H

#include "loader/segment_table.h"

/* The tables of 1200 pictures of 4000x4000 in segments of 10 MCUs of 16x16 pixels. */
#define SEGMENT_STORE_BUDGET_BYTES ((size_t)16 << 20)

/* Any thread, at any time. */
struct segment_store;

struct segment_store *segment_store_open(size_t budget_bytes); /* NULL: memory is short */
void segment_store_close(struct segment_store *store);

/* The segments of the file with this number (file_bytes.id), if they are known of it as it is. */
bool segment_store_find(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, struct segments *segments);

/* A table of so many bytes would be kept: there is none of this file yet, and room. */
bool segment_store_wants(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, size_t table_bytes);

/* Copies the table, if it is wanted; the numbers of the picture are those of `picture`. */
void segment_store_keep(struct segment_store *store, uint64_t id, const struct file_stamp *stamp, const struct segments *picture,
                        const struct bytes *table);

#endif
