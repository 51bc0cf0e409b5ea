/* brace.c - part of stage 1 of 5: a pattern in, names out.  Whichever thread. */
#include "loader/plan/tar/brace.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MOST_DIGITS 18 /* no sum of such numbers overflows */
#define MOST_DEPTH  16 /* of calls within calls, one for each pair of braces */

struct expansion {
	int (*take)(void *context, const char *name);
	void *context;
	uint32_t name_count;
	struct err *err;
};

static int expand(struct expansion *expansion, const char *pattern, int depth);

/* A piece of a pattern. */
struct span {
	const char *begin, *end;
};

/* The `}` that belongs to the `{` at `open`; NULL: there is none. */
static const char *closing_brace(const char *open)
{
	int depth = 0;

	for (const char *at = open; *at; at++) {
		depth += *at == '{' ? 1 : *at == '}' ? -1 : 0;
		if (depth == 0)
			return at;
	}
	return NULL;
}

/* The first comma that stands between no other braces, or the end. */
static const char *next_comma(struct span span)
{
	int depth = 0;

	for (; span.begin < span.end; span.begin++) {
		depth += *span.begin == '{' ? 1 : *span.begin == '}' ? -1 : 0;
		if (depth == 0 && *span.begin == ',')
			break;
	}
	return span.begin;
}

static bool read_number(struct span digits, int64_t *number)
{
	*number = 0;
	if (digits.begin == digits.end || digits.end - digits.begin > MOST_DIGITS)
		return false;
	for (; digits.begin < digits.end; digits.begin++) {
		if (*digits.begin < '0' || *digits.begin > '9')
			return false;
		*number = *number * 10 + (*digits.begin - '0');
	}
	return true;
}

/* {first..last}; the least count of digits is 0 where nothing is filled up with zeros. */
struct range {
	int64_t first, last;
	int least_digits;
};

static bool begins_with_zero(struct span digits)
{
	return *digits.begin == '0' && digits.end - digits.begin > 1;
}

static bool read_range(struct span inside, struct range *range)
{
	const char *dots = memmem(inside.begin, (size_t)(inside.end - inside.begin), "..", 2);
	struct span first = {inside.begin, dots}, last = {dots ? dots + 2 : NULL, inside.end};
	ptrdiff_t first_digits, last_digits;

	if (!dots || !read_number(first, &range->first) || !read_number(last, &range->last))
		return false;
	first_digits = first.end - first.begin;
	last_digits = last.end - last.begin;
	range->least_digits = 0;
	if (begins_with_zero(first) || begins_with_zero(last))
		range->least_digits = (int)(first_digits > last_digits ? first_digits : last_digits);
	return true;
}

/* The pattern with `middle` instead of its first braces. */
static int expand_with(struct expansion *expansion, struct span before, struct span middle, const char *after, int depth)
{
	char name[BRACE_MOST_CHARS + 1];
	int chars = snprintf(name, sizeof name, "%.*s%.*s%s", (int)(before.end - before.begin), before.begin,
	                     (int)(middle.end - middle.begin), middle.begin, after);

	if ((size_t)chars >= sizeof name)
		return err_fail(expansion->err, -EINVAL, "a name of %d characters; at most %u are allowed", chars,
		                BRACE_MOST_CHARS);
	return expand(expansion, name, depth + 1);
}

static int expand_range(struct expansion *expansion, struct span before, const struct range *range, const char *after, int depth)
{
	int64_t step = range->first <= range->last ? 1 : -1, count = (range->last - range->first) * step;
	int rc = 0;

	if (count >= BRACE_MOST_NAMES)
		return err_fail(expansion->err, -EINVAL, "{%lld..%lld} stands for %lld names; at most %u are allowed",
		                (long long)range->first, (long long)range->last, (long long)count + 1, BRACE_MOST_NAMES);
	for (int64_t number = range->first; rc == 0 && count >= 0; number += step, count--) {
		char digits[24];
		int chars = snprintf(digits, sizeof digits, "%0*lld", range->least_digits, (long long)number);

		rc = expand_with(expansion, before, (struct span){digits, digits + chars}, after, depth);
	}
	return rc;
}

static int expand_list(struct expansion *expansion, struct span before, struct span inside, const char *after, int depth)
{
	int rc = 0;

	for (const char *end; rc == 0 && inside.begin <= inside.end; inside.begin = end + 1) {
		end = next_comma(inside);
		rc = expand_with(expansion, before, (struct span){inside.begin, end}, after, depth);
	}
	return rc;
}

static int expand(struct expansion *expansion, const char *pattern, int depth)
{
	const char *open = strchr(pattern, '{'), *close = open ? closing_brace(open) : NULL;
	struct span before = {pattern, open}, inside = {open ? open + 1 : NULL, close};
	struct range range;

	if (!open && !strchr(pattern, '}')) {
		if (++expansion->name_count > BRACE_MOST_NAMES)
			return err_fail(expansion->err, -EINVAL, "stands for more than %u names", BRACE_MOST_NAMES);
		return expansion->take(expansion->context, pattern);
	}
	if (!close)
		return err_fail(expansion->err, -EINVAL, "a brace without its other half");
	if (depth == MOST_DEPTH)
		return err_fail(expansion->err, -EINVAL, "more than %d pairs of braces", MOST_DEPTH);
	if (next_comma(inside) < inside.end)
		return expand_list(expansion, before, inside, close + 1, depth);
	if (read_range(inside, &range))
		return expand_range(expansion, before, &range, close + 1, depth);
	return err_fail(expansion->err, -EINVAL, "{%.*s}: expected numbers, such as {000..099}, or a list, such as {train,val}",
	                (int)(close - open - 1), open + 1);
}

int brace_expand(const char *pattern, int (*take)(void *context, const char *name), void *context, struct err *err)
{
	struct expansion expansion = {.take = take, .context = context, .err = err};

	return expand(&expansion, pattern, 0);
}
