/* Stage 3 of 5, decode: a JPEG's header in, its layout or a header for a part of it out.  Any thread. */
#include <string.h>

#include "loader/decode/jpeg_header.h"

enum {
	MARKER_SOF0 = 0xc0,
	MARKER_SOF1 = 0xc1,
	MARKER_DHT = 0xc4,
	MARKER_SOI = 0xd8,
	MARKER_SOS = 0xda,
	MARKER_DQT = 0xdb,
	MARKER_DRI = 0xdd,
	MARKER_APP0 = 0xe0,
	MARKER_APP14 = 0xee,
	MARKER_APP15 = 0xef,
	MARKER_COM = 0xfe,
	BLOCK_PX = 8,
	QUANT_TABLE_BYTES = 1 + 64,
	TABLE_MOST_BYTES = 2 + 2 + 1 + JPEG_LONGEST_CODE + 256,
};

static uint32_t read_u16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* A segment from its marker on: marker, length, payload. */
struct segment {
	uint8_t marker;
	const uint8_t *payload;
	size_t payload_bytes;
	size_t end_at;
};

static bool read_segment(const uint8_t *bytes, size_t byte_count, size_t at, struct segment *segment)
{
	size_t length; /* with its own two bytes */

	if (at > byte_count || byte_count - at < 4 || bytes[at] != 0xff)
		return false;
	length = read_u16(bytes + at + 2);
	if (length < 2 || length > byte_count - at - 2)
		return false;
	*segment = (struct segment){bytes[at + 1], bytes + at + 4, length - 2, at + 2 + length};
	return true;
}

static bool read_frame(const struct segment *segment, struct jpeg_header *header)
{
	const uint8_t *payload = segment->payload;
	uint32_t most_across = 1, most_down = 1;

	if (header->component_count != 0 || segment->payload_bytes < 6 || payload[0] != 8)
		return false;
	header->grid.height_px = read_u16(payload + 1);
	header->grid.width_px = read_u16(payload + 3);
	header->component_count = payload[5];
	if (header->grid.height_px == 0 || header->grid.width_px == 0 || header->component_count == 0 ||
	    header->component_count > JPEG_MOST_COMPONENTS || segment->payload_bytes != 6 + 3 * (size_t)header->component_count)
		return false;

	for (uint32_t c = 0; c < header->component_count; c++) {
		struct jpeg_component *component = &header->components[c];

		component->id = payload[6 + 3 * c];
		component->across = payload[7 + 3 * c] >> 4;
		component->down = payload[7 + 3 * c] & 15;
		component->quant_table = payload[8 + 3 * c];
		if (component->across < 1 || component->across > 4 || component->down < 1 || component->down > 4)
			return false;
		for (uint32_t before = 0; before < c; before++) {
			if (header->components[before].id == component->id)
				return false;
		}
		if (component->across > most_across)
			most_across = component->across;
		if (component->down > most_down)
			most_down = component->down;
	}
	/* A scan of one component has one block per MCU, whatever its factors: only the usual ones are read here. */
	if (header->component_count == 1 && (most_across > 1 || most_down > 1))
		return false;
	header->grid.mcu_width_px = most_across * BLOCK_PX;
	header->grid.mcu_height_px = most_down * BLOCK_PX;
	jpeg_grid_count(&header->grid);
	return true;
}

/* Those of 8 bits; libjpeg looks at all the rest. */
static void read_quants(const struct segment *segment, struct jpeg_header *header)
{
	for (size_t at = 0; at + QUANT_TABLE_BYTES <= segment->payload_bytes; at += QUANT_TABLE_BYTES) {
		uint8_t number = segment->payload[at];

		if (number < JPEG_MOST_TABLES) {
			header->dc_quants[number] = segment->payload[at + 1];
			continue;
		}
		memset(header->dc_quants, 0, sizeof header->dc_quants); /* 16 bits: the next table lies elsewhere */
		break;
	}
}

static bool read_tables(const struct segment *segment, struct jpeg_header *header)
{
	const uint8_t *at = segment->payload;
	size_t left = segment->payload_bytes;

	while (left > 0) {
		struct jpeg_table *table;

		if (left < 1 + JPEG_LONGEST_CODE || (at[0] & 0xef) >= JPEG_MOST_TABLES)
			return false;
		table = at[0] & 0x10 ? &header->ac_tables[at[0] & 3] : &header->dc_tables[at[0] & 3];
		*table = (struct jpeg_table){.is_defined = true};
		for (int length = 1; length <= JPEG_LONGEST_CODE; length++) {
			table->counts[length] = at[length];
			table->symbol_count += at[length];
		}
		at += 1 + JPEG_LONGEST_CODE;
		left -= 1 + JPEG_LONGEST_CODE;
		if (table->symbol_count > sizeof table->symbols || table->symbol_count > left)
			return false;
		memcpy(table->symbols, at, table->symbol_count);
		at += table->symbol_count;
		left -= table->symbol_count;
	}
	return true;
}

static bool read_scan(const struct segment *segment, struct jpeg_header *header)
{
	const uint8_t *payload = segment->payload;
	uint32_t count = header->component_count, block_count = 0;

	if (count == 0 || segment->payload_bytes != 4 + 2 * (size_t)count || payload[0] != count)
		return false;
	for (uint32_t c = 0; c < count; c++) {
		struct jpeg_component *component = &header->components[c];
		uint8_t tables = payload[2 + 2 * c];

		if (payload[1 + 2 * c] != component->id || tables >> 4 >= JPEG_MOST_TABLES || (tables & 15) >= JPEG_MOST_TABLES)
			return false;
		component->dc_table = tables >> 4;
		component->ac_table = tables & 15;
		if (!header->dc_tables[component->dc_table].is_defined || !header->ac_tables[component->ac_table].is_defined)
			return false;
		block_count += component->across * component->down;
	}
	/* All 64 coefficients, in full precision. */
	return block_count <= JPEG_MOST_BLOCKS && payload[1 + 2 * count] == 0 && payload[2 + 2 * count] == 63 &&
	       payload[3 + 2 * count] == 0;
}

bool jpeg_header_read(const uint8_t *bytes, size_t byte_count, struct jpeg_header *header)
{
	struct segment segment;

	*header = (struct jpeg_header){0};
	if (byte_count < 2 || bytes[0] != 0xff || bytes[1] != MARKER_SOI)
		return false;
	for (size_t at = 2; read_segment(bytes, byte_count, at, &segment); at = segment.end_at) {
		switch (segment.marker) {
		case MARKER_SOF0:
		case MARKER_SOF1:
			header->frame_at = at;
			if (!read_frame(&segment, header))
				return false;
			break;
		case MARKER_DHT:
			if (!read_tables(&segment, header))
				return false;
			break;
		case MARKER_DRI:
			if (segment.payload_bytes != 2)
				return false;
			header->grid.restart_mcus = read_u16(segment.payload);
			break;
		case MARKER_SOS:
			header->scan_at = segment.end_at;
			return read_scan(&segment, header);
		case MARKER_DQT:
			read_quants(&segment, header);
			break;
		case MARKER_COM:
			break;
		default:
			if (segment.marker < MARKER_APP0 || segment.marker > MARKER_APP15)
				return false;
		}
	}
	return false;
}

/*
 * Codes are handed out in order of length (T.81, C.2), so those of 16 bits that come last disturb none before them.  The code of
 * all ones belongs to nobody.
 */
static bool complete_table(struct jpeg_table *table)
{
	uint32_t taken = 0, missing = 0, present = 0; /* taken: of the 2^16 codes of 16 bits */

	for (int length = 1; length <= JPEG_LONGEST_CODE; length++)
		taken += (uint32_t)table->counts[length] << (JPEG_LONGEST_CODE - length);
	for (uint32_t i = 0; i < table->symbol_count; i++)
		present |= 1u << (table->symbols[i] & 31);
	for (uint32_t category = 0; category < JPEG_DC_CATEGORIES; category++)
		missing += !(present >> category & 1);
	if (taken + missing >= 1u << JPEG_LONGEST_CODE || table->symbol_count + missing > sizeof table->symbols ||
	    table->counts[JPEG_LONGEST_CODE] + missing > UINT8_MAX)
		return false;
	for (uint32_t category = 0; category < JPEG_DC_CATEGORIES; category++) {
		if (!(present >> category & 1))
			table->symbols[table->symbol_count++] = (uint8_t)category;
	}
	table->counts[JPEG_LONGEST_CODE] = (uint8_t)(table->counts[JPEG_LONGEST_CODE] + missing);
	return true;
}

bool jpeg_header_complete_dc(struct jpeg_header *header)
{
	for (int i = 0; i < JPEG_MOST_TABLES; i++) {
		if (header->dc_tables[i].is_defined && !complete_table(&header->dc_tables[i]))
			return false;
	}
	return true;
}

size_t jpeg_header_most_bytes(const struct jpeg_header *header)
{
	return header->scan_at + (size_t)JPEG_MOST_TABLES * TABLE_MOST_BYTES;
}

static size_t write_dc_table(const struct jpeg_table *table, int number, uint8_t *out)
{
	size_t length = 2 + 1 + JPEG_LONGEST_CODE + table->symbol_count;
	const uint8_t head[] = {0xff, MARKER_DHT, (uint8_t)(length >> 8), (uint8_t)length, (uint8_t)number};

	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, table->counts + 1, JPEG_LONGEST_CODE);
	memcpy(out + sizeof head + JPEG_LONGEST_CODE, table->symbols, table->symbol_count);
	return 2 + length;
}

size_t jpeg_header_write(const struct jpeg_header *header, const uint8_t *file, uint32_t width_px, uint32_t height_px,
                         bool is_for_pieces, uint8_t *out)
{
	uint8_t *begin = out;
	struct segment segment;

	*out++ = 0xff;
	*out++ = MARKER_SOI;
	for (size_t at = 2; at < header->scan_at && read_segment(file, header->scan_at, at, &segment); at = segment.end_at) {
		size_t segment_bytes = segment.end_at - at;

		/* Of the application's segments libjpeg looks at JFIF's and Adobe's: they say which colours these are. */
		if (segment.marker == MARKER_COM ||
		    (segment.marker > MARKER_APP0 && segment.marker <= MARKER_APP15 && segment.marker != MARKER_APP14))
			continue;
		if (is_for_pieces && segment.marker == MARKER_DRI)
			continue;
		for (int i = 0; is_for_pieces && segment.marker == MARKER_SOS && i < JPEG_MOST_TABLES; i++) {
			if (header->dc_tables[i].is_defined)
				out += write_dc_table(&header->dc_tables[i], i, out);
		}
		memcpy(out, file + at, segment_bytes);
		if (at == header->frame_at) {
			const uint8_t size[] = {(uint8_t)(height_px >> 8), (uint8_t)height_px, (uint8_t)(width_px >> 8),
			                        (uint8_t)width_px};

			memcpy(out + 5, size, sizeof size);
		}
		out += segment_bytes;
	}
	return (size_t)(out - begin);
}
