/* Stage 3 of 5, decode: a PNG's IDAT chunks in, its filtered rows out.  Any thread. */
#include <string.h>

#include "base/clock.h"
#include "loader/decode/png_inflate.h"

/* RFC 1950, section 2.2 */
#define METHOD_DEFLATE  8
#define WINDOW_BITS_MAX 15
#define FDICT           0x20

/*
 * A stream may be longer than what comes of it, by an eighth when it was written badly.  Megabytes of empty blocks are for libpng:
 * igzip prepares tables for each, and at 0.17 us takes 25 times as long as zlib for those of fixed codes.
 */
static bool is_worth_it(const struct png_inflate *inflate)
{
	uint64_t out_bytes = inflate->state.total_out;

	if (inflate->fed_bytes > out_bytes + out_bytes / 8 + PNG_INFLATE_INPUT_BYTES)
		return false;
	return inflate->deadline_ns == 0 || clock_thread_cpu_ns() < inflate->deadline_ns;
}

/* A long chunk's bytes from where they are; short chunks put together, since they may hold a byte each. */
static bool feed(struct png_inflate *inflate)
{
	const uint8_t *data;
	uint32_t byte_count, gathered_bytes = 0;

	if (!is_worth_it(inflate))
		return false;
	byte_count = png_idat_next(&inflate->idat, PNG_INFLATE_INPUT_BYTES, &data);
	if (byte_count == 0)
		return false;
	if (byte_count < PNG_INFLATE_INPUT_BYTES) {
		do {
			memcpy(inflate->gathered + gathered_bytes, data, byte_count);
			gathered_bytes += byte_count;
			byte_count = png_idat_next(&inflate->idat, PNG_INFLATE_INPUT_BYTES - gathered_bytes, &data);
		} while (byte_count > 0);
		data = inflate->gathered;
		byte_count = gathered_bytes;
	}
	inflate->state.next_in = (uint8_t *)(uintptr_t)data; /* igzip only reads it */
	inflate->state.avail_in = byte_count;
	inflate->fed_bytes += byte_count;
	return true;
}

static bool take_byte(struct png_inflate *inflate, uint32_t *byte)
{
	if (inflate->state.avail_in == 0 && !feed(inflate))
		return false;
	*byte = *inflate->state.next_in++;
	inflate->state.avail_in--;
	return true;
}

static void restart(struct png_inflate *inflate, const struct png_idat *idat, uint64_t deadline_ns)
{
	inflate->idat = *idat;
	inflate->fed_bytes = 0;
	inflate->deadline_ns = deadline_ns;
	isal_inflate_init(&inflate->state);
}

static bool read_zlib_header(struct png_inflate *inflate)
{
	uint32_t method, flags;

	if (!take_byte(inflate, &method) || !take_byte(inflate, &flags))
		return false;
	if ((method << 8 | flags) % 31 != 0 || (method & 15) != METHOD_DEFLATE || (flags & FDICT))
		return false;
	inflate->state.hist_bits = (method >> 4) + 8; /* longer distances are errors */
	return inflate->state.hist_bits <= WINDOW_BITS_MAX;
}

bool png_inflate_open(struct png_inflate *inflate, const struct png_idat *idat, bool to_the_end, uint64_t deadline_ns)
{
	restart(inflate, idat, deadline_ns);
	inflate->state.crc_flag = to_the_end ? ISAL_ZLIB_NO_HDR_VER : ISAL_DEFLATE;
	return read_zlib_header(inflate);
}

bool png_inflate_open_segment(struct png_inflate *inflate, const struct png_idat *idat, bool is_first, uint64_t deadline_ns)
{
	restart(inflate, idat, deadline_ns);
	return !is_first || read_zlib_header(inflate);
}

/* Until there is more output, or the stream has ended.  igzip holds back input and output, so it may come on without being fed. */
static bool advance(struct png_inflate *inflate)
{
	struct inflate_state *state = &inflate->state;
	uint32_t out_before = state->avail_out;

	do {
		uint32_t in_before = state->avail_in;

		if (isal_inflate(state) != ISAL_DECOMP_OK)
			return false;
		if (state->avail_out != out_before || state->block_state == ISAL_BLOCK_FINISH)
			return true;
		if (state->avail_in == in_before && state->avail_in > 0)
			return false; /* never seen */
	} while (state->avail_in > 0 || feed(inflate));
	return false;
}

bool png_inflate_read(struct png_inflate *inflate, uint8_t *to, uint32_t byte_count)
{
	inflate->state.next_out = to;
	inflate->state.avail_out = byte_count;
	while (inflate->state.avail_out > 0) {
		if (inflate->state.block_state == ISAL_BLOCK_FINISH || !advance(inflate))
			return false;
	}
	return true;
}

bool png_inflate_finish(struct png_inflate *inflate)
{
	uint8_t surplus;

	inflate->state.next_out = &surplus;
	inflate->state.avail_out = 1;
	while (inflate->state.block_state != ISAL_BLOCK_FINISH) {
		if (inflate->state.avail_out == 0 || !advance(inflate))
			return false;
	}
	return inflate->state.avail_out == 1 && png_idat_finish(&inflate->idat);
}

/* All that igzip was given has become output: it waits for a block's header, of which it has seen nothing. */
static bool is_between_blocks(const struct inflate_state *state)
{
	return (state->block_state == ISAL_BLOCK_NEW_HDR || state->block_state == ISAL_BLOCK_HDR) && state->read_in_length == 0 &&
	       state->tmp_in_size == 0;
}

bool png_inflate_finish_segment(struct png_inflate *inflate, bool is_last)
{
	struct inflate_state *state = &inflate->state;
	uint8_t surplus;

	state->next_out = &surplus;
	state->avail_out = 1;
	while (state->block_state != ISAL_BLOCK_FINISH && advance(inflate)) {
		if (state->avail_out == 0)
			return false;
	}
	return (is_last ? state->block_state == ISAL_BLOCK_FINISH : is_between_blocks(state)) && png_inflate_stop_segment(inflate);
}

bool png_inflate_stop_segment(struct png_inflate *inflate)
{
	return png_idat_finish(&inflate->idat) && inflate->idat.left_bytes == 0;
}

bool png_inflate_stop(struct png_inflate *inflate)
{
	return png_idat_finish(&inflate->idat);
}
