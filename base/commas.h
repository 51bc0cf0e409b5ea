/* commas.h - numbers for people. */
#ifndef CROPRING_COMMAS_H
#define CROPRING_COMMAS_H

#include <stdint.h>
#include <stdio.h>

/* 1234567 -> "1,234,567". */
static inline const char *with_commas(uint64_t number, char text[32])
{
	char digits[24];
	int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
	char *at = text;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*at++ = ',';
		*at++ = digits[i];
	}
	*at = '\0';
	return text;
}

#endif
