/* Stage 2 of 5, fetch: rows of a file in, where the next read of them goes out.  Whichever thread has the slot. */
#include "loader/fetch/fetch_part.h"

#include <string.h>

#define PIECE_BYTES    65536u /* at a time, of rows of which columns are wanted */
#define SKIP_MIN_BYTES 4096u  /* from here on a call for each row costs less than what lies between them */

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t gap_bytes(const struct file_part *part)
{
	return part->row_count > 1 ? part->stride_bytes - part->row_bytes : 0;
}

bool fetch_part_makes_sense(const struct file_part *part, uint64_t head_bytes)
{
	if (part->row_bytes == 0)
		return false;
	return part->row_count == 1 ? part->offset >= head_bytes : part->stride_bytes >= part->row_bytes;
}

bool fetch_part_clip(struct file_part *part, uint64_t file_bytes)
{
	uint64_t hull, end;

	if (part->row_count == 1) {
		if (part->offset >= file_bytes)
			return false;
		part->row_bytes = smaller(part->row_bytes, file_bytes - part->offset);
		part->stride_bytes = part->row_bytes;
		return true;
	}
	return !__builtin_mul_overflow(part->row_count - 1, part->stride_bytes, &hull) &&
	       !__builtin_add_overflow(hull, part->row_bytes, &hull) && !__builtin_add_overflow(hull, part->offset, &end) &&
	       end <= file_bytes;
}

bool fetch_part_has_wide_gaps(const struct file_part *part)
{
	return gap_bytes(part) >= SKIP_MIN_BYTES;
}

uint64_t fetch_part_room_bytes(const struct file_part *part)
{
	return part->row_count * part->row_bytes + (gap_bytes(part) > 0 ? PIECE_BYTES : 0);
}

/* The stretch of the file from the part's first byte to its last. */
static uint64_t hull_bytes(const struct file_part *part)
{
	return (part->row_count - 1) * part->stride_bytes + part->row_bytes;
}

/* Where a row goes; and the place behind all of them, for pieces of which only columns are wanted. */
static uint8_t *row_data(const struct fetch_slot *slot, uint64_t row)
{
	const struct file_part *part = &slot->part;
	uint64_t row_in_memory = part->last_row_first && row < part->row_count ? part->row_count - 1 - row : row;

	return slot->buffer->data + slot->head_bytes + row_in_memory * part->row_bytes;
}

static bool rows_are_copied(const struct fetch_slot *slot)
{
	return gap_bytes(&slot->part) > 0 && !slot->skips;
}

/*
 * 880 rows of 880 of 4000 bytes, from memory that was not used lately: pieces and a copy 455 us, a call for each row 465, all at
 * once and a copy 530, columns and gaps by one preadv() 550.  A call costs as much as 3 KB of gap.
 */
void fetch_part_plan_read(struct fetch_slot *slot)
{
	const struct file_part *part = &slot->part;
	uint64_t row, column;

	slot->read.offset = part->offset + slot->part_done_bytes;
	if (rows_are_copied(slot)) {
		slot->read.data = row_data(slot, part->row_count);
		slot->read.byte_count = (uint32_t)smaller(hull_bytes(part) - slot->part_done_bytes, PIECE_BYTES);
		return;
	}
	row = slot->part_done_bytes / part->stride_bytes;
	column = slot->part_done_bytes % part->stride_bytes;
	slot->read.data = row_data(slot, row) + column;
	slot->read.byte_count = (uint32_t)smaller(part->row_bytes - column, FETCH_READ_MAX_BYTES);
}

/* Picks the wanted columns from a piece. */
static void copy_rows(const struct fetch_slot *slot, uint64_t piece_bytes)
{
	const struct file_part *part = &slot->part;
	const uint8_t *piece = row_data(slot, part->row_count);
	uint64_t at = slot->part_done_bytes, end = at + piece_bytes;

	while (at < end) {
		uint64_t row = at / part->stride_bytes, column = at % part->stride_bytes, count;

		if (column < part->row_bytes) {
			count = smaller(part->row_bytes - column, end - at);
			memcpy(row_data(slot, row) + column, piece, count);
		} else {
			count = smaller(part->stride_bytes - column, end - at);
		}
		piece += count;
		at += count;
	}
}

bool fetch_part_took(struct fetch_slot *slot, uint64_t byte_count)
{
	if (rows_are_copied(slot))
		copy_rows(slot, byte_count);
	slot->part_done_bytes += byte_count;
	if (slot->part_done_bytes >= hull_bytes(&slot->part))
		return true;
	if (slot->skips && slot->part_done_bytes % slot->part.stride_bytes == slot->part.row_bytes)
		slot->part_done_bytes += gap_bytes(&slot->part);
	return false;
}

uint64_t fetch_part_got_bytes(const struct fetch_slot *slot)
{
	const struct file_part *part = &slot->part;

	if (part->row_count <= 1 ||
	    slot->part_done_bytes == 0) /* where nothing was read, the part may be one that is not clipped */
		return slot->part_done_bytes;
	return slot->part_done_bytes >= hull_bytes(part) ? part->row_count * part->row_bytes : 0;
}
