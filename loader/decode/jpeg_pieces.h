/*
 * jpeg_pieces.h - stage 3 of 5, decode: pieces of a JPEG's entropy-coded data in, one scan of them without restart markers out.
 *
 * The pieces' bits are strung together; only the first DC difference of each component in a piece is written anew, for it is to the
 * block before, which now is another one.
 */
#ifndef CROPRING_JPEG_PIECES_H
#define CROPRING_JPEG_PIECES_H

#include "loader/decode/jpeg_walk.h"

struct jpeg_pieces {
	const struct jpeg_scan *scan;
	struct jpeg_dc_writer dc[JPEG_MOST_TABLES];
	int32_t predictors[JPEG_MOST_COMPONENTS];
	struct jpeg_bits_out out;
};

/* What a piece of so many bytes, and the end of all, take of the output at most: as if each byte were FF once its bits have moved. */
#define JPEG_PIECE_MOST_BYTES(piece_bytes) (2 * ((size_t)(piece_bytes) + 2 + JPEG_MOST_COMPONENTS * 4))
#define JPEG_PIECES_END_BYTES              16

/*
 * Writes the header of the cover's picture to `out`, with DC tables that have a code for every difference: *header gets them too.
 * False: a table has no room for them.
 */
bool jpeg_pieces_begin(struct jpeg_pieces *pieces, struct jpeg_header *header, const uint8_t *file, const struct jpeg_scan *scan,
                       const struct jpeg_cover *cover, uint8_t *out);

/*
 * The MCUs between two checkpoints, whose positions count from `bytes` on; `end` is where what may be read ends.  False: they do not
 * lie there: these are other bytes than those that the checkpoints were made from.
 */
bool jpeg_pieces_put(struct jpeg_pieces *pieces, const uint8_t *bytes, const uint8_t *end,
                     const struct jpeg_checkpoint *piece_begin, const struct jpeg_checkpoint *piece_end);

/* Returns where the output ends. */
uint8_t *jpeg_pieces_end(struct jpeg_pieces *pieces);

#endif
