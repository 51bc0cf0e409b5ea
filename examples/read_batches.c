/*
 * read_batches.c - a reader in C, whole: joins a ring, shows its fields, then one line per batch until the stream ends.
 *
 *   cmake --install build/default --prefix ~/cropring --component c
 *   export PKG_CONFIG_PATH=~/cropring/lib/pkgconfig LD_LIBRARY_PATH=~/cropring/lib
 *   cc -std=c11 -O2 -o read_batches examples/read_batches.c $(pkg-config --cflags --libs shmring)
 *
 *   ~/cropring/bin/cropring serve tests/data/photos --ring train --batch-size 8 &
 *   ./read_batches train
 *
 * C11, and C++17 unchanged.  Exit code 0: the stream is complete; 1: it broke off, or there is no such ring; 2: usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shmring/shmring.h"

static const char *dtype_name(uint32_t dtype)
{
	switch (dtype) {
	case SHMRING_UINT8:
		return "uint8";
	case SHMRING_INT32:
		return "int32";
	case SHMRING_INT64:
		return "int64";
	case SHMRING_FLOAT16:
		return "float16";
	case SHMRING_FLOAT32:
		return "float32";
	case SHMRING_UINT16:
		return "uint16";
	default:
		return "?";
	}
}

/* IEEE 754 binary16: 1 bit of sign, 5 of exponent, 10 of fraction. */
static double half_value(uint16_t bits)
{
	int exponent = bits >> 10 & 31, fraction = bits & 1023;
	double magnitude;

	if (exponent == 31)
		magnitude = fraction ? NAN : INFINITY;
	else if (exponent == 0)
		magnitude = ldexp(fraction, -24);
	else
		magnitude = ldexp(1024 + fraction, exponent - 25);
	return bits & 0x8000 ? -magnitude : magnitude;
}

static double element(const void *data, uint32_t dtype, uint64_t index)
{
	switch (dtype) {
	case SHMRING_UINT8:
		return ((const uint8_t *)data)[index];
	case SHMRING_INT32:
		return ((const int32_t *)data)[index];
	case SHMRING_INT64:
		return (double)((const int64_t *)data)[index];
	case SHMRING_FLOAT16:
		return half_value(((const uint16_t *)data)[index]);
	case SHMRING_FLOAT32:
		return (double)((const float *)data)[index];
	case SHMRING_UINT16:
		return ((const uint16_t *)data)[index];
	default:
		return NAN;
	}
}

/* Over the rows that the batch really has: the last one of an epoch may be short. */
static double mean(const struct shmring_field *field, const void *data, uint32_t row_count)
{
	uint64_t count = row_count;
	double sum = 0;

	for (uint32_t i = 1; i < field->dim_count; i++)
		count *= field->shape[i];
	for (uint64_t i = 0; i < count; i++)
		sum += element(data, field->dtype, i);
	return sum / (double)count;
}

static void print_fields(const struct shmring_reader *reader)
{
	printf("ring %s: %" PRIu32 " slots, worker %" PRId32 "\n", shmring_name(reader), shmring_slot_count(reader),
	       shmring_producer_pid(reader));
	for (uint32_t i = 0; i < shmring_field_count(reader); i++) {
		const struct shmring_field *field = shmring_field(reader, i);

		printf("%-12s %-7s %" PRIu32, field->name, dtype_name(field->dtype), field->shape[0]);
		for (uint32_t j = 1; j < field->dim_count; j++)
			printf("x%" PRIu32, field->shape[j]);
		putchar('\n');
	}
}

/* The first field is the images.  Its memory is this process's until shmring_release(). */
static void print_batch(const struct shmring_reader *reader, const struct shmring_lease *lease)
{
	const struct shmring_field *field = shmring_field(reader, 0);
	const void *data = shmring_lease_data(reader, lease, 0);

	printf("batch %" PRIu32 " epoch %" PRIu32 " rows %" PRIu32 " mean of %s %.6f%s\n", lease->sequence, lease->epoch,
	       lease->row_count, field->name, mean(field, data, lease->row_count), lease->redelivered ? " (delivered again)" : "");
}

/* 0 at the end of the stream, else the negative errno of shmring_acquire(). */
static int read_batches(struct shmring_reader *reader)
{
	uint64_t batch_count = 0, sample_count = 0;
	struct shmring_lease lease;
	int rc;

	for (;;) {
		rc = shmring_acquire(reader, 1000, &lease);
		if (rc == -ETIMEDOUT || rc == -EINTR)
			continue; /* a place to look whether there is still any wish to go on */
		if (rc < 0)
			break;
		print_batch(reader, &lease);
		batch_count++;
		sample_count += lease.row_count;
		(void)shmring_release(reader, &lease); /* -ESTALE would mean that the worker took it back: nothing to do about it */
	}
	printf("%" PRIu64 " batches, %" PRIu64 " samples\n", batch_count, sample_count);
	return rc == -ENODATA ? 0 : rc;
}

/* The worker's last words are in the shared memory, also when it was killed. */
static void explain(const struct shmring_reader *reader, int rc)
{
	char reason[256], last_lines[2048];
	enum shmring_end end = shmring_end_text(reader, reason, sizeof reason);

	shmring_last_lines(reader, last_lines, sizeof last_lines);
	fprintf(stderr, "the stream broke off (%s): %s\n%s", strerror(-rc),
	        end == SHMRING_RUNNING ? "the worker was killed" : reason, last_lines);
}

int main(int argument_count, char **arguments)
{
	struct shmring_reader *reader;
	struct err err;
	int rc;

	if (argument_count != 2) {
		fprintf(stderr, "usage: %s RING    (its name, or the path of its socket)\n", arguments[0]);
		return 2;
	}
	rc = shmring_attach(&reader, arguments[1], NULL, &err);
	if (rc < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	print_fields(reader);
	rc = read_batches(reader);
	if (rc < 0)
		explain(reader, rc);
	shmring_detach(reader);
	return rc < 0 ? 1 : 0;
}
