/*
 * png_segments.h - stage 3 of 5, decode: a PNG in segments (segment_table.h) and a wanted region in; which runs of the file it needs
 * out, and then, from these alone, its pixels.
 *
 * Hostile as any file: the header must be of the picture that the table is about, each segment one IDAT chunk with the right CRC, its
 * first row must need none above it, and there are as many rows in it as the table says; all else is ITEM_CORRUPT.
 */
#ifndef CROPRING_PNG_SEGMENTS_H
#define CROPRING_PNG_SEGMENTS_H

#include "loader/decode/png_chunks.h"
#include "loader/decode/workspace.h"

/* As decode_runs(), of segments of kind SEGMENT_PNG. */
bool png_segments_runs(const struct segments *segments, const struct decode_want *want, struct file_runs **runs);

/* As decode_rows() of file_bytes_in_runs() that begin with this header, which is still what it was when it was probed. */
enum item_status png_segments_rows(struct workspace *workspace, const struct file_bytes *file, const struct png_header *header,
                                   const struct decode_want *want, const struct decode_sink *sink);

#endif
