/* scratch.h - memory that a thread keeps from call to call: it only grows, and what was in it is lost when it does. */
#ifndef CROPRING_SCRATCH_H
#define CROPRING_SCRATCH_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* All zero is the empty one. */
struct scratch {
	void *data;
	size_t capacity_bytes;
};

/* Room for count items of item_bytes each.  0 or -ENOMEM, also when the product does not fit a size_t. */
static inline int scratch_reserve(struct scratch *scratch, size_t count, size_t item_bytes)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, item_bytes, &bytes))
		return -ENOMEM;
	if (scratch->data && bytes <= scratch->capacity_bytes)
		return 0;
	free(scratch->data);
	scratch->data = malloc(bytes ? bytes : 1);
	scratch->capacity_bytes = scratch->data ? bytes : 0;
	return scratch->data ? 0 : -ENOMEM;
}

/* Room for count items, of which those that were there stay; at least doubles, for callers that add one by one.  As above. */
static inline int scratch_extend(struct scratch *scratch, size_t count, size_t item_bytes)
{
	size_t bytes, twice = scratch->capacity_bytes > SIZE_MAX / 2 ? SIZE_MAX : 2 * scratch->capacity_bytes;
	void *data;

	if (__builtin_mul_overflow(count, item_bytes, &bytes))
		return -ENOMEM;
	if (scratch->data && bytes <= scratch->capacity_bytes)
		return 0;
	if (bytes < twice)
		bytes = twice;
	data = realloc(scratch->data, bytes ? bytes : 1);
	if (!data)
		return -ENOMEM;
	*scratch = (struct scratch){.data = data, .capacity_bytes = bytes};
	return 0;
}

static inline void scratch_free(struct scratch *scratch)
{
	free(scratch->data);
	*scratch = (struct scratch){0};
}

#endif
