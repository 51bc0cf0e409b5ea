/*
 * brace.h - part of stage 1 of 5: a pattern such as data-{000..099}.tar in, the names that it stands for out.
 *
 * As shells and WebDataset write them: {00..99} counts, upwards or downwards, with as many digits as the longer end if one of them
 * begins with a zero; {a,b} lists; several of them, also within each other: the first one changes slowest.  One thread.
 */
#ifndef CROPRING_BRACE_H
#define CROPRING_BRACE_H

#include "base/err.h"

#define BRACE_MOST_NAMES 1000000u /* of one pattern; no name may have more than BRACE_MOST_CHARS */
#define BRACE_MOST_CHARS 4095u

/*
 * Calls take() with each name, in order, until it returns something else than 0, which is then the result.  -EINVAL when the
 * pattern is none, or stands for too many names: take() may have had some by then.
 */
int brace_expand(const char *pattern, int (*take)(void *context, const char *name), void *context, struct err *err);

#endif
