/*
 * jpeg_header.h - stage 3 of 5, decode: what must be known of a JPEG to take its entropy-coded data apart, and the same header again
 * for a smaller picture.
 *
 * Only what most files are: baseline or extended sequential, Huffman, 8 bits, all components in one scan.  Everything else, and
 * whatever is odd about a header, is not described: libjpeg then reads the file as it is.
 */
#ifndef CROPRING_JPEG_HEADER_H
#define CROPRING_JPEG_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loader/decode/jpeg_grid.h"

enum { JPEG_MOST_COMPONENTS = 4, JPEG_MOST_TABLES = 4, JPEG_MOST_BLOCKS = 10, JPEG_LONGEST_CODE = 16 };
enum { JPEG_DC_CATEGORIES = 12 }; /* of 8-bit samples: differences of at most 11 bits */

/* A Huffman table as a DHT segment has it (ITU T.81, B.2.4.2): how many codes of each length, and their symbols in order. */
struct jpeg_table {
	bool is_defined;
	uint8_t counts[JPEG_LONGEST_CODE + 1]; /* [0] is not used */
	uint8_t symbols[256];
	uint32_t symbol_count;
};

struct jpeg_component {
	uint8_t id;
	uint32_t across, down; /* its blocks in an MCU */
	uint32_t dc_table, ac_table, quant_table;
};

struct jpeg_header {
	struct jpeg_grid grid;
	uint32_t component_count;
	struct jpeg_component components[JPEG_MOST_COMPONENTS];
	struct jpeg_table dc_tables[JPEG_MOST_TABLES], ac_tables[JPEG_MOST_TABLES];
	uint8_t dc_quants
		[JPEG_MOST_TABLES]; /* what each quantisation table divides DC coefficients by; 0: of 16 bits, or not there */
	size_t frame_at, scan_at;   /* the SOF marker; the first byte after the SOS segment */
};

/* False: not a header of that kind.  *header is undefined then. */
bool jpeg_header_read(const uint8_t *bytes, size_t byte_count, struct jpeg_header *header);

/* Completes DC tables, so that each has a code for each of the 12 categories; the codes it had stay.  False: one is too full. */
bool jpeg_header_complete_dc(struct jpeg_header *header);

/* What jpeg_header_write() writes at most. */
size_t jpeg_header_most_bytes(const struct jpeg_header *header);

/*
 * The file's header for a picture of another size, up to and with the SOS segment; EXIF, ICC and comments are left out.  If
 * `is_for_pieces`, with the header's own DC tables, and without restart intervals.  Returns the bytes written.
 */
size_t jpeg_header_write(const struct jpeg_header *header, const uint8_t *file, uint32_t width_px, uint32_t height_px,
                         bool is_for_pieces, uint8_t *out);

#endif
