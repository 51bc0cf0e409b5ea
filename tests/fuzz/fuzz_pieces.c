/*
 * fuzz_pieces.c - hostile pieces of requests, in any order: what comes out is whole, and as long as it was said to be.
 *
 * Input: six bytes for each piece, 16 bits each: bytes of the whole, where the piece begins, its bytes; 0xffff is more than any may be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shmring/requests.h"

enum { PIECE_WORDS = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count);

static uint64_t number(uint16_t word)
{
	return word == UINT16_MAX ? UINT64_MAX : word;
}

/* Every byte says where in its request it stands. */
static void fill(struct requests_inbox *inbox, uint64_t piece_at, size_t piece_bytes)
{
	for (size_t i = 0; i < piece_bytes; i++)
		inbox->piece[i] = (uint8_t)((piece_at + i) * 31);
}

static void check_whole(const struct shmring_visitor *visitor, uint64_t request_bytes)
{
	const uint8_t *bytes = visitor->request;

	if (visitor->request_bytes != request_bytes) {
		fprintf(stderr, "a request of %zu bytes, where %llu were said\n", visitor->request_bytes,
		        (unsigned long long)request_bytes);
		abort();
	}
	for (size_t i = 0; i < visitor->request_bytes; i++) {
		if (bytes[i] != (uint8_t)(i * 31)) {
			fprintf(stderr, "another byte at %zu\n", i);
			abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t byte_count)
{
	static struct requests_inbox inbox;

	for (; byte_count >= PIECE_WORDS * sizeof(uint16_t); byte_count -= PIECE_WORDS * sizeof(uint16_t)) {
		struct shmring_visitor visitor = {0};
		uint16_t word[PIECE_WORDS];
		size_t piece_bytes;
		struct wire_hello hello = {.purpose = WIRE_REQUEST};
		int rc;

		memcpy(word, data, sizeof word);
		data += sizeof word;
		hello.request_bytes = number(word[0]);
		hello.piece_at = number(word[1]);
		piece_bytes = word[2] < WIRE_PIECE_BYTES ? word[2] : WIRE_PIECE_BYTES; /* no packet has more */
		fill(&inbox, hello.piece_at, piece_bytes);
		inbox.is_held = word[0] % 64 == 63;
		rc = requests_take(&inbox, &hello, piece_bytes, &visitor);
		if (rc == 1)
			check_whole(&visitor, hello.request_bytes);
		free(visitor.request);
		if (rc < 0)
			break; /* the door closes the socket */
	}
	requests_forget(&inbox);
	return 0;
}
