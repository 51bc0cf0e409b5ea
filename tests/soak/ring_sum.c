/*
 * ring_sum.c - a ring's name in; the number of its batches and a sum over all their bytes out.  One thread.
 *
 * The reader of the fault storms: as little as possible besides shmring, so that what fails is shmring's.
 * Exit codes: 0 the stream was read to its end, 1 a sentence on stderr says why not.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shmring/shmring.h"

/* FNV-1a, 64 bits (Fowler, Noll, Vo; draft-eastlake-fnv). */
static uint64_t add_bytes(uint64_t sum, const uint8_t *bytes, uint64_t byte_count)
{
	for (uint64_t i = 0; i < byte_count; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static uint64_t add_batch(uint64_t sum, const struct shmring_reader *reader, const struct shmring_lease *lease)
{
	for (uint32_t i = 0; i < shmring_field_count(reader); i++) {
		const struct shmring_field *field = shmring_field(reader, i);

		sum = add_bytes(sum, shmring_lease_data(reader, lease, i), field->byte_count);
	}
	return sum;
}

int main(int argc, char **argv)
{
	struct shmring_reader *reader;
	struct shmring_lease lease;
	struct err err;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	uint32_t batch_count = 0;
	int rc;

	if (argc != 2) {
		fputs("usage: ring_sum NAME\n", stderr);
		return 1;
	}
	rc = shmring_attach(&reader, argv[1], NULL, &err);
	if (rc < 0) {
		fprintf(stderr, "cannot attach: %s\n", err.text);
		return 1;
	}
	for (;;) {
		rc = shmring_acquire(reader, -1, &lease);
		if (rc == -EINTR)
			continue;
		if (rc < 0)
			break;
		sum = add_batch(sum, reader, &lease);
		batch_count++;
		(void)shmring_release(reader, &lease); /* -ESTALE would show as a sum of its own */
	}
	shmring_detach(reader);
	if (rc != -ENODATA) {
		fprintf(stderr, "no batch after %u: %s\n", batch_count, strerror(-rc));
		return 1;
	}
	printf("%u batches, sum %016llx\n", batch_count, (unsigned long long)sum);
	if (fflush(stdout) == 0)
		return 0;
	perror("the sum cannot be told");
	return 1;
}
