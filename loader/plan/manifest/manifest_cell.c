/* manifest_cell.c - part of stage 1 of 5: one cell of a manifest in, a number out.  Any thread. */
#include "loader/plan/manifest/manifest_cell.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static bool parse_whole(const char *text, int64_t *value)
{
	bool negative = *text == '-';
	int64_t sum = 0;

	text += negative;
	if (!is_digit(*text))
		return false;
	for (; is_digit(*text); text++) {
		int digit = *text - '0';

		/* Summed up below 0, where there is one number more. */
		if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_sub_overflow(sum, digit, &sum))
			return false;
	}
	if (*text != '\0' || (!negative && sum == INT64_MIN))
		return false;
	*value = negative ? sum : -sum;
	return true;
}

bool manifest_cell_whole(const struct manifest_cell *cell, int64_t *value)
{
	if (cell->kind == CELL_WHOLE)
		*value = cell->whole;
	return cell->kind == CELL_WHOLE || (cell->kind == CELL_WRITTEN && parse_whole(cell->text, value));
}

/* Digits perhaps with a point among them, then perhaps an exponent: strtod() would take hexadecimal numbers and words as well. */
static bool is_decimal(const char *text)
{
	bool any = false;

	text += *text == '-';
	for (; is_digit(*text); text++)
		any = true;
	if (*text == '.')
		for (text++; is_digit(*text); text++)
			any = true;
	if (!any)
		return false;
	if (*text == 'e' || *text == 'E') {
		text += text[1] == '-' || text[1] == '+' ? 2 : 1;
		if (!is_digit(*text))
			return false;
		while (is_digit(*text))
			text++;
	}
	return *text == '\0';
}

bool manifest_cell_real(const struct manifest_cell *cell, double *value)
{
	switch (cell->kind) {
	case CELL_WRITTEN:
		if (!is_decimal(cell->text))
			return false;
		*value = strtod(cell->text, NULL); /* the worker never leaves the C locale: the point is a point */
		return isfinite(*value);
	case CELL_WHOLE:
		*value = (double)cell->whole;
		return true;
	case CELL_REAL:
		*value = cell->real;
		return isfinite(*value);
	default:
		return false;
	}
}

const char *manifest_cell_found(char found[MANIFEST_QUOTE_BYTES], const struct manifest_cell *cell)
{
	switch (cell->kind) {
	case CELL_WRITTEN:
	case CELL_STRING:
		return manifest_text_quote(found, cell->text, cell->text_bytes);
	case CELL_WHOLE:
		snprintf(found, MANIFEST_QUOTE_BYTES, "%lld", (long long)cell->whole);
		return found;
	case CELL_REAL:
		snprintf(found, MANIFEST_QUOTE_BYTES, "%.17g", cell->real);
		return strpbrk(found, ".e") ? found : strcat(found, ".0"); /* it is no whole number because it has a point */
	case CELL_OTHER:
		return cell->text;
	default:
		return "nothing";
	}
}
