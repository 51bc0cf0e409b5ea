/*
 * axis_steps.h - a horizontal pass cut into steps for vectors: each takes one window of a row and up to four taps per lane from it.
 *
 * A vector has 4 or 16 lanes of 32 bits, each of which sums up one channel of one output ("column": what the channels of a pixel
 * share).  A step's window is as many bytes as the vector has, so that one shuffle can bring any of them to any lane.  Few taps: a
 * column is an output, and neighbours share windows.  Many taps: all columns work for one output, and are added up in the end.
 * Private to resample.c and the files beside it.
 */
#ifndef CROPRING_AXIS_STEPS_H
#define CROPRING_AXIS_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include "loader/shape/scratch.h"

enum { AXIS_STEPS_TAPS = 4, AXIS_STEPS_COLUMNS = 16 };

/* What one column takes from a window: the pixels from byte `from` on, times these weights.  Unused weights are 0. */
struct axis_take {
	uint32_t from;
	int32_t weights[AXIS_STEPS_TAPS];
};

/* How the vectors of a level want it. */
struct axis_steps_form {
	uint32_t lanes, window_bytes;
	uint32_t many_taps; /* from so many on, adding up columns costs less than lanes that idle */
	size_t record_bytes;
	void (*write)(struct axis_take *takes, uint32_t columns, uint32_t channels, void *record); /* may use up takes */
};

/* All zero is empty. */
struct axis_steps {
	bool turned; /* resample_turned.c has made its own: first_step is by output, and records are what it says */
	uint32_t group_count;
	uint32_t outputs_per_group; /* fewer in the last group; 1: the columns are to be added up */
	uint32_t columns;           /* of a vector */
	size_t row_bytes;           /* of the rows that windows lie in; a row shorter than a window is one window */
	const uint32_t *first_step; /* group_count + 1 of them */
	const uint32_t *windows;    /* per step, in bytes from the row's begin */
	const uint8_t *records;     /* per step, as write() left them */
	struct scratch first_step_memory, windows_memory, records_memory;
};

struct axis_plan;

/* 0 or -ENOMEM. */
int axis_steps_make(struct axis_steps *steps, const struct axis_plan *plan, uint32_t channels, const struct axis_steps_form *form);
void axis_steps_free(struct axis_steps *steps);

#endif
