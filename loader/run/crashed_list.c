/* crashed_list.c - the text of --crashed in, yes or no for each sample out.  Made by one thread, asked by any. */
#include "loader/run/crashed_list.h"

#include <errno.h>
#include <stdlib.h>

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

int crashed_list_open(struct crashed_list *list, const char *text)
{
	size_t count = 1;

	*list = (struct crashed_list){0};
	if (!text)
		return 0;
	for (const char *at = text; *at; at++)
		count += *at == ',';
	list->samples = malloc(count * sizeof list->samples[0]);
	if (!list->samples)
		return -ENOMEM;
	for (char *rest = (char *)text; list->count < count; rest++) /* past the comma */
		list->samples[list->count++] = strtoull(rest, &rest, 10);
	qsort(list->samples, count, sizeof list->samples[0], compare);
	return 0;
}

void crashed_list_close(struct crashed_list *list)
{
	free(list->samples);
	*list = (struct crashed_list){0};
}

bool crashed_list_has(const struct crashed_list *list, uint64_t sample)
{
	return list->count > 0 && bsearch(&sample, list->samples, list->count, sizeof sample, compare) != NULL;
}
