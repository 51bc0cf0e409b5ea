/*
 * printable.h - bytes from outside (file names, a codec's words) in, text that may be shown out.
 *
 * A file name is any bytes but '/' and NUL: it may move a terminal's cursor, start a line of its own, or be no UTF-8.
 * `out` always ends up NUL-terminated; text that does not fit ends in "...", never inside a character.  Any thread.
 */
#ifndef CROPRING_PRINTABLE_H
#define CROPRING_PRINTABLE_H

#include <stddef.h>

/* For people: control characters and bytes that are no UTF-8 become \n, \t, \xNN.  out_bytes is at least 8. */
void printable_escape(char *out, size_t out_bytes, const char *text);

/* For JSON libraries: valid UTF-8, with U+FFFD in place of each byte that is none.  out_bytes is at least 8. */
void printable_utf8(char *out, size_t out_bytes, const char *text);

#endif
