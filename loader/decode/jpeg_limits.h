/*
 * jpeg_limits.h - stage 3 of 5, decode: what one JPEG may cost in memory, scans, work and, as a last resort, time.
 *
 * All but the time depend on the file alone, and the memory on whether EXIF turns its region: the same files give the same batches on
 * every machine.
 */
#ifndef CROPRING_JPEG_LIMITS_H
#define CROPRING_JPEG_LIMITS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jpeglib.h>

#include "loader/decode/workspace.h"

struct jpeg_limits {
	struct workspace *workspace;
	size_t file_bytes;
	int scans_counted;
	uint64_t work;        /* of the scans that were counted */
	uint64_t unlooked_px; /* decoded since the last look at the clock, in picture widths */
	uint64_t deadline_ns; /* CPU time of the thread; 0: none */
};

void jpeg_limits_begin(struct jpeg_limits *limits, struct workspace *workspace, size_t file_bytes);

/* After the header, before jpeg_start_decompress(): how much memory that may take for the picture's coefficients. */
void jpeg_limits_bound_memory(struct jpeg_decompress_struct *codec, size_t kept_bytes);

/* It would take more than that. */
enum item_status jpeg_limits_fail_memory(struct jpeg_limits *limits, const struct jpeg_decompress_struct *codec);

/* Each time that libjpeg reports progress, and before the first row of a file that has one scan. */
enum item_status jpeg_limits_check(struct jpeg_limits *limits, const struct jpeg_decompress_struct *codec);

#endif
