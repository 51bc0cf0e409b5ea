/*
 * png_own.h - stage 3 of 5, decode: a PNG in memory in, the pixels of a region out, without libpng.
 *
 * Everything but interlaced pictures.
 */
#ifndef CROPRING_PNG_OWN_H
#define CROPRING_PNG_OWN_H

#include "loader/decode/png_chunks.h"
#include "loader/decode/workspace.h"

/*
 * As decode_rows() of a file with this header, which is still what it was when it was probed.  False when the picture is of
 * another kind, damaged or odd, or memory is short: libpng is to be asked, and workspace->reason says nothing of use.
 */
bool png_own_rows(struct workspace *workspace, const struct file_bytes *file, const struct png_header *header,
                  const struct decode_want *want, const struct decode_sink *sink);

#endif
