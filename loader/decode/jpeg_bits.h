/*
 * jpeg_bits.h - stage 3 of 5, decode: entropy-coded bits out of a JPEG's scan, and into another one.  Inline: these are inner loops.
 *
 * In a scan a byte FF is followed by 00, which is no data; FF and anything else is a marker and ends the data (ITU T.81, F.1.2.3).
 * A position is a number of bits from the scan's start: 8 times the byte's distance, and the bit in that byte, 0 the highest.  It
 * never lies in a 00 that is no data.
 */
#ifndef CROPRING_JPEG_BITS_H
#define CROPRING_JPEG_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t jpeg_bits_swap(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap64(word);
#else
	return word;
#endif
}

static inline bool jpeg_bits_have_ff(uint64_t word)
{
	return ((~word - 0x0101010101010101u) & word & 0x8080808080808080u) != 0;
}

/* ---------------------------------------------------------------- reading */

struct jpeg_bits {
	uint64_t buffer;     /* the next `count` bits, the first one highest; below them is undefined */
	uint32_t count;      /* 56 to 63 after a refill */
	uint32_t lent_count; /* of those, at their end: zeros, for there was no more data */
	const uint8_t *next; /* the first byte that is not in the buffer */
	const uint8_t *end;
};

static inline void jpeg_bits_refill_slowly(struct jpeg_bits *bits)
{
	while (bits->count < 56) {
		uint64_t byte = 0;

		if (bits->next < bits->end && *bits->next != 0xff) {
			byte = *bits->next++;
		} else if (bits->end - bits->next >= 2 && bits->next[1] == 0) {
			byte = 0xff;
			bits->next += 2;
		} else {
			bits->lent_count += 8;
		}
		bits->buffer &= ~(UINT64_MAX >> bits->count);
		bits->buffer |= byte << (56 - bits->count);
		bits->count += 8;
	}
}

static inline void jpeg_bits_refill(struct jpeg_bits *bits)
{
	uint64_t word;

	if (__builtin_expect(bits->end - bits->next >= 8, 1)) {
		memcpy(&word, bits->next, sizeof word);
		if (__builtin_expect(!jpeg_bits_have_ff(word), 1)) {
			/* The bits below `count` are those that come next: to or them in once more changes nothing. */
			bits->buffer |= jpeg_bits_swap(word) >> bits->count;
			bits->next += (63 - bits->count) >> 3;
			bits->count |= 56;
			return;
		}
	}
	jpeg_bits_refill_slowly(bits);
}

static inline void jpeg_bits_drop(struct jpeg_bits *bits, uint32_t count)
{
	bits->buffer <<= count;
	bits->count -= count;
}

/* Begins at a position, which lies in [scan, end]. */
static inline struct jpeg_bits jpeg_bits_at(const uint8_t *scan, const uint8_t *end, uint32_t position)
{
	struct jpeg_bits bits = {.next = scan + position / 8, .end = end};

	jpeg_bits_refill(&bits);
	jpeg_bits_drop(&bits, position % 8);
	return bits;
}

/* More was taken than there was. */
static inline bool jpeg_bits_are_overdrawn(const struct jpeg_bits *bits)
{
	return bits->count < bits->lent_count;
}

/* The position of the next bit; not when overdrawn. */
static inline uint32_t jpeg_bits_position(const struct jpeg_bits *bits, const uint8_t *scan)
{
	const uint8_t *at = bits->next;
	uint32_t ahead = bits->count - bits->lent_count;

	for (; ahead >= 8; ahead -= 8)
		at -= at - scan >= 2 && at[-1] == 0 && at[-2] == 0xff ? 2 : 1;
	if (ahead > 0) {
		at -= at - scan >= 2 && at[-1] == 0 && at[-2] == 0xff ? 2 : 1;
		ahead = 8 - ahead;
	}
	return (uint32_t)(at - scan) * 8 + ahead;
}

/* ---------------------------------------------------------------- writing */

struct jpeg_bits_out {
	uint64_t buffer; /* the last `count` bits, the first one highest; zeros below */
	uint32_t count;  /* at most 31 between calls */
	uint8_t *next;   /* has room for twice what is put */
};

/* At most 32 bits, right-aligned. */
static inline void jpeg_bits_put(struct jpeg_bits_out *out, uint32_t value, uint32_t count)
{
	uint32_t word;

	out->buffer |= (uint64_t)value << 1 << (63 - count) >> out->count;
	out->count += count;
	if (out->count < 32)
		return;

	word = (uint32_t)(out->buffer >> 32);
	if (!jpeg_bits_have_ff(word)) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		word = __builtin_bswap32(word);
#endif
		memcpy(out->next, &word, sizeof word);
		out->next += sizeof word;
	} else {
		for (int shift = 24; shift >= 0; shift -= 8) {
			*out->next++ = (uint8_t)(word >> shift);
			if (out->next[-1] == 0xff)
				*out->next++ = 0;
		}
	}
	out->buffer <<= 32;
	out->count -= 32;
}

/* Fills the last byte with ones (T.81, F.1.2.3). */
static inline void jpeg_bits_flush(struct jpeg_bits_out *out)
{
	jpeg_bits_put(out, 0x7f, 7);
	for (; out->count >= 8; out->count -= 8, out->buffer <<= 8) {
		*out->next++ = (uint8_t)(out->buffer >> 56);
		if (out->next[-1] == 0xff)
			*out->next++ = 0;
	}
}

#endif
