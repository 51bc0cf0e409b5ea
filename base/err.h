/*
 * err.h - one sentence for a person, in memory that the caller owns.
 *
 * Set-up calls take a `struct err *` as last argument (it may be NULL) and put the values that matter into the sentence:
 * what was found, what was expected, what to do.  Hot calls never format text.
 */
#ifndef CROPRING_ERR_H
#define CROPRING_ERR_H

#include <stdarg.h>
#include <stdio.h>

struct err {
	char text[512];
};

/* Writes the sentence and returns `code`, so that a failing call reads `return err_fail(err, -EINVAL, "...", ...);`. */
__attribute__((format(printf, 3, 4))) static inline int err_fail(struct err *err, int code, const char *format, ...)
{
	if (err) {
		va_list arguments;

		va_start(arguments, format);
		vsnprintf(err->text, sizeof err->text, format, arguments);
		va_end(arguments);
	}
	return code;
}

#endif
