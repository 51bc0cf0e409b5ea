/* axis_steps.c - stage 4 of 5, first half: an axis's spans and weights in, steps for vectors out. */
#include "loader/shape/axis_steps.h"

#include <errno.h>
#include <string.h>

#include "loader/shape/axis_plan.h"

/* One column on its way through its output's taps. */
struct column {
	const int32_t *weights;
	uint32_t first, next, end; /* source pixel of tap 0; the next tap; the number of taps */
};

static uint32_t begin_group(struct column *columns, const struct axis_steps *steps, const struct axis_plan *plan, uint32_t output)
{
	bool shared = steps->outputs_per_group == 1;
	uint32_t left = plan->axis.out_px - output, count = shared || left > steps->columns ? steps->columns : left;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t of = shared ? output : output + i;

		columns[i] = (struct column){.weights = plan->weights + (size_t)of * plan->weights_per_px,
		                             .first = plan->spans[of].first,
		                             .next = shared ? i * AXIS_STEPS_TAPS : 0,
		                             .end = plan->spans[of].count};
	}
	return count;
}

/* The window begins with the first pixel that is still to be taken, unless that would make it leave the row.  False: none is. */
static bool choose_window(const struct column *columns, uint32_t count, uint32_t channels, size_t row_bytes, uint32_t window_bytes,
                          uint32_t *window)
{
	size_t first_px = SIZE_MAX, most = row_bytes > window_bytes ? row_bytes - window_bytes : 0;

	for (uint32_t i = 0; i < count; i++)
		if (columns[i].next < columns[i].end && columns[i].first + columns[i].next < first_px)
			first_px = columns[i].first + columns[i].next;
	if (first_px == SIZE_MAX)
		return false;
	*window = (uint32_t)(first_px * channels < most ? first_px * channels : most);
	return true;
}

static void take_from_window(struct column *column, uint32_t channels, uint32_t window, uint32_t window_bytes,
                             struct axis_take *take, uint32_t stride)
{
	size_t from = ((size_t)column->first + column->next) * channels - window;
	uint32_t count = 0, fitting;

	*take = (struct axis_take){0};
	if (column->next >= column->end || from >= window_bytes)
		return;
	fitting = (window_bytes - (uint32_t)from) / channels;
	take->from = (uint32_t)from;
	for (; count < AXIS_STEPS_TAPS && count < fitting && column->next + count < column->end; count++)
		take->weights[count] = column->weights[column->next + count];
	column->next += stride ? stride : count;
}

static int add_step(struct axis_steps *steps, uint32_t step, size_t record_bytes, uint32_t window)
{
	if (scratch_extend(&steps->windows_memory, (size_t)step + 1, sizeof window) ||
	    scratch_extend(&steps->records_memory, (size_t)step + 1, record_bytes))
		return -ENOMEM;
	((uint32_t *)steps->windows_memory.data)[step] = window;
	return 0;
}

int axis_steps_make(struct axis_steps *steps, const struct axis_plan *plan, uint32_t channels, const struct axis_steps_form *form)
{
	uint32_t *first_step, step = 0;

	steps->columns = form->lanes / channels;
	steps->outputs_per_group = plan->weights_per_px < form->many_taps ? steps->columns : 1;
	steps->group_count = (plan->axis.out_px - 1) / steps->outputs_per_group + 1;
	steps->row_bytes = (size_t)(plan->end - plan->begin) * channels;
	if (scratch_reserve(&steps->first_step_memory, (size_t)steps->group_count + 1, sizeof *first_step))
		return -ENOMEM;
	first_step = steps->first_step_memory.data;

	for (uint32_t group = 0; group < steps->group_count; group++) {
		uint32_t stride = steps->outputs_per_group == 1 ? steps->columns * AXIS_STEPS_TAPS : 0, window;
		struct column columns[AXIS_STEPS_COLUMNS];
		struct axis_take takes[AXIS_STEPS_COLUMNS];
		uint32_t count = begin_group(columns, steps, plan, group * steps->outputs_per_group);

		first_step[group] = step;
		for (; choose_window(columns, count, channels, steps->row_bytes, form->window_bytes, &window); step++) {
			if (add_step(steps, step, form->record_bytes, window))
				return -ENOMEM;
			for (uint32_t i = 0; i < count; i++)
				take_from_window(&columns[i], channels, window, form->window_bytes, &takes[i], stride);
			form->write(takes, count, channels, (uint8_t *)steps->records_memory.data + step * form->record_bytes);
		}
	}
	first_step[steps->group_count] = step;
	steps->first_step = first_step;
	steps->windows = steps->windows_memory.data;
	steps->records = steps->records_memory.data;
	return 0;
}

void axis_steps_free(struct axis_steps *steps)
{
	scratch_free(&steps->first_step_memory);
	scratch_free(&steps->windows_memory);
	scratch_free(&steps->records_memory);
	*steps = (struct axis_steps){0};
}
