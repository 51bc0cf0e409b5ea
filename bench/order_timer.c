/*
 * order_timer.c - what an epoch's order costs at a size; bench/order.py runs it, each time in a fresh process.
 *
 *   order_timer shuffle|weights SAMPLES
 *
 * Prints three numbers: nanoseconds of CPU time until the first sample is known, nanoseconds for each of a million positions, one after
 * another from the middle on, and bytes of memory that the order takes.  There are no files: samples are numbers here.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "loader/plan/order.h"

enum { POSITIONS = 1000000 };

int main(int argc, char **argv)
{
	struct order order = {.seed = 7, .shuffle = true};
	uint64_t begin_ns, first_ns, begin_position, sum = 0;
	struct weights *weights = NULL;
	double *values = NULL;
	struct err err;

	if (argc != 3 || (strcmp(argv[1], "shuffle") != 0 && strcmp(argv[1], "weights") != 0)) {
		fputs("usage: order_timer shuffle|weights SAMPLES\n", stderr);
		return 2;
	}
	order.sample_count = strtoull(argv[2], NULL, 10);
	if (strcmp(argv[1], "weights") == 0) {
		values = malloc(order.sample_count * sizeof *values);
		if (!values)
			return 1;
		for (uint64_t i = 0; i < order.sample_count; i++)
			values[i] = (double)(i % 1000);
	}
	begin_ns = clock_thread_cpu_ns();
	if (values && weights_open(&weights, values, order.sample_count, "weights", &err) < 0) {
		fprintf(stderr, "order_timer: %s\n", err.text);
		return 1;
	}
	order.weights = weights;
	sum += order_sample(&order, 0, order.sample_count / 2);
	first_ns = clock_thread_cpu_ns();
	printf("%" PRIu64, first_ns - begin_ns);

	begin_position = order.sample_count / 2;
	for (uint64_t i = 0; i < POSITIONS; i++)
		sum += order_sample(&order, 1, (begin_position + i) % order.sample_count);
	printf(" %.1f", (double)(clock_thread_cpu_ns() - first_ns) / POSITIONS);
	printf(" %zu\n", sizeof order + (weights ? malloc_usable_size(weights) : 0));
	weights_close(weights);
	free(values);
	return sum == 0; /* looked at, so that nothing of it is left out */
}
