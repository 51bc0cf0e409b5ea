/* file_bytes.h - the plain structs between fetch and decode: a file's bytes, all of them or what one region needs. */
#ifndef CROPRING_FILE_BYTES_H
#define CROPRING_FILE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Some columns of some rows: row r is row_bytes from byte offset + r * stride_bytes of the file on.  In memory the rows lie one
 * after another, first to last or the other way round.  One run of bytes is one row.
 */
struct file_part {
	uint64_t offset, row_bytes, stride_bytes;
	uint32_t row_count;
	bool last_row_first; /* in memory; the file keeps its order */
};

/* A run of a file's bytes. */
struct file_run {
	uint64_t offset, byte_count;
};

/* Several, in rising order, none of them empty, no two of which overlap; from malloc. */
struct file_runs {
	uint32_t count;
	uint64_t total_bytes;
	struct file_run run[];
};

/*
 * How an open file was when it was looked at.  Who finds all of it as it was may take the file for unchanged: what was changed within a
 * tick of the file system's clock and keeps its size is the exception.
 */
struct file_stamp {
	uint64_t size_bytes;
	int64_t mtime_ns, ctime_ns; /* since 1970 */
	uint64_t inode, device;
};

struct segments;

/*
 * Byte o of the file is data[o] when o < gap_at, and data[o - gap_bytes] when o >= gap_at + gap_bytes; the bytes between are not
 * there.  A file that was read whole has gap_at = byte_count and gap_bytes = 0.  What lies past the last byte here may exist in
 * the file, but was not asked for.
 *
 * When part.row_count is over 1, data[gap_at] and what follows are the part's rows, all of them or none; the first of them may lie
 * in the head as well.
 */
struct file_bytes {
	const uint8_t *data;
	size_t byte_count; /* of data */
	size_t gap_at, gap_bytes;
	uint64_t
		id; /* the same number whenever the same file comes again, so that a decoder may remember; FILE_BYTES_NO_ID: do not */
	struct file_part part;
	const struct file_stamp *stamp; /* how the file was before it was read; NULL: nobody looked */

	/*
	 * Not NULL: data is these runs of the file, one behind the other, and nothing else of it; they are what decode_runs() asked for
	 * of these segments (segment_table.h), and the two before them do not apply.
	 */
	const struct file_runs *runs;
	const struct segments *segments;
};

#define FILE_BYTES_NO_ID UINT64_MAX

static inline struct file_bytes file_bytes_whole(const uint8_t *data, size_t byte_count)
{
	return (struct file_bytes){.data = data, .byte_count = byte_count, .gap_at = byte_count, .id = FILE_BYTES_NO_ID};
}

/* The file's first head_bytes and then the part, as far as it was there. */
static inline struct file_bytes file_bytes_with_part(const uint8_t *data, size_t byte_count, size_t head_bytes,
                                                     const struct file_part *part)
{
	return (struct file_bytes){.data = data,
	                           .byte_count = byte_count,
	                           .gap_at = head_bytes,
	                           .gap_bytes = part->row_count == 1 ? (size_t)part->offset - head_bytes : 0,
	                           .id = FILE_BYTES_NO_ID,
	                           .part = *part};
}

/* What decode_runs() asked for. */
static inline struct file_bytes file_bytes_in_runs(const uint8_t *data, const struct file_runs *runs,
                                                   const struct segments *segments)
{
	return (struct file_bytes){.data = data,
	                           .byte_count = (size_t)runs->total_bytes,
	                           .gap_at = (size_t)runs->total_bytes,
	                           .id = FILE_BYTES_NO_ID,
	                           .runs = runs,
	                           .segments = segments};
}

/* Where `count` bytes from `offset` on lie; NULL: they do not lie here, or not in one piece. */
static inline const uint8_t *file_bytes_at(const struct file_bytes *file, uint64_t offset, uint64_t count)
{
	const struct file_part *part = &file->part;
	uint64_t at = offset, end = file->byte_count;

	if (part->row_count > 1 && offset >= part->offset) {
		uint64_t row = (offset - part->offset) / part->stride_bytes, column = (offset - part->offset) % part->stride_bytes;

		if (row >= part->row_count || column > part->row_bytes || count > part->row_bytes - column)
			return NULL;
		at = file->gap_at + (part->last_row_first ? part->row_count - 1 - row : row) * part->row_bytes + column;
	} else if (offset < file->gap_at) {
		if (file->gap_bytes > 0 || part->row_count > 1)
			end = file->gap_at;
	} else if (offset - file->gap_at < file->gap_bytes) {
		return NULL;
	} else {
		at = offset - file->gap_bytes;
	}
	return at <= end && count <= end - at ? file->data + at : NULL;
}

#endif
