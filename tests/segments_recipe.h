/* segments_recipe.h - segment tables of JPEG files for the tests, made by a scan for restart markers; and the runs of a file. */
#ifndef CROPRING_TESTS_SEGMENTS_RECIPE_H
#define CROPRING_TESTS_SEGMENTS_RECIPE_H

#include "loader/decode/jpeg_header.h"
#include "tests/decode_check.h"

struct segmented {
	struct file file;
	struct bytes table;
	struct segments segments;
};

/* Where each segment ends, counted from the scan's start; from malloc. */
static inline uint64_t *jpeg_segment_ends(struct file file, size_t scan_at, uint32_t *segment_count)
{
	uint64_t *ends = malloc((file.byte_count - scan_at) * sizeof *ends);

	assert_non_null(ends);
	*segment_count = 0;
	for (size_t at = scan_at; at + 1 < file.byte_count; at++) {
		uint8_t marker = file.bytes[at + 1];

		if (file.bytes[at] != 0xff || marker == 0 || marker == 0xff)
			continue;
		ends[(*segment_count)++] = at + 2 - scan_at;
		if (marker == 0xd9)
			break;
	}
	return ends;
}

/* Takes the file over: a baseline one, of which a JFIF header of 20 bytes may stand before its metadata. */
static inline struct segmented segmented_jpeg(struct file file, size_t metadata_at, size_t metadata_bytes)
{
	struct segmented made = {.file = file};
	struct segment_table_header header = {.kind = SEGMENT_JPEG};
	struct jpeg_header jpeg;
	uint32_t segment_count;
	uint64_t *ends;

	assert_true(jpeg_header_read(file.bytes, file.byte_count, &jpeg));
	header.head_bytes = (uint32_t)(metadata_bytes > 0 ? metadata_at : jpeg.scan_at);
	header.second_head_at = (uint32_t)(metadata_at + metadata_bytes);
	header.second_head_bytes = (uint32_t)(metadata_bytes > 0 ? jpeg.scan_at - metadata_at - metadata_bytes : 0);
	header.data_at = (uint32_t)jpeg.scan_at;
	header.unit = jpeg.grid.restart_mcus;
	header.mcu_width_px = (uint16_t)jpeg.grid.mcu_width_px;
	header.mcu_height_px = (uint16_t)jpeg.grid.mcu_height_px;
	ends = jpeg_segment_ends(file, jpeg.scan_at, &segment_count);
	assert_int_equal(segment_table_write(&header, ends, segment_count, &made.table), 0);
	free(ends);
	made.segments = (struct segments){.width_px = jpeg.grid.width_px,
	                                  .height_px = jpeg.grid.height_px,
	                                  .orientation = 1,
	                                  .channels = (uint8_t)jpeg.component_count,
	                                  .sample_bits = 8,
	                                  .file_bytes = file.byte_count};
	assert_true(segment_table_open(&made.segments, (const uint8_t *)made.table.data, made.table.used_bytes));
	return made;
}

static inline void segmented_free(struct segmented *made)
{
	free(made->file.bytes);
	bytes_free(&made->table);
}

/* The runs as fetch reads them, which checks that they are runs: none empty, in order, all of them in the file.  Copied: free() it. */
static inline uint8_t *runs_read(struct file file, const struct file_runs *runs)
{
	uint8_t *bytes = malloc((size_t)runs->total_bytes), *out = bytes;
	uint64_t end = 0;

	assert_non_null(bytes);
	assert_true(runs->count > 0);
	for (uint32_t i = 0; i < runs->count; i++) {
		const struct file_run *run = &runs->run[i];

		assert_true(run->byte_count > 0 && (i == 0 || run->offset > end));
		assert_true(run->offset <= file.byte_count && run->byte_count <= file.byte_count - run->offset);
		memcpy(out, file.bytes + run->offset, (size_t)run->byte_count);
		out += run->byte_count;
		end = run->offset + run->byte_count;
	}
	assert_int_equal(out - bytes, runs->total_bytes);
	return bytes;
}

#endif
