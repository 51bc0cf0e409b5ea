/*
 * jpeg_segments.h - stage 3 of 5, decode: a JPEG whose segments are known from a table (segment_table.h), of which only those that a
 * region needs are read: which runs of the file these are, and the smaller JPEG that they make.
 */
#ifndef CROPRING_JPEG_SEGMENTS_H
#define CROPRING_JPEG_SEGMENTS_H

#include "loader/decode/jpeg_splice.h"

/* As decode_runs(), of a region that lies in the picture. */
bool jpeg_segments_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **runs);

/* Of a loose file whose segments were found in it: where all of it is there, jpeg_splice() goes by them for this region. */
bool jpeg_segments_are_spliced(const struct segments *segments, const struct jpeg_index_store *indexes,
                               const struct decode_want *want);

/*
 * Of a file_bytes_in_runs().  ITEM_CORRUPT: these are not the runs that the region needs, the header has other numbers than the table, or a
 * segment is not one.
 */
enum item_status jpeg_segments_splice(struct workspace *workspace, const struct file_bytes *file, const struct image_info *info,
                                      const struct decode_want *want, struct jpeg_splice *splice);

#endif
