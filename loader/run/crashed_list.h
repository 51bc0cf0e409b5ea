/* crashed_list.h - the samples of --crashed: they killed a worker before, and no decoder gets to see them again. */
#ifndef CROPRING_CRASHED_LIST_H
#define CROPRING_CRASHED_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crashed_list {
	uint64_t *samples; /* ascending; NULL: none */
	size_t count;
};

/* `text` is "17,4,99", checked by options_parse(), or NULL.  -ENOMEM. */
int crashed_list_open(struct crashed_list *list, const char *text);
void crashed_list_close(struct crashed_list *list);

/* Any thread. */
bool crashed_list_has(const struct crashed_list *list, uint64_t sample);

#endif
