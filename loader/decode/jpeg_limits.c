/* Stage 3 of 5, decode: a JPEG on its way through libjpeg in, whether it may go on out.  Any thread, one struct each. */
#include "loader/decode/jpeg_limits.h"

#include "base/clock.h"

/* Encoders write about ten; each costs at least the building of its tables. */
#define MAX_SCANS 100

/*
 * Scans of a progressive or arithmetic file can be made of nearly no bytes, and still go through all blocks of the picture.  So their
 * work is counted, in units of about 8 ns: the first ones are free, further ones are paid for by the file's bytes.  Progressive
 * photographs of 24 megapixels need 0.07 to 0.54 of what is allowed: the most at quality 20 with 14 scans.  The worst file that
 * is let through within 0.3 MB takes 0.25 s.
 */
#define FREE_WORK     10000000u
#define WORK_PER_BYTE 12u

/* A look at the clock is a system call of 0.3 us.  Between two looks lie rows of so many pixels in all, or as many rows of MCUs. */
#define PX_PER_LOOK (1u << 20)

void jpeg_limits_begin(struct jpeg_limits *limits, struct workspace *workspace, size_t file_bytes)
{
	*limits = (struct jpeg_limits){.workspace = workspace, .file_bytes = file_bytes};
	if (workspace->timeout_ms != 0)
		limits->deadline_ns = clock_thread_cpu_ns() + workspace->timeout_ms * UINT64_C(1000000);
}

/*
 * Of a file of several scans (nearly always: a progressive one) libjpeg keeps the coefficients, 2 bytes a sample, until the last scan.
 * Refused are 4:4:4 over 36 megapixels, 4:2:2 over 54, 4:2:0 over 72 and gray over 109; saved as baseline they are read.
 */
void jpeg_limits_bound_memory(struct jpeg_decompress_struct *codec, size_t kept_bytes)
{
	codec->mem->max_memory_to_use =
		kept_bytes < DECODE_MAX_BYTES ? (long)(DECODE_MAX_BYTES - kept_bytes) : 1; /* 0 would be no limit */
}

enum item_status jpeg_limits_fail_memory(struct jpeg_limits *limits, const struct jpeg_decompress_struct *codec)
{
	return workspace_fail(limits->workspace, ITEM_TOO_LARGE,
	                      "%ux%u pixels in several scans (progressive), which takes over %zu MB; save it as baseline JPEG",
	                      codec->image_width, codec->image_height, DECODE_MAX_BYTES >> 20);
}

/* What a block of the present scan may cost while it takes a bit or less. */
static uint64_t work_per_block(const struct jpeg_decompress_struct *codec)
{
	unsigned band = codec->progressive_mode ? (unsigned)(codec->Se - codec->Ss + 1) & 127 : DCTSIZE2;

	if (codec->arith_code)
		return 1 + band / 4; /* decides about each coefficient */
	if (!codec->progressive_mode)
		return 0;                          /* has two bits or more: pays for itself */
	return codec->Ah != 0 ? 1 + band / 16 : 1; /* refining looks at each coefficient: 33 ns for 63 of them */
}

static enum item_status count_scan(struct jpeg_limits *limits, const struct jpeg_decompress_struct *codec)
{
	uint64_t blocks = (uint64_t)codec->MCUs_per_row * codec->MCU_rows_in_scan * (unsigned)codec->blocks_in_MCU;

	limits->scans_counted = codec->input_scan_number;
	limits->work += blocks * work_per_block(codec);
	if (codec->input_scan_number > MAX_SCANS)
		return workspace_fail(limits->workspace, ITEM_UNSUPPORTED, "more than %d scans", MAX_SCANS);
	if (limits->work > FREE_WORK + WORK_PER_BYTE * (uint64_t)limits->file_bytes)
		return workspace_fail(
			limits->workspace, ITEM_UNSUPPORTED,
			"%d scans of %ux%u pixels in %zu bytes, more work than a picture is; save it as baseline JPEG",
			codec->input_scan_number, codec->image_width, codec->image_height, limits->file_bytes);
	return ITEM_OK;
}

enum item_status jpeg_limits_check(struct jpeg_limits *limits, const struct jpeg_decompress_struct *codec)
{
	if (codec->input_scan_number > limits->scans_counted) {
		enum item_status status = count_scan(limits, codec);

		if (status != ITEM_OK)
			return status;
	}
	limits->unlooked_px += codec->image_width;
	if (limits->deadline_ns == 0 || limits->unlooked_px < PX_PER_LOOK)
		return ITEM_OK;
	limits->unlooked_px = 0;
	if (clock_thread_cpu_ns() < limits->deadline_ns)
		return ITEM_OK;
	return workspace_fail(limits->workspace, ITEM_TIMEOUT, "%ux%u pixels, not decoded within %u ms of CPU time",
	                      codec->image_width, codec->image_height, limits->workspace->timeout_ms);
}
