/*
 * png_inflate.h - stage 3 of 5, decode: a PNG's IDAT chunks in, its filtered rows out, in pieces as large as wished.
 *
 * ISA-L's igzip, which inflates photographs 2.7 times faster than zlib.  False means: not by this path; libpng knows why.
 */
#ifndef CROPRING_PNG_INFLATE_H
#define CROPRING_PNG_INFLATE_H

#include <isa-l/igzip_lib.h>

#include "loader/decode/png_chunks.h"

/* What igzip is given at a time: it stays in the cache after its CRC, and each call costs igzip a copy of 32 KB or more. */
#define PNG_INFLATE_INPUT_BYTES 65536u

struct png_inflate {
	struct png_idat idat;
	uint64_t fed_bytes;
	uint64_t deadline_ns;       /* of the thread's CPU time; 0: none */
	struct inflate_state state; /* 87 KB */
	uint8_t gathered[PNG_INFLATE_INPUT_BYTES];
};

/* Reads zlib's header.  `to_the_end` says that png_inflate_finish() will be called, so that Adler-32 is computed on the way. */
bool png_inflate_open(struct png_inflate *inflate, const struct png_idat *idat, bool to_the_end, uint64_t deadline_ns);

/* Fills byte_count bytes.  Nothing is written past them. */
bool png_inflate_read(struct png_inflate *inflate, uint8_t *to, uint32_t byte_count);

/* After the last row: the stream ends here, Adler-32 is right, and so is the CRC of the chunk that holds it. */
bool png_inflate_finish(struct png_inflate *inflate);

/*
 * Before the last row, instead: all chunks that were begun have the right CRC.  What igzip makes of damaged bytes is not told from
 * rows: unlike zlib it takes Huffman codes that are not complete.
 */
bool png_inflate_stop(struct png_inflate *inflate);

/*
 * A segment instead of the whole stream: one IDAT chunk, which begins with zlib's header only if it is the first.  igzip refuses
 * whatever reaches back to what came before it.
 */
bool png_inflate_open_segment(struct png_inflate *inflate, const struct png_idat *idat, bool is_first, uint64_t deadline_ns);

/* After a segment's last row: no more comes out of it, its blocks end with its bytes, and its CRC is right. */
bool png_inflate_finish_segment(struct png_inflate *inflate, bool is_last);

/* Before its last row, instead: the chunk's CRC is right, and it is all of the segment. */
bool png_inflate_stop_segment(struct png_inflate *inflate);

#endif
